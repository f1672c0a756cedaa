//! Time in the closed loop: long histories, waits that would outlive an action, and what passes without a sample.

use std::time::Duration;

use vigil_core::Settings;
use vigil_core::action::ActionStatus;
use vigil_core::episode::Episode;
use vigil_core::testing::{Reply, batch, eventually, metric, policy};

use crate::closed_loop::{action, by_hand, during, during_with, sweeps};
use crate::world::{Backend, World, cpu, hot, now, short};

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

async fn a_target_without_fresh_samples_and_without_an_episode_is_not_judged(backend: Backend) {
    let world = World::new(backend).await;
    let settings = Settings { staleness: Duration::from_millis(300), ..short() };
    during_with(&world, settings.clone(), [hot()], async |vigil| {
        let (judged, began) = (|| vigil.runner_status().judged, now());
        vigil.ingest(cpu("web-1", 5.0)).await.unwrap();
        eventually("that it is judged", async || (judged() > 0).then_some(())).await;
        eventually("that its sample is stale", async || (now().since(began) > settings.staleness * 2).then_some(()))
            .await;
        // More sweeps than one in whose interval nothing happened to be due.
        for _ in 0..4 {
            sweeps(vigil).await;
            assert_eq!(judged(), 0);
        }
        vigil.ingest(cpu("web-1", 5.0)).await.unwrap();
        eventually("that it is judged again", async || (judged() > 0).then_some(())).await;
    })
    .await;
}

over_every_store! {
    a_target_without_fresh_samples_and_without_an_episode_is_not_judged
    an_action_expires_while_the_remediator_asks_for_a_longer_wait
    a_dip_behind_any_number_of_samples_restarts_for
}
