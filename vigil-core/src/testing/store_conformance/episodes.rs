//! Episodes: opened once, changed by compare-and-set, ended once.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{SECOND, actor, by_policy, complete, condition, fail, name, start};
use crate::action::{ActionStatus, Severity};
use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, EpisodeState, Resolution};
use crate::metric::{Sample, Tags};
use crate::policy::{ConditionSpec, Reason};
use crate::store::{ActionIntent, Standing, StoreError};
use crate::tenant::TenantId;
use crate::testing::{episode_intent, intent, policy_name, target, tenant};

fn samples(at: Timestamp) -> Vec<Sample> {
    let tags = Tags::new([("zone", "naïve ☃")]).expect("valid tags");
    vec![
        Sample { metric: name("cpu"), tags: Tags::default(), value: 0.1 + 0.2, at },
        Sample { metric: name("mem ☃"), tags, value: -1e-300, at: at - SECOND },
    ]
}

fn changes(now: Timestamp) -> Vec<EpisodeChange> {
    let below = ConditionSpec::Below { metric: name("mem"), threshold: 0.5 };
    let mut all = vec![
        EpisodeChange::Observe { evidence: samples(now), condition: below.clone(), since: None },
        EpisodeChange::Observe { evidence: Vec::new(), condition: below, since: Some(now) },
        EpisodeChange::Hold,
        EpisodeChange::Fire,
        EpisodeChange::Refuse { reason: Reason::Disabled },
        EpisodeChange::Refuse { reason: Reason::Cooldown { until: now + SECOND } },
        EpisodeChange::Refuse { reason: Reason::Exhausted { actions: 3 } },
    ];
    all.extend(Resolution::ALL.map(|resolution| EpisodeChange::Resolve { resolution }));
    all.extend([None, Some("looked at it".to_owned())].map(|reason| EpisodeChange::Reset { reason }));
    all
}

async fn try_change(t: &StoreBench, episode: &Episode, change: EpisodeChange) -> Result<Episode, StoreError> {
    t.store().change_episode(&episode.tenant, episode.id, episode.version, change, &actor()).await
}

async fn resolve(t: &StoreBench, episode: &Episode) -> Episode {
    try_change(t, episode, EpisodeChange::Resolve { resolution: Resolution::Recovered }).await.unwrap()
}

async fn standing(t: &StoreBench, policy: &str, on: &str) -> Standing {
    t.store().standing(&TenantId::default(), &policy_name(policy), &target(on), None).await.unwrap()
}

pub async fn an_opened_episode_is_kept_with_every_field(t: &mut StoreBench) {
    for (number, firing) in [false, true].into_iter().enumerate() {
        let wanted = EpisodeIntent {
            severity: Severity::Critical,
            condition: ConditionSpec::All(vec![condition(), ConditionSpec::Any(vec![condition(), condition()])]),
            pending_since: t.now() - SECOND,
            firing,
            evidence: samples(t.now()),
            ..episode_intent("p ☃", &format!("naïve {number}"))
        };
        let opened = t.store().open_episode(wanted.clone()).await.unwrap();
        assert_eq!(opened, Episode::open(opened.id, wanted, t.now()));
        assert_eq!(t.read_episode(&opened).await, opened);
    }
}

pub async fn at_most_one_episode_is_open_for_a_policy_on_a_target(t: &mut StoreBench) {
    let first = t.open_episode("p", "web-1").await;
    t.pass(SECOND);
    let other = EpisodeIntent { severity: Severity::Critical, firing: false, ..episode_intent("p", "web-1") };
    assert_eq!(t.store().open_episode(other).await.unwrap(), first, "the open one is answered as it is");
    let theirs = EpisodeIntent { tenant: tenant("other"), ..episode_intent("p", "web-1") };
    let theirs = t.store().open_episode(theirs).await.unwrap();
    let ids = [first.id, t.open_episode("q", "web-1").await.id, t.open_episode("p", "web-2").await.id, theirs.id];
    for (place, id) in ids.iter().enumerate() {
        assert!(!ids[..place].contains(id));
    }
    assert_eq!(t.audited().await, ["episode.opened"; 3], "opening it again is no news");
}

pub async fn a_new_episode_opens_after_the_last_one_has_ended(t: &mut StoreBench) {
    let first = t.open_episode("p", "web-1").await;
    let ended = resolve(t, &first).await;
    let second = t.open_episode("p", "web-1").await;
    assert_ne!(first.id, second.id);
    assert_eq!((second.version, second.actions, second.state), (1, 0, EpisodeState::Firing));
    assert_eq!(t.read_episode(&first).await, ended);
}

pub async fn every_change_of_an_episode_does_what_the_state_machine_says(t: &mut StoreBench) {
    for (number, change) in changes(t.now()).into_iter().enumerate() {
        for firing in [false, true] {
            let wanted = EpisodeIntent { firing, ..episode_intent("p", &format!("{number} {firing}")) };
            let mut before = t.store().open_episode(wanted).await.unwrap();
            t.pass(SECOND);
            before = try_change(t, &before, EpisodeChange::Refuse { reason: Reason::Disabled }).await.unwrap();
            t.pass(SECOND);
            let after = try_change(t, &before, change.clone()).await.unwrap();
            assert_eq!(Some(&after), before.apply(&change, t.now()).as_ref(), "{change:?}");
            assert_eq!(after.version, before.version + 1);
            assert_eq!(t.read_episode(&before).await, after);
        }
    }
}

