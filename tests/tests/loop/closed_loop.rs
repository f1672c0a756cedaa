//! What the loop does, one sentence a test, over every Store.

use std::time::Duration;

use vigil_core::action::{Action, ActionStatus, ActionType, Change, Severity, Verification};
use vigil_core::episode::Resolution;
use vigil_core::policy::{ConditionSpec, PolicySpec};
use vigil_core::remediator::Probe;
use vigil_core::store::{Actor, Admission};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{Reply, eventually, metric, policy, target, task};
use vigil_core::{ActionRequest, Settings, Vigil};

use crate::invariants;
use crate::world::{Backend, World, cpu, hot, now, sample, short};

/// Runs a process with these policies for as long as `story` takes, then checks what must hold whatever happened.
pub(crate) async fn during(
    world: &World,
    policies: impl IntoIterator<Item = PolicySpec>,
    story: impl AsyncFnOnce(&Vigil),
) {
    during_with(world, short(), policies, story).await;
}

/// The same with these settings.
pub(crate) async fn during_with(
    world: &World,
    settings: Settings,
    policies: impl IntoIterator<Item = PolicySpec>,
    story: impl AsyncFnOnce(&Vigil),
) {
    let vigil = world.process().settings(settings).policies(policies).build().unwrap();
    vigil.load_policies().await.unwrap();
    vigil.run(story(&vigil)).await.unwrap();
    invariants::v2_attempts_share_one_key_and_effects_are_unique_per_key(world).await;
    invariants::v3_no_two_actions_were_in_flight_on_one_target(world);
}

/// Waits for the first action that satisfies `wanted`.
pub(crate) async fn action(world: &World, what: &str, wanted: impl Fn(&Action) -> bool) -> Action {
    eventually(what, async || world.actions().await.into_iter().find(|action| wanted(action))).await
}

/// Sends recovered samples until an action's verification ended.
async fn recover(vigil: &Vigil, world: &World, on: &str) -> Action {
    let ended = |action: &Action| action.verification.is_some_and(|ended| ended != Verification::Awaiting);
    eventually("the verification", async || {
        vigil.ingest(cpu(on, 5.0)).await.unwrap();
        world.actions().await.into_iter().find(ended)
    })
    .await
}

/// Waits until the runner has gone over everything twice more: what would happen has happened.
pub(crate) async fn sweeps(vigil: &Vigil) {
    for _ in 0..2 {
        let before = vigil.runner_status().last_sweep;
        eventually("a sweep", async || (vigil.runner_status().last_sweep > before).then_some(())).await;
    }
}

pub(crate) fn by_hand(on: &str) -> ActionRequest {
    ActionRequest {
        tenant: TenantId::default(),
        target: target(on),
        action: ActionType::RestartService,
        status: ActionStatus::Pending,
        details: None,
        severity: Severity::Warning,
        params: serde_json::Map::new(),
        idempotency: None,
        actor: Actor::new("test"),
    }
}

async fn a_violation_is_healed_once_and_verified(backend: Backend) {
    let world = World::new(backend).await;
    during(&world, [hot()], async |vigil| {
        let copies = (0..10).map(|_| vigil.ingest(cpu("web-1", 95.0)));
        futures_util::future::join_all(copies).await;
        let request = world.remediator.called(1).await.remove(0);
        assert_eq!((request.target, request.attempt), (target("web-1"), 1));
        assert_eq!((request.policy_name.as_deref(), request.severity), (Some("hot"), Severity::Warning));
        let healed = recover(vigil, &world, "web-1").await;
        assert_eq!((healed.status, healed.verification), (ActionStatus::Completed, Some(Verification::Verified)));
        assert_eq!(world.episodes().await[0].resolution, Some(Resolution::Verified));
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        sweeps(vigil).await;
        assert_eq!(
            (world.actions().await.len(), world.remediator.requests().len()),
            (1, 1),
            "not again inside the cooldown"
        );
        assert_eq!(vigil.queue().stats().await.unwrap().enqueued, 1);
        let counted = [
            r#"vigil_remediator_answers_total{answer="succeeded"} 1"#,
            r#"vigil_verification_latency_seconds_count{verification="verified"} 1"#,
            r#"vigil_backend_up{backend="store"} 1"#,
            r#"vigil_backend_up{backend="queue"} 1"#,
        ];
        eventually("that it is counted", async || {
            let text = vigil.telemetry().encode();
            counted.iter().all(|line| text.contains(line)).then_some(())
        })
        .await;
    })
    .await;
}

