//! The brake, in the closed loop over every Store.

use std::time::Duration;

use vigil_core::Vigil;
use vigil_core::action::ActionStatus;
use vigil_core::store::{Actor, BrakeChange, BrakeScope, BrakeState};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{Reply, eventually, target};

use crate::closed_loop::{action, by_hand, during, sweeps};
use crate::world::{Backend, World, cpu, hot};

async fn set(vigil: &Vigil, state: BrakeState) {
    let change = BrakeChange { state, scope: BrakeScope::Tenant, reason: Some("a test".to_owned()), until: None };
    vigil.set_brake(&TenantId::default(), change, &Actor::new("test")).await.unwrap();
}

async fn nothing_is_admitted_or_started_while_the_brake_is_on_and_all_of_it_after(backend: Backend) {
    let world = World::new(backend).await;
    during(&world, [hot()], async |vigil| {
        set(vigil, BrakeState::Stopped).await;
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        vigil.request_action(by_hand("web-2")).await.unwrap();
        let refused =
            eventually("the refusal", async || world.episodes().await.into_iter().find_map(|episode| episode.refusal));
        assert_eq!(refused.await.reason.code(), "braked");
        eventually("the task that waits", async || (vigil.queue().stats().await.unwrap().scheduled == 1).then_some(()))
            .await;
        sweeps(vigil).await;
        let waits = world.actions().await;
        assert_eq!(waits.len(), 1, "only what a person asked for");
        assert_eq!((waits[0].status, waits[0].attempt), (ActionStatus::Pending, 0));
        assert_eq!(world.remediator.requests(), []);
        set(vigil, BrakeState::Released).await;
        let mut healed: Vec<_> = world.remediator.called(2).await.into_iter().map(|request| request.target).collect();
        healed.sort();
        assert_eq!(healed, [target("web-1"), target("web-2")]);
    })
    .await;
}

async fn what_runs_when_the_brake_is_set_is_finished(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_millis(150), Reply::success());
    during(&world, [], async |vigil| {
        vigil.request_action(by_hand("web-1")).await.unwrap();
        world.remediator.called(1).await;
        set(vigil, BrakeState::Stopped).await;
        let done = action(&world, "the end of what ran", |action| action.status.is_final()).await;
        assert_eq!((done.status, done.attempt), (ActionStatus::Completed, 1));
    })
    .await;
}

async fn what_was_not_taken_is_not_sent_again_while_the_brake_is_on(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.set_unreachable(true);
    during(&world, [], async |vigil| {
        vigil.request_action(by_hand("web-1")).await.unwrap();
        action(&world, "an attempt that was not taken", |action| action.attempt > 0).await;
        set(vigil, BrakeState::Stopped).await;
        let known = action(&world, "the attempt in hand", |action| action.status == ActionStatus::Pending).await;
        world.remediator.set_unreachable(false);
        let dequeued = vigil.queue().stats().await.unwrap().dequeued;
        eventually("another delivery", async || {
            let stats = vigil.queue().stats().await.unwrap();
            (stats.dequeued > dequeued && stats.scheduled == 1).then_some(())
        })
        .await;
        assert_eq!(world.actions().await[0], known);
        assert_eq!(world.remediator.effects(), []);
        set(vigil, BrakeState::Released).await;
        action(&world, "the action's end", |action| action.status == ActionStatus::Completed).await;
    })
    .await;
}

over_every_store! {
    nothing_is_admitted_or_started_while_the_brake_is_on_and_all_of_it_after
    what_runs_when_the_brake_is_set_is_finished
    what_was_not_taken_is_not_sent_again_while_the_brake_is_on
}
