use std::time::Duration;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::default() + Duration::from_secs(seconds)
}

fn episode(firing: bool) -> Episode {
    let metric = crate::metric::MetricName::new("cpu").unwrap();
    let intent = EpisodeIntent {
        tenant: TenantId::default(),
        policy: PolicyName::new("p").unwrap(),
        target: Target::new("web-1").unwrap(),
        severity: Severity::Warning,
        condition: ConditionSpec::Exceeds { metric, threshold: 80.0 },
        pending_since: at(10),
        firing,
        evidence: Vec::new(),
    };
    Episode::open(EpisodeId(1), intent, at(11))
}

fn observe(since: Option<Timestamp>) -> EpisodeChange {
    let metric = crate::metric::MetricName::new("cpu").unwrap();
    EpisodeChange::Observe { evidence: Vec::new(), condition: ConditionSpec::Below { metric, threshold: 1.0 }, since }
}

fn resolve() -> EpisodeChange {
    EpisodeChange::Resolve { resolution: Resolution::Recovered }
}

fn refuse(reason: Reason) -> EpisodeChange {
    EpisodeChange::Refuse { reason }
}

#[test]
fn an_episode_fires_at_once_or_after_its_time() {
    assert_eq!((episode(true).state, episode(true).firing_since), (EpisodeState::Firing, Some(at(11))));
    let pending = episode(false);
    assert_eq!((pending.state, pending.firing_since, pending.version), (EpisodeState::Pending, None, 1));
    let fired = pending.apply(&EpisodeChange::Fire, at(70)).unwrap();
    assert_eq!((fired.state, fired.firing_since, fired.version), (EpisodeState::Firing, Some(at(70)), 2));
    assert_eq!(fired.apply(&EpisodeChange::Fire, at(80)).unwrap().firing_since, Some(at(70)), "since the first time");
}

#[test]
fn seeing_it_met_again_keeps_its_time_unless_it_starts_anew() {
    let held = episode(true).apply(&EpisodeChange::Hold, at(20)).unwrap();
    assert_eq!((held.unmet_since, held.known_at), (Some(at(20)), at(20)));
    assert_eq!(held.apply(&EpisodeChange::Hold, at(25)).unwrap().unmet_since, Some(at(20)));
    let met = held.apply(&observe(None), at(30)).unwrap();
    assert_eq!((met.unmet_since, met.pending_since, met.state), (None, at(10), EpisodeState::Firing));
    let anew = met.apply(&observe(Some(at(40))), at(41)).unwrap();
    assert_eq!((anew.pending_since, anew.state, anew.firing_since), (at(40), EpisodeState::Pending, None));
}

#[test]
fn an_ended_episode_never_changes() {
    let ended = episode(true).apply(&resolve(), at(50)).unwrap();
    assert_eq!(
        (ended.resolved_at, ended.resolution, ended.is_open()),
        (Some(at(50)), Some(Resolution::Recovered), false)
    );
    for change in [observe(None), EpisodeChange::Hold, EpisodeChange::Fire, refuse(Reason::Disabled), resolve()] {
        assert_eq!(ended.apply(&change, at(60)), None);
    }
}

#[test]
fn a_refusal_counts_and_is_news_once_a_reason() {
    let busy = |n| refuse(Reason::Busy { action: ActionId(n) });
    let first = episode(true).apply(&busy(1), at(20)).unwrap();
    assert!(episode(true).is_news(&busy(1)) && !first.is_news(&busy(2)), "the same reason with other details");
    let second = first.apply(&busy(2), at(30)).unwrap();
    let refusal = second.refusal.clone().unwrap();
    assert_eq!((refusal.since, refusal.count, refusal.reason), (at(20), 2, Reason::Busy { action: ActionId(2) }));
    let other = second.apply(&refuse(Reason::Disabled), at(40)).unwrap();
    assert_eq!(other.refusal.as_ref().map(|refusal| (refusal.since, refusal.count)), Some((at(40), 1)));
    assert!(other.apply(&resolve(), at(50)).unwrap().refusal.is_none());
}

#[test]
fn an_admission_makes_it_fire_and_counts() {
    let refused = episode(false).apply(&refuse(Reason::NoTarget), at(20)).unwrap();
    let admitted = refused.admitted(ActionId(8), at(30));
    assert_eq!((admitted.state, admitted.firing_since), (EpisodeState::Firing, Some(at(30))));
    assert_eq!((admitted.actions, admitted.last_action, admitted.version), (1, Some(ActionId(8)), 3));
    assert!(admitted.refusal.is_none());
}

#[test]
fn only_what_matters_is_audited() {
    let episode = episode(true);
    assert!(!episode.is_news(&observe(None)) && !episode.is_news(&EpisodeChange::Hold));
    assert!(episode.is_news(&EpisodeChange::Fire) && episode.is_news(&resolve()));
}

#[test]
fn words_are_read_as_they_are_written() {
    for state in EpisodeState::ALL {
        assert_eq!(EpisodeState::parse(state.as_str()), Ok(state));
    }
    for resolution in Resolution::ALL {
        assert_eq!(Resolution::parse(resolution.as_str()), Ok(resolution));
    }
    assert_eq!(EpisodeState::parse("open").unwrap_err().field, "state");
    assert_eq!(Resolution::parse("").unwrap_err().field, "resolution");
}
