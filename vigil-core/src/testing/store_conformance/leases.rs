//! Leases: who may act on a running action.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{LEASE, TICK, cancel, complete, fail, indeterminate, start, take_over};
use crate::action::{Action, ActionKey, Change};
use crate::store::StoreError;
use crate::testing::{intent, tenant};

async fn extend(t: &StoreBench, action: &Action) -> Result<(), StoreError> {
    t.store().extend_lease(&action.key(), action.version, LEASE).await
}

pub async fn an_extension_runs_from_now_and_is_no_news(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    let now = t.pass(LEASE / 2);
    extend(t, &running).await.unwrap();
    assert_eq!(t.read(&running).await, Action { lease_until: Some(now + LEASE), ..running.clone() });
    t.pass(LEASE - TICK);
    extend(t, &running).await.unwrap();
    assert_eq!(t.audited().await, ["action.admitted", "action.started"]);
    t.change(&running, complete()).await;
}

pub async fn a_lease_that_has_run_out_is_not_extended(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    t.pass(LEASE);
    let refused = extend(t, &running).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(t.read(&running).await, running);
}

pub async fn the_lease_of_another_version_is_not_extended(t: &mut StoreBench) {
    let pending = t.admit(intent("web-1")).await;
    let running = t.change(&pending, start()).await;
    let refused = extend(t, &pending).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(t.read(&running).await, running);
}

pub async fn an_action_without_a_lease_has_none_to_extend(t: &mut StoreBench) {
    let pending = t.admit(intent("a")).await;
    let handed_over = t.change(&t.running("b").await, Change::HandOver).await;
    let lost = t.change(&t.running("c").await, indeterminate()).await;
    let cancelled = t.change(&t.running("d").await, cancel()).await;
    let failed = t.change(&t.running("e").await, fail()).await;
    for action in [pending, handed_over, lost, cancelled, failed] {
        let refused = extend(t, &action).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        assert_eq!(t.read(&action).await, action);
    }
}

pub async fn the_lease_of_another_tenants_action_is_not_extended(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    t.pass(TICK);
    let theirs = ActionKey { tenant: tenant("other"), ..running.key() };
    t.store().extend_lease(&theirs, running.version, LEASE).await.unwrap_err();
    assert_eq!(t.read(&running).await, running);
}

pub async fn a_running_action_is_taken_over_only_after_its_lease_ran_out(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    t.pass(LEASE - TICK);
    assert!(matches!(t.try_change(&running, take_over()).await, Err(StoreError::Illegal(_))));
    t.pass(TICK);
    let taken = t.change(&running, take_over()).await;
    assert_eq!((taken.attempt, taken.crashes, taken.occupies), (1, 1, true));
    assert_eq!(taken.lease_until, Some(t.now() + LEASE));
}

pub async fn an_extended_lease_keeps_others_away(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    t.pass(LEASE - TICK);
    extend(t, &running).await.unwrap();
    t.pass(LEASE - TICK);
    let running = t.read(&running).await;
    assert!(matches!(t.try_change(&running, take_over()).await, Err(StoreError::Illegal(_))));
    t.pass(TICK);
    t.change(&running, take_over()).await;
}

pub async fn an_action_that_was_handed_over_is_taken_at_once_and_counts_no_crash(t: &mut StoreBench) {
    let handed_over = t.change(&t.running("web-1").await, Change::HandOver).await;
    assert_eq!(t.change(&handed_over, take_over()).await.crashes, 0);
}

pub async fn what_a_worker_reports_after_it_was_replaced_is_refused(t: &mut StoreBench) {
    let lost = t.running("web-1").await;
    t.pass(LEASE);
    let taken = t.change(&lost, take_over()).await;
    for late in [complete(), fail(), indeterminate(), cancel()] {
        let refused = t.try_change(&lost, late).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert!(matches!(extend(t, &lost).await, Err(StoreError::Conflict(_))));
    assert_eq!(t.read(&lost).await, taken);
    t.change(&taken, complete()).await;
}
