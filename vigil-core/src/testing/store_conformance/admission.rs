//! Admission: what is written, with and without a refusal.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::collections::HashSet;

use serde_json::json;

use super::StoreBench;
use super::bench::{ALL, SECOND, by_policy, condition, fail, for_episode, free, revision, start};
use crate::action::{ActionStatus, ActionType, Severity};
use crate::episode::EpisodeIntent;
use crate::episode::EpisodeState;
use crate::policy::Reason;
use crate::store::{ActionFilter, ActionIntent, Actor, Admission, Guard, IDEMPOTENCY_KEPT, Idempotency, StoreError};
use crate::tenant::TenantId;
use crate::testing::{episode_intent, intent, policy, tenant};

fn keyed(key: &str, fingerprint: &str) -> ActionIntent {
    let idempotency = Idempotency { key: key.to_owned(), fingerprint: fingerprint.to_owned() };
    ActionIntent { idempotency: Some(idempotency), ..intent("web-1") }
}

async fn count(t: &StoreBench) -> usize {
    let filter = ActionFilter { limit: ALL, ..ActionFilter::default() };
    t.store().actions(&TenantId::default(), &filter).await.unwrap().len()
}

pub async fn an_admitted_action_is_kept_with_every_field(t: &mut StoreBench) {
    let odd = "naïve ☃ 'quoted' \"double\" \\ % _ 🦀";
    let episode = t.open_episode("p ☃", odd).await;
    let params = json!({"nested": {"list": [1, 2.5, null, true, odd]}, "cooldown_seconds": 60, "huge": u64::MAX});
    let wanted = ActionIntent {
        action: ActionType::DrainPod,
        details: Some(odd.to_owned()),
        severity: Severity::Critical,
        params: params.as_object().unwrap().clone(),
        evidence_at: Some(t.now() - SECOND),
        nonce: u64::MAX, // beyond a signed column
        actor: Actor::new("api"),
        ..for_episode(&episode)
    };
    let Admission::Admitted(action) = t.admit_under(wanted.clone(), &[]).await else {
        panic!("no guard stands against it")
    };
    assert_eq!(action, wanted.into_action(action.id, t.now()));
    assert_eq!(t.read(&action).await, action);
}

pub async fn every_first_status_is_kept_and_only_pending_is_managed(t: &mut StoreBench) {
    for status in ActionStatus::ALL {
        let wanted = ActionIntent { status, condition: Some(condition()), ..intent("web-1") };
        let action = t.admit(wanted.clone()).await;
        assert_eq!(action, wanted.into_action(action.id, t.now()));
        assert_eq!(action.managed, status == ActionStatus::Pending);
        assert_eq!(t.read(&action).await, action);
    }
}

pub async fn every_action_gets_an_id_of_its_own(t: &mut StoreBench) {
    let mut seen = HashSet::new();
    for n in 0..20 {
        assert!(seen.insert(t.admit(intent(&format!("web-{n}"))).await.id));
    }
}

pub async fn an_admission_moves_its_episode_on_and_audits_in_one_step(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    t.pass(SECOND);
    let action = t.admit(for_episode(&episode)).await;
    let after = t.read_episode(&episode).await;
    assert_eq!(after, episode.admitted(action.id, t.now()));
    assert_eq!((after.state, after.actions), (EpisodeState::Firing, 1));
    let audit = t.audit().await;
    assert_eq!(t.audited().await, ["episode.opened", "action.admitted"]);
    let entry = audit.last().unwrap();
    assert_eq!((entry.action, entry.episode), (Some(action.id), Some(episode.id)));
    assert_eq!((entry.at, &entry.actor), (t.now(), &Actor::new("test")));
    assert_eq!((entry.policy.as_ref(), entry.target.as_ref()), (action.policy.as_ref(), Some(&action.target)));
}

pub async fn an_episode_is_opened_with_the_action_that_it_begins_with_in_one_step(t: &mut StoreBench) {
    let opens = EpisodeIntent { firing: true, ..episode_intent("p", "web-1") };
    let wanted = ActionIntent { opens: Some(opens.clone()), ..by_policy("p", "web-1") };
    let Admission::Admitted(action) = t.admit_under(wanted.clone(), &[free("web-1"), Guard::Attempts { max: 1 }]).await
    else {
        panic!("no guard stands against it")
    };
    let episode = t.store().open_episode(opens.clone()).await.unwrap();
    assert_eq!(action.episode, Some(episode.id));
    assert_eq!((episode.actions, episode.last_action, episode.state), (1, Some(action.id), EpisodeState::Firing));
    assert_eq!(t.audited().await, ["episode.opened", "action.admitted"]);
    // One that is open already is somebody else's: it is looked at again.
    assert_eq!(t.refusal(wanted, &[]).await, Reason::EpisodeChanged);
    assert_eq!(t.read_episode(&episode).await, episode);
    assert_eq!((count(t).await, t.audited().await.len()), (1, 2));
}

pub async fn an_episode_that_was_to_begin_with_a_refused_action_stays_with_the_refusal(t: &mut StoreBench) {
    let busy = t.admit(intent("web-1")).await;
    let opens = EpisodeIntent { firing: true, ..episode_intent("p", "web-1") };
    let wanted = ActionIntent { opens: Some(opens.clone()), ..by_policy("p", "web-1") };
    let reason = Reason::Busy { action: busy.id };
    assert_eq!(t.refusal(wanted, &[free("web-1")]).await, reason);
    let episode = t.store().open_episode(opens).await.unwrap();
    assert_eq!((episode.actions, episode.refusal.map(|refusal| refusal.reason)), (0, Some(reason)));
    assert_eq!(count(t).await, 1);
}

