//! What operators ask of a [`Vigil`]: to stop, to look, to begin anew.

use std::sync::Arc;

use super::Vigil;
use crate::episode::{Episode, EpisodeChange, EpisodeId};
use crate::events::Event;
use crate::policy::{Decision, Evaluation, Gate, Policy, PolicyName, Verdict, evaluate, explain, plan};
use crate::store::{Actor, BrakeChange, Brakes, Standing, StoreError};
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
        let standing = context.store.standing(tenant, &policy.name, target).await?;
        let since = standing.now - context.settings.staleness;
        let metrics = context.snapshot(tenant, Some(policy), target, since).await?;
        let evaluation = evaluate(policy, &metrics);
        let limits = context.settings.limits();
        let gates = explain(policy, target, &metrics, &standing, &limits);
        let matches = target.is_unknown() || policy.target.matches(target);
        let decided = matches && evaluation.verdict == Verdict::Met;
        let decision = decided.then(|| plan(policy, target, &metrics, &evaluation, &standing, &limits, 0));
        Ok(Some(Why { policy: policy.clone(), matches, evaluation, standing, gates, decision }))
    }
}
