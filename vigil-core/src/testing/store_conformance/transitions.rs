//! Transitions: the state machine, the versions and the occupation of targets.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{
    DEADLINE, LEASE, SECOND, SETTLE, VERIFY, actor, by_policy, cancel, complete, defer, fail, for_episode, give_up,
    indeterminate, release, start, take_over, verify,
};
use crate::action::{Action, ActionId, ActionKey, ActionStatus, Change, Verification};
use crate::episode::{EpisodeState, Resolution};
use crate::store::{ActionIntent, StoreError};
use crate::testing::{intent, tenant};

/// Every kind of change.
fn changes() -> Vec<Change> {
    let error = "nothing was done".to_owned();
    let mut all = vec![
        start(),
        take_over(),
        Change::SendAgain { lease: LEASE, deadline: DEADLINE, error: error.clone(), policy: None },
        defer(SECOND),
        Change::Retry { delay: SECOND, error },
        complete(),
        Change::Complete { details: None, settle: SETTLE, verify: VERIFY },
        fail(),
        Change::HandOver,
        give_up(),
        indeterminate(),
        cancel(),
        release(),
    ];
    all.extend(Verification::ALL.map(verify));
    all.extend(ActionStatus::ALL.map(|status| Change::Record { status, details: Some("elsewhere".to_owned()) }));
    all
}

/// The ways that lead to every state an action can be in, each from its admission on. The time passes `LEASE` at
/// `None`.
fn ways() -> Vec<(&'static str, Vec<Option<Change>>)> {
    let began = || vec![Some(start())];
    let then = |change| vec![Some(start()), Some(change)];
    vec![
        ("pending", vec![]),
        ("deferred", then(defer(SECOND))),
        ("running", began()),
        ("running without a lease", vec![Some(start()), None]),
        ("handed over", then(Change::HandOver)),
        ("taken over", vec![Some(start()), None, Some(take_over())]),
        ("indeterminate", then(indeterminate())),
        ("completed", then(complete())),
        ("verified", vec![Some(start()), Some(complete()), Some(verify(Verification::Verified))]),
        ("failed", then(fail())),
        ("failed while pending", vec![Some(fail())]),
        ("given up", then(give_up())),
        ("cancelled while pending", vec![Some(cancel())]),
        ("cancelled while running", then(cancel())),
        ("cancelled and released", vec![Some(start()), Some(cancel()), Some(release())]),
    ]
}

pub async fn every_change_of_every_state_does_what_the_state_machine_says(t: &mut StoreBench) {
    for (state, way) in ways() {
        for (number, change) in changes().into_iter().enumerate() {
            let mut action = t.admit(by_policy("p", &format!("{state} {number}"))).await;
            for step in way.clone() {
                match step {
                    Some(step) => action = t.change(&action, step).await,
                    None => _ = t.pass(LEASE),
                }
            }
            check(t, state, &action, change).await;
        }
    }
}

async fn check(t: &StoreBench, state: &str, before: &Action, change: Change) {
    let wanted = before.apply(&change, t.now());
    match (wanted, t.try_change(before, change.clone()).await) {
        (Ok(wanted), Ok(after)) => {
            assert_eq!(after, wanted, "{state}: {change:?}");
            assert_eq!(after.version, before.version + 1, "{state}: {change:?}");
            assert_eq!(t.read(before).await, wanted, "{state}: {change:?}");
        }
        (Err(wanted), Err(StoreError::Illegal(refused))) => {
            assert_eq!(refused, wanted, "{state}: {change:?}");
            assert_eq!(t.read(before).await, *before, "{state}: {change:?}");
        }
        (wanted, got) => panic!("{state}: {change:?} should give {wanted:?} and gave {got:?}"),
    }
}

