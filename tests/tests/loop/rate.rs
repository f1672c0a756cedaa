//! The actions of a tenant's minute, in the closed loop over every Store.

use std::num::NonZeroU32;

use vigil_core::policy::Reason;
use vigil_core::store::{Admission, MINUTE};
use vigil_core::testing::eventually;
use vigil_core::{ActionLimits, Settings};

use crate::closed_loop::{by_hand, sweeps};
use crate::world::{Backend, World, cpu, hot, short};

async fn policies_and_people_share_the_actions_of_a_minute(backend: Backend) {
    let world = World::new(backend).await;
    let limit = ActionLimits { default: NonZeroU32::new(3), ..ActionLimits::default() };
    let settings = Settings { actions_per_minute: limit, ..short() };
    let vigil = world.process().settings(settings).policies([hot()]).build().unwrap();
    vigil.load_policies().await.unwrap();
    let story = async {
        assert!(matches!(vigil.request_action(by_hand("by-hand")).await.unwrap(), Admission::Admitted(_)));
        for number in 1..=5 {
            vigil.ingest(cpu(&format!("web-{number}"), 95.0)).await.unwrap();
        }
        let refused = eventually("the refusals", async || {
            let reasons = world.episodes().await.into_iter().filter_map(|episode| Some(episode.refusal?.reason));
            let reasons: Vec<_> = reasons.filter(|reason| matches!(reason, Reason::RateLimited { .. })).collect();
            (reasons.len() == 3).then_some(reasons)
        });
        let refused = refused.await;
        world.remediator.called(3).await;
        sweeps(&vigil).await;
        let actions = world.actions().await;
        assert_eq!(actions.len(), 3, "one by hand, two by the policy");
        let until = actions.iter().map(|action| action.started_at).min().unwrap() + MINUTE;
        assert!(refused.iter().all(|reason| reason.next_at() == Some(until)), "{refused:?}");
        let asked = vigil.request_action(by_hand("web-9")).await.unwrap();
        assert_eq!(asked, Admission::Blocked(Reason::RateLimited { until }));
    };
    vigil.run(story).await.unwrap();
}

over_every_store! {
    policies_and_people_share_the_actions_of_a_minute
}
