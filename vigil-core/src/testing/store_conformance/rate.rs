//! The rate: how many actions a tenant may have in a minute.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::num::NonZeroU32;

use super::StoreBench;
use super::bench::{SECOND, TICK, by_policy, cancel, free};
use crate::action::{Action, ActionStatus};
use crate::clock::Timestamp;
use crate::episode::Refusal;
use crate::policy::Reason;
use crate::store::{ActionIntent, Admission, Guard, MINUTE};
use crate::tenant::TenantId;
use crate::testing::{episode_intent, intent, policy_name, target, tenant};

fn some(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn rate(per_minute: u32) -> Guard {
    Guard::Rate { per_minute: some(per_minute) }
}

async fn admitted(t: &StoreBench, intent: ActionIntent, per_minute: u32) -> Action {
    match t.admit_under(intent, &[rate(per_minute)]).await {
        Admission::Admitted(action) => action,
        other => panic!("the tenant has actions left, but the answer is {other:?}"),
    }
}

async fn limited(t: &StoreBench, of: &TenantId, per_minute: Option<u32>) -> Option<Timestamp> {
    let standing = t.store().standing(of, &policy_name("p"), &target("a"), per_minute.map(some)).await.unwrap();
    standing.rate_limited
}

pub async fn a_tenant_has_so_many_actions_in_a_minute_whenever_that_begins(t: &mut StoreBench) {
    let mut made = Vec::new();
    for on in ["a", "b", "c"] {
        made.push(admitted(t, by_policy("p", on), 3).await.started_at);
        t.pass(SECOND * 10);
    }
    for first in &made {
        let until = *first + MINUTE;
        assert_eq!(t.refusal(by_policy("p", "d"), &[rate(3)]).await, Reason::RateLimited { until });
        t.pass(until.since(t.now()) - TICK);
        assert_eq!(t.refusal(by_policy("p", "d"), &[rate(3)]).await, Reason::RateLimited { until });
        t.pass(TICK);
        admitted(t, by_policy("p", "d"), 3).await;
    }
}

pub async fn every_action_counts_whoever_wanted_it_and_whatever_became_of_it(t: &mut StoreBench) {
    let first = admitted(t, intent("a"), 2).await;
    t.change(&first, cancel()).await;
    t.admit(by_policy("p", "b")).await;
    let until = first.started_at + MINUTE;
    assert_eq!(t.refusal(intent("c"), &[rate(2)]).await, Reason::RateLimited { until });
    admitted(t, intent("c"), 3).await;
    t.admit(intent("d")).await;
}

pub async fn neither_records_of_clients_nor_other_tenants_use_up_a_minute(t: &mut StoreBench) {
    for status in [ActionStatus::Running, ActionStatus::Completed, ActionStatus::Failed, ActionStatus::Cancelled] {
        t.admit(ActionIntent { status, ..intent("a") }).await;
        t.admit(ActionIntent { tenant: tenant("other"), ..intent("a") }).await;
    }
    admitted(t, intent("a"), 1).await;
    assert!(matches!(t.refusal(intent("b"), &[rate(1)]).await, Reason::RateLimited { .. }));
    let theirs = ActionIntent { tenant: tenant("third"), ..intent("a") };
    admitted(t, theirs, 1).await;
}

pub async fn a_refusal_for_the_rate_is_written_on_the_episode_it_opens(t: &mut StoreBench) {
    let first = admitted(t, intent("a"), 1).await;
    let reason = Reason::RateLimited { until: first.started_at + MINUTE };
    let begins = ActionIntent { opens: Some(episode_intent("p", "b")), ..by_policy("p", "b") };
    assert_eq!(t.refusal(begins, &[free("b"), rate(1)]).await, reason);
    let standing = t.store().standing(&TenantId::default(), &policy_name("p"), &target("b"), None).await.unwrap();
    let refusal = standing.episode.unwrap().refusal.unwrap();
    assert_eq!(refusal, Refusal { reason, since: t.now(), count: 1 });
}

pub async fn a_standing_shows_when_the_tenant_may_have_its_next_action(t: &mut StoreBench) {
    let ours = TenantId::default();
    assert_eq!(limited(t, &ours, Some(1)).await, None);
    let first = admitted(t, intent("a"), 2).await.started_at;
    t.pass(SECOND);
    let second = admitted(t, intent("b"), 2).await.started_at;
    assert_eq!(limited(t, &ours, Some(1)).await, Some(second + MINUTE));
    assert_eq!(limited(t, &ours, Some(2)).await, Some(first + MINUTE));
    assert_eq!(limited(t, &ours, Some(3)).await, None);
    assert_eq!(limited(t, &ours, None).await, None, "nothing is counted if nothing is asked");
    assert_eq!(limited(t, &tenant("other"), Some(1)).await, None);
    t.pass(MINUTE - SECOND);
    assert_eq!(limited(t, &ours, Some(2)).await, None);
    assert_eq!(limited(t, &ours, Some(1)).await, Some(second + MINUTE));
}

pub async fn of_many_admitters_on_many_targets_no_more_than_may_be_are_admitted(t: &mut StoreBench) {
    for round in 0..4 {
        let answers = t
            .race(12, |store, number| {
                let intent = intent(&format!("web-{round}-{number}"));
                async move { store.admit(intent, &[rate(5)]).await.unwrap() }
            })
            .await;
        let admitted = answers.iter().filter(|answer| matches!(answer, Admission::Admitted(_))).count();
        let until = t.now() + MINUTE;
        let refused = Admission::Blocked(Reason::RateLimited { until });
        assert_eq!((admitted, answers.iter().filter(|answer| **answer == refused).count()), (5, 7));
        t.pass(MINUTE);
    }
}
