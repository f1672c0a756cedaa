//! Reopening: what a method returned `Ok` for is there after the process was killed and started anew.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{
    ALL, DEADLINE, LEASE, SECOND, SETTLE, actor, by_policy, cancel, complete, fail, for_episode, free, indeterminate,
    name, scope, start, take_over,
};
use super::brake::stopped;
use crate::action::{Action, ActionStatus};
use crate::clock::Timestamp;
use crate::policy::Reason;
use crate::store::{ActionIntent, Admission, BrakeScope, Due, Idempotency, MetricBatch, StoreError};
use crate::tenant::TenantId;
use crate::testing::{batch, intent, metric, policy};

fn key() -> Option<Idempotency> {
    Some(Idempotency { key: "k".to_owned(), fingerprint: "f".to_owned() })
}

/// A Store may void the leases of the process that is gone.
fn without_lease(action: &Action) -> Action {
    Action { lease_until: None, ..action.clone() }
}

pub async fn recorded_samples_are_there_again(t: &mut StoreBench) {
    let keyed = MetricBatch { idempotency: key(), ..batch([metric("cpu", 1.5).on("web-1").tag("core", "0")]) };
    let first = t.store().record_metrics(keyed.clone()).await.unwrap();
    let later = t.pass(SECOND);
    t.record([metric("cpu", 2.5).on("web-1").tag("core", "0").at(later)]).await;
    let newest = t.snapshot(&scope("web-1")).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.snapshot(&scope("web-1")).await, newest);
    assert_eq!(t.store().claim_scopes(SECOND, ALL).await.unwrap(), [scope("web-1")]);
    let stored = t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    assert_eq!(stored.iter().map(|sample| sample.value).collect::<Vec<_>>(), [1.5, 2.5]);
    let again = t.store().record_metrics(keyed).await.unwrap();
    assert_eq!((again.ids, again.replayed), (first.ids.clone(), true));
    let new = t.store().record_metrics(batch([metric("cpu", 3.5).on("web-1")])).await.unwrap();
    assert!(!first.ids.contains(&new.ids[0]), "ids are unique over restarts");
}

pub async fn actions_are_there_again_in_every_state(t: &mut StoreBench) {
    let completed = t.change(&t.admit(by_policy("p", "d")).await, start()).await;
    let actions = [
        t.admit(intent("a")).await,
        t.running("b").await,
        t.change(&t.running("c").await, fail()).await,
        t.change(&completed, complete()).await,
        t.change(&t.running("e").await, cancel()).await,
        t.change(&t.running("f").await, indeterminate()).await,
        t.admit(ActionIntent { status: ActionStatus::Running, ..intent("g") }).await,
    ];
    if !t.reopen().await {
        return;
    }
    for action in &actions {
        assert_eq!(without_lease(&t.read(action).await), without_lease(action));
    }
    let new = t.admit(intent("h")).await;
    assert!(actions.iter().all(|action| action.id != new.id), "ids are unique over restarts");
}

pub async fn what_is_due_is_due_again(t: &mut StoreBench) {
    let pending = t.admit(intent("a")).await;
    let running = t.running("b").await;
    let completed = t.change(&t.admit(by_policy("p", "c")).await, start()).await;
    let completed = t.change(&completed, complete()).await;
    let cancelled = t.change(&t.running("d").await, cancel()).await;
    if !t.reopen().await {
        return;
    }
    t.pass(DEADLINE.max(SETTLE).max(LEASE) + SECOND);
    assert_eq!(t.due(Due::Delivery).await, [pending.id, running.id]);
    assert_eq!(t.due(Due::Verification).await, [completed.id]);
    assert_eq!(t.due(Due::Occupation).await, [cancelled.id]);
    let taken = t.change(&t.read(&running).await, take_over()).await;
    t.change(&taken, complete()).await;
}

pub async fn targets_stay_occupied_and_busy(t: &mut StoreBench) {
    let running = t.running("a").await;
    let waiting = t.admit(intent("a")).await;
    let cancelled = t.change(&t.running("b").await, cancel()).await;
    if !t.reopen().await {
        return;
    }
    let refused = t.try_change(&waiting, start()).await;
    assert!(matches!(refused, Err(StoreError::Occupied { by }) if by == running.id), "{refused:?}");
    assert_eq!(t.refusal(intent("b"), &[free("b")]).await, Reason::Busy { action: cancelled.id });
}

pub async fn episodes_are_there_again_with_their_refusals(t: &mut StoreBench) {
    t.admit(intent("a")).await;
    let refused = t.open_episode("p", "a").await;
    t.refusal(for_episode(&refused), &[free("a")]).await;
    let refused = t.read_episode(&refused).await;
    assert!(refused.refusal.is_some());
    let acted = t.open_episode("p", "b").await;
    t.admit(for_episode(&acted)).await;
    let acted = t.read_episode(&acted).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.read_episode(&refused).await, refused);
    assert_eq!(t.read_episode(&acted).await, acted);
    assert_eq!(t.open_episode("p", "a").await, refused, "it is still the open one");
}

pub async fn policies_are_there_again_and_the_generation_goes_on(t: &mut StoreBench) {
    let generation = t.put(policy("p").auto().build()).await;
    let before = t.store().policies().await.unwrap();
    if !t.reopen().await {
        return;
    }
    let after = t.store().policies().await.unwrap();
    assert_eq!((after.generation, &after.policies), (generation, &before.policies));
    assert!(t.put(policy("q").build()).await > generation);
}

pub async fn the_audit_is_there_again_and_its_sequence_goes_on(t: &mut StoreBench) {
    t.running("a").await;
    let told = t.audit().await;
    t.running("b").await;
    if !t.reopen().await {
        return;
    }
    let all = t.audit_of(&TenantId::default()).await;
    assert_eq!(all[..2], told[..]);
    let seqs: Vec<i64> = all.iter().map(|entry| entry.seq.unwrap()).collect();
    assert_eq!(seqs[..4], (seqs[0]..seqs[0] + 4).collect::<Vec<_>>(), "what was not sequenced yet is sequenced now");
}

pub async fn a_request_is_still_known_by_its_key(t: &mut StoreBench) {
    let keyed = ActionIntent { idempotency: key(), ..intent("a") };
    let first = t.admit(keyed.clone()).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.admit_under(keyed.clone(), &[]).await, Admission::Replayed(first));
    let other = Idempotency { fingerprint: "g".to_owned(), ..key().unwrap() };
    let refused = t.store().admit(ActionIntent { idempotency: Some(other), ..keyed }, &[]).await;
    assert!(matches!(refused, Err(StoreError::KeyReused)), "{refused:?}");
}

pub async fn a_brake_is_there_again(t: &mut StoreBench) {
    let action = t.admit(intent("a")).await;
    let of = TenantId::default();
    let set = t.store().set_brake(&of, stopped(BrakeScope::All, None), &actor()).await.unwrap();
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.store().brake(&of).await.unwrap().own, set.own);
    assert!(matches!(t.try_change(&action, start()).await, Err(StoreError::Braked { until: None })));
}