pub async fn a_record_of_a_client_moves_along_the_edges_of_all_25_pairs_and_no_others(t: &mut StoreBench) {
    for from in ActionStatus::ALL.into_iter().filter(|from| *from != ActionStatus::Pending) {
        for to in ActionStatus::ALL {
            let before = t.admit(ActionIntent { status: from, ..intent("web-1") }).await;
            let change = Change::Record { status: to, details: None };
            check(t, from.as_str(), &before, change.clone()).await;
            let moved = t.read(&before).await;
            let wanted = if from.can_become(to) { to } else { from };
            assert_eq!((moved.status, moved.occupies, moved.attempt), (wanted, false, 0), "{from} to {to}");
        }
    }
    // A managed pending action has its own ways.
    let pending = t.admit(intent("web-1")).await;
    for to in ActionStatus::ALL {
        check(t, "pending", &pending, Change::Record { status: to, details: None }).await;
    }
}

pub async fn a_record_of_a_client_moves_on_from_running_without_occupying(t: &mut StoreBench) {
    let ours = t.running("web-1").await;
    let theirs = t.admit(ActionIntent { status: ActionStatus::Running, ..intent("web-1") }).await;
    let change = Change::Record { status: ActionStatus::Completed, details: Some("done".to_owned()) };
    let theirs = t.change(&theirs, change).await;
    assert_eq!((theirs.status, theirs.details.as_deref()), (ActionStatus::Completed, Some("done")));
    assert!(t.read(&ours).await.occupies);
}

