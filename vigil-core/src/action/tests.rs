use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_768_910_400_000_000) + Duration::from_secs(seconds)
}

fn action(status: ActionStatus, managed: bool) -> Action {
    Action {
        id: ActionId(7),
        tenant: TenantId::default(),
        target: Target::new("web-1").unwrap(),
        action: ActionType::RestartService,
        status,
        details: None,
        severity: Severity::Warning,
        params: Map::new(),
        policy: None,
        policy_revision: None,
        episode: None,
        condition: Some(ConditionSpec::Exceeds { metric: "cpu".to_owned().try_into().unwrap(), threshold: 80.0 }),
        managed,
        version: 1,
        attempt: 0,
        tries: 0,
        crashes: 0,
        nonce: 0xfeed,
        lease_until: None,
        occupies: false,
        started_at: at(0),
        running_at: None,
        completed_at: None,
        not_before: at(0),
        expires_at: at(600),
        deadline: None,
        indeterminate_at: None,
        verification: None,
        verify_after: None,
        verify_by: None,
        error: None,
        evidence_at: None,
    }
}

fn start() -> Change {
    Change::Start { lease: LEASE, deadline: LONG, policy: None }
}

fn complete() -> Change {
    Change::Complete { details: None, settle: LEASE, verify: LONG }
}

fn fail() -> Change {
    Change::Fail { error: "no".into() }
}

fn cancel() -> Change {
    Change::Cancel { reason: "no longer wanted".into() }
}

fn indeterminate() -> Change {
    Change::Indeterminate { error: "no answer".into(), settle: LEASE, verify: LONG }
}

fn verify(verification: Verification) -> Change {
    Change::Verify { verification, details: "by metrics".into() }
}

fn running() -> Action {
    action(ActionStatus::Pending, true).apply(&start(), at(1)).unwrap()
}

/// Every change, once in each flavour that matters.
fn every_change() -> Vec<Change> {
    let error = || "why".to_owned();
    let mut all = vec![
        start(),
        Change::TakeOver { lease: LEASE },
        Change::SendAgain { lease: LEASE, deadline: LONG, error: error(), policy: None },
        Change::Defer { delay: LEASE, error: error() },
        Change::Retry { delay: LEASE, error: error() },
        complete(),
        fail(),
        Change::HandOver,
        Change::GiveUp { error: error() },
        indeterminate(),
        cancel(),
        Change::Release { report: "done after all".into() },
    ];
    all.extend(Verification::ALL.map(verify));
    all.extend(ActionStatus::ALL.map(|status| Change::Record { status, details: None }));
    all
}

fn any_change() -> impl Strategy<Value = Change> {
    prop::sample::select(every_change())
}

#[test]
fn all_seven_words_and_their_aliases_are_read() {
    let words = ["restart", "scale-up", "scale-down", "drain-pod", "rebalance", "snapshot", "custom"];
    assert_eq!(ActionType::ALL.map(ActionType::as_str), words);
    for (kind, word) in ActionType::ALL.into_iter().zip(words) {
        let snake = word.replace('-', "_");
        for written in [word.to_owned(), word.to_uppercase(), snake.clone(), snake.to_uppercase()] {
            assert_eq!(ActionType::parse(&written), Ok(kind), "{written}");
        }
        assert_eq!(serde_json::to_value(kind).unwrap(), word, "answers are canonical");
    }
    for written in ["restart-service", "restart_service", "RESTART_SERVICE", "Restart-Service"] {
        assert_eq!(ActionType::parse(written), Ok(ActionType::RestartService), "{written}");
    }
}

#[test]
fn another_word_is_refused_naming_the_seven() {
    for written in ["", "reboot", "restart service", "scale", "scale--up", "drainpod", "restart\0"] {
        let refused = ActionType::parse(written).unwrap_err();
        assert_eq!(refused.field, "action");
        for kind in ActionType::ALL {
            assert!(refused.problem.contains(kind.as_str()), "{refused}");
        }
    }
}

#[test]
fn severities_are_ordered_and_read_in_any_case() {
    assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
    assert_eq!(Severity::default(), Severity::Warning);
    assert_eq!(Severity::parse("CRITICAL"), Ok(Severity::Critical));
    assert_eq!(Severity::parse("fatal").unwrap_err().problem, "must be one of info, warning, critical");
}