async fn all_of_two_metrics_fires_over_two_requests_and_never_mixes_targets(backend: Backend) {
    let world = World::new(backend).await;
    let above = |name: &str| ConditionSpec::Exceeds { metric: metric(name, 0.0).build().name, threshold: 80.0 };
    let both = policy("both").condition(ConditionSpec::All(vec![above("cpu"), above("memory")])).auto().build();
    during(&world, [both], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        vigil.ingest(sample("memory", "web-2", 95.0)).await.unwrap();
        sweeps(vigil).await;
        assert_eq!(world.actions().await, [], "cpu of one host and memory of another are no violation");
        vigil.ingest(sample("memory", "web-1", 95.0)).await.unwrap();
        assert_eq!(world.remediator.called(1).await[0].target, target("web-1"));
    })
    .await;
}

async fn an_absent_metric_never_fires(backend: Backend) {
    let world = World::new(backend).await;
    let policies =
        [policy("low").below("disk", 10.0).auto().build(), policy("any").exceeds("disk", -1.0).auto().build()];
    during(&world, policies, async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        sweeps(vigil).await;
        assert_eq!((world.actions().await.len(), world.episodes().await.len()), (0, 0));
    })
    .await;
}

async fn a_policy_that_may_not_act_records_an_episode_and_no_action(backend: Backend) {
    let world = World::new(backend).await;
    during(&world, [policy("hot").exceeds("cpu", 80.0).build()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        eventually("the episode", async || (!world.episodes().await.is_empty()).then_some(())).await;
        sweeps(vigil).await;
        assert_eq!((world.actions().await.len(), vigil.queue().stats().await.unwrap().enqueued), (0, 0));
        vigil.ingest(cpu("web-1", 5.0)).await.unwrap();
        let ended = eventually("its end", async || world.episodes().await[0].resolution).await;
        assert_eq!(ended, Resolution::Recovered);
    })
    .await;
}

async fn for_holds_back_until_it_has_elapsed(backend: Backend) {
    let world = World::new(backend).await;
    let held = policy("hot").exceeds("cpu", 80.0).hold(Duration::from_millis(400)).auto().build();
    during(&world, [held], async |vigil| {
        let began = now();
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        let admitted = action(&world, "the action", |_| true).await;
        assert!(admitted.started_at.since(began) >= Duration::from_millis(400));
    })
    .await;
}

async fn a_remediator_that_asks_to_wait_is_asked_again_under_the_same_key(backend: Backend) {
    let world = World::new(backend).await;
    let wait = Duration::from_millis(50);
    world.remediator.reply(Reply::Throttled(wait)).reply(Reply::Throttled(wait));
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        let requests = world.remediator.called(3).await;
        assert_eq!(requests.iter().map(|request| request.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        action(&world, "the end", |action| action.status == ActionStatus::Completed).await;
    })
    .await;
}

async fn a_remediator_that_hangs_and_cannot_tell_is_left_to_metrics_which_prove_it(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_secs(60), Reply::success()).answer_probe(Probe::Unknown);
    // Nobody knows for long enough to be seen not knowing, however slow the machine is.
    let settings = Settings { verify: Duration::from_secs(20), ..short() };
    let vigil = world.process().policies([hot()]).settings(settings).build().unwrap();
    vigil.load_policies().await.unwrap();
    let story = async {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        let unknown = action(&world, "indeterminate", |action| action.indeterminate_at.is_some()).await;
        assert!(unknown.status == ActionStatus::Running && unknown.occupies);
        let proven = recover(&vigil, &world, "web-1").await;
        assert_eq!((proven.status, proven.verification), (ActionStatus::Completed, Some(Verification::Verified)));
        assert_eq!(
            (world.remediator.requests().len(), world.remediator.probed().len()),
            (1, 1),
            "asked once, never sent again"
        );
    };
    vigil.run(story).await.unwrap();
    invariants::v3_no_two_actions_were_in_flight_on_one_target(&world);
}

