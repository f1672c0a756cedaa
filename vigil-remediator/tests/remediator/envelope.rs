//! What the envelope promises, whatever the executor does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::{Clock, SystemClock};
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError, Route};
use vigil_core::testing::ManualClock;
use vigil_remediator::{Envelope, Ledger, Limits, Routes, Rule};

use crate::bench::{Scripted, Step, done, envelope, over, request, routes, spawn, with_params};

fn retryable() -> Step {
    Step::Answer(Ok(Outcome::Failed { reason: "not now".to_owned(), retryable: true }))
}

pub(crate) fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey(key.to_owned())
}

#[tokio::test]
async fn a_key_is_carried_out_once_and_its_outcome_repeated() {
    let executor = Scripted::new([]);
    let envelope = envelope(executor.clone());
    for attempt in [1, 1, 2, 5] {
        assert_eq!(envelope.remediate(&request("k", attempt, "web-1", "restart")).await.unwrap(), done());
    }
    assert_eq!(executor.executions(), 1);
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::Done(done()));
    assert_eq!(envelope.probe(&key("another")).await.unwrap(), Probe::NotDone);
}

#[tokio::test]
async fn an_older_attempt_is_stale_after_the_end_too() {
    let envelope = envelope(Scripted::new([]));
    envelope.remediate(&request("k", 3, "web-1", "restart")).await.unwrap();
    envelope.remediate(&request("k", 5, "web-1", "restart")).await.unwrap();
    let late = envelope.remediate(&request("k", 4, "web-1", "restart")).await;
    assert!(matches!(late, Err(RemediatorError::Stale)));
}

#[tokio::test]
async fn only_a_higher_attempt_after_a_retryable_failure_acts_anew() {
    let executor = Scripted::new([retryable()]);
    let envelope = envelope(executor.clone());
    for _ in 0..2 {
        let failed = envelope.remediate(&request("k", 1, "web-1", "restart")).await.unwrap();
        assert!(matches!(failed, Outcome::Failed { retryable: true, .. }));
    }
    assert_eq!(executor.executions(), 1);
    assert_eq!(envelope.remediate(&request("k", 2, "web-1", "restart")).await.unwrap(), done());
    assert_eq!(executor.executions(), 2);
    assert_eq!(executor.seen(), [json!(0), json!(1)], "it looks again");
}

#[tokio::test]
async fn a_final_failure_is_final() {
    let failure = Outcome::Failed { reason: "broken".to_owned(), retryable: false };
    let executor = Scripted::new([Step::Answer(Ok(failure.clone()))]);
    let envelope = envelope(executor.clone());
    for attempt in 1..4 {
        assert_eq!(envelope.remediate(&request("k", attempt, "web-1", "restart")).await.unwrap(), failure);
    }
    assert_eq!(executor.executions(), 1);
}

#[tokio::test]
async fn what_is_worked_on_is_in_progress_and_fences_older_attempts() {
    let executor = Scripted::new([Step::Hold]);
    let envelope = Arc::new(envelope(executor.clone()));
    let working = {
        let envelope = envelope.clone();
        spawn(async move { envelope.remediate(&request("k", 1, "web-1", "restart")).await })
    };
    executor.began.notified().await;
    assert_eq!(envelope.remediate(&request("k", 3, "web-1", "restart")).await.unwrap(), Outcome::InProgress);
    assert!(matches!(envelope.remediate(&request("k", 2, "web-1", "restart")).await, Err(RemediatorError::Stale)));
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::InProgress);
    executor.release.notify_one();
    assert_eq!(working.await.unwrap().unwrap(), done());
    assert!(matches!(envelope.remediate(&request("k", 2, "web-1", "restart")).await, Err(RemediatorError::Stale)));
    assert_eq!(envelope.remediate(&request("k", 3, "web-1", "restart")).await.unwrap(), done());
    assert_eq!(executor.executions(), 1);
}