#[test]
fn the_state_machine_has_exactly_the_documented_edges() {
    use ActionStatus::{Cancelled, Completed, Failed, Pending, Running};
    let legal = [
        (Pending, Running),
        (Pending, Cancelled),
        (Pending, Failed),
        (Running, Running),
        (Running, Pending),
        (Running, Completed),
        (Running, Failed),
        (Running, Cancelled),
    ];
    for from in ActionStatus::ALL {
        for to in ActionStatus::ALL {
            assert_eq!(from.can_become(to), legal.contains(&(from, to)), "{from} to {to}");
        }
    }
}

#[test]
fn what_clients_record_moves_along_all_25_pairs_as_the_state_machine_says() {
    for from in ActionStatus::ALL {
        for to in ActionStatus::ALL {
            let recorded = action(from, false).apply(&Change::Record { status: to, details: None }, at(5));
            assert_eq!(recorded.is_ok(), from.can_become(to), "{from} to {to}");
            let owned = action(from, true).apply(&Change::Record { status: to, details: None }, at(5));
            assert!(owned.is_err(), "a client does not move what Vigil carries out");
            if let Ok(next) = recorded {
                assert_eq!(next.status, to);
                assert_eq!(next.completed_at, to.is_final().then_some(at(5)));
                assert!(!next.occupies && next.lease_until.is_none());
            }
        }
    }
}

#[test]
fn every_legal_edge_of_a_managed_action_is_some_change_and_no_other_is() {
    let mut seen = Vec::new();
    for from in ActionStatus::ALL {
        let row = if from == ActionStatus::Running { running() } else { action(from, true) };
        // Once under its lease and once after it ran out.
        for now in [at(2), at(3600)] {
            for next in every_change().iter().filter_map(|change| row.apply(change, now).ok()) {
                seen.push((from, next.status));
            }
        }
    }
    for from in ActionStatus::ALL {
        for to in ActionStatus::ALL {
            assert_eq!(seen.contains(&(from, to)), from.can_become(to), "{from} to {to}");
        }
    }
}

#[test]
fn an_attempt_begins_under_a_lease_and_occupies_the_target() {
    let row = running();
    assert_eq!((row.attempt, row.occupies, row.version), (1, true, 2));
    assert_eq!((row.lease_until, row.deadline, row.running_at), (Some(at(1) + LEASE), Some(at(1) + LONG), Some(at(1))));
    assert_eq!(row.phase(), Phase::Executing);
}

#[test]
fn taking_over_needs_a_lease_that_has_run_out_and_counts_a_crash() {
    let take = Change::TakeOver { lease: LEASE };
    assert!(running().apply(&take, at(30)).is_err(), "the lease lasts until 31");
    let taken = running().apply(&take, at(31)).unwrap();
    assert_eq!((taken.attempt, taken.crashes, taken.lease_until), (1, 1, Some(at(31) + LEASE)));
}

#[test]
fn what_is_handed_over_is_taken_over_at_once_and_is_no_crash() {
    let handed = running().apply(&Change::HandOver, at(2)).unwrap();
    assert!(handed.occupies);
    let taken = handed.apply(&Change::TakeOver { lease: LEASE }, at(2)).unwrap();
    assert_eq!((taken.attempt, taken.crashes), (1, 0));
}

#[test]
fn not_taken_uses_no_try_and_taken_does() {
    let deferred = running().apply(&Change::Defer { delay: LEASE, error: "503".into() }, at(2)).unwrap();
    assert_eq!((deferred.status, deferred.tries, deferred.not_before), (ActionStatus::Pending, 0, at(2) + LEASE));
    let retried = running().apply(&Change::Retry { delay: LEASE, error: "busy".into() }, at(2)).unwrap();
    assert_eq!((retried.status, retried.tries, retried.phase()), (ActionStatus::Pending, 1, Phase::Retrying));
    assert_eq!(retried.apply(&start(), at(60)).unwrap().attempt, 2, "every send has a number of its own");
}