async fn a_remediator_that_hangs_and_did_nothing_ends_failed_and_is_not_sent_again(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_secs(60), Reply::success()).answer_probe(Probe::Unknown);
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        let failed = eventually("the end", async || {
            vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
            // On a slow machine the next one may have ended before this one was seen to.
            world.actions().await.into_iter().filter(|action| action.status.is_final()).min_by_key(|action| action.id)
        });
        let failed = failed.await;
        assert_eq!((failed.status, failed.verification), (ActionStatus::Failed, Some(Verification::Ineffective)));
        let key = failed.idempotency_key().to_string();
        assert_eq!(world.remediator.requests().iter().filter(|request| request.key.0 == key).count(), 1);
    })
    .await;
}

async fn what_the_remediator_never_took_is_sent_again_under_the_same_key(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply(Reply::Indeterminate { done: false }).answer_probe(Probe::NotDone);
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        let requests = world.remediator.called(2).await;
        assert_eq!((requests[0].attempt, requests[1].attempt), (1, 2));
        action(&world, "the end", |action| action.status == ActionStatus::Completed).await;
    })
    .await;
}

async fn failures_that_may_be_retried_end_with_the_budget(backend: Backend) {
    let world = World::new(backend).await;
    for _ in 0..10 {
        world.remediator.reply(Reply::retryable("not yet"));
    }
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        action(&world, "the end", |action| action.status == ActionStatus::Failed).await;
        assert_eq!(world.remediator.requests().len(), short().retry.tries as usize);
    })
    .await;
}

async fn an_ineffective_action_is_followed_by_others_until_the_episode_is_exhausted(backend: Backend) {
    let world = World::new(backend).await;
    let eager = policy("hot").exceeds("cpu", 80.0).cooldown(Duration::ZERO).auto().build();
    during(&world, [eager], async |vigil| {
        eventually("exhaustion", async || {
            vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
            let episode = world.episodes().await.into_iter().next()?;
            episode.refusal.filter(|refusal| refusal.reason.code() == "exhausted")
        })
        .await;
        let actions = world.actions().await;
        assert_eq!(actions.len(), 3);
        // The third may still prove itself: the episode ends then, but gets no fourth.
        let ineffective = |action: &Action| action.verification == Some(Verification::Ineffective);
        assert!(actions[..2].iter().all(ineffective), "{actions:#?}");
    })
    .await;
}

async fn what_is_no_longer_wanted_is_cancelled_before_it_starts(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply(Reply::Throttled(Duration::from_millis(200)));
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        world.remediator.called(1).await;
        vigil.ingest(cpu("web-1", 5.0)).await.unwrap();
        let cancelled = action(&world, "the end", |action| action.status == ActionStatus::Cancelled).await;
        assert!(cancelled.error.unwrap_or_default().contains("no longer met"));
        assert_eq!(world.remediator.requests().len(), 1);
    })
    .await;
}

async fn disabling_a_policy_cancels_its_pending_action_and_ends_its_episode(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply(Reply::Throttled(Duration::from_millis(200)));
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        world.remediator.called(1).await;
        let name = hot().name;
        vigil.catalog().set_enabled(&TenantId::default(), &name, false, &Actor::new("test")).await.unwrap();
        let cancelled = action(&world, "the end", |action| action.status == ActionStatus::Cancelled).await;
        assert!(cancelled.error.unwrap_or_default().contains("gone or disabled"));
        let ended = eventually("its end", async || world.episodes().await[0].resolution).await;
        assert_eq!(ended, Resolution::PolicyRemoved);
    })
    .await;
}

async fn a_second_action_on_a_busy_target_waits_for_the_first(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_millis(200), Reply::success());
    during(&world, [], async |vigil| {
        for _ in 0..2 {
            assert!(matches!(vigil.request_action(by_hand("web-1")).await.unwrap(), Admission::Admitted(_)));
        }
        eventually("both", async || {
            world.actions().await.iter().all(|action| action.status == ActionStatus::Completed).then_some(())
        })
        .await;
        assert_eq!(world.remediator.effects().len(), 2);
    })
    .await;
}

