//! The brake: what it stops, whom, and for how long.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{
    DEADLINE, LEASE, SECOND, TICK, actor, by_policy, cancel, complete, defer, fail, indeterminate, start, take_over,
};
use crate::action::{Action, ActionStatus, Change};
use crate::clock::Timestamp;
use crate::policy::Reason;
use crate::store::{
    ActionIntent, Admission, BrakeChange, BrakeScope, BrakeState, Braked, Brakes, Guard, Standing, StoreError,
};
use crate::tenant::TenantId;
use crate::testing::{intent, policy_name, target, tenant};

pub(super) fn stopped(scope: BrakeScope, until: Option<Timestamp>) -> BrakeChange {
    BrakeChange { state: BrakeState::Stopped, scope, reason: Some("a naïve deployment".to_owned()), until }
}

pub(super) fn released() -> BrakeChange {
    BrakeChange { state: BrakeState::Released, scope: BrakeScope::Tenant, reason: None, until: None }
}

async fn set(t: &StoreBench, of: &TenantId, change: BrakeChange) -> Brakes {
    t.store().set_brake(of, change, &actor()).await.expect("a brake is set")
}

/// Stops the default tenant until somebody releases it.
async fn stop(t: &StoreBench) {
    set(t, &TenantId::default(), stopped(BrakeScope::Tenant, None)).await;
}

/// Whether a start is refused, which must be what the Store says of the brake.
async fn is_stopped(t: &StoreBench, of: &TenantId) -> bool {
    let action = t.admit(ActionIntent { tenant: of.clone(), ..intent("probe") }).await;
    let started = t.try_change(&action, start()).await;
    let brakes = t.store().brake(of).await.unwrap();
    match started {
        Ok(running) => {
            t.change(&running, fail()).await;
            assert_eq!(brakes.braked(), None);
            false
        }
        Err(StoreError::Braked { until }) => {
            assert_eq!(brakes.braked(), Some(Braked { until }));
            t.change(&action, cancel()).await;
            true
        }
        Err(other) => panic!("{other:?}"),
    }
}

async fn standing(t: &StoreBench, of: &TenantId) -> Standing {
    t.store().standing(of, &policy_name("p"), &target("a"), None).await.unwrap()
}

pub async fn nobody_ever_set_a_brake_and_nothing_is_stopped(t: &mut StoreBench) {
    let brakes = t.store().brake(&TenantId::default()).await.unwrap();
    assert_eq!((&brakes.own, &brakes.all, brakes.braked()), (&None, &None, None));
    assert_eq!(t.store().brakes().await.unwrap(), []);
    assert!(matches!(t.admit_under(intent("a"), &[Guard::Brake]).await, Admission::Admitted(_)));
    assert!(!is_stopped(t, &TenantId::default()).await);
}

pub async fn a_brake_is_kept_with_every_field(t: &mut StoreBench) {
    let until = t.now() + SECOND;
    for of in [TenantId::default(), tenant("other")] {
        for change in [stopped(BrakeScope::Tenant, Some(until)), stopped(BrakeScope::All, None), released()] {
            let wanted = change.clone().apply(&of, &actor(), t.now());
            let answered = set(t, &of, change).await;
            assert_eq!(answered.own, Some(wanted.clone()));
            assert_eq!(t.store().brake(&of).await.unwrap().own, Some(wanted.clone()));
            assert!(t.store().brakes().await.unwrap().contains(&wanted));
            t.pass(TICK);
        }
    }
    assert_eq!(t.store().brakes().await.unwrap().len(), 2);
}

pub async fn nothing_is_admitted_under_its_guard_while_a_brake_is_on(t: &mut StoreBench) {
    let until = t.now() + SECOND;
    for until in [Some(until), None] {
        set(t, &TenantId::default(), stopped(BrakeScope::Tenant, until)).await;
        assert_eq!(t.refusal(by_policy("p", "a"), &[Guard::Brake]).await, Reason::Braked { until });
    }
}

pub async fn an_action_without_the_guard_is_admitted_and_waits(t: &mut StoreBench) {
    stop(t).await;
    let action = t.admit(intent("a")).await;
    assert_eq!(action.status, ActionStatus::Pending);
    assert!(matches!(t.try_change(&action, start()).await, Err(StoreError::Braked { until: None })));
    assert_eq!(t.read(&action).await, action, "nothing of it is changed");
    set(t, &TenantId::default(), released()).await;
    assert_eq!(t.change(&action, start()).await.attempt, 1);
}