pub async fn an_episode_that_has_ended_never_changes(t: &mut StoreBench) {
    let ended = resolve(t, &t.open_episode("p", "web-1").await).await;
    for change in changes(t.now()) {
        let refused = try_change(t, &ended, change).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(t.read_episode(&ended).await, ended);
}

pub async fn a_change_of_another_version_of_an_episode_conflicts(t: &mut StoreBench) {
    let first = t.open_episode("p", "web-1").await;
    let second = try_change(t, &first, EpisodeChange::Hold).await.unwrap();
    for version in [first.version, second.version + 1] {
        let refused = try_change(t, &Episode { version, ..first.clone() }, EpisodeChange::Fire).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(t.read_episode(&first).await, second);
}

pub async fn an_episode_that_is_not_there_is_not_found(t: &mut StoreBench) {
    let known = t.open_episode("p", "web-1").await;
    let absent = Episode { id: EpisodeId(known.id.0 + 1_000_000), ..known.clone() };
    let of_another = Episode { tenant: tenant("other"), ..known.clone() };
    for unknown in [absent, of_another] {
        let refused = try_change(t, &unknown, EpisodeChange::Hold).await;
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
    assert_eq!(t.read_episode(&known).await, known);
}

pub async fn only_news_about_an_episode_is_audited(t: &mut StoreBench) {
    let mut episode = t.open_episode("p", "web-1").await;
    let refuse = |reason| EpisodeChange::Refuse { reason };
    let news = [
        (EpisodeChange::Hold, None),
        (EpisodeChange::Observe { evidence: Vec::new(), condition: condition(), since: None }, None),
        (refuse(Reason::Cooldown { until: t.now() }), Some(("episode.blocked", Some("cooldown")))),
        (refuse(Reason::Cooldown { until: t.now() + SECOND }), None),
        (refuse(Reason::Disabled), Some(("episode.blocked", Some("disabled")))),
        (EpisodeChange::Fire, Some(("episode.firing", None))),
        (EpisodeChange::Resolve { resolution: Resolution::Reset }, Some(("episode.resolved", Some("reset")))),
    ];
    for (change, wanted) in news {
        let before = t.audit().await.len();
        episode = try_change(t, &episode, change.clone()).await.unwrap();
        let audit = t.audit().await;
        let new = audit[before..].iter().map(|entry| (entry.kind.as_str(), entry.reason.as_deref()));
        assert_eq!(new.collect::<Vec<_>>(), Vec::from_iter(wanted), "{change:?}");
        assert!(audit.iter().all(|entry| entry.episode == Some(episode.id)));
    }
}

pub async fn a_standing_shows_the_open_episode_and_the_clock(t: &mut StoreBench) {
    assert!(standing(t, "p", "web-1").await.episode.is_none());
    let episode = t.open_episode("p", "web-1").await;
    t.open_episode("q", "web-1").await;
    let now = t.pass(SECOND);
    let seen = standing(t, "p", "web-1").await;
    assert_eq!((seen.now, seen.episode.as_ref()), (now, Some(&episode)));
    assert_eq!((seen.last_action, seen.busy), (None, None));
    resolve(t, &episode).await;
    assert!(standing(t, "p", "web-1").await.episode.is_none());
}

pub async fn a_standing_shows_the_newest_action_of_the_policy_on_the_target(t: &mut StoreBench) {
    let older = t.change(&t.admit(by_policy("p", "web-1")).await, start()).await;
    let older = t.change(&older, complete()).await;
    t.pass(SECOND);
    assert_eq!(standing(t, "p", "web-1").await.last_action, Some(older));
    let newer = t.admit(by_policy("p", "web-1")).await;
    t.pass(SECOND);
    t.admit(by_policy("q", "web-1")).await;
    t.admit(by_policy("p", "web-2")).await;
    t.admit(intent("web-1")).await;
    t.admit(ActionIntent { tenant: tenant("other"), ..by_policy("p", "web-1") }).await;
    t.admit(ActionIntent { status: ActionStatus::Failed, ..by_policy("p", "web-1") }).await;
    assert_eq!(standing(t, "p", "web-1").await.last_action, Some(newer));
}

pub async fn a_standing_shows_an_action_that_makes_the_target_busy(t: &mut StoreBench) {
    t.admit(ActionIntent { status: ActionStatus::Running, ..intent("web-1") }).await;
    t.admit(ActionIntent { tenant: tenant("other"), ..intent("web-1") }).await;
    assert_eq!(standing(t, "p", "web-1").await.busy, None);
    let action = t.admit(intent("web-1")).await;
    assert_eq!(standing(t, "p", "web-1").await.busy, Some(action.id));
    let action = t.change(&action, start()).await;
    assert_eq!(standing(t, "p", "web-1").await.busy, Some(action.id));
    t.change(&action, fail()).await;
    assert_eq!(standing(t, "p", "web-1").await.busy, None);
}
