//! What nobody saw the end of: it keeps its target, is fenced, and is asked after.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vigil_core::clock::{Clock, SystemClock};
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError, Route};
use vigil_core::testing::ManualClock;
use vigil_remediator::{Envelope, Ledger, Limits, Routes, Rule};

use crate::bench::{Scripted, Step, done, over, request, routes, spawn};
use crate::envelope::{cut_off, key};

/// What becomes of another key on the target of one whose end nobody saw.
#[tokio::test]
async fn what_is_unfinished_keeps_its_target_until_it_is_known_or_too_late() {
    let indeterminate = || Step::Answer(Err(RemediatorError::Indeterminate("broke off".into())));
    for step in [Step::Answer(Ok(Outcome::InProgress)), indeterminate()] {
        let clock = Arc::new(ManualClock::new());
        let executor = Scripted::new([step]).probing([Ok(Probe::InProgress), Ok(Probe::Unknown)]);
        let ledger = Ledger::in_memory();
        let start = || Envelope::new(ledger.clone(), routes(executor.clone()), Limits::default(), clock.clone());
        let ask = |key: &str| {
            let mut request = request(key, 1, "web-1", "restart");
            request.deadline = clock.now() + Duration::from_secs(60);
            request
        };
        let is_busy = |answer| matches!(answer, Err(RemediatorError::Throttled { .. }));
        let first = start();
        let _ = first.remediate(&ask("k")).await;
        assert!(is_busy(first.remediate(&ask("k2")).await), "it may still be at it");
        assert_eq!(first.probe(&key("k")).await.unwrap(), Probe::InProgress);
        assert!(is_busy(first.remediate(&ask("k2")).await), "it is");
        drop(first);
        let second = start();
        assert_eq!(second.recover().await.unwrap(), (0, 1));
        assert!(is_busy(second.remediate(&ask("k2")).await), "after a restart too");
        clock.advance(Duration::from_secs(61));
        assert_eq!(second.remediate(&ask("k2")).await.unwrap(), done(), "by now it is over, or never will be");
        assert_eq!(executor.executions(), 2);
    }
}

#[tokio::test]
async fn what_became_known_frees_its_target() {
    for probe in [Probe::Done(done()), Probe::NotDone] {
        let ledger = Ledger::in_memory();
        let executor = Scripted::new([Step::Hold]).probing([Ok(Probe::Unknown), Ok(probe)]);
        cut_off(&ledger, &executor).await;
        let envelope = over(&ledger, executor.clone());
        assert_eq!(envelope.recover().await.unwrap(), (0, 1));
        let busy = envelope.remediate(&request("k2", 1, "web-1", "restart")).await;
        assert!(matches!(busy, Err(RemediatorError::Throttled { .. })));
        envelope.probe(&key("k")).await.unwrap();
        assert_eq!(envelope.remediate(&request("k2", 1, "web-1", "restart")).await.unwrap(), done());
    }
}

#[tokio::test]
async fn a_newer_attempt_is_remembered_whatever_it_was_answered() {
    let away = || Err(RemediatorError::Unavailable("away".into()));
    for probe in [Ok(Probe::InProgress), Ok(Probe::Unknown), away()] {
        let ledger = Ledger::in_memory();
        let executor = Scripted::new([Step::Hold]).probing([probe]);
        cut_off(&ledger, &executor).await;
        let envelope = over(&ledger, executor.clone());
        let _ = envelope.remediate(&request("k", 3, "web-1", "restart")).await;
        drop(envelope);
        let late = over(&ledger, executor).remediate(&request("k", 2, "web-1", "restart")).await;
        assert!(matches!(late, Err(RemediatorError::Stale)), "{late:?}");
    }
}

#[tokio::test]
async fn a_newer_attempt_that_came_while_an_older_one_was_not_taken_is_remembered() {
    let (ledger, executor) =
        (Ledger::in_memory(), Scripted::new([Step::HoldThen(Err(RemediatorError::Unavailable("away".into())))]));
    let envelope = Arc::new(over(&ledger, executor.clone()));
    let working = {
        let envelope = envelope.clone();
        spawn(async move { envelope.remediate(&request("k", 1, "web-1", "restart")).await })
    };
    executor.began.notified().await;
    assert_eq!(envelope.remediate(&request("k", 3, "web-1", "restart")).await.unwrap(), Outcome::InProgress);
    executor.release.notify_one();
    assert!(matches!(working.await.unwrap(), Err(RemediatorError::Unavailable(_))));
    let late = over(&ledger, executor).remediate(&request("k", 2, "web-1", "restart")).await;
    assert!(matches!(late, Err(RemediatorError::Stale)), "{late:?}");
}

#[tokio::test]
async fn what_was_begun_is_not_called_a_dry_run() {
    let ledger = Ledger::in_memory();
    let executor = Scripted::new([Step::Hold]).probing([Ok(Probe::NotDone)]);
    cut_off(&ledger, &executor).await;
    let rule = Rule { route: Route::any(), executor: "test".to_owned(), object: None, dry_run: true };
    let routes = Routes::new().with_executor("test", executor.clone()).with_rule(rule).unwrap();
    let envelope = Envelope::new(ledger, routes, Limits::default(), Arc::new(SystemClock));
    let answer = envelope.remediate(&request("k", 2, "web-1", "restart")).await;
    assert!(matches!(answer, Err(RemediatorError::Indeterminate(_))), "{answer:?}");
    assert_eq!(executor.executions(), 1);
}

#[tokio::test]
async fn what_is_left_unfinished_is_asked_after_side_by_side() {
    let (ledger, executor) =
        (Ledger::in_memory(), Scripted::new((0..20).map(|_| Step::Answer(Ok(Outcome::InProgress)))));
    let envelope = over(&ledger, executor.clone());
    for number in 0..20 {
        envelope.remediate(&request(&format!("k{number}"), 1, &format!("web-{number}"), "restart")).await.unwrap();
    }
    let together = executor.clone().meeting(8);
    assert_eq!(over(&ledger, together.clone()).recover().await.unwrap(), (0, 20));
    assert_eq!(together.most_at_once.load(Ordering::SeqCst), 8, "as many at once, and no more");
}