async fn a_cancelled_action_keeps_its_target_until_it_is_reported(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_millis(250), Reply::success());
    during(&world, [], async |vigil| {
        vigil.request_action(by_hand("web-1")).await.unwrap();
        world.remediator.called(1).await;
        let running = action(&world, "running", |action| action.status == ActionStatus::Running).await;
        let cancelled = vigil.cancel_action(&running.key(), None, &Actor::new("test")).await.unwrap();
        assert!(cancelled.status == ActionStatus::Cancelled && cancelled.occupies);
        let freed = action(&world, "freed", |action| !action.occupies).await;
        assert_eq!(freed.status, ActionStatus::Cancelled, "the late result changes nothing");
        assert!(vigil.cancel_action(&running.key(), None, &Actor::new("test")).await.is_err());
    })
    .await;
}

async fn a_cancelled_attempt_that_hangs_keeps_its_target_while_it_may_still_run(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_millis(900), Reply::success()).answer_probe(Probe::Unknown);
    during(&world, [], async |vigil| {
        vigil.request_action(by_hand("web-1")).await.unwrap();
        world.remediator.called(1).await;
        let running = action(&world, "running", |action| action.status == ActionStatus::Running).await;
        vigil.cancel_action(&running.key(), None, &Actor::new("test")).await.unwrap();
        vigil.request_action(by_hand("web-1")).await.unwrap();
        let second = action(&world, "the second", |action| action.status == ActionStatus::Completed).await;
        assert!(second.running_at >= running.deadline, "nothing was reported before the deadline");
    })
    .await;
}

async fn another_policy_waits_for_an_attempt_without_a_report_although_metrics_proved_it(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_millis(1400), Reply::success()).answer_probe(Probe::Unknown);
    let full = policy("full").exceeds("disk", 80.0).auto().build();
    during(&world, [hot(), full], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        world.remediator.called(1).await;
        let proven = recover(vigil, &world, "web-1").await;
        assert_eq!((proven.status, proven.verification), (ActionStatus::Completed, Some(Verification::Verified)));
        eventually("the second action", async || {
            vigil.ingest(sample("disk", "web-1", 95.0)).await.unwrap();
            (world.remediator.requests().len() == 2).then_some(())
        })
        .await;
    })
    .await;
}

async fn workers_lost_too_often_end_the_action(backend: Backend) {
    let world = World::new(backend).await;
    let store = world.store();
    // Three workers take it and are never heard of again.
    let Admission::Admitted(mut lost) =
        world.process().build().unwrap().request_action(by_hand("web-1")).await.unwrap()
    else {
        panic!()
    };
    let (lease, deadline) = (Duration::from_millis(1), Duration::from_millis(300));
    let actor = Actor::new("lost");
    let start = Change::Start { lease, deadline, policy: None };
    lost = store.transition(&lost.key(), lost.version, start, None, &actor).await.unwrap();
    for _ in 0..3 {
        lost = eventually("the lease to run out", async || {
            store.transition(&lost.key(), lost.version, Change::TakeOver { lease }, None, &actor).await.ok()
        })
        .await;
    }
    during(&world, [], async |vigil| {
        let failed =
            action(&world, "the end", |action| action.id == lost.id && action.status == ActionStatus::Failed).await;
        assert!(failed.error.unwrap_or_default().contains("workers were lost"));
        eventually("the dead letter", async || (vigil.queue().stats().await.unwrap().dead == 1).then_some(())).await;
        action(&world, "the target is free at the deadline", |action| action.id == lost.id && !action.occupies).await;
    })
    .await;
}

