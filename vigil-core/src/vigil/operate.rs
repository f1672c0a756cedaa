//! What operators ask of a [`Vigil`]: to stop, to look, to begin anew.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Vigil;
use crate::episode::{Episode, EpisodeChange, EpisodeId};
use crate::events::Event;
use crate::policy::{Decision, Evaluation, Gate, Policy, PolicyName, Verdict, evaluate, explain, plan};
use crate::queue::{DeadLetter, QueueError};
use crate::store::{Actor, BrakeChange, Brakes, Note, Standing, StoreError};
use crate::target::Target;
use crate::tenant::TenantId;

/// What stands between a policy and an action on a target.
#[derive(Debug)]
pub struct Why {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Whether it watches the target at all.
    pub matches: bool,
    /// Its verdict, with the evidence.
    pub evaluation: Evaluation,
    /// How things stand.
    pub standing: Standing,
    /// What each gate says, in their order: `None` where it lets through.
    pub gates: Vec<(Gate, Option<Decision>)>,
    /// What the loop would do now; `None` if there is no violation to decide about.
    pub decision: Option<Decision>,
}

impl Vigil {
    /// Sets a tenant's brake. When this has answered, no attempt of an action that it stops starts on any replica; what runs
    /// is finished.
    ///
    /// # Errors
    /// [`StoreError`]: then the brake is as it was, or, if the Store became unavailable meanwhile, as it shall be.
    pub async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError> {
        let brakes = self.context.store.set_brake(tenant, change, actor).await?;
        if let Some(brake) = &brakes.own {
            tracing::warn!(%tenant, state = brake.state.as_str(), scope = brake.scope.as_str(), reason = brake.reason,
                until = brake.until.map(tracing::field::display), actor = actor.as_str(), "the brake was set");
        }
        // The reconciler counts again: a count that fails is not the caller's failure.
        let _ = self.context.look_at_brakes().await;
        Ok(brakes)
    }

    /// Ends an open episode by a person's word. If its condition is still met, another one opens, which has had no actions
    /// yet; the cooldown stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if it has ended already.
    pub async fn reset_episode(
        &self,
        tenant: &TenantId,
        id: EpisodeId,
        reason: Option<String>,
        actor: &Actor,
    ) -> Result<Episode, StoreError> {
        let store = &self.context.store;
        loop {
            let known = store.episode(tenant, id).await?;
            let episode = known.ok_or_else(|| StoreError::NotFound(format!("episode {id}")))?;
            let change = EpisodeChange::Reset { reason: reason.clone() };
            match store.change_episode(tenant, id, episode.version, change, actor).await {
                // Somebody else was faster: look again. One that has ended stays so.
                Err(StoreError::Conflict(_)) if episode.is_open() => {}
                other => {
                    return other.inspect(|ended| {
                        tracing::info!(%tenant, policy = %ended.policy, target = %ended.target, episode_id = %ended.id,
                            reason, actor = actor.as_str(), "episode reset");
                        self.context.events.send(Event::Episode(Arc::new(ended.clone())));
                    });
                }
            }
        }
    }

    /// Why something is, or is not, done about a target by a policy: every gate as the planner finds it now, over the same
    /// samples. `None` if there is no such policy. Nothing is written.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read how things stand.
    pub async fn why(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
    ) -> Result<Option<Why>, StoreError> {
        let context = &self.context;
        context.catalog.refresh().await?;
        let set = context.catalog.set();
        let Some(policy) = set.policy(tenant, policy) else { return Ok(None) };
        let standing = context.standing(tenant, &policy.name, target).await?;
        let since = standing.now - context.settings.staleness;
        let metrics = context.snapshot(tenant, Some(policy), target, since, standing.now).await?;
        let evaluation = evaluate(policy, &metrics).on_episode(policy, standing.episode.as_ref(), &metrics);
        let limits = context.settings.limits(tenant);
        let gates = explain(policy, target, &metrics, &standing, &limits);
        let matches = target.is_unknown() || policy.target.matches(target);
        let decided = matches && evaluation.verdict == Verdict::Met;
        let decision = decided.then(|| plan(policy, target, &metrics, &evaluation, &standing, &limits, 0));
        Ok(Some(Why { policy: policy.clone(), matches, evaluation, standing, gates, decision }))
    }

    /// Puts the task of a dead letter in again. An action that is final by now is not carried out again: the Store decides when
    /// the task is delivered.
    ///
    /// # Errors
    /// [`DeadLetterError`]; what was asked for is in the audit before it is done.
    pub async fn retry_dead_letter(
        &self,
        tenant: &TenantId,
        letter: &str,
        actor: &Actor,
    ) -> Result<DeadLetter, DeadLetterError> {
        self.note_letter("dead_letter.retry", tenant, letter, actor).await?;
        let revived = self.context.queue.revive(tenant, letter).await?;
        revived.ok_or_else(|| DeadLetterError::NotFound(letter.to_owned()))
    }

    /// Forgets a dead letter.
    ///
    /// # Errors
    /// [`DeadLetterError`]; what was asked for is in the audit before it is done.
    pub async fn discard_dead_letter(
        &self,
        tenant: &TenantId,
        letter: &str,
        actor: &Actor,
    ) -> Result<DeadLetter, DeadLetterError> {
        self.note_letter("dead_letter.discard", tenant, letter, actor).await?;
        let discarded = self.context.queue.discard(tenant, letter).await?;
        discarded.ok_or_else(|| DeadLetterError::NotFound(letter.to_owned()))
    }

    /// Forgets the dead letters that are so old, or older; answers how many.
    ///
    /// # Errors
    /// [`DeadLetterError`]; what was asked for is in the audit before it is done.
    pub async fn purge_dead_letters(
        &self,
        tenant: &TenantId,
        older_than: Duration,
        actor: &Actor,
    ) -> Result<usize, DeadLetterError> {
        let detail = json!({"older_than_seconds": older_than.as_secs()});
        let kind = "dead_letter.purge".to_owned();
        let note = Note { kind, action: None, episode: None, reason: None, detail };
        self.context.store.note(tenant, note, actor).await?;
        let purged = self.context.queue.purge(tenant, older_than).await?;
        tracing::info!(%tenant, purged, older_than_seconds = older_than.as_secs(), actor = actor.as_str(), "dead letters purged");
        Ok(purged)
    }

    /// Writes down what is about to be done to a letter that is there.
    async fn note_letter(
        &self,
        kind: &str,
        tenant: &TenantId,
        letter: &str,
        actor: &Actor,
    ) -> Result<(), DeadLetterError> {
        const PAGE: usize = 500;
        let mut after = 0;
        let known = loop {
            let page = self.context.queue.dead(tenant, after, PAGE).await?;
            let last = page.last().map(|last| last.number);
            match (page.into_iter().find(|known| known.id == letter), last) {
                (Some(known), _) => break known,
                (None, Some(last)) => after = last,
                (None, None) => return Err(DeadLetterError::NotFound(letter.to_owned())),
            }
        };
        let action = known.task.as_ref().map(|task| task.action_id);
        let detail = json!({"task_id": known.id, "at": known.at});
        let reason = Some(known.reason);
        let note = Note { kind: kind.to_owned(), action, episode: None, reason, detail };
        self.context.store.note(tenant, note, actor).await?;
        tracing::info!(%tenant, task_id = letter, action_id = action.map(|action| action.0), actor = actor.as_str(), "{kind}");
        Ok(())
    }
}

/// Why nothing was done about dead letters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// There is none of that id.
    #[error("the dead letter '{0}' does not exist")]
    NotFound(String),
    /// It could not be written down, and so was not done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue did not do it.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
