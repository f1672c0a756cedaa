//! [`Controller`]: from a violation to an admitted action. The only writer of new actions.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, EpisodeState, Resolution};
use crate::events::Event;
use crate::history::History;
use crate::metric::{Sample, Snapshot};
use crate::policy::{
    Continuity, Decision, Evaluation, Policy, Reason, Verdict, evaluate, merge_evidence, plan, same_series,
};
use crate::store::{Actor, Admission, MINUTE, Standing, StoreError};
use crate::target::Target;

/// Judges one policy on one target over the Store's snapshot, and does what follows: opens, holds or ends the episode,
/// plans, admits, enqueues. Level-triggered: calling it again is always right.
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    context: Arc<Context>,
    actor: Actor,
}

/// What [`Controller::judge`] came to.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// The verdict over the Store's snapshot.
    pub(crate) verdict: Verdict,
    /// Asking again before is useless, unless something happens.
    pub(crate) next_at: Timestamp,
}

impl Controller {
    /// How often a judgement starts over because somebody else was faster.
    const RACES: usize = 5;

    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, actor: Actor::new("controller") }
    }

    /// Judges and acts.
    pub(crate) async fn judge(&self, policy: &Arc<Policy>, target: &Target) -> Result<Judgement, StoreError> {
        let mut policy = policy.clone();
        let mut races = 0;
        loop {
            match self.judge_once(&policy, target).await {
                Err(StoreError::Conflict(_)) if races < Self::RACES => races += 1,
                Ok((_, Some(Reason::EpisodeChanged))) if races < Self::RACES => races += 1,
                Ok((_, Some(Reason::PolicyChanged))) if races < Self::RACES => {
                    races += 1;
                    self.context.catalog.refresh().await?;
                    match self.context.catalog.set().policy(&policy.tenant, &policy.name) {
                        Some(newer) => policy = newer.clone(),
                        None => return Ok(Judgement { verdict: Verdict::Unknown, next_at: Timestamp::MAX }),
                    }
                }
                other => return other.map(|(judgement, _)| judgement),
            }
        }
    }

    async fn judge_once(
        &self,
        policy: &Arc<Policy>,
        target: &Target,
    ) -> Result<(Judgement, Option<Reason>), StoreError> {
        let context = &self.context;
        let asked = context.store.now().await?;
        let since = asked - context.settings.staleness;
        // Side by side: whatever changes between the two is caught by a guard, or by the next look.
        let (standing, metrics) = tokio::try_join!(
            context.standing(&policy.tenant, &policy.name, target),
            context.snapshot(&policy.tenant, Some(policy), target, since, asked)
        )?;
        let now = standing.now;
        let evaluation = evaluate(policy, &metrics).on_episode(policy, standing.episode.as_ref(), &metrics);
        let mut reason = None;
        let next_at = match evaluation.verdict {
            Verdict::Met => {
                let decision = self.violated(policy, target, &metrics, &evaluation, standing).await?;
                reason = decision.reason().cloned();
                self.next_at(&decision, now)
            }
            Verdict::Unmet => self.unmet(policy, standing).await.map(|()| now)?,
            Verdict::Unknown => self.unknown(standing).await.map(|()| now)?,
        };
        Ok((Judgement { verdict: evaluation.verdict, next_at }, reason))
    }

    /// The condition is met: the episode, then the plan, then the admission.
    async fn violated(
        &self,
        policy: &Arc<Policy>,
        target: &Target,
        metrics: &Snapshot,
        evaluation: &Evaluation,
        mut standing: Standing,
    ) -> Result<Decision, StoreError> {
        let opens = match standing.episode.take() {
            Some(open) => {
                let episode = self.episode(policy, target, metrics, evaluation, standing.now, open).await?;
                standing.episode = Some(episode);
                None
            }
            None => {
                let opens = Self::opening(policy, target, evaluation, standing.now);
                standing.episode = Some(Episode::open(EpisodeId(0), opens.clone(), standing.now));
                Some(opens)
            }
        };
        let nonce = self.context.random.next_u64();
        let limits = self.context.settings.limits(&policy.tenant);
        let mut decision = plan(policy, target, metrics, evaluation, &standing, &limits, nonce);
        if let Some(opens) = opens {
            match &mut decision {
                // It begins with an action: both are written together.
                Decision::Act(intent, _) => (intent.episode, intent.opens) = (None, Some(opens)),
                Decision::Suggest | Decision::Blocked(_) => standing.episode = Some(self.open(opens).await?),
            }
        }
        match decision {
            Decision::Act(intent, guards) => match self.context.store.admit((*intent).clone(), &guards).await? {
                Admission::Admitted(action) | Admission::Replayed(action) => {
                    self.decided(policy, target, evaluation, "act", None, Some(&action));
                    self.context.enqueue(&action).await;
                    if let (Some(opens), Some(id)) = (&intent.opens, action.episode) {
                        let opened = Episode::open(id, opens.clone(), action.started_at);
                        self.opened(opened.admitted(action.id, action.started_at));
                    }
                    self.context.announce(action);
                    Ok(Decision::Act(intent, guards))
                }
                Admission::Blocked(reason) => {
                    self.decided(policy, target, evaluation, "blocked", Some(&reason), None);
                    Ok(Decision::Blocked(reason))
                }
            },
            Decision::Suggest => {
                self.decided(policy, target, evaluation, "suggest", None, None);
                Ok(Decision::Suggest)
            }
            Decision::Blocked(reason) => {
                if let Some(episode) = &standing.episode {
                    self.refuse(episode, &reason).await?;
                }
                self.decided(policy, target, evaluation, "blocked", Some(&reason), None);
                Ok(Decision::Blocked(reason))
            }
        }
    }

    /// The open episode of a met condition, brought up to date.
    async fn episode(
        &self,
        policy: &Policy,
        target: &Target,
        metrics: &Snapshot,
        evaluation: &Evaluation,
        now: Timestamp,
        episode: Episode,
    ) -> Result<Episode, StoreError> {
        let violating = &evaluation.evidence;
        if episode.condition != policy.condition_spec {
            return self.observe(policy, &episode, violating, Some(newest(evaluation, now))).await;
        }
        let settings = &self.context.settings;
        let is_held = now >= episode.pending_since + policy.hold;
        if episode.state == EpisodeState::Pending && is_held {
            let since = self.continuously_met_since(policy, target, &episode).await?;
            if since.is_none_or(|since| since > episode.pending_since) {
                let since = since.unwrap_or_else(|| newest(evaluation, now));
                return self.observe(policy, &episode, violating, Some(since)).await;
            }
        }
        let is_old = episode.unmet_since.is_some() || now.since(episode.known_at) >= settings.staleness;
        let evidence = merge_evidence(&episode.evidence, violating, metrics, now - settings.metric_retention);
        let episode = if is_old || !same_series(&evidence, &episode.evidence) {
            self.observe(policy, &episode, &evidence, None).await?
        } else {
            episode
        };
        if episode.state == EpisodeState::Pending && is_held {
            return self.change(&episode, EpisodeChange::Fire).await;
        }
        Ok(episode)
    }

    /// What the episode of a new violation shall be.
    fn opening(policy: &Policy, target: &Target, evaluation: &Evaluation, now: Timestamp) -> EpisodeIntent {
        EpisodeIntent {
            tenant: policy.tenant.clone(),
            policy: policy.name.clone(),
            target: target.clone(),
            severity: policy.severity,
            condition: policy.condition_spec.clone(),
            pending_since: newest(evaluation, now),
            firing: policy.hold.is_zero(),
            evidence: evaluation.evidence.clone(),
        }
    }

    async fn open(&self, intent: EpisodeIntent) -> Result<Episode, StoreError> {
        let episode = self.context.store.open_episode(intent).await?;
        self.opened(episode.clone());
        Ok(episode)
    }

    fn opened(&self, episode: Episode) {
        self.context.telemetry.violated(episode.policy.as_str());
        self.context.events.send(Event::Episode(Arc::new(episode)));
    }

    /// Since when the stored samples, all of them, show the condition met without a break.
    async fn continuously_met_since(
        &self,
        policy: &Policy,
        target: &Target,
        episode: &Episode,
    ) -> Result<Option<Timestamp>, StoreError> {
        let staleness = self.context.settings.staleness;
        let mut history = History::new(&self.context, policy, target, episode.pending_since - staleness);
        let mut continuity = Continuity::new(policy, episode.pending_since, staleness);
        while let Some(samples) = history.next().await? {
            continuity.observe(&samples);
            tokio::task::yield_now().await;
        }
        Ok(continuity.met_since())
    }

    /// The condition is unmet: the episode ends, unless an action on it is still to be settled or `keep_firing_for` runs.
    async fn unmet(&self, policy: &Policy, standing: Standing) -> Result<(), StoreError> {
        let Some(episode) = standing.episode else { return Ok(()) };
        let unsettled = standing
            .last_action
            .as_ref()
            .is_some_and(|last| episode.last_action == Some(last.id) && last.phase() != crate::action::Phase::Done);
        if unsettled {
            return Ok(());
        }
        let over = match episode.unmet_since {
            _ if policy.keep_firing.is_zero() || episode.state == EpisodeState::Pending => true,
            Some(since) => standing.now >= since + policy.keep_firing,
            None => false,
        };
        if over {
            self.resolve(&episode, Resolution::Recovered).await
        } else if episode.unmet_since.is_none() {
            self.change(&episode, EpisodeChange::Hold).await.map(drop)
        } else {
            Ok(())
        }
    }

    /// Nothing is known: an episode of which nothing is known for too long ends.
    async fn unknown(&self, standing: Standing) -> Result<(), StoreError> {
        match standing.episode {
            Some(episode) if standing.now.since(episode.known_at) >= self.context.settings.unknown_after => {
                self.resolve(&episode, Resolution::Expired).await
            }
            _ => Ok(()),
        }
    }

    /// Ends an episode whose policy is gone, disabled, or no longer matches.
    pub(crate) async fn abandon(&self, episode: &Episode) -> Result<(), StoreError> {
        match self.resolve(episode, Resolution::PolicyRemoved).await {
            Err(StoreError::Conflict(_)) => Ok(()),
            other => other,
        }
    }

    async fn resolve(&self, episode: &Episode, resolution: Resolution) -> Result<(), StoreError> {
        let episode = self.change(episode, EpisodeChange::Resolve { resolution }).await?;
        tracing::info!(tenant = %episode.tenant, policy = %episode.policy, target = %episode.target, episode_id = %episode.id,
            reason = resolution.as_str(), "episode resolved");
        Ok(())
    }

    async fn observe(
        &self,
        policy: &Policy,
        episode: &Episode,
        evidence: &[Sample],
        since: Option<Timestamp>,
    ) -> Result<Episode, StoreError> {
        let (evidence, condition) = (evidence.to_vec(), policy.condition_spec.clone());
        self.change(episode, EpisodeChange::Observe { evidence, condition, since }).await
    }

    /// Writes a refusal down, unless it stands there already.
    async fn refuse(&self, episode: &Episode, reason: &Reason) -> Result<(), StoreError> {
        let stands = episode.refusal.as_ref().is_some_and(|known| match (&known.reason, reason) {
            // It moves on with every action that another target gets: what a storm is refused is not written at each look.
            (Reason::RateLimited { until: known }, Reason::RateLimited { until }) => *until < *known + MINUTE,
            (known, reason) => known == reason,
        });
        if stands {
            return Ok(());
        }
        self.change(episode, EpisodeChange::Refuse { reason: reason.clone() }).await.map(drop)
    }

    async fn change(&self, episode: &Episode, change: EpisodeChange) -> Result<Episode, StoreError> {
        let store = &self.context.store;
        let episode = store.change_episode(&episode.tenant, episode.id, episode.version, change, &self.actor).await?;
        self.context.events.send(Event::Episode(Arc::new(episode.clone())));
        Ok(episode)
    }

    fn next_at(&self, decision: &Decision, now: Timestamp) -> Timestamp {
        let minutes = self.context.settings.recheck * 12;
        match decision {
            Decision::Act(..) => now + self.context.settings.recheck,
            Decision::Suggest => now + minutes,
            Decision::Blocked(Reason::StaleEvidence { .. }) => now,
            // Another target may get the next one: all that wait for it do not ask at that very moment again and again.
            Decision::Blocked(Reason::RateLimited { until }) => (*until).max(now + self.context.settings.recheck),
            // Somebody may release it before its time.
            Decision::Blocked(Reason::Braked { until }) => {
                let soon = now + self.context.settings.recheck;
                until.map_or(soon, |until| until.min(soon))
            }
            Decision::Blocked(Reason::Exhausted { .. } | Reason::NoTarget) => now + minutes,
            Decision::Blocked(reason) => reason.next_at().unwrap_or(now + self.context.settings.recheck),
        }
    }

    fn decided(
        &self,
        policy: &Policy,
        target: &Target,
        evaluation: &Evaluation,
        decision: &'static str,
        reason: Option<&Reason>,
        action: Option<&crate::action::Action>,
    ) {
        let sample = evaluation.evidence.first();
        tracing::info!(
            tenant = %policy.tenant,
            policy = %policy.name,
            target = %target,
            metric = sample.map(|s| s.metric.as_str()),
            value = sample.map(|s| s.value),
            action = policy.action.as_str(),
            action_id = action.map(|action| action.id.0),
            decision,
            reason = reason.map(Reason::code),
            why = reason.map(tracing::field::display),
            "decision"
        );
        self.context.telemetry.decided(decision, reason.map_or("none", Reason::code));
        self.context.events.send(Event::Decided {
            tenant: policy.tenant.clone(),
            policy: policy.name.clone(),
            target: target.clone(),
            decision,
            reason: reason.cloned(),
            action: action.map(|action| action.id),
        });
    }
}

/// When the newest sample of the evidence is from.
fn newest(evaluation: &Evaluation, now: Timestamp) -> Timestamp {
    evaluation.evidence.iter().map(|sample| sample.at).max().unwrap_or(now)
}