#[tokio::test]
async fn one_at_a_time_on_a_target_and_so_many_in_all() {
    let executor = Scripted::new([Step::Hold, Step::Hold]);
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let envelope = Envelope::new(Ledger::in_memory(), routes(executor.clone()), limits, Arc::new(SystemClock));
    let envelope = Arc::new(envelope);
    let start = |key: &'static str, target: &'static str| {
        let envelope = envelope.clone();
        spawn(async move { envelope.remediate(&request(key, 1, target, "restart")).await })
    };
    let first = start("k1", "web-1");
    executor.began.notified().await;
    let again = envelope.remediate(&request("k2", 1, "web-1", "restart")).await;
    assert!(matches!(again, Err(RemediatorError::Throttled { .. })), "the target is being worked on");
    assert_eq!(envelope.probe(&key("k2")).await.unwrap(), Probe::NotDone, "it was not taken");
    let second = start("k3", "web-2");
    executor.began.notified().await;
    let third = envelope.remediate(&request("k4", 1, "web-3", "restart")).await;
    assert!(matches!(third, Err(RemediatorError::Throttled { .. })), "two are being worked on");
    executor.release.notify_waiters();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(envelope.remediate(&request("k2", 1, "web-1", "restart")).await.unwrap(), done());
}

#[tokio::test]
async fn two_targets_that_are_one_object_are_not_worked_on_at_once() {
    let executor = Scripted::new([Step::Hold]);
    let rule = Rule { route: Route::any(), executor: "test".to_owned(), object: Some("db".to_owned()), dry_run: false };
    let routes = Routes::new().with_executor("test", executor.clone()).with_rule(rule).unwrap();
    let envelope = Envelope::new(Ledger::in_memory(), routes, Limits::default(), Arc::new(SystemClock));
    let envelope = Arc::new(envelope);
    let working = {
        let envelope = envelope.clone();
        spawn(async move { envelope.remediate(&request("k1", 1, "db-primary", "restart")).await })
    };
    executor.began.notified().await;
    let other = envelope.remediate(&request("k2", 1, "db-main", "restart")).await;
    assert!(matches!(other, Err(RemediatorError::Throttled { .. })));
    executor.release.notify_one();
    working.await.unwrap().unwrap();
}

/// The program died while it acted: what the executor finds decides.
#[tokio::test]
async fn what_was_cut_off_is_asked_after_and_never_done_blindly_again() {
    for (probe, answers, executions) in [
        (Ok(Probe::Done(done())), Ok(done()), 1),
        (Ok(Probe::InProgress), Ok(Outcome::InProgress), 1),
        (Ok(Probe::NotDone), Ok(done()), 2),
        (Ok(Probe::Unknown), Err("indeterminate"), 1),
        // It was taken: "not taken, send it again later" would free its target.
        (Err(RemediatorError::Unavailable("away".into())), Err("indeterminate"), 1),
    ] {
        let ledger = Ledger::in_memory();
        let executor = Scripted::new([Step::Hold]).probing([probe]);
        {
            let envelope = over(&ledger, executor.clone());
            let request = request("k", 1, "web-1", "restart");
            let cut_off = tokio::select! {
                answer = envelope.remediate(&request) => Some(answer),
                () = executor.began.notified() => None,
            };
            assert!(cut_off.is_none());
        }
        let envelope = over(&ledger, executor.clone());
        let answer = envelope.remediate(&request("k", 2, "web-1", "restart")).await;
        let answer = answer.map_err(|error| match error {
            RemediatorError::Indeterminate(_) => "indeterminate",
            RemediatorError::Unavailable(_) => "unavailable",
            _ => "another",
        });
        assert_eq!(answer, answers);
        assert_eq!(executor.executions(), executions);
        // What is completed is completed from what was seen first, not begun anew.
        assert!(executor.seen().iter().all(|seen| *seen == json!(0)));
    }
}

/// An envelope over a ledger in which a key was taken, and the program died.
pub(crate) async fn cut_off(ledger: &Ledger, executor: &Arc<Scripted>) {
    let envelope = over(ledger, executor.clone());
    let request = request("k", 1, "web-1", "restart");
    tokio::select! {
        answer = envelope.remediate(&request) => panic!("{answer:?}"),
        () = executor.began.notified() => {}
    }
}

