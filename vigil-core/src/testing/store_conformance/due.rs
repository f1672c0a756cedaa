//! Due work: what the reconciler and the verifier are handed.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{
    ALL, DEADLINE, LEASE, SECOND, SETTLE, TICK, by_policy, cancel, complete, defer, fail, give_up, indeterminate,
    release, start, verify,
};
use crate::action::{ActionId, ActionStatus, Change, Verification};
use crate::store::{ActionIntent, Due, StoreError, VERIFY_LEASE};
use crate::testing::{intent, tenant};

pub async fn a_pending_action_is_to_be_delivered_once_its_time_has_come(t: &mut StoreBench) {
    let pending = t.admit(intent("web-1")).await;
    assert_eq!(t.due(Due::Delivery).await, [pending.id]);
    assert_eq!(t.due(Due::Delivery).await, [pending.id], "handing it out hides it from nobody");
    let running = t.change(&pending, start()).await;
    t.change(&running, defer(SECOND)).await;
    t.pass(SECOND - TICK);
    assert_eq!(t.due(Due::Delivery).await, []);
    t.pass(TICK);
    assert_eq!(t.due(Due::Delivery).await, [pending.id]);
}

pub async fn an_expired_pending_action_is_still_to_be_delivered_so_that_somebody_ends_it(t: &mut StoreBench) {
    let pending = t.admit(intent("web-1")).await;
    t.clock.set(pending.expires_at + SECOND);
    assert_eq!(t.due(Due::Delivery).await, [pending.id]);
}

pub async fn a_running_action_is_to_be_delivered_when_its_lease_ran_out(t: &mut StoreBench) {
    let running = t.running("web-1").await;
    assert_eq!(t.due(Due::Delivery).await, []);
    t.pass(LEASE - TICK);
    t.store().extend_lease(&running.key(), running.version, LEASE).await.unwrap();
    t.pass(LEASE - TICK);
    assert_eq!(t.due(Due::Delivery).await, []);
    t.pass(TICK);
    assert_eq!(t.due(Due::Delivery).await, [running.id]);
}

pub async fn an_action_that_was_handed_over_is_to_be_delivered_at_once(t: &mut StoreBench) {
    let handed_over = t.change(&t.running("web-1").await, Change::HandOver).await;
    assert_eq!(t.due(Due::Delivery).await, [handed_over.id]);
}

pub async fn nobody_is_handed_an_indeterminate_or_final_action_to_deliver(t: &mut StoreBench) {
    for (number, end) in [indeterminate(), complete(), fail(), cancel(), give_up()].into_iter().enumerate() {
        let running = t.change(&t.admit(by_policy("p", &format!("web-{number}"))).await, start()).await;
        t.change(&running, end).await;
    }
    t.pass(DEADLINE * 2);
    assert_eq!(t.due(Due::Delivery).await, []);
}

pub async fn records_of_clients_are_never_due(t: &mut StoreBench) {
    for status in ActionStatus::ALL.into_iter().filter(|status| *status != ActionStatus::Pending) {
        t.admit(ActionIntent { status, ..by_policy("p", "web-1") }).await;
    }
    t.pass(DEADLINE * 10);
    for kind in [Due::Delivery, Due::Verification, Due::Occupation] {
        assert_eq!(t.due(kind).await, [], "{kind:?}");
    }
}

pub async fn a_completed_action_is_to_be_verified_once_it_has_settled(t: &mut StoreBench) {
    let running = t.change(&t.admit(by_policy("p", "web-1")).await, start()).await;
    assert_eq!(t.due(Due::Verification).await, []);
    let completed = t.change(&running, complete()).await;
    t.pass(SETTLE - TICK);
    assert_eq!(t.due(Due::Verification).await, []);
    t.pass(TICK);
    assert_eq!(t.due(Due::Verification).await, [completed.id]);
}

pub async fn what_is_handed_out_for_verification_is_hidden_for_a_while(t: &mut StoreBench) {
    let running = t.change(&t.admit(by_policy("p", "web-1")).await, start()).await;
    let completed = t.change(&running, complete()).await;
    t.pass(SETTLE);
    assert_eq!(t.due(Due::Verification).await, [completed.id]);
    t.pass(VERIFY_LEASE - TICK);
    assert_eq!(t.due(Due::Verification).await, []);
    t.pass(TICK);
    assert_eq!(t.due(Due::Verification).await, [completed.id]);
    assert_eq!(t.read(&completed).await, completed, "handing it out changes nothing");
    t.change(&completed, verify(Verification::Verified)).await;
    t.pass(VERIFY_LEASE);
    assert_eq!(t.due(Due::Verification).await, []);
}

