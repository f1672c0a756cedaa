//! Guards: each alone, and together.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::time::Duration;

use super::StoreBench;
use super::bench::{
    DEADLINE, SECOND, SETTLE, TICK, by_policy, cancel, complete, cooldown, defer, evidence, fail, for_episode, free,
    indeterminate, put, release, remove, revision, start, verify,
};
use crate::action::{ActionStatus, Verification};
use crate::clock::Timestamp;
use crate::episode::{EpisodeChange, Resolution};
use crate::policy::Reason;
use crate::store::{ActionIntent, Actor, Admission, Expect, Guard, PolicySource, PolicyWrite};
use crate::tenant::TenantId;
use crate::testing::{intent, policy, policy_name, target, tenant};

const HOUR: Duration = Duration::from_secs(3600);

async fn admitted(t: &StoreBench, intent: ActionIntent, guards: &[Guard]) {
    let admission = t.admit_under(intent, guards).await;
    assert!(matches!(admission, Admission::Admitted(_)), "every guard holds, but the answer is {admission:?}");
}

pub async fn the_stored_revision_is_admitted_and_any_other_is_not(t: &mut StoreBench) {
    let first = t.put(policy("p").build()).await;
    admitted(t, by_policy("p", "a"), &[revision("p", first)]).await;
    let second = t.put(policy("p").exceeds("cpu", 95.0).build()).await;
    assert_eq!(t.refusal(by_policy("p", "b"), &[revision("p", first)]).await, Reason::PolicyChanged);
    admitted(t, by_policy("p", "b"), &[revision("p", second)]).await;
}

pub async fn a_policy_that_is_removed_or_was_never_there_has_changed(t: &mut StoreBench) {
    assert_eq!(t.refusal(by_policy("p", "a"), &[revision("p", 1)]).await, Reason::PolicyChanged);
    let known = t.put(policy("p").build()).await;
    t.write(vec![remove("p", Expect::Any)]).await.unwrap();
    assert_eq!(t.refusal(by_policy("p", "a"), &[revision("p", known)]).await, Reason::PolicyChanged);
}

pub async fn a_policy_that_is_not_in_force_has_changed(t: &mut StoreBench) {
    let disabled = t.put(policy("p").disabled().build()).await;
    assert_eq!(t.refusal(by_policy("p", "a"), &[revision("p", disabled)]).await, Reason::PolicyChanged);
    for (declared, overridden) in [(policy("p"), false), (policy("p").disabled(), true)] {
        let source = PolicySource::File { path: "policies.yaml".to_owned() };
        let (spec, expect) = (declared.build().into(), Expect::Any);
        let write = PolicyWrite::Put { spec, source, enabled_override: Some(overridden), expect };
        let revision = revision("p", t.write(vec![write]).await.unwrap());
        match t.admit_under(by_policy("p", "a"), &[revision]).await {
            Admission::Admitted(_) => assert!(overridden, "the override wins over the spec"),
            Admission::Blocked(reason) => assert_eq!((overridden, reason), (false, Reason::PolicyChanged)),
            other @ Admission::Replayed(_) => panic!("{other:?}"),
        }
    }
}

pub async fn the_policy_of_another_tenant_does_not_count(t: &mut StoreBench) {
    let known = t.put(policy("p").build()).await;
    let theirs = ActionIntent { tenant: tenant("other"), ..by_policy("p", "a") };
    assert_eq!(t.refusal(theirs, &[revision("p", known)]).await, Reason::PolicyChanged);
}

pub async fn a_target_with_a_pending_action_is_busy(t: &mut StoreBench) {
    admitted(t, intent("a"), &[free("a")]).await;
    let reason = t.refusal(intent("a"), &[free("a")]).await;
    assert!(matches!(reason, Reason::Busy { .. }), "{reason:?}");
    admitted(t, intent("b"), &[free("b")]).await;
}

pub async fn a_target_is_busy_until_nothing_is_or_may_be_in_flight_on_it(t: &mut StoreBench) {
    let busy = async |action| assert_eq!(t.refusal(intent("a"), &[free("a")]).await, Reason::Busy { action });
    let action = t.admit(intent("a")).await;
    busy(action.id).await;
    let action = t.change(&action, start()).await;
    busy(action.id).await;
    let action = t.change(&action, defer(SECOND)).await;
    busy(action.id).await;
    let action = t.change(&action, start()).await;
    let action = t.change(&action, indeterminate()).await;
    busy(action.id).await;
    let action = t.change(&action, cancel()).await;
    assert_eq!(action.status, ActionStatus::Cancelled);
    busy(action.id).await;
    t.pass(DEADLINE);
    busy(action.id).await;
    t.change(&action, release()).await;
    admitted(t, intent("a"), &[free("a")]).await;
}

