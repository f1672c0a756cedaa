//! Retention: what pruning removes, and what it must not.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::time::Duration;

use super::StoreBench;
use super::bench::{
    ALL, SECOND, TICK, actor, by_policy, cancel, complete, cooldown, fail, indeterminate, name, scope, start, verify,
};
use crate::action::{ActionStatus, Verification};
use crate::clock::Timestamp;
use crate::episode::{EpisodeChange, Resolution};
use crate::policy::{PolicySpec, Reason};
use crate::store::{ActionFilter, ActionIntent, EpisodeFilter};
use crate::tenant::TenantId;
use crate::testing::{intent, metric};

const DAY: Duration = Duration::from_secs(86_400);

/// Prunes until nothing is left to remove; answers how many rows went.
async fn prune(t: &StoreBench, metrics: Timestamp, history: Timestamp) -> u64 {
    let mut gone = 0;
    loop {
        match t.store().prune(metrics, history).await.unwrap() {
            0 => return gone,
            some => gone += some,
        }
    }
}

pub async fn samples_received_before_the_given_time_go(t: &mut StoreBench) {
    let old = t.now();
    t.record([metric("cpu", 1.0).on("web-1"), metric("cpu", 1.0).on("gone")]).await;
    // A Store may keep samples a day longer, to drop them in one piece.
    let new = t.pass(DAY * 2);
    t.record([metric("cpu", 2.0).on("web-1").at(new)]).await;
    assert_eq!(prune(t, old, Timestamp::MIN).await, 0, "before means before");
    assert!(prune(t, new, Timestamp::MIN).await >= 2);
    let left = t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    assert_eq!(left.iter().map(|sample| sample.value).collect::<Vec<_>>(), [2.0]);
    assert_eq!(t.snapshot(&scope("web-1")).await.len(), 1);
    let gone = t.store().samples(&scope("gone"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap();
    assert_eq!(gone, []);
}

pub async fn a_late_sample_is_kept_by_the_time_of_its_receipt(t: &mut StoreBench) {
    let old = t.now();
    let new = t.pass(SECOND);
    t.record([metric("cpu", 1.0).on("web-1").late(old, new)]).await;
    prune(t, new, Timestamp::MIN).await;
    assert_eq!(t.store().samples(&scope("web-1"), &[name("cpu")], Timestamp::MIN, ALL).await.unwrap().len(), 1);
}

pub async fn final_actions_from_before_the_given_time_go(t: &mut StoreBench) {
    for (number, end) in [complete(), fail()].into_iter().enumerate() {
        t.change(&t.running(&format!("old-{number}")).await, end).await;
    }
    t.change(&t.admit(intent("old")).await, cancel()).await;
    t.admit(ActionIntent { status: ActionStatus::Completed, ..intent("old") }).await;
    let new = t.pass(SECOND);
    let kept = t.change(&t.running("new").await, fail()).await;
    prune(t, Timestamp::MIN, new).await;
    let filter = ActionFilter { limit: ALL, ..ActionFilter::default() };
    assert_eq!(t.store().actions(&TenantId::default(), &filter).await.unwrap(), [kept]);
}

pub async fn an_action_that_something_is_still_to_be_done_about_stays(t: &mut StoreBench) {
    let pending = t.admit(intent("a")).await;
    let running = t.running("b").await;
    let lost = t.change(&t.running("c").await, indeterminate()).await;
    let occupying = t.change(&t.running("d").await, cancel()).await;
    let awaiting = t.change(&t.admit(by_policy("p", "e")).await, start()).await;
    let awaiting = t.change(&awaiting, complete()).await;
    let elsewhere = t.admit(ActionIntent { status: ActionStatus::Running, ..intent("f") }).await;
    t.pass(SECOND * 3600);
    prune(t, Timestamp::MIN, t.now()).await;
    for action in [pending, running, lost, occupying, awaiting.clone(), elsewhere] {
        assert_eq!(t.read(&action).await, action);
    }
    t.change(&awaiting, verify(Verification::Verified)).await;
    t.pass(PolicySpec::MAX_COOLDOWN);
    prune(t, Timestamp::MIN, t.now()).await;
    assert_eq!(t.store().action(&awaiting.key()).await.unwrap(), None);
}

pub async fn an_action_of_a_policy_stays_for_as_long_as_a_cooldown_may_last(t: &mut StoreBench) {
    let running = t.change(&t.admit(by_policy("p", "web-1")).await, start()).await;
    let done = t.change(&running, fail()).await;
    t.pass(PolicySpec::MAX_COOLDOWN - TICK);
    prune(t, Timestamp::MIN, t.now()).await;
    let longest = cooldown("p", "web-1", PolicySpec::MAX_COOLDOWN);
    let until = done.started_at + PolicySpec::MAX_COOLDOWN;
    assert_eq!(t.refusal(by_policy("p", "web-1"), &[longest]).await, Reason::Cooldown { until });
    t.pass(TICK * 2);
    prune(t, Timestamp::MIN, t.now()).await;
    assert_eq!(t.store().action(&done.key()).await.unwrap(), None);
}

pub async fn ended_episodes_from_before_the_given_time_go(t: &mut StoreBench) {
    let open = t.open_episode("p", "open").await;
    let resolve = EpisodeChange::Resolve { resolution: Resolution::Recovered };
    let old = t.open_episode("p", "old").await;
    t.store().change_episode(&old.tenant, old.id, old.version, resolve.clone(), &actor()).await.unwrap();
    let cut = t.pass(SECOND);
    let new = t.open_episode("p", "new").await;
    let new = t.store().change_episode(&new.tenant, new.id, new.version, resolve, &actor()).await.unwrap();
    prune(t, Timestamp::MIN, cut).await;
    let filter = EpisodeFilter { limit: ALL, ..EpisodeFilter::default() };
    let mut left = t.store().episodes(&TenantId::default(), &filter).await.unwrap();
    left.sort_by_key(|episode| episode.id);
    assert_eq!(left, [open, new]);
}

pub async fn old_entries_of_the_audit_go_and_their_sequences_do_not_come_back(t: &mut StoreBench) {
    t.running("a").await;
    let last = t.audit().await.last().unwrap().seq.unwrap();
    let cut = t.pass(SECOND);
    prune(t, Timestamp::MIN, cut).await;
    assert_eq!(t.audit().await, []);
    t.admit(intent("b")).await;
    let left = t.audit().await;
    assert_eq!(left.iter().map(|entry| entry.seq.unwrap()).collect::<Vec<_>>(), [last + 1]);
}

pub async fn an_entry_that_nobody_could_see_yet_stays(t: &mut StoreBench) {
    t.admit(intent("a")).await;
    let cut = t.pass(SECOND);
    prune(t, Timestamp::MIN, cut).await;
    assert_eq!(t.audited().await, ["action.admitted"]);
}

pub async fn pruning_nothing_removes_nothing(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    let failed = t.change(&t.running("web-1").await, fail()).await;
    t.audit().await;
    assert_eq!(t.store().prune(Timestamp::MIN, Timestamp::MIN).await.unwrap(), 0);
    assert_eq!(t.store().prune(t.now(), t.now()).await.unwrap(), 0);
    assert_eq!(t.read(&failed).await, failed);
    t.pass(TICK);
    assert!(t.store().prune(t.now(), t.now()).await.unwrap() > 0);
}
