use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::action::{Action, ActionStatus};
use crate::episode::{Episode, EpisodeId, EpisodeIntent};
use crate::metric::{Sample, Tags};
use crate::policy::fixtures::{above, at, policy, sample};
use crate::policy::{explain, plan};
use crate::tenant::TenantId;

const LIMITS: Limits =
    Limits { actions_per_episode: 3, expires_after: Duration::from_secs(600), actions_per_minute: None };
/// When everything here is planned.
const NOW: u64 = 10_000;

/// Everything a plan is made of; all gates are open.
struct Case {
    policy: Policy,
    target: Target,
    metrics: Snapshot,
    standing: Standing,
}

fn case() -> Case {
    let policy = policy(&json!({"params": {"cooldown_seconds": 300, "image": "v2"}, "severity": "critical"}));
    let target = Target::new("web-1").unwrap();
    let metrics = Snapshot::new([sample("cpu", 93.0, at(NOW))], at(NOW - 300));
    let episode = episode(&policy, &target, NOW);
    let standing = Standing {
        now: at(NOW),
        episode: Some(episode),
        last_action: None,
        busy: None,
        settled_at: None,
        braked: None,
        rate_limited: None,
    };
    Case { policy, target, metrics, standing }
}

fn episode(policy: &Policy, target: &Target, since: u64) -> Episode {
    let intent = EpisodeIntent {
        tenant: TenantId::default(),
        policy: policy.name.clone(),
        target: target.clone(),
        severity: policy.severity,
        condition: policy.condition_spec.clone(),
        pending_since: at(since),
        firing: policy.hold.is_zero(),
        evidence: Vec::new(),
    };
    Episode::open(EpisodeId(3), intent, at(since))
}

impl Case {
    fn decide(&self) -> Decision {
        let evaluation = evaluate(&self.policy, &self.metrics);
        plan(&self.policy, &self.target, &self.metrics, &evaluation, &self.standing, &LIMITS, 7)
    }

    fn reason(&self) -> Option<Reason> {
        self.decide().reason().cloned()
    }

    /// An action of the policy on the target, completed at `ended` if that is given.
    fn with_last(mut self, started: u64, ended: Option<u64>, verification: Option<Verification>) -> Self {
        let Decision::Act(intent, _) = case().decide() else { panic!("all gates are open") };
        let mut last: Action = intent.into_action(ActionId(9), at(started));
        last.completed_at = ended.map(at);
        last.status = if ended.is_some() { ActionStatus::Completed } else { ActionStatus::Running };
        last.verification = verification;
        self.standing.last_action = Some(last);
        self
    }
}

#[test]
fn the_gates_are_asked_in_their_order() {
    use Gate::{Attempts, Autonomy, Brake, Cooldown, Enabled, Exclusion, For, Freshness, Rate, Target};
    assert_eq!(Gate::ALL, [Enabled, Brake, Target, For, Autonomy, Attempts, Exclusion, Cooldown, Freshness, Rate]);
    // Everything is shut; each gate that is opened shows the next one.
    let mut all = case().with_last(NOW - 1, Some(NOW), Some(Verification::Awaiting));
    all.policy = policy(&json!({"enabled": false, "auto_remediate": false, "for": 60}));
    all.target = crate::target::Target::unknown();
    all.standing.busy = Some(ActionId(1));
    all.standing.braked = Some(Braked { until: None });
    all.standing.rate_limited = Some(at(NOW + 5));
    all.standing.episode.as_mut().unwrap().actions = 3;
    let said = |case: &Case| case.reason().map_or(case.decide().as_str(), |reason| reason.code());
    let mut order = vec![said(&all)];
    all.policy.enabled = true;
    order.push(said(&all));
    all.standing.braked = None;
    order.push(said(&all));
    all.target = crate::target::Target::new("web-1").unwrap();
    order.push(said(&all));
    all.policy.hold = Duration::ZERO;
    order.push(said(&all));
    all.policy.auto_remediate = true;
    order.push(said(&all));
    all.standing.episode.as_mut().unwrap().actions = 2;
    order.push(said(&all));
    all.standing.busy = None;
    order.push(said(&all));
    all.policy.cooldown = Duration::ZERO;
    order.push(said(&all));
    all.standing.last_action.as_mut().unwrap().verification = Some(Verification::Verified);
    order.push(said(&all));
    all.standing.last_action.as_mut().unwrap().completed_at = Some(at(NOW - 1));
    order.push(said(&all));
    all.standing.rate_limited = None;
    order.push(said(&all));
    let expected = [
        "disabled",
        "braked",
        "no_target",
        "pending",
        "suggest",
        "exhausted",
        "busy",
        "cooldown",
        "awaiting_verification",
        "stale_evidence",
        "rate_limited",
        "act",
    ];
    assert_eq!(order, expected);
}