#[test]
fn no_wait_lasts_beyond_the_expiry() {
    let wait = Duration::from_secs(3600);
    for change in
        [Change::Defer { delay: wait, error: "503".into() }, Change::Retry { delay: wait, error: "busy".into() }]
    {
        let waiting = running().apply(&change, at(2)).unwrap();
        assert_eq!(waiting.not_before, waiting.expires_at, "{}", change.verb());
        let late = running().apply(&change, at(700)).unwrap();
        assert_eq!(late.not_before, at(700), "{}: it has expired already", change.verb());
    }
}

#[test]
fn completion_awaits_verification_only_when_a_condition_is_stored() {
    let done = running().apply(&complete(), at(10)).unwrap();
    assert_eq!((done.verification, done.phase()), (Some(Verification::Awaiting), Phase::Verifying));
    assert_eq!((done.verify_after, done.verify_by), (Some(at(10) + LEASE), Some(at(10) + LEASE + LONG)));
    assert_eq!((running().settled_at(), done.settled_at()), (None, done.verify_after));
    let mut manual = running();
    manual.condition = None;
    let done = manual.apply(&complete(), at(10)).unwrap();
    assert_eq!((done.verification, done.phase()), (None, Phase::Done));
    assert_eq!(done.settled_at(), Some(at(10)));
}

#[test]
fn an_indeterminate_action_stays_running_and_occupying_until_metrics_tell() {
    let lost = running().apply(&indeterminate(), at(10)).unwrap();
    assert_eq!((lost.status, lost.occupies, lost.phase()), (ActionStatus::Running, true, Phase::Indeterminate));
    for blind in [complete(), Change::TakeOver { lease: LEASE }, Change::Retry { delay: LEASE, error: String::new() }] {
        assert!(lost.apply(&blind, at(900)).is_err(), "{}", blind.verb());
    }
    let proven = lost.apply(&verify(Verification::Verified), at(60)).unwrap();
    assert_eq!((proven.status, proven.error), (ActionStatus::Completed, None));
    for disproof in [Verification::Ineffective, Verification::Inconclusive] {
        let ended = lost.apply(&verify(disproof), at(60)).unwrap();
        assert_eq!((ended.status, ended.verification), (ActionStatus::Failed, Some(disproof)));
    }
}

#[test]
fn metrics_do_not_free_the_target_of_an_attempt_that_may_still_run() {
    let lost = running().apply(&indeterminate(), at(10)).unwrap();
    let deadline = lost.deadline.unwrap();
    for verification in [Verification::Verified, Verification::Ineffective, Verification::Inconclusive] {
        let early = lost.apply(&verify(verification), at(60)).unwrap();
        assert!(early.occupies, "{verification}: no report and no deadline has passed");
        let freed = early.apply(&Change::Release { report: "its deadline passed".into() }, deadline).unwrap();
        assert_eq!((freed.occupies, freed.settled_at()), (false, Some(deadline)));
        assert!(
            !lost.apply(&verify(verification), deadline).unwrap().occupies,
            "{verification}: the deadline has passed"
        );
    }
}

#[test]
fn only_what_the_remediator_reported_is_a_report() {
    let reports = every_change().into_iter().filter(Change::is_report).map(|change| change.verb());
    assert_eq!(reports.collect::<Vec<_>>(), ["deferred", "retried", "completed", "failed"]);
}

#[test]
fn a_failed_action_awaits_nothing() {
    let lost = running().apply(&indeterminate(), at(10)).unwrap();
    let failed = lost.apply(&fail(), at(400)).unwrap();
    assert_eq!((failed.verification, failed.phase()), (None, Phase::Done), "nobody would ever end its wait");
}

#[test]
fn a_cancelled_running_action_occupies_its_target_until_it_is_released() {
    let cancelled = running().apply(&cancel(), at(5)).unwrap();
    assert_eq!((cancelled.status, cancelled.occupies), (ActionStatus::Cancelled, true));
    let freed = cancelled.apply(&Change::Release { report: "stopped".into() }, at(6)).unwrap();
    assert!(!freed.occupies);
    assert_eq!((cancelled.settled_at(), freed.settled_at()), (Some(at(5)), Some(at(6))));
    assert!(freed.apply(&Change::Release { report: "again".into() }, at(7)).is_err());
    let waiting = action(ActionStatus::Pending, true).apply(&cancel(), at(5)).unwrap();
    assert!(!waiting.occupies);
}