pub async fn no_attempt_begins_while_a_brake_is_on_and_what_runs_is_finished(t: &mut StoreBench) {
    let again =
        || Change::SendAgain { lease: LEASE, deadline: DEADLINE, error: "it did nothing".to_owned(), policy: None };
    let mut running: Vec<Action> = Vec::new();
    for on in ["a", "b", "c", "d", "e", "f", "g"] {
        running.push(t.running(on).await);
    }
    stop(t).await;
    for action in &running {
        assert!(matches!(t.try_change(action, again()).await, Err(StoreError::Braked { until: None })));
    }
    t.change(&running[0], complete()).await;
    t.change(&running[1], fail()).await;
    t.change(&running[2], indeterminate()).await;
    t.change(&running[3], cancel()).await;
    t.store().extend_lease(&running[4].key(), running[4].version, LEASE).await.unwrap();
    let deferred = t.change(&running[5], defer(SECOND)).await;
    t.pass(LEASE);
    t.change(&running[6], take_over()).await;
    assert!(matches!(t.try_change(&deferred, start()).await, Err(StoreError::Braked { .. })), "nor does a retry");
}

pub async fn a_brake_releases_by_itself_when_its_time_has_come(t: &mut StoreBench) {
    let until = t.now() + SECOND;
    set(t, &TenantId::default(), stopped(BrakeScope::Tenant, Some(until))).await;
    t.pass(SECOND - TICK);
    assert!(is_stopped(t, &TenantId::default()).await);
    assert_eq!(t.refusal(by_policy("p", "a"), &[Guard::Brake]).await, Reason::Braked { until: Some(until) });
    t.pass(TICK);
    assert!(!is_stopped(t, &TenantId::default()).await);
    assert!(matches!(t.admit_under(by_policy("p", "a"), &[Guard::Brake]).await, Admission::Admitted(_)));
}

pub async fn a_released_brake_stops_nothing(t: &mut StoreBench) {
    stop(t).await;
    set(t, &TenantId::default(), released()).await;
    assert!(!is_stopped(t, &TenantId::default()).await);
    assert!(matches!(t.admit_under(intent("a"), &[Guard::Brake]).await, Admission::Admitted(_)));
}

pub async fn the_brake_of_one_tenant_stops_no_other(t: &mut StoreBench) {
    stop(t).await;
    assert!(!is_stopped(t, &tenant("other")).await);
    let theirs = ActionIntent { tenant: tenant("other"), ..intent("a") };
    assert!(matches!(t.admit_under(theirs, &[Guard::Brake]).await, Admission::Admitted(_)));
    assert!(is_stopped(t, &TenantId::default()).await);
}

pub async fn the_default_tenants_brake_for_all_stops_every_tenant(t: &mut StoreBench) {
    set(t, &TenantId::default(), stopped(BrakeScope::All, None)).await;
    for of in [TenantId::default(), tenant("other")] {
        assert!(is_stopped(t, &of).await);
        let admission = t.admit_under(ActionIntent { tenant: of.clone(), ..intent("a") }, &[Guard::Brake]).await;
        assert_eq!(admission, Admission::Blocked(Reason::Braked { until: None }));
        assert!(t.store().brake(&of).await.unwrap().all.is_some());
    }
    set(t, &tenant("other"), released()).await;
    assert!(is_stopped(t, &tenant("other")).await, "its own brake is another one");
    set(t, &TenantId::default(), released()).await;
    assert!(!is_stopped(t, &tenant("other")).await);
}

pub async fn only_the_default_tenants_brake_stops_others(t: &mut StoreBench) {
    set(t, &tenant("other"), stopped(BrakeScope::All, None)).await;
    assert!(is_stopped(t, &tenant("other")).await);
    assert!(!is_stopped(t, &TenantId::default()).await);
    assert!(!is_stopped(t, &tenant("third")).await);
}

pub async fn a_standing_shows_the_brake_that_lasts_longest(t: &mut StoreBench) {
    let other = tenant("other");
    assert_eq!(standing(t, &other).await.braked, None);
    let (soon, late) = (t.now() + SECOND, t.now() + SECOND * 2);
    set(t, &other, stopped(BrakeScope::Tenant, Some(soon))).await;
    assert_eq!(standing(t, &other).await.braked, Some(Braked { until: Some(soon) }));
    set(t, &TenantId::default(), stopped(BrakeScope::All, Some(late))).await;
    assert_eq!(standing(t, &other).await.braked, Some(Braked { until: Some(late) }));
    set(t, &other, stopped(BrakeScope::Tenant, None)).await;
    assert_eq!(standing(t, &other).await.braked, Some(Braked { until: None }));
    set(t, &other, released()).await;
    t.pass(SECOND * 2);
    assert_eq!(standing(t, &other).await.braked, None);
}

pub async fn every_setting_of_a_brake_is_audited_and_no_refused_start_is(t: &mut StoreBench) {
    let action = t.admit(intent("a")).await;
    let until = t.now() + SECOND;
    set(t, &TenantId::default(), stopped(BrakeScope::All, Some(until))).await;
    t.try_change(&action, start()).await.unwrap_err();
    set(t, &TenantId::default(), released()).await;
    let audit = t.audit().await;
    let kinds: Vec<&str> = audit.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["action.admitted", "brake.stopped", "brake.released"]);
    assert_eq!((audit[1].reason.as_deref(), &audit[1].actor), (Some("a naïve deployment"), &actor()));
    assert_eq!(audit[1].detail, serde_json::json!({"scope": "all", "until": until}));
}