#[test]
fn open_gates_lead_to_an_intent_that_says_everything() {
    let Decision::Act(intent, guards) = case().decide() else { panic!("all gates are open") };
    assert_eq!(
        (intent.target.as_str(), intent.action.as_str(), intent.severity.as_str()),
        ("web-1", "restart", "critical")
    );
    assert_eq!(intent.params["image"], "v2");
    assert_eq!(intent.policy.as_ref().map(|(name, revision)| (name.as_str(), *revision)), Some(("p", 1)));
    assert_eq!((intent.episode, intent.nonce), (Some((EpisodeId(3), 1)), 7));
    assert_eq!((intent.status, intent.evidence_at), (ActionStatus::Pending, Some(at(NOW))));
    assert_eq!(intent.details.as_deref(), Some("policy 'p' is violated: cpu = 93"));
    assert_eq!(intent.condition, Some(case().policy.condition_spec));
    assert_eq!(intent.expires_after, LIMITS.expires_after);
    let (policy, target) = (case().policy.name, case().target);
    let expected = vec![
        Guard::Revision { policy: policy.clone(), revision: 1 },
        Guard::Brake,
        Guard::Attempts { max: 3 },
        Guard::Free { target: target.clone() },
        Guard::Cooldown { policy: policy.clone(), target: target.clone(), period: Duration::from_secs(300) },
        Guard::Evidence { policy, target, since: Timestamp::MIN },
    ];
    assert_eq!(guards, expected);
}

#[test]
fn the_explanation_is_of_every_gate_and_the_first_that_is_shut_is_the_decision() {
    let mut case = case();
    let explained = |case: &Case| {
        let explained = explain(&case.policy, &case.target, &case.metrics, &case.standing, &LIMITS);
        assert_eq!(explained.iter().map(|(gate, _)| *gate).collect::<Vec<_>>(), Gate::ALL);
        let shut = explained.into_iter().filter_map(|(_, shut)| shut);
        shut.map(|decision| decision.reason().map_or("suggest", Reason::code)).collect::<Vec<_>>()
    };
    assert_eq!(explained(&case), [""; 0]);
    case.standing.busy = Some(ActionId(5));
    case.standing.braked = Some(Braked { until: None });
    case.policy.auto_remediate = false;
    assert_eq!(explained(&case), ["braked", "suggest", "busy"]);
    assert_eq!(case.reason().map(|reason| reason.code()), Some("braked"));
}

#[test]
fn a_disabled_policy_is_blocked() {
    let mut case = case();
    case.policy.enabled = false;
    assert_eq!(case.reason(), Some(Reason::Disabled));
}

#[test]
fn nothing_is_done_while_a_brake_is_on() {
    for until in [None, Some(at(NOW + 60))] {
        let mut case = case();
        case.standing.braked = Some(Braked { until });
        let reason = case.reason().unwrap();
        assert_eq!((&reason, reason.code(), reason.next_at()), (&Reason::Braked { until }, "braked", until));
    }
}