pub async fn only_what_is_handed_out_is_hidden(t: &mut StoreBench) {
    let mut all = Vec::new();
    for number in 0..3 {
        let running = t.change(&t.admit(by_policy("p", &format!("web-{number}"))).await, start()).await;
        all.push(t.change(&running, complete()).await.id);
    }
    all.sort();
    t.pass(SETTLE);
    let first = t.store().due(Due::Verification, ActionId(0), 1).await.unwrap();
    assert_eq!(first.iter().map(|action| action.id).collect::<Vec<_>>(), all[..1]);
    assert_eq!(t.due(Due::Verification).await, all[1..]);
}

pub async fn an_indeterminate_action_with_a_condition_is_to_be_verified_once_it_has_settled(t: &mut StoreBench) {
    let running = t.change(&t.admit(by_policy("p", "web-1")).await, start()).await;
    let lost = t.change(&running, indeterminate()).await;
    t.pass(SETTLE - TICK);
    assert_eq!(t.due(Due::Verification).await, []);
    t.pass(TICK);
    assert_eq!(t.due(Due::Verification).await, [lost.id]);
    t.change(&lost, verify(Verification::Inconclusive)).await;
    t.pass(DEADLINE);
    assert_eq!(t.due(Due::Verification).await, []);
}

pub async fn an_indeterminate_action_that_nothing_verifies_is_due_at_its_deadline(t: &mut StoreBench) {
    let lost = t.change(&t.running("web-1").await, indeterminate()).await;
    t.pass(DEADLINE - TICK);
    assert_eq!(t.due(Due::Verification).await, []);
    t.pass(TICK * 2);
    assert_eq!(t.due(Due::Verification).await, [lost.id]);
    t.pass(VERIFY_LEASE);
    t.change(&lost, fail()).await;
    assert_eq!(t.due(Due::Verification).await, []);
}

pub async fn an_action_that_nothing_verifies_is_not_to_be_verified(t: &mut StoreBench) {
    let completed = t.change(&t.running("web-1").await, complete()).await;
    assert_eq!(completed.verification, None);
    t.pass(DEADLINE * 2);
    assert_eq!(t.due(Due::Verification).await, []);
}

pub async fn a_final_action_that_occupies_its_target_is_due_beyond_its_deadline(t: &mut StoreBench) {
    let cancelled = t.change(&t.running("a").await, cancel()).await;
    let given_up = t.change(&t.running("b").await, give_up()).await;
    t.change(&t.running("c").await, fail()).await;
    t.change(&t.running("d").await, indeterminate()).await;
    t.pass(DEADLINE - TICK);
    assert_eq!(t.due(Due::Occupation).await, []);
    t.pass(TICK * 2);
    assert_eq!(t.due(Due::Occupation).await, [cancelled.id, given_up.id]);
    t.change(&cancelled, release()).await;
    assert_eq!(t.due(Due::Occupation).await, [given_up.id]);
}

pub async fn an_unreported_attempt_occupies_its_target_until_its_deadline_whatever_metrics_prove(t: &mut StoreBench) {
    for (on, verification) in [("a", Verification::Verified), ("b", Verification::Ineffective)] {
        let running = t.change(&t.admit(by_policy("p", on)).await, start()).await;
        let lost = t.change(&running, indeterminate()).await;
        let concluded = t.change(&lost, verify(verification)).await;
        assert!(concluded.status.is_final() && t.read(&concluded).await.occupies);
        let second = t.admit(intent(on)).await;
        assert!(matches!(t.try_change(&second, start()).await, Err(StoreError::Occupied { by }) if by == concluded.id));
        assert_eq!(t.due(Due::Occupation).await, []);
        t.pass(DEADLINE);
        assert_eq!(t.due(Due::Occupation).await, [concluded.id]);
        t.change(&concluded, release()).await;
        t.change(&second, start()).await;
    }
}

pub async fn due_work_is_paged_by_id_over_all_tenants(t: &mut StoreBench) {
    let mut all = Vec::new();
    for number in 0..7 {
        let tenant = tenant(["default", "other"][number % 2]);
        all.push(t.admit(ActionIntent { tenant, ..intent(&format!("web-{number}")) }).await.id);
    }
    all.sort();
    let (mut paged, mut after) = (Vec::new(), ActionId(0));
    loop {
        let page = t.store().due(Due::Delivery, after, 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = last.id;
        paged.extend(page.iter().map(|action| action.id));
        assert!(paged.len() <= all.len(), "a page repeats the one before");
    }
    assert_eq!(paged, all);
    assert_eq!(t.store().due(Due::Delivery, ActionId(0), ALL).await.unwrap().len(), all.len());
}