pub async fn a_target_is_free_once_its_action_has_ended(t: &mut StoreBench) {
    for end in [complete(), fail()] {
        let running = t.running("a").await;
        t.change(&running, end).await;
        assert!(matches!(t.admit_under(intent("b"), &[free("a")]).await, Admission::Admitted(_)));
    }
    let pending = t.admit(intent("a")).await;
    t.change(&pending, cancel()).await;
    admitted(t, intent("a"), &[free("a")]).await;
}

pub async fn records_of_clients_make_no_target_busy(t: &mut StoreBench) {
    for status in ActionStatus::ALL.into_iter().filter(|status| *status != ActionStatus::Pending) {
        t.admit(ActionIntent { status, ..by_policy("p", "a") }).await;
    }
    let guards = [free("a"), cooldown("p", "a", HOUR), evidence("p", "a", Timestamp::MIN)];
    admitted(t, by_policy("p", "a"), &guards).await;
}

pub async fn the_same_target_of_another_tenant_is_not_busy(t: &mut StoreBench) {
    t.admit(by_policy("p", "a")).await;
    let theirs = ActionIntent { tenant: tenant("other"), ..by_policy("p", "a") };
    let guards = [free("a"), cooldown("p", "a", HOUR), evidence("p", "a", Timestamp::MIN)];
    admitted(t, theirs, &guards).await;
}

pub async fn the_cooldown_runs_from_the_newest_action_to_the_very_moment(t: &mut StoreBench) {
    t.admit(by_policy("p", "a")).await;
    t.pass(HOUR);
    let until = t.admit(by_policy("p", "a")).await.started_at + HOUR;
    t.pass(HOUR - TICK);
    assert_eq!(t.refusal(by_policy("p", "a"), &[cooldown("p", "a", HOUR)]).await, Reason::Cooldown { until });
    t.pass(TICK);
    admitted(t, by_policy("p", "a"), &[cooldown("p", "a", HOUR)]).await;
}

pub async fn the_cooldown_is_that_of_one_policy_on_one_target(t: &mut StoreBench) {
    t.admit(by_policy("p", "a")).await;
    t.admit(intent("b")).await;
    admitted(t, by_policy("p", "b"), &[cooldown("p", "b", HOUR)]).await;
    admitted(t, by_policy("q", "a"), &[cooldown("q", "a", HOUR)]).await;
}

pub async fn the_cooldown_survives_a_policy_that_is_deleted_and_created_again(t: &mut StoreBench) {
    t.put(policy("p").build()).await;
    let until = t.admit(by_policy("p", "a")).await.started_at + HOUR;
    t.write(vec![remove("p", Expect::Any)]).await.unwrap();
    t.write(vec![put(policy("p").build(), Expect::Absent)]).await.unwrap();
    assert_eq!(t.refusal(by_policy("p", "a"), &[cooldown("p", "a", HOUR)]).await, Reason::Cooldown { until });
}

pub async fn an_action_that_awaits_its_verification_stands_against_the_next(t: &mut StoreBench) {
    let action = t.change(&t.admit(by_policy("p", "a")).await, start()).await;
    let action = t.change(&action, complete()).await;
    let guards = [evidence("p", "a", Timestamp::MAX)];
    let awaiting = Reason::AwaitingVerification { action: action.id };
    assert_eq!(t.refusal(by_policy("p", "a"), &guards).await, awaiting);
    admitted(t, by_policy("q", "a"), &[evidence("q", "a", Timestamp::MAX)]).await;
    t.change(&action, verify(Verification::Ineffective)).await;
    admitted(t, by_policy("p", "a"), &guards).await;
}

pub async fn evidence_from_before_the_last_actions_end_is_stale(t: &mut StoreBench) {
    let action = t.change(&t.admit(by_policy("p", "a")).await, start()).await;
    t.pass(SECOND);
    let ended = t.change(&action, fail()).await.completed_at.unwrap();
    t.pass(SECOND);
    let stale = Reason::StaleEvidence { since: ended };
    assert_eq!(t.refusal(by_policy("p", "a"), &[evidence("p", "a", Timestamp::MIN)]).await, stale);
    assert_eq!(t.refusal(by_policy("p", "a"), &[evidence("p", "a", ended)]).await, stale);
    admitted(t, by_policy("p", "a"), &[evidence("p", "a", ended + TICK)]).await;
}

pub async fn evidence_from_before_another_policys_action_has_settled_is_stale(t: &mut StoreBench) {
    let action = t.change(&t.admit(by_policy("p", "a")).await, start()).await;
    t.pass(SECOND);
    let settled = t.change(&action, complete()).await.settled_at().unwrap();
    assert_eq!(settled, t.now() + SETTLE);
    let stale = Reason::StaleEvidence { since: settled };
    assert_eq!(t.refusal(by_policy("q", "a"), &[evidence("q", "a", Timestamp::MIN)]).await, stale);
    assert_eq!(t.refusal(by_policy("q", "a"), &[evidence("q", "a", settled)]).await, stale);
    let standing = t.store().standing(&TenantId::default(), &policy_name("q"), &target("a"), None).await.unwrap();
    assert_eq!((standing.settled_at, standing.last_action), (Some(settled), None));
    admitted(t, by_policy("q", "b"), &[evidence("q", "b", Timestamp::MIN)]).await;
    admitted(t, by_policy("q", "a"), &[evidence("q", "a", settled + TICK)]).await;
}