#[test]
fn nobody_acts_on_a_target_that_is_unknown() {
    let mut case = case();
    case.target = Target::unknown();
    assert_eq!(case.reason(), Some(Reason::NoTarget));
}

#[test]
fn the_condition_must_be_met_for_as_long_as_for_asks() {
    let mut case = case();
    case.policy.hold = Duration::from_secs(60);
    for (since, reason) in [
        (NOW, Some(Reason::Pending { until: at(NOW + 60) })),
        (NOW - 59, Some(Reason::Pending { until: at(NOW + 1) })),
        (NOW - 60, None),
    ] {
        case.standing.episode.as_mut().unwrap().pending_since = at(since);
        assert_eq!(case.reason(), reason, "met since {since}");
    }
    case.standing.episode = None;
    let reason = case.reason().unwrap();
    assert_eq!((reason.code(), reason.next_at()), ("pending", Some(at(NOW + 60))), "it only begins now");
}

#[test]
fn a_policy_that_does_not_act_suggests() {
    let mut case = case();
    case.policy.auto_remediate = false;
    assert!(matches!(case.decide(), Decision::Suggest));
    assert!(case.decide().reason().is_none());
}

#[test]
fn an_episode_has_three_actions_and_then_a_person_must_look() {
    let mut case = case();
    for (actions, reason) in
        [(0, None), (2, None), (3, Some(Reason::Exhausted { actions: 3 })), (4, Some(Reason::Exhausted { actions: 4 }))]
    {
        case.standing.episode.as_mut().unwrap().actions = actions;
        assert_eq!(case.reason(), reason);
    }
}

#[test]
fn a_busy_target_is_left_alone() {
    let mut case = case();
    case.standing.busy = Some(ActionId(5));
    assert_eq!(case.reason(), Some(Reason::Busy { action: ActionId(5) }));
}

#[test]
fn the_cooldown_runs_from_the_start_of_the_last_action() {
    for (started, reason) in [
        (NOW, Some(Reason::Cooldown { until: at(NOW + 300) })),
        (NOW - 299, Some(Reason::Cooldown { until: at(NOW + 1) })),
        (NOW - 300, None),
    ] {
        assert_eq!(case().with_last(started, Some(started), Some(Verification::Verified)).reason(), reason.clone());
        if let Some(reason) = reason {
            assert!(reason.next_at().is_some(), "time alone ends a cooldown");
        }
    }
}

#[test]
fn the_last_action_must_be_verified_first() {
    let waiting = case().with_last(NOW - 400, Some(NOW - 390), Some(Verification::Awaiting));
    assert_eq!(waiting.reason(), Some(Reason::AwaitingVerification { action: ActionId(9) }));
    for ended in [Verification::Ineffective, Verification::Inconclusive, Verification::Verified] {
        assert_eq!(case().with_last(NOW - 400, Some(NOW - 390), Some(ended)).reason(), None);
    }
    assert_eq!(case().with_last(NOW - 400, Some(NOW - 390), None).reason(), None, "nothing verified it");
}

#[test]
fn a_violation_seen_only_before_the_last_action_ended_is_stale() {
    let stale = Some(Reason::StaleEvidence { since: at(NOW) });
    let last = |ended| case().with_last(NOW - 400, Some(ended), Some(Verification::Ineffective));
    assert_eq!(last(NOW).reason(), stale, "taken at the very time it ended");
    assert_eq!(last(NOW - 1).reason(), None);
    let mut mixed = last(NOW - 10);
    let other = Sample { tags: Tags::new([("zone", "b")]).unwrap(), ..sample("cpu", 10.0, at(NOW)) };
    mixed.metrics = Snapshot::new([sample("cpu", 93.0, at(NOW - 20)), other], at(NOW - 300));
    assert_eq!(evaluate(&mixed.policy, &mixed.metrics).verdict, Verdict::Met);
    assert_eq!(
        mixed.reason(),
        Some(Reason::StaleEvidence { since: at(NOW - 10) }),
        "the fresh series does not violate"
    );
    let mut half = last(NOW - 10);
    half.policy.condition =
        policy(&json!({"condition": {"type": "all", "conditions": [above("cpu", 80.0), above("mem", 80.0)]}}))
            .condition;
    half.metrics = Snapshot::new([sample("cpu", 93.0, at(NOW)), sample("mem", 93.0, at(NOW - 20))], at(NOW - 300));
    assert_eq!(half.reason(), Some(Reason::StaleEvidence { since: at(NOW - 10) }), "half of it is old");
}

