//! Admission: the guards in their order, then action, episode and audit at once.

use super::{
    Action, ActionId, ActionIntent, Admission, AuditEntry, Episode, EpisodeChange, Guard, Reason, State, StoreError,
    Timestamp, Verification, remember, replay,
};

impl State {
    pub(super) fn admit(
        &mut self,
        intent: ActionIntent,
        guards: &[Guard],
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        if let Some(action) = replay(&self.admitted, &intent.tenant, intent.idempotency.as_ref(), now)? {
            return Ok(Admission::Replayed(action));
        }
        if let Some(reason) = guards.iter().find_map(|guard| self.refuse(&intent, guard, now)) {
            if let Some(open) = self.episode_of(&intent).filter(|episode| episode.is_open()).cloned() {
                let change = EpisodeChange::Refuse { reason: reason.clone() };
                self.change_episode(&intent.tenant, open.id, None, &change, &intent.actor, now)?;
            }
            return Ok(Admission::Blocked(reason));
        }
        self.last_id += 1;
        let (actor, idempotency) = (intent.actor.clone(), intent.idempotency.clone());
        let action: Action = intent.into_action(ActionId(self.last_id), now);
        if let Some(episode) = action.episode.and_then(|id| self.episodes.get(&id)) {
            let admitted = episode.admitted(action.id, now);
            self.episodes.insert(admitted.id, admitted);
        }
        self.audit.push(AuditEntry::admitted(&action, &actor));
        self.actions.insert(action.id, action.clone());
        remember(&mut self.admitted, &action.tenant, idempotency, action.clone(), now);
        Ok(Admission::Admitted(action))
    }

    fn episode_of(&self, intent: &ActionIntent) -> Option<&Episode> {
        let (id, _) = intent.episode?;
        self.episodes.get(&id).filter(|episode| episode.tenant == intent.tenant)
    }

    /// Why a guard does not hold, if it does not.
    fn refuse(&self, intent: &ActionIntent, guard: &Guard, now: Timestamp) -> Option<Reason> {
        match guard {
            Guard::Revision { policy, revision } => {
                let stored = self.policies.get(&(intent.tenant.clone(), policy.clone()));
                let same = stored.is_some_and(|stored| stored.revision == *revision && stored.is_enabled());
                (!same).then_some(Reason::PolicyChanged)
            }
            Guard::Free { target } => self.busy(&intent.tenant, target).map(|action| Reason::Busy { action }),
            Guard::Cooldown { policy, target, period } => {
                let until = self.last_action(&intent.tenant, policy, target)?.started_at + *period;
                (now < until).then_some(Reason::Cooldown { until })
            }
            Guard::Evidence { policy, target, since } => {
                let last = self.last_action(&intent.tenant, policy, target)?;
                if last.verification == Some(Verification::Awaiting) {
                    return Some(Reason::AwaitingVerification { action: last.id });
                }
                let ended = last.completed_at?;
                (ended >= *since).then_some(Reason::StaleEvidence { since: ended })
            }
            Guard::Attempts { max } => {
                let (_, version) = intent.episode?;
                match self.episode_of(intent).filter(|episode| episode.is_open()) {
                    Some(episode) if episode.actions >= *max => Some(Reason::Exhausted { actions: episode.actions }),
                    Some(episode) if episode.version == version => None,
                    _ => Some(Reason::EpisodeChanged),
                }
            }
        }
    }
}