pub async fn evidence_from_between_a_cancellation_and_the_release_is_stale(t: &mut StoreBench) {
    let action = t.change(&t.admit(by_policy("p", "a")).await, start()).await;
    let action = t.change(&action, cancel()).await;
    let between = t.pass(SECOND);
    t.pass(SECOND);
    let settled = t.change(&action, release()).await.settled_at().unwrap();
    assert_eq!(settled, t.now());
    let stale = Reason::StaleEvidence { since: settled };
    assert_eq!(t.refusal(by_policy("q", "a"), &[evidence("q", "a", between)]).await, stale);
    admitted(t, by_policy("q", "a"), &[evidence("q", "a", settled + TICK)]).await;
}

pub async fn an_action_that_never_began_makes_no_evidence_of_another_policy_stale(t: &mut StoreBench) {
    let action = t.admit(by_policy("p", "a")).await;
    assert_eq!(t.change(&action, cancel()).await.settled_at(), None);
    let standing = t.store().standing(&TenantId::default(), &policy_name("q"), &target("a"), None).await.unwrap();
    assert_eq!(standing.settled_at, None);
    admitted(t, by_policy("q", "a"), &[evidence("q", "a", Timestamp::MIN)]).await;
}

pub async fn a_first_action_needs_no_newer_evidence(t: &mut StoreBench) {
    admitted(t, by_policy("p", "a"), &[evidence("p", "a", Timestamp::MIN)]).await;
}

pub async fn an_episode_has_only_so_many_actions(t: &mut StoreBench) {
    let guards = [Guard::Attempts { max: 2 }];
    let mut episode = t.open_episode("p", "a").await;
    for _ in 0..2 {
        admitted(t, for_episode(&episode), &guards).await;
        episode = t.read_episode(&episode).await;
    }
    assert_eq!(t.refusal(for_episode(&episode), &guards).await, Reason::Exhausted { actions: 2 });
}

pub async fn an_episode_that_moved_or_ended_has_changed(t: &mut StoreBench) {
    let guards = [Guard::Attempts { max: 9 }];
    let seen = t.open_episode("p", "a").await;
    let actor = Actor::new("test");
    let change = EpisodeChange::Hold;
    let moved = t.store().change_episode(&seen.tenant, seen.id, seen.version, change, &actor).await.unwrap();
    assert_eq!(t.refusal(for_episode(&seen), &guards).await, Reason::EpisodeChanged);
    let change = EpisodeChange::Resolve { resolution: Resolution::Recovered };
    let ended = t.store().change_episode(&seen.tenant, seen.id, moved.version, change, &actor).await.unwrap();
    assert_eq!(t.refusal(for_episode(&ended), &guards).await, Reason::EpisodeChanged);
}

pub async fn an_episode_that_somebody_else_changed_is_not_moved_on_whatever_the_guards_say(t: &mut StoreBench) {
    let seen = t.open_episode("p", "a").await;
    let change = EpisodeChange::Hold;
    let moved =
        t.store().change_episode(&seen.tenant, seen.id, seen.version, change, &Actor::new("test")).await.unwrap();
    assert_eq!(t.refusal(for_episode(&seen), &[free("a")]).await, Reason::EpisodeChanged);
    assert_eq!(t.read_episode(&seen).await, moved);
    admitted(t, for_episode(&moved), &[free("a")]).await;
}

pub async fn all_guards_together_admit_when_all_hold(t: &mut StoreBench) {
    let known = t.put(policy("p").build()).await;
    let action = t.change(&t.admit(by_policy("p", "a")).await, start()).await;
    let ended = t.change(&action, fail()).await.completed_at.unwrap();
    t.pass(HOUR);
    let episode = t.open_episode("p", "a").await;
    let guards = [
        revision("p", known),
        Guard::Attempts { max: 3 },
        free("a"),
        cooldown("p", "a", HOUR),
        evidence("p", "a", ended + TICK),
    ];
    admitted(t, for_episode(&episode), &guards).await;
}

pub async fn of_several_guards_the_first_that_does_not_hold_gives_the_reason(t: &mut StoreBench) {
    let action = t.admit(by_policy("p", "a")).await;
    let until = action.started_at + HOUR;
    let guards = [free("b"), free("a"), cooldown("p", "a", HOUR), revision("p", 1)];
    assert_eq!(t.refusal(by_policy("p", "a"), &guards).await, Reason::Busy { action: action.id });
    assert_eq!(t.refusal(by_policy("p", "a"), &guards[2..]).await, Reason::Cooldown { until });
    assert_eq!(t.refusal(by_policy("p", "a"), &guards[3..]).await, Reason::PolicyChanged);
}
