//! What recovers must be seen to recover: a healthy series proves nothing about a silent one.

use std::time::Duration;

use vigil_core::action::{ActionStatus, Verification};
use vigil_core::episode::Resolution;
use vigil_core::policy::{ConditionSpec, PolicySpec};
use vigil_core::store::MetricBatch;
use vigil_core::testing::{Reply, batch, eventually, metric, policy};
use vigil_core::{Settings, Vigil};

use crate::closed_loop::{action, during_with, sweeps};
use crate::world::{Backend, World, now, sample, short};

fn disk(mount: &str, value: f64) -> MetricBatch {
    let now = now();
    batch([metric("disk", value).on("web-1").tag("mount", mount).late(now, now)])
}

fn full() -> PolicySpec {
    policy("full").exceeds("disk", 80.0).cooldown(Duration::ZERO).auto().build()
}

/// Samples are stale after a moment.
fn forgetful() -> Settings {
    Settings { staleness: Duration::from_millis(400), ..short() }
}

/// Sends healthy samples of `/boot` until every other series is stale and all targets were judged twice since.
async fn only_boot_reports(vigil: &Vigil) {
    let since = now();
    eventually("that all else is stale", async || {
        vigil.ingest(disk("/boot", 10.0)).await.unwrap();
        (now().since(since) > forgetful().staleness * 2).then_some(())
    })
    .await;
    sweeps(vigil).await;
}

async fn a_healthy_series_verifies_no_action_on_another(backend: Backend) {
    let world = World::new(backend).await;
    during_with(&world, short(), [full()], async |vigil| {
        let mut rare = 0_u32;
        eventually("exhaustion", async || {
            rare += 1;
            vigil.ingest(disk("/boot", 10.0)).await.unwrap();
            if rare.is_multiple_of(20) {
                vigil.ingest(disk("/data", 95.0)).await.unwrap();
            }
            let episode = world.episodes().await.into_iter().next()?;
            episode.refusal.filter(|refusal| refusal.reason.code() == "exhausted")
        })
        .await;
        assert_eq!((world.episodes().await.len(), world.actions().await.len()), (1, 3), "one episode, three actions");
        let verified = world.actions().await.into_iter().find(|a| a.verification == Some(Verification::Verified));
        assert_eq!(verified, None);
    })
    .await;
}

async fn an_episode_does_not_end_while_a_series_of_its_evidence_is_silent(backend: Backend) {
    let world = World::new(backend).await;
    let watched = PolicySpec { auto_remediate: false, ..full() };
    during_with(&world, forgetful(), [watched], async |vigil| {
        vigil.ingest(disk("/data", 95.0)).await.unwrap();
        eventually("the episode", async || world.episodes().await.pop()).await;
        // The second one joins the evidence while the first still violates, and outlives it.
        vigil.ingest(disk("/var", 96.0)).await.unwrap();
        eventually("that it joins", async || (world.episodes().await[0].evidence.len() == 2).then_some(())).await;
        only_boot_reports(vigil).await;
        assert!(world.episodes().await[0].is_open(), "two series are silent");
        vigil.ingest(disk("/data", 20.0)).await.unwrap();
        only_boot_reports(vigil).await;
        assert!(world.episodes().await[0].is_open(), "one series is silent");
        let ended = eventually("its end", async || {
            for mount in ["/data", "/var", "/boot"] {
                vigil.ingest(disk(mount, 20.0)).await.unwrap();
            }
            world.episodes().await[0].resolution
        });
        assert_eq!(ended.await, Resolution::Recovered);
    })
    .await;
}

async fn an_episode_of_several_metrics_ends_only_when_each_was_seen_again(backend: Backend) {
    let world = World::new(backend).await;
    let above = |name: &str| ConditionSpec::Exceeds { metric: metric(name, 0.0).build().name, threshold: 80.0 };
    let both = policy("both").condition(ConditionSpec::All(vec![above("cpu"), above("memory")])).build();
    during_with(&world, forgetful(), [both], async |vigil| {
        vigil.ingest(sample("cpu", "web-1", 95.0)).await.unwrap();
        vigil.ingest(sample("memory", "web-1", 95.0)).await.unwrap();
        eventually("the episode", async || world.episodes().await.pop()).await;
        let since = now();
        eventually("that memory is stale", async || {
            vigil.ingest(sample("cpu", "web-1", 95.0)).await.unwrap();
            (now().since(since) > forgetful().staleness * 2).then_some(())
        })
        .await;
        vigil.ingest(sample("cpu", "web-1", 5.0)).await.unwrap();
        sweeps(vigil).await;
        assert!(world.episodes().await[0].is_open(), "memory is silent");
        let ended = eventually("its end", async || {
            vigil.ingest(sample("cpu", "web-1", 5.0)).await.unwrap();
            vigil.ingest(sample("memory", "web-1", 95.0)).await.unwrap();
            world.episodes().await[0].resolution
        });
        assert_eq!(ended.await, Resolution::Recovered);
    })
    .await;
}

async fn a_healthy_series_cancels_no_action_wanted_for_a_silent_one(backend: Backend) {
    let world = World::new(backend).await;
    let wait = forgetful().staleness * 3;
    world.remediator.reply(Reply::Throttled(wait));
    during_with(&world, forgetful(), [full()], async |vigil| {
        vigil.ingest(disk("/data", 95.0)).await.unwrap();
        world.remediator.called(1).await;
        only_boot_reports(vigil).await;
        eventually("the second attempt", async || {
            vigil.ingest(disk("/boot", 10.0)).await.unwrap();
            (world.remediator.requests().len() == 2).then_some(())
        })
        .await;
        action(&world, "its end", |action| action.status == ActionStatus::Completed).await;
    })
    .await;
}

over_every_store! {
    a_healthy_series_verifies_no_action_on_another
    an_episode_does_not_end_while_a_series_of_its_evidence_is_silent
    an_episode_of_several_metrics_ends_only_when_each_was_seen_again
    a_healthy_series_cancels_no_action_wanted_for_a_silent_one
}