async fn a_task_whose_action_is_final_is_counted_as_a_duplicate(backend: Backend) {
    let world = World::new(backend).await;
    during(&world, [], async |vigil| {
        vigil.request_action(by_hand("web-1")).await.unwrap();
        let done = action(&world, "the end", |action| action.status == ActionStatus::Completed).await;
        vigil.queue().enqueue(task(&done, 2), Duration::ZERO).await.unwrap();
        let counted =
            [r#"vigil_worker_tasks_total{status="completed"} 1"#, r#"vigil_worker_tasks_total{status="duplicate"} 1"#];
        eventually("that it is counted", async || {
            let text = vigil.telemetry().encode();
            counted.iter().all(|line| text.contains(line)).then_some(())
        })
        .await;
        assert_eq!(world.remediator.requests().len(), 1);
    })
    .await;
}

async fn what_a_client_records_is_not_carried_out(backend: Backend) {
    let world = World::new(backend).await;
    during(&world, [], async |vigil| {
        let running = ActionRequest { status: ActionStatus::Running, ..by_hand("web-1") };
        let Admission::Admitted(recorded) = vigil.request_action(running).await.unwrap() else { panic!() };
        sweeps(vigil).await;
        assert_eq!(world.remediator.requests(), []);
        let done =
            vigil.record_status(&recorded.key(), ActionStatus::Completed, None, &Actor::new("test")).await.unwrap();
        assert_eq!(done.status, ActionStatus::Completed);
    })
    .await;
}

async fn full_lanes_lose_no_violation(backend: Backend) {
    let world = World::new(backend).await;
    let settings = Settings { lane_capacity: 1, workers: 4, ..short() };
    let vigil = world.process().settings(settings).policies([hot()]).build().unwrap();
    vigil.load_policies().await.unwrap();
    let story = async {
        // The loop is not running yet: the lane is full from the second sample on.
        world.remediator.called(40).await;
    };
    for host in 0..40 {
        vigil.ingest(cpu(&format!("web-{host}"), 95.0)).await.unwrap();
    }
    vigil.run(story).await.unwrap();
    invariants::v3_no_two_actions_were_in_flight_on_one_target(&world);
}

async fn shutdown_lets_an_action_in_flight_finish(backend: Backend) {
    let world = World::new(backend).await;
    world.remediator.reply_after(Duration::from_millis(200), Reply::success());
    during(&world, [hot()], async |vigil| {
        vigil.ingest(cpu("web-1", 95.0)).await.unwrap();
        world.remediator.called(1).await;
    })
    .await;
    assert_eq!(world.actions().await[0].status, ActionStatus::Completed);
}

async fn samples_without_a_target_act_only_through_an_exact_policy(backend: Backend) {
    let world = World::new(backend).await;
    let exact = policy("exact").on("web-1").exceeds("cpu", 80.0).auto().build();
    during(&world, [hot(), exact], async |vigil| {
        let at = now();
        vigil.ingest(vigil_core::testing::batch([metric("cpu", 95.0).late(at, at)])).await.unwrap();
        assert_eq!(world.remediator.called(1).await[0].target, target("web-1"));
        let refused = eventually("the refusal", async || {
            let unknown = world.episodes().await.into_iter().find(|episode| episode.target.is_unknown())?;
            unknown.refusal
        });
        assert_eq!(refused.await.reason.code(), "no_target");
        sweeps(vigil).await;
        assert_eq!(world.actions().await.len(), 1);
    })
    .await;
}

macro_rules! over_every_store {
    ($($name:ident)+) => {
        mod memory { $(over_every_store!(@case $name, Memory);)+ }
        mod sqlite { $(over_every_store!(@case $name, Sqlite);)+ }
        mod postgres { $(over_every_store!(@case $name, Postgres);)+ }
    };
    (@case $name:ident, $backend:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if super::Backend::$backend.is_there() {
                super::$name(super::Backend::$backend).await;
            }
        }
    };
}

over_every_store! {
    a_violation_is_healed_once_and_verified
    all_of_two_metrics_fires_over_two_requests_and_never_mixes_targets
    an_absent_metric_never_fires
    a_policy_that_may_not_act_records_an_episode_and_no_action
    for_holds_back_until_it_has_elapsed
    a_remediator_that_asks_to_wait_is_asked_again_under_the_same_key
    a_remediator_that_hangs_and_cannot_tell_is_left_to_metrics_which_prove_it
    a_remediator_that_hangs_and_did_nothing_ends_failed_and_is_not_sent_again
    what_the_remediator_never_took_is_sent_again_under_the_same_key
    failures_that_may_be_retried_end_with_the_budget
    an_ineffective_action_is_followed_by_others_until_the_episode_is_exhausted
    what_is_no_longer_wanted_is_cancelled_before_it_starts
    disabling_a_policy_cancels_its_pending_action_and_ends_its_episode
    a_second_action_on_a_busy_target_waits_for_the_first
    a_cancelled_action_keeps_its_target_until_it_is_reported
    a_cancelled_attempt_that_hangs_keeps_its_target_while_it_may_still_run
    another_policy_waits_for_an_attempt_without_a_report_although_metrics_proved_it
    workers_lost_too_often_end_the_action
    a_task_whose_action_is_final_is_counted_as_a_duplicate
    what_a_client_records_is_not_carried_out
    full_lanes_lose_no_violation
    shutdown_lets_an_action_in_flight_finish
    samples_without_a_target_act_only_through_an_exact_policy
}