#[tokio::test]
async fn what_was_begun_is_never_said_to_be_untouched() {
    let not_done = || Ok(Probe::NotDone);
    let away = || Step::Answer(Err(RemediatorError::Unavailable("away".into())));
    let ledger = Ledger::in_memory();
    let executor = Scripted::new([Step::Hold, away()]).probing([not_done(), not_done(), not_done(), not_done()]);
    cut_off(&ledger, &executor).await;
    let envelope = over(&ledger, executor.clone());
    let probe = envelope.probe(&key("k")).await.unwrap();
    assert!(
        matches!(&probe, Probe::Done(Outcome::Failed { reason, retryable: true }) if reason.starts_with("it was cut off")),
        "{probe:?}"
    );
    let mut late = request("k", 2, "web-1", "restart");
    late.deadline = SystemClock.now() - Duration::from_secs(1);
    assert!(
        matches!(envelope.remediate(&late).await, Err(RemediatorError::Indeterminate(_))),
        "too late to complete it"
    );
    let away = envelope.remediate(&request("k", 3, "web-1", "restart")).await;
    assert!(matches!(away, Err(RemediatorError::Indeterminate(_))), "{away:?}");
    assert_eq!(envelope.remediate(&request("k", 4, "web-1", "restart")).await.unwrap(), done());
    assert_eq!(executor.seen(), [json!(0), json!(0), json!(0)], "completed from what was seen first");
}

#[tokio::test]
async fn an_attempt_that_was_not_taken_fences_older_ones_too() {
    let executor = Scripted::new([Step::Hold]);
    let envelope = Arc::new(envelope(executor.clone()));
    let working = {
        let envelope = envelope.clone();
        spawn(async move { envelope.remediate(&request("other", 1, "web-1", "restart")).await })
    };
    executor.began.notified().await;
    let busy = envelope.remediate(&request("k", 2, "web-1", "restart")).await;
    assert!(matches!(busy, Err(RemediatorError::Throttled { .. })));
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::NotDone);
    executor.release.notify_one();
    working.await.unwrap().unwrap();
    assert!(matches!(envelope.remediate(&request("k", 1, "web-1", "restart")).await, Err(RemediatorError::Stale)));
    assert_eq!(envelope.remediate(&request("k", 2, "web-1", "restart")).await.unwrap(), done());
}

#[tokio::test]
async fn a_target_does_not_choose_more_than_its_route_meant() {
    let executor = Scripted::new([]);
    let rule = |pattern: &str, object: Option<&str>| Rule {
        route: Route::any().with_targets(vigil_core::target::TargetPattern::new(pattern).unwrap()),
        executor: "test".to_owned(),
        object: object.map(str::to_owned),
        dry_run: false,
    };
    for (rule, is_taken) in [
        (rule("shop-*", None), false),
        (rule("shop-*", Some("prod/deployment/{target}")), false),
        (rule("shop-*", Some("prod/deployment/web")), true),
        (rule("shop-*/node/*", None), true),
    ] {
        let routes = Routes::new().with_executor("test", executor.clone()).with_rule(rule).unwrap();
        let envelope = Envelope::new(Ledger::in_memory(), routes, Limits::default(), Arc::new(SystemClock));
        let answer = envelope.remediate(&request("k", 1, "shop-x/node/n1", "restart")).await.unwrap();
        assert_eq!(answer == done(), is_taken, "{answer:?}");
    }
}

#[tokio::test]
async fn what_was_found_done_stays_done() {
    let ledger = Ledger::in_memory();
    let executor = Scripted::new([Step::Answer(Err(RemediatorError::Indeterminate("broke off".into())))]);
    let executor = executor.probing([Ok(Probe::Unknown), Ok(Probe::Done(done())), Ok(Probe::NotDone)]);
    let envelope = over(&ledger, executor.clone());
    let broken = envelope.remediate(&request("k", 1, "web-1", "restart")).await;
    assert!(matches!(broken, Err(RemediatorError::Indeterminate(_))));
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::Unknown);
    for _ in 0..3 {
        assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::Done(done()));
    }
    assert_eq!(executor.probed.load(Ordering::SeqCst), 2, "the ledger knows");
}