#[test]
fn verification_ends_once_and_never_with_awaiting() {
    let done = running().apply(&complete(), at(10)).unwrap();
    assert!(done.apply(&verify(Verification::Awaiting), at(60)).is_err());
    let verified = done.apply(&verify(Verification::Verified), at(60)).unwrap();
    assert!(verified.apply(&verify(Verification::Ineffective), at(61)).is_err());
}

#[test]
fn a_refused_change_says_what_it_was_and_why() {
    let refused = action(ActionStatus::Completed, true).apply(&cancel(), at(5)).unwrap_err();
    assert_eq!(refused.to_string(), "action 7 is completed: it cannot be cancelled");
}

#[test]
fn the_idempotency_key_is_the_same_for_all_attempts() {
    let (first, second) = (running(), running().apply(&indeterminate(), at(2)).unwrap());
    assert_eq!(first.idempotency_key().0, "default-action-7-000000000000feed");
    assert_eq!(first.idempotency_key(), second.idempotency_key());
}

proptest! {
    #[test]
    fn the_invariants_of_a_row_hold_after_any_changes(
        managed: bool,
        verified: bool,
        first in prop::sample::select(ActionStatus::ALL.to_vec()),
        changes in prop::collection::vec((any_change(), 0_u64..60), 0..40),
    ) {
        let first = if managed { ActionStatus::Pending } else { first };
        let mut row = action(first, managed);
        row.condition = row.condition.filter(|_| verified);
        let mut now = at(0);
        for (change, after) in changes {
            now = now + Duration::from_secs(after);
            let Ok(next) = row.apply(&change, now) else { continue };
            prop_assert_eq!(next.version, row.version + 1);
            let (from, to) = (row.status, next.status);
            if from.is_final() {
                // A final row changes in its verification, or in what it occupies and from when on that shows, in nothing else.
                let field = matches!(change, Change::Verify { .. } | Change::Release { .. });
                prop_assert!(field, "a final row was {}", change.verb());
                let mut same = next.clone();
                (same.version, same.verification, same.occupies) = (row.version, row.verification, row.occupies);
                if matches!(change, Change::Release { .. }) {
                    prop_assert_eq!(next.settled_at(), Some(now));
                    same.verify_after = row.verify_after;
                }
                prop_assert_eq!(&same, &row);
                prop_assert!(row.occupies || !next.occupies, "nothing is occupied anew");
            } else {
                prop_assert!(from.can_become(to), "{from} to {to} by {}", change.verb());
            }
            prop_assert!(!next.occupies || managed, "what is done elsewhere never occupies");
            prop_assert!(!next.occupies || to != ActionStatus::Pending);
            let reported = change.is_report() || matches!(change, Change::Release { .. });
            let over = row.deadline.is_some_and(|deadline| now >= deadline);
            prop_assert!(!row.occupies || next.occupies || reported || over, "{} freed the target", change.verb());
            prop_assert!(to != ActionStatus::Running || !managed || next.occupies, "one that may be in flight occupies");
            prop_assert!(next.lease_until.is_none() || to == ActionStatus::Running);
            prop_assert!(next.lease_until.is_none() || next.indeterminate_at.is_none());
            prop_assert_eq!(next.completed_at.is_some(), to.is_final());
            prop_assert!(next.attempt == row.attempt || next.attempt == row.attempt + 1);
            let sends = matches!(change, Change::Start { .. } | Change::SendAgain { .. });
            prop_assert_eq!(next.attempt > row.attempt, sends, "every send, and nothing else, has a new number");
            if next.verification == Some(Verification::Awaiting) {
                prop_assert!(to == ActionStatus::Completed || next.phase() == Phase::Indeterminate, "somebody ends the wait");
                prop_assert!(next.condition.is_some() && next.verify_after.is_some() && next.verify_by > next.verify_after);
            }
            prop_assert_eq!(next.idempotency_key(), row.idempotency_key());
            row = next;
        }
    }

    #[test]
    fn no_text_makes_an_action_word_panic(text in ".*") {
        if let Ok(kind) = ActionType::parse(&text) {
            prop_assert_eq!(ActionType::parse(kind.as_str()), Ok(kind));
        }
    }
}
