//! Scopes: what is handed out to be judged, when, and to how many.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::collections::HashSet;
use std::time::Duration;

use super::StoreBench;
use super::bench::{ALL, SECOND, TICK, actor, scope};
use crate::clock::Timestamp;
use crate::episode::{EpisodeChange, EpisodeIntent, Resolution};
use crate::store::Scope;
use crate::target::Target;
use crate::tenant::TenantId;
use crate::testing::{episode_intent, metric, tenant};

const EVERY: Duration = Duration::from_secs(30);
/// A Store may hand a scope out again a tenth sooner.
const SOONEST: Duration = Duration::from_secs(27);

async fn claim(t: &StoreBench) -> Vec<Scope> {
    t.store().claim_scopes(EVERY, ALL).await.unwrap()
}

fn unnamed() -> Scope {
    Scope { tenant: TenantId::default(), target: None }
}

pub async fn what_has_samples_is_due_at_once(t: &mut StoreBench) {
    assert_eq!(claim(t).await, []);
    t.record([metric("cpu", 1.0).on("web-1"), metric("mem", 1.0).on("web-1"), metric("cpu", 1.0)]).await;
    t.record([metric("cpu", 1.0).on("web-1").of(&tenant("other"))]).await;
    let claimed: HashSet<Scope> = claim(t).await.into_iter().collect();
    let theirs = Scope { tenant: tenant("other"), ..scope("web-1") };
    assert_eq!(claimed, HashSet::from([scope("web-1"), unnamed(), theirs]));
}

pub async fn a_scope_is_due_again_after_the_interval_and_not_before(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    assert_eq!(claim(t).await, [scope("web-1")]);
    t.record([metric("cpu", 2.0).on("web-1")]).await;
    t.pass(SOONEST - TICK);
    assert_eq!(claim(t).await, [], "new samples make it no sooner due");
    t.pass(EVERY - SOONEST + TICK);
    assert_eq!(claim(t).await, [scope("web-1")]);
}

pub async fn a_late_caller_does_not_move_the_beat_unless_it_missed_one(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    assert_eq!(claim(t).await.len(), 1);
    t.pass(EVERY + SECOND);
    assert_eq!(claim(t).await.len(), 1, "a second late");
    t.pass(EVERY - SECOND);
    assert_eq!(claim(t).await.len(), 1, "and on the beat again");
    t.pass(EVERY * 5);
    assert_eq!(claim(t).await.len(), 1);
    assert_eq!(claim(t).await, [], "beats that were missed are not made up for");
    t.pass(EVERY);
    assert_eq!(claim(t).await.len(), 1);
}

pub async fn the_longest_due_come_first_and_no_more_than_asked_for(t: &mut StoreBench) {
    for number in [3, 1, 2] {
        t.record([metric("cpu", 1.0).on(&format!("web-{number}"))]).await;
        assert_eq!(claim(t).await.len(), 1);
        t.pass(SECOND * 5);
    }
    t.pass(EVERY);
    assert_eq!(t.store().claim_scopes(EVERY, 2).await.unwrap(), ["web-3", "web-1"].map(scope));
    assert_eq!(t.store().claim_scopes(EVERY, 2).await.unwrap(), [scope("web-2")]);
    assert_eq!(t.store().claim_scopes(EVERY, 0).await.unwrap(), []);
}

pub async fn an_open_episode_alone_keeps_a_scope(t: &mut StoreBench) {
    let open = t.open_episode("p", "web-1").await;
    let nowhere = t.store().open_episode(EpisodeIntent { target: Target::unknown(), ..episode_intent("p", "x") }).await;
    let claimed: HashSet<Scope> = claim(t).await.into_iter().collect();
    assert_eq!(claimed, HashSet::from([scope("web-1"), unnamed()]));
    for episode in [open, nowhere.unwrap()] {
        let resolve = EpisodeChange::Resolve { resolution: Resolution::Recovered };
        t.store().change_episode(&episode.tenant, episode.id, episode.version, resolve, &actor()).await.unwrap();
    }
    t.pass(EVERY);
    while t.store().prune(Timestamp::MIN, Timestamp::MIN).await.unwrap() > 0 {}
    assert_eq!(claim(t).await, []);
}

pub async fn a_scope_whose_samples_are_gone_is_not_handed_out_until_it_has_new_ones(t: &mut StoreBench) {
    t.record([metric("cpu", 1.0).on("web-1")]).await;
    assert_eq!(claim(t).await.len(), 1);
    let later = t.pass(Duration::from_secs(3 * 86_400));
    while t.store().prune(later, Timestamp::MIN).await.unwrap() > 0 {}
    assert_eq!(claim(t).await, []);
    t.record([metric("cpu", 1.0).on("web-1").at(later)]).await;
    assert_eq!(claim(t).await, [scope("web-1")]);
}

pub async fn many_callers_share_the_scopes_and_nobody_gets_one_twice(t: &mut StoreBench) {
    t.record((0..300).map(|number| metric("cpu", 1.0).on(&format!("web-{number}")))).await;
    for _ in 0..2 {
        let shares = t
            .race(6, |store, _| async move {
                let mut share = Vec::new();
                loop {
                    let some = store.claim_scopes(EVERY, 7).await.unwrap();
                    // Another caller may hold the last ones for a moment: an empty answer is no promise.
                    if some.is_empty() {
                        break share;
                    }
                    share.extend(some);
                }
            })
            .await;
        let mut all: Vec<Scope> = shares.into_iter().flatten().collect();
        all.extend(claim(t).await);
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (300, 300));
        t.pass(EVERY);
    }
}

pub async fn the_open_episodes_of_a_scope_are_those_on_its_target(t: &mut StoreBench) {
    let here = [t.open_episode("p", "web-1").await, t.open_episode("q", "web-1").await];
    let elsewhere = t.open_episode("p", "web-2").await;
    let theirs = EpisodeIntent { tenant: tenant("other"), ..episode_intent("p", "web-1") };
    let theirs = t.store().open_episode(theirs).await.unwrap();
    let mut open = t.store().open_episodes(&scope("web-1")).await.unwrap();
    open.sort_by_key(|episode| episode.id);
    assert_eq!(open, here);
    assert_eq!(t.store().open_episodes(&Scope::of(&theirs.tenant, &theirs.target)).await.unwrap(), [theirs]);
    let resolve = EpisodeChange::Resolve { resolution: Resolution::Recovered };
    t.store().change_episode(&elsewhere.tenant, elsewhere.id, elsewhere.version, resolve, &actor()).await.unwrap();
    assert_eq!(t.store().open_episodes(&scope("web-2")).await.unwrap(), []);
    assert_eq!(t.store().open_episodes(&unnamed()).await.unwrap(), []);
}

pub async fn a_clock_that_was_ahead_and_stepped_back_leaves_no_scope_unjudged(t: &mut StoreBench) {
    let right = t.now();
    t.clock.set(right + Duration::from_secs(3600));
    t.record([metric("cpu", 1.0).on("web-1"), metric("cpu", 1.0).on("web-2")]).await;
    assert_eq!(claim(t).await.len(), 2);
    t.clock.set(right);
    assert_eq!(claim(t).await.len(), 2, "they are not due in an hour");
    assert_eq!(claim(t).await, [], "and once an interval as before");
}