pub async fn an_action_that_is_not_there_is_not_found(t: &mut StoreBench) {
    let known = t.admit(intent("web-1")).await;
    let absent = ActionKey { id: ActionId(known.id.0 + 1_000_000), ..known.key() };
    let of_another = ActionKey { tenant: tenant("other"), ..known.key() };
    for key in [absent, of_another] {
        assert_eq!(t.store().action(&key).await.unwrap(), None);
        let refused = t.store().transition(&key, known.version, start(), None, &actor()).await;
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
    assert_eq!(t.read(&known).await, known);
}

pub async fn a_change_of_another_version_conflicts_and_changes_nothing(t: &mut StoreBench) {
    let pending = t.admit(intent("web-1")).await;
    let running = t.change(&pending, start()).await;
    for version in [pending.version, running.version + 1, 0] {
        let seen = Action { version, ..running.clone() };
        let refused = t.try_change(&seen, complete()).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(t.read(&pending).await, running);
    assert_eq!(t.audited().await, ["action.admitted", "action.started"]);
}

pub async fn a_stale_version_of_a_final_action_conflicts(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    let failed = t.change(&running, fail()).await;
    assert!(matches!(t.try_change(&running, complete()).await, Err(StoreError::Conflict(_))));
    assert!(matches!(t.try_change(&failed, complete()).await, Err(StoreError::Illegal(_))));
}

pub async fn a_refused_change_is_not_audited(t: &mut StoreBench) {
    let pending = t.admit(intent("web-1")).await;
    assert!(matches!(t.try_change(&pending, complete()).await, Err(StoreError::Illegal(_))));
    assert_eq!(t.audited().await, ["action.admitted"]);
}

pub async fn every_change_is_audited_with_what_it_did(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    let at = t.pass(SECOND);
    let deferred = t.change(&running, defer(SECOND)).await;
    let audit = t.audit().await;
    let entry = audit.last().unwrap();
    assert_eq!((entry.kind.as_str(), entry.at, &entry.actor), ("action.deferred", at, &actor()));
    assert_eq!((entry.action, entry.reason.as_deref()), (Some(running.id), Some("not now")));
    assert_eq!((&entry.detail["from"], &entry.detail["to"]), (&"running".into(), &"pending".into()));
    assert_eq!((&entry.detail["attempt"], &entry.detail["version"]), (&1.into(), &deferred.version.into()));
    assert_eq!(t.audited().await, ["action.admitted", "action.started", "action.deferred"]);
}

pub async fn a_second_action_cannot_start_on_an_occupied_target(t: &mut StoreBench) {
    let first = t.running("web-1").await;
    let second = t.admit(intent("web-1")).await;
    let refused = t.try_change(&second, start()).await;
    assert!(matches!(refused, Err(StoreError::Occupied { by }) if by == first.id), "{refused:?}");
    assert_eq!(t.read(&second).await, second);
    t.change(&first, complete()).await;
    t.change(&second, start()).await;
}

pub async fn a_target_stays_occupied_while_it_is_not_known_that_nothing_is_in_flight(t: &mut StoreBench) {
    for (number, end) in [cancel(), give_up(), indeterminate()].into_iter().enumerate() {
        let on = format!("web-{number}");
        let first = t.running(&on).await;
        let first = t.change(&first, end).await;
        assert!(first.occupies);
        let second = t.admit(intent(&on)).await;
        let refused = t.try_change(&second, start()).await;
        assert!(matches!(refused, Err(StoreError::Occupied { by }) if by == first.id), "{refused:?}");
        let known = if first.status.is_final() { release() } else { fail() };
        assert!(!t.change(&first, known).await.occupies);
        t.change(&second, start()).await;
    }
}

pub async fn an_action_that_is_handed_back_frees_its_target(t: &mut StoreBench) {
    let first = t.running("web-1").await;
    let first = t.change(&first, defer(SECOND)).await;
    let second = t.running("web-1").await;
    let refused = t.try_change(&first, start()).await;
    assert!(matches!(refused, Err(StoreError::Occupied { by }) if by == second.id), "{refused:?}");
}

pub async fn the_next_attempt_keeps_the_occupation_it_has(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    let again = Change::SendAgain { lease: LEASE, deadline: DEADLINE, error: "not done".to_owned(), policy: None };
    let running = t.change(&running, again).await;
    assert_eq!((running.attempt, running.occupies), (2, true));
    t.pass(LEASE);
    assert_eq!(t.change(&running, take_over()).await.attempt, 2);
}

pub async fn the_same_target_of_another_tenant_is_not_occupied(t: &mut StoreBench) {
    t.running("web-1").await;
    let theirs = t.admit(ActionIntent { tenant: tenant("other"), ..intent("web-1") }).await;
    assert!(t.change(&theirs, start()).await.occupies);
}

pub async fn a_change_can_end_the_actions_episode_in_the_same_step(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    let action = t.change(&t.admit(for_episode(&episode)).await, start()).await;
    let action = t.change(&action, complete()).await;
    let resolve = Some(Resolution::Verified);
    let at = t.pass(SECOND);
    let change = verify(Verification::Verified);
    t.store().transition(&action.key(), action.version, change, resolve, &actor()).await.unwrap();
    let ended = t.read_episode(&episode).await;
    assert_eq!((ended.state, ended.resolution, ended.resolved_at), (EpisodeState::Resolved, resolve, Some(at)));
    let audited = t.audited().await;
    assert!(audited.contains(&"action.verified".to_owned()) && audited.contains(&"episode.resolved".to_owned()));
}

pub async fn a_change_that_should_end_an_episode_that_has_ended_still_happens(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    let action = t.change(&t.admit(for_episode(&episode)).await, start()).await;
    let end = async |action: &Action, change, resolution| {
        t.store().transition(&action.key(), action.version, change, Some(resolution), &actor()).await.unwrap()
    };
    let action = end(&action, complete(), Resolution::Recovered).await;
    let ended = t.read_episode(&episode).await;
    let action = end(&action, verify(Verification::Verified), Resolution::Verified).await;
    assert_eq!(action.verification, Some(Verification::Verified));
    assert_eq!(t.read_episode(&episode).await, ended);
    let without = t.running("web-2").await;
    assert_eq!(end(&without, fail(), Resolution::Reset).await.status, ActionStatus::Failed);
}

pub async fn a_refused_change_ends_no_episode(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    let action = t.admit(for_episode(&episode)).await;
    let before = t.read_episode(&episode).await;
    for (version, change) in [(action.version, complete()), (action.version + 1, start())] {
        let resolve = Some(Resolution::Verified);
        t.store().transition(&action.key(), version, change, resolve, &actor()).await.unwrap_err();
    }
    assert_eq!(t.read_episode(&episode).await, before);
}