#[tokio::test]
async fn nothing_done_may_be_sent_again() {
    let away = || Step::Answer(Err(RemediatorError::Unavailable("away".into())));
    let busy = Step::Answer(Err(RemediatorError::Throttled { retry_after: Duration::from_secs(7) }));
    let executor = Scripted::new([away(), busy]);
    let envelope = envelope(executor.clone());
    let first = envelope.remediate(&request("k", 1, "web-1", "restart")).await;
    assert!(matches!(first, Err(RemediatorError::Unavailable(_))));
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::NotDone);
    let second = envelope.remediate(&request("k", 2, "web-1", "restart")).await;
    assert!(matches!(second, Err(RemediatorError::Throttled { .. })));
    assert_eq!(envelope.remediate(&request("k", 3, "web-1", "restart")).await.unwrap(), done());
    assert_eq!(executor.probed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_leaves_the_key_taken_and_the_target_its_own() {
    let executor = Scripted::new([Step::Panic]).probing([Ok(Probe::Unknown)]);
    let envelope = Arc::new(envelope(executor));
    let panicked = {
        let envelope = envelope.clone();
        spawn(async move { envelope.remediate(&request("k", 1, "web-1", "restart")).await })
    };
    assert!(panicked.await.is_err());
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::Unknown);
    let other = envelope.remediate(&request("k2", 1, "web-1", "restart")).await;
    assert!(matches!(other, Err(RemediatorError::Throttled { .. })), "{other:?}");
    assert_eq!(envelope.remediate(&request("k3", 1, "web-2", "restart")).await.unwrap(), done(), "others are free");
}

#[tokio::test]
async fn what_cannot_be_done_is_rejected_and_stays_so() {
    let executor = Scripted::new([]);
    let envelope = envelope(executor.clone());
    let rejected = |outcome| match outcome {
        Outcome::Rejected { reason } => reason,
        other => panic!("{other:?}"),
    };
    let word = rejected(envelope.remediate(&request("k1", 1, "web-1", "snapshot")).await.unwrap());
    assert_eq!(word, "snapshot has no meaning on the test object 'web-1'; what has: restart, scale-up");
    let mut late = request("k2", 1, "web-1", "restart");
    late.deadline = SystemClock.now() - Duration::from_secs(1);
    assert!(rejected(envelope.remediate(&late).await.unwrap()).starts_with("it came too late"));
    late.deadline = SystemClock.now() + Duration::from_secs(60);
    assert!(rejected(envelope.remediate(&late).await.unwrap()).starts_with("it came too late"), "a replay");
    let executor_says_no = envelope_of(Scripted::new([]).rejecting("there is no such thing"));
    let no = rejected(executor_says_no.remediate(&request("k3", 1, "web-1", "restart")).await.unwrap());
    assert_eq!(no, "there is no such thing");
    assert_eq!(executor.executions(), 0);
    let none = Envelope::new(Ledger::in_memory(), Routes::new(), Limits::default(), Arc::new(SystemClock));
    let no_route = rejected(none.remediate(&request("k4", 1, "web-1", "restart")).await.unwrap());
    assert_eq!(no_route, "no route takes restart on web-1: there is none");
}

fn envelope_of(executor: Arc<Scripted>) -> Envelope {
    envelope(executor)
}

#[tokio::test]
async fn a_key_is_good_for_one_action_only() {
    let executor = Scripted::new([]);
    let envelope = envelope(executor.clone());
    envelope.remediate(&request("k", 1, "web-1", "restart")).await.unwrap();
    for other in [
        request("k", 2, "web-2", "restart"),
        request("k", 2, "web-1", "scale-up"),
        with_params(request("k", 2, "web-1", "restart"), json!({"grace_seconds": 1})),
    ] {
        let Outcome::Rejected { reason } = envelope.remediate(&other).await.unwrap() else { panic!() };
        assert_eq!(reason, "the key was used before, for restart on web-1");
    }
    assert_eq!(executor.executions(), 1);
}