pub async fn an_admission_ends_what_was_refused_before(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    t.refusal(for_episode(&episode), &[revision("p", 1)]).await;
    let refused = t.read_episode(&episode).await;
    assert!(refused.refusal.is_some());
    t.admit(for_episode(&refused)).await;
    assert_eq!(t.read_episode(&episode).await.refusal, None);
}

pub async fn a_refusal_writes_nothing_but_itself_on_the_episode(t: &mut StoreBench) {
    let busy = t.admit(intent("web-1")).await;
    let before = t.open_episode("p", "web-1").await;
    let since = t.pass(SECOND);
    let reason = t.refusal(for_episode(&before), &[free("web-1")]).await;
    assert_eq!(reason, Reason::Busy { action: busy.id });
    let after = t.read_episode(&before).await;
    let refusal = after.refusal.clone().unwrap();
    assert_eq!((refusal.reason, refusal.since, refusal.count), (reason, since, 1));
    assert_eq!(after.version, before.version + 1);
    assert_eq!((after.actions, after.last_action, after.state), (0, None, before.state));
    assert_eq!(count(t).await, 1);
    let audit = t.audit().await;
    let entry = audit.last().unwrap();
    assert_eq!((entry.kind.as_str(), entry.reason.as_deref()), ("episode.blocked", Some("busy")));
}

pub async fn a_repeated_refusal_is_counted_but_audited_only_when_its_reason_changes(t: &mut StoreBench) {
    t.admit(intent("web-1")).await;
    let mut episode = t.open_episode("p", "web-1").await;
    let since = t.pass(SECOND);
    for _ in 0..3 {
        t.refusal(for_episode(&episode), &[free("web-1")]).await;
        episode = t.read_episode(&episode).await;
        t.pass(SECOND);
    }
    let refusal = episode.refusal.clone().unwrap();
    assert_eq!((refusal.count, refusal.since), (3, since));
    let blocked = async || t.audited().await.iter().filter(|kind| *kind == "episode.blocked").count();
    assert_eq!(blocked().await, 1);
    let anew = t.now();
    t.refusal(for_episode(&episode), &[revision("p", 1)]).await;
    let refusal = t.read_episode(&episode).await.refusal.unwrap();
    assert_eq!((refusal.reason, refusal.count, refusal.since), (Reason::PolicyChanged, 1, anew));
    assert_eq!(blocked().await, 2);
}

pub async fn a_refusal_is_not_written_on_an_episode_that_somebody_else_changed(t: &mut StoreBench) {
    t.admit(intent("web-1")).await;
    let seen = t.open_episode("p", "web-1").await;
    t.refusal(for_episode(&seen), &[free("web-1")]).await;
    let moved = t.read_episode(&seen).await;
    t.refusal(for_episode(&seen), &[Guard::Attempts { max: 3 }]).await;
    assert_eq!(t.read_episode(&seen).await, moved, "every change of an episode is a compare-and-set");
}

pub async fn a_refusal_without_an_episode_leaves_no_trace(t: &mut StoreBench) {
    t.refusal(by_policy("p", "web-1"), &[revision("p", 1)]).await;
    assert_eq!(count(t).await, 0);
    assert_eq!(t.audited().await, [""; 0]);
}

pub async fn a_repeated_request_is_answered_with_the_action_as_it_was_admitted(t: &mut StoreBench) {
    let first = t.admit(keyed("k", "f")).await;
    t.change(&first, start()).await;
    t.pass(SECOND);
    let again = t.admit_under(keyed("k", "f"), &[free("web-1")]).await;
    assert_eq!(again, Admission::Replayed(first));
    assert_eq!(count(t).await, 1);
}

pub async fn a_key_used_for_another_action_is_refused(t: &mut StoreBench) {
    t.admit(keyed("k", "f")).await;
    let refused = t.store().admit(keyed("k", "g"), &[]).await;
    assert!(matches!(refused, Err(StoreError::KeyReused)), "{refused:?}");
    assert_eq!(count(t).await, 1);
}

pub async fn an_admission_key_is_forgotten_after_a_day(t: &mut StoreBench) {
    t.admit(keyed("k", "f")).await;
    t.pass(IDEMPOTENCY_KEPT - SECOND);
    assert!(matches!(t.admit_under(keyed("k", "f"), &[]).await, Admission::Replayed(_)));
    t.pass(SECOND * 2);
    t.admit(keyed("k", "g")).await;
}

pub async fn a_refused_request_may_be_sent_again_under_its_key(t: &mut StoreBench) {
    let busy = t.admit(intent("web-1")).await;
    t.refusal(keyed("k", "f"), &[free("web-1")]).await;
    t.change(&busy, fail()).await;
    assert!(matches!(t.admit_under(keyed("k", "f"), &[free("web-1")]).await, Admission::Admitted(_)));
}

pub async fn the_same_key_of_another_tenant_is_another_key(t: &mut StoreBench) {
    t.admit(keyed("k", "f")).await;
    t.admit(ActionIntent { tenant: tenant("other"), ..keyed("k", "g") }).await;
}

pub async fn an_episode_of_another_tenant_is_not_moved_on(t: &mut StoreBench) {
    t.put(policy("p").build()).await;
    let episode = t.open_episode("p", "web-1").await;
    let theirs = ActionIntent { tenant: tenant("other"), ..for_episode(&episode) };
    assert_eq!(t.refusal(theirs, &[Guard::Attempts { max: 3 }]).await, Reason::EpisodeChanged);
    assert_eq!(t.read_episode(&episode).await, episode);
}