#[test]
fn a_tenant_that_has_had_its_actions_of_this_minute_waits() {
    for (until, reason) in [(NOW + 5, Some(Reason::RateLimited { until: at(NOW + 5) })), (NOW, None)] {
        let mut case = case();
        case.standing.rate_limited = Some(at(until));
        assert_eq!(case.reason(), reason);
    }
}

#[test]
fn the_guard_of_the_rate_is_asked_of_a_limited_tenant_alone() {
    let case = case();
    let rates = |limits: Limits| {
        let evaluation = evaluate(&case.policy, &case.metrics);
        let decision = plan(&case.policy, &case.target, &case.metrics, &evaluation, &case.standing, &limits, 7);
        let Decision::Act(_, guards) = decision else { panic!("all gates are open") };
        guards.into_iter().filter(|guard| matches!(guard, Guard::Rate { .. })).collect::<Vec<_>>()
    };
    assert_eq!(rates(LIMITS), []);
    let per_minute = NonZeroU32::new(60).unwrap();
    assert_eq!(rates(Limits { actions_per_minute: Some(per_minute), ..LIMITS }), [Guard::Rate { per_minute }]);
}

#[test]
fn what_another_policy_did_to_the_target_must_have_settled_before_the_evidence() {
    let mut case = case();
    case.standing.settled_at = Some(at(NOW));
    assert_eq!(case.reason(), Some(Reason::StaleEvidence { since: at(NOW) }), "the sample is of that moment");
    case.standing.settled_at = Some(at(NOW - 1));
    let Decision::Act(_, guards) = case.decide() else { panic!("the sample is later") };
    let (policy, target) = (case.policy.name, case.target);
    let since = at(NOW - 1) + Duration::from_micros(1);
    assert_eq!(guards.last(), Some(&Guard::Evidence { policy, target, since }));
}

#[test]
fn the_guard_of_the_evidence_says_from_when_on_it_is() {
    let Decision::Act(_, guards) = case().with_last(NOW - 400, Some(NOW - 390), None).decide() else { panic!() };
    let since = guards.iter().find_map(|guard| match guard {
        Guard::Evidence { since, .. } => Some(*since),
        _ => None,
    });
    assert_eq!(since, Some(at(NOW - 390) + Duration::from_micros(1)));
}

#[test]
fn reasons_are_words_sentences_and_json() {
    let action = ActionId(4);
    for (reason, code, by_time) in [
        (Reason::Disabled, "disabled", false),
        (Reason::NoTarget, "no_target", false),
        (Reason::Pending { until: at(1) }, "pending", true),
        (Reason::Exhausted { actions: 3 }, "exhausted", false),
        (Reason::Busy { action }, "busy", false),
        (Reason::Cooldown { until: at(1) }, "cooldown", true),
        (Reason::AwaitingVerification { action }, "awaiting_verification", false),
        (Reason::StaleEvidence { since: at(1) }, "stale_evidence", false),
        (Reason::RateLimited { until: at(1) }, "rate_limited", true),
        (Reason::PolicyChanged, "policy_changed", false),
        (Reason::EpisodeChanged, "episode_changed", false),
    ] {
        assert_eq!((reason.code(), reason.next_at().is_some()), (code, by_time));
        assert!(!reason.to_string().is_empty());
        let stored = serde_json::to_value(&reason).unwrap();
        assert_eq!(stored["code"], code);
        assert_eq!(serde_json::from_value::<Reason>(stored).unwrap(), reason);
    }
}
