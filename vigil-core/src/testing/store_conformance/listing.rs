//! Lists of actions and episodes: their order, filters and pages.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{ALL, SECOND, actor, cancel, start};
use crate::action::{Action, ActionStatus};
use crate::episode::{Episode, EpisodeChange, EpisodeState, Resolution};
use crate::store::{ActionFilter, ActionIntent, EpisodeFilter};
use crate::tenant::TenantId;
use crate::testing::{intent, policy_name, target, tenant};

async fn actions(t: &StoreBench, filter: ActionFilter) -> Vec<Action> {
    t.store().actions(&TenantId::default(), &filter).await.unwrap()
}

async fn episodes(t: &StoreBench, filter: EpisodeFilter) -> Vec<Episode> {
    t.store().episodes(&TenantId::default(), &filter).await.unwrap()
}

/// Actions of three times, four at each, newest first.
async fn dozen(t: &StoreBench) -> Vec<Action> {
    let mut all = Vec::new();
    for number in 0..12 {
        if number % 4 == 0 {
            t.pass(SECOND);
        }
        let mut action = t.admit(intent(&format!("web-{}", number % 3))).await;
        if number % 2 == 0 {
            action = t.change(&action, cancel()).await;
        }
        all.push(action);
    }
    all.sort_by_key(|action| std::cmp::Reverse((action.started_at, action.id)));
    all
}

pub async fn actions_are_listed_newest_first(t: &mut StoreBench) {
    let all = dozen(t).await;
    assert_eq!(actions(t, ActionFilter { limit: ALL, ..ActionFilter::default() }).await, all);
    assert_eq!(actions(t, ActionFilter { limit: 5, ..ActionFilter::default() }).await, all[..5]);
}

pub async fn actions_are_paged_without_gap_or_repetition(t: &mut StoreBench) {
    let all = dozen(t).await;
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = actions(t, ActionFilter { after, limit: 5, ..ActionFilter::default() }).await;
        let Some(last) = page.last() else { break };
        after = Some((last.started_at, last.id));
        paged.extend(page);
        assert!(paged.len() <= all.len(), "a page repeats the one before");
    }
    assert_eq!(paged, all);
}

pub async fn actions_are_filtered_by_status_and_target(t: &mut StoreBench) {
    let all = dozen(t).await;
    for status in ActionStatus::ALL {
        for on in ["web-0", "web-9"] {
            let filter =
                ActionFilter { status: Some(status), target: Some(target(on)), limit: ALL, ..ActionFilter::default() };
            let wanted: Vec<Action> =
                all.iter().filter(|a| a.status == status && a.target == target(on)).cloned().collect();
            assert_eq!(actions(t, filter).await, wanted);
        }
    }
    let filter = ActionFilter { target: Some(target("web-1")), limit: ALL, ..ActionFilter::default() };
    assert_eq!(actions(t, filter).await.len(), 4);
    let after = Some((all[3].started_at, all[3].id));
    let filter = ActionFilter { status: Some(ActionStatus::Pending), after, limit: 2, ..ActionFilter::default() };
    let wanted = all[4..].iter().filter(|a| a.status == ActionStatus::Pending).take(2).cloned();
    assert_eq!(actions(t, filter).await, wanted.collect::<Vec<_>>());
}

pub async fn a_status_is_listed_as_it_is_now(t: &mut StoreBench) {
    let action = t.admit(intent("web-1")).await;
    let running = t.change(&action, start()).await;
    let of = |status| ActionFilter { status: Some(status), limit: ALL, ..ActionFilter::default() };
    assert_eq!(actions(t, of(ActionStatus::Pending)).await, []);
    assert_eq!(actions(t, of(ActionStatus::Running)).await, [running]);
}

pub async fn actions_of_one_tenant_are_not_listed_for_another(t: &mut StoreBench) {
    let ours = t.admit(intent("web-1")).await;
    let theirs = t.admit(ActionIntent { tenant: tenant("other"), ..intent("web-1") }).await;
    let filter = ActionFilter { limit: ALL, ..ActionFilter::default() };
    assert_eq!(t.store().actions(&TenantId::default(), &filter).await.unwrap(), [ours]);
    assert_eq!(t.store().actions(&tenant("other"), &filter).await.unwrap(), [theirs]);
    assert_eq!(t.store().actions(&tenant("nobody"), &filter).await.unwrap(), []);
}

/// Episodes of two policies on three targets, newest first; those of `p` have ended.
async fn half_a_dozen(t: &StoreBench) -> Vec<Episode> {
    let mut all = Vec::new();
    for number in 0..6 {
        let mut episode = t.open_episode(["p", "q"][number % 2], &format!("web-{}", number % 3)).await;
        if number % 2 == 0 {
            let change = EpisodeChange::Resolve { resolution: Resolution::Recovered };
            episode =
                t.store().change_episode(&episode.tenant, episode.id, episode.version, change, &actor()).await.unwrap();
        }
        all.push(episode);
    }
    all.sort_by_key(|episode| std::cmp::Reverse(episode.id));
    all
}

pub async fn episodes_are_listed_and_paged_newest_first(t: &mut StoreBench) {
    let all = half_a_dozen(t).await;
    assert_eq!(episodes(t, EpisodeFilter { limit: ALL, ..EpisodeFilter::default() }).await, all);
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = episodes(t, EpisodeFilter { before, limit: 4, ..EpisodeFilter::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        paged.extend(page);
        assert!(paged.len() <= all.len(), "a page repeats the one before");
    }
    assert_eq!(paged, all);
}

pub async fn episodes_are_filtered_by_state_policy_and_target(t: &mut StoreBench) {
    let all = half_a_dozen(t).await;
    for state in EpisodeState::ALL {
        let wanted: Vec<Episode> = all.iter().filter(|e| e.state == state).cloned().collect();
        let filter = EpisodeFilter { state: Some(state), limit: ALL, ..EpisodeFilter::default() };
        assert_eq!(episodes(t, filter).await, wanted);
    }
    for (policy, on) in [("p", "web-0"), ("q", "web-0"), ("q", "web-9")] {
        let (policy, target) = (policy_name(policy), target(on));
        let wanted: Vec<Episode> = all.iter().filter(|e| e.policy == policy && e.target == target).cloned().collect();
        let filter =
            EpisodeFilter { policy: Some(policy), target: Some(target), limit: ALL, ..EpisodeFilter::default() };
        assert_eq!(episodes(t, filter).await, wanted);
    }
}

pub async fn episodes_of_one_tenant_are_not_listed_for_another(t: &mut StoreBench) {
    let ours = t.open_episode("p", "web-1").await;
    let filter = EpisodeFilter { limit: ALL, ..EpisodeFilter::default() };
    assert_eq!(t.store().episodes(&TenantId::default(), &filter).await.unwrap(), [ours]);
    assert_eq!(t.store().episodes(&tenant("other"), &filter).await.unwrap(), []);
}