#[tokio::test]
async fn the_first_rule_wins_and_a_dry_run_only_looks() {
    let (first, second) = (Scripted::new([]), Scripted::new([]));
    let rule = |pattern: &str, executor: &str, dry_run| Rule {
        route: Route::any().with_targets(vigil_core::target::TargetPattern::new(pattern).unwrap()),
        executor: executor.to_owned(),
        object: Some("prod/{target}".to_owned()),
        dry_run,
    };
    let routes = Routes::new().with_executor("first", first.clone()).with_executor("second", second.clone());
    let routes = routes.with_rule(rule("web-*", "first", true)).unwrap().with_rule(rule("*", "second", false)).unwrap();
    let envelope = Envelope::new(Ledger::in_memory(), routes, Limits::default(), Arc::new(SystemClock));
    let Outcome::Succeeded { details } = envelope.remediate(&request("k1", 1, "web-1", "restart")).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(details.unwrap(), "dry run: would restart the test object 'prod/web-1'");
    assert_eq!(envelope.remediate(&request("k2", 1, "db-1", "restart")).await.unwrap(), done());
    assert_eq!((first.executions(), first.prepared.load(Ordering::SeqCst), second.executions()), (0, 1, 1));
    let unknown = Routes::new().with_rule(rule("*", "third", false)).unwrap_err();
    assert_eq!(unknown.to_string(), "route 1 names the executor 'third', and there is none");
}

#[tokio::test]
async fn keys_are_kept_for_their_time_and_then_forgotten() {
    let clock = Arc::new(ManualClock::new());
    let limits = Limits { keep_keys: Duration::from_secs(3600), ..Limits::default() };
    let executor = Scripted::new([]);
    let envelope = Envelope::new(Ledger::in_memory(), routes(executor.clone()), limits, clock.clone());
    let mut request = request("k", 1, "web-1", "restart");
    request.deadline = clock.now() + Duration::from_secs(86_400);
    envelope.remediate(&request).await.unwrap();
    clock.advance(Duration::from_secs(3599));
    assert_eq!(envelope.forget().await.unwrap(), 0);
    assert_eq!(envelope.remediate(&request).await.unwrap(), done());
    clock.advance(Duration::from_secs(2));
    assert_eq!(envelope.forget().await.unwrap(), 1);
    assert_eq!(envelope.probe(&key("k")).await.unwrap(), Probe::NotDone);
    assert_eq!(executor.executions(), 1);
}

#[tokio::test]
async fn a_ledger_is_one_programs_and_survives_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.redb");
    let executor = Scripted::new([]);
    {
        let ledger = Ledger::open(&path).unwrap();
        let envelope = over(&ledger, executor.clone());
        envelope.remediate(&request("k", 2, "web-1", "restart")).await.unwrap();
        let second = Ledger::open(&path).unwrap_err().to_string();
        assert!(second.ends_with("is open in another program: one remediator per file"), "{second}");
    }
    let envelope = over(&Ledger::open(&path).unwrap(), executor.clone());
    assert_eq!(envelope.remediate(&request("k", 3, "web-1", "restart")).await.unwrap(), done());
    assert!(matches!(envelope.remediate(&request("k", 1, "web-1", "restart")).await, Err(RemediatorError::Stale)));
    assert_eq!(executor.executions(), 1);
    std::fs::write(folder.path().join("broken.redb"), "not a ledger at all").unwrap();
    assert!(Ledger::open(&folder.path().join("broken.redb")).is_err());
}

#[tokio::test]
async fn what_it_does_is_counted() {
    let envelope = envelope(Scripted::new([]));
    envelope.remediate(&request("k", 1, "web-1", "restart")).await.unwrap();
    envelope.remediate(&request("k", 1, "web-1", "restart")).await.unwrap();
    let metrics = envelope.metrics().await.unwrap();
    for line in [
        r#"vigil_remediator_requests_total{action="restart",answer="succeeded",executor="test"} 2"#,
        "vigil_remediator_replays_total 1",
        "vigil_remediator_keys 1",
        "vigil_remediator_in_flight 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
