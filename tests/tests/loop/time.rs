//! Time in the closed loop: long histories, waits that would outlive an action, and what passes without a sample.

use std::time::Duration;

use vigil_core::Settings;
use vigil_core::action::ActionStatus;
use vigil_core::episode::Episode;
use vigil_core::testing::{Reply, batch, eventually, metric, policy};

use crate::closed_loop::{action, by_hand, during, during_with};
use crate::world::{Backend, World, cpu, now, short};

async fn a_dip_behind_any_number_of_samples_restarts_for(backend: Backend) {
    let world = World::new(backend).await;
    let wait = Duration::from_millis(1500);
    let held = policy("hot").exceeds("cpu", 80.0).hold(wait).auto().build();
    during(&world, [held], async |vigil| {
        let (began, micro) = (now(), Duration::from_micros(1));
        for core in ["0", "1", "2"] {
            let old = (1..=3500).map(|n| {
                let at = began - Duration::from_secs(60) + micro * n;
                metric("cpu", 95.0).on("web-1").tag("core", core).late(at, began)
            });
            // They are history: what the policy is judged by is healthy.
            let at = began - Duration::from_secs(30);
            let healthy = metric("cpu", 5.0).on("web-1").tag("core", core).late(at, began);
            vigil.ingest(batch(old.chain([healthy]))).await.unwrap();
        }
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        eventually("the episode", async || world.episodes().await.into_iter().find(Episode::is_open)).await;
        eventually("half of it", async || (now().since(began) > wait / 2).then_some(())).await;
        // The newest sample violates again when the dip becomes known: only the stored history shows it.
        let dip = now();
        let sample = |value, at| metric("cpu", value).on("web-1").late(at, dip + micro);
        vigil.ingest(batch([sample(10.0, dip), sample(95.0, dip + micro)])).await.unwrap();
        let admitted = action(&world, "the action", |_| true).await;
        assert!(admitted.started_at >= dip + wait, "the dip restarts it");
    })
    .await;
}

async fn an_action_expires_while_the_remediator_asks_for_a_longer_wait(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply(Reply::Throttled(Duration::from_secs(3600)));
    let settings = Settings { expires_after: Duration::from_millis(500), ..short() };
    during_with(&world, settings, [], async |vigil| {
        vigil.request_action(by_hand("web-1")).await.unwrap();
        let ended = action(&world, "the end", |action| action.status.is_final()).await;
        assert_eq!(ended.status, ActionStatus::Cancelled);
        assert!(ended.error.unwrap_or_default().starts_with("expired"), "it does not wait for the hour to pass");
    })
    .await;
}

over_every_store! {
    an_action_expires_while_the_remediator_asks_for_a_longer_wait
    a_dip_behind_any_number_of_samples_restarts_for
}
