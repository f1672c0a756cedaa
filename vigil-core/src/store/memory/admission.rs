//! Admission: the guards, judged under the lock that also writes.

use super::idempotency::Earlier;
use super::state::State;
use crate::action::ActionId;
use crate::clock::Timestamp;
use crate::episode::{Episode, EpisodeChange};
use crate::policy::Reason;
use crate::store::{ActionIntent, Admission, AuditEntry, Braked, Guard, LastAction, StoreError, refuse_evidence};

impl State {
    pub(super) fn admit(
        &mut self,
        mut intent: ActionIntent,
        guards: &[Guard],
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        if let Earlier::Same(action) = self.admitted.earlier(&intent.tenant, intent.idempotency.as_ref(), now)? {
            return Ok(Admission::Replayed(action));
        }
        if let Some(opens) = intent.opens.take() {
            if self.episodes.open_one(&opens.tenant, &opens.policy, &opens.target).is_some() {
                return Ok(Admission::Blocked(Reason::EpisodeChanged));
            }
            let opened = self.open_episode(opens, now);
            intent.episode = Some((opened.id, opened.version));
        }
        let episode = self.episode_of(&intent);
        // An episode that is no longer what the planner saw cannot be moved on, whatever the guards say.
        let changed = (intent.episode.is_some() && episode.is_none()).then_some(Reason::EpisodeChanged);
        let refused = guards.iter().find_map(|guard| self.refusal(guard, &intent, episode.as_ref(), now)).or(changed);
        if let Some(reason) = refused {
            if let Some(episode) = episode {
                self.apply_to_episode(&episode, &EpisodeChange::Refuse { reason: reason.clone() }, &intent.actor, now);
            }
            return Ok(Admission::Blocked(reason));
        }
        let (actor, idempotency) = (intent.actor.clone(), intent.idempotency.clone());
        let action = intent.into_action(ActionId(self.next_id()), now);
        self.audit.add(AuditEntry::admitted(&action, &actor));
        if let Some(episode) = episode {
            self.episodes.put(episode.admitted(action.id, now));
        }
        self.actions.put(action.clone());
        self.admitted.keep(&action.tenant, idempotency, || action.clone(), now);
        Ok(Admission::Admitted(action))
    }

    /// The intent's episode, if it is open and still has the version that the planner saw.
    fn episode_of(&self, intent: &ActionIntent) -> Option<Episode> {
        let (id, version) = intent.episode?;
        let episode = self.episodes.find(&intent.tenant, id)?;
        (episode.is_open() && episode.version == version).then(|| episode.clone())
    }

    /// Why `guard` does not hold.
    fn refusal(
        &self,
        guard: &Guard,
        intent: &ActionIntent,
        episode: Option<&Episode>,
        now: Timestamp,
    ) -> Option<Reason> {
        let tenant = &intent.tenant;
        match guard {
            Guard::Revision { policy, revision } => {
                let stored = self.policies.find(tenant, policy);
                let holds = stored.is_some_and(|stored| stored.is_in_force(*revision));
                (!holds).then_some(Reason::PolicyChanged)
            }
            Guard::Brake => self.brakes_of(tenant, now).braked().map(|Braked { until }| Reason::Braked { until }),
            Guard::Free { target } => self.actions.busy(tenant, target).map(|action| Reason::Busy { action }),
            Guard::Cooldown { policy, target, period } => {
                let until = self.actions.last(tenant, policy, target)?.started_at + *period;
                (now < until).then_some(Reason::Cooldown { until })
            }
            Guard::Evidence { policy, target, since } => {
                let last = self.actions.last(tenant, policy, target).map(LastAction::of);
                refuse_evidence(last, self.actions.settled_at(tenant, target), *since, now)
            }
            Guard::Attempts { max } => match episode {
                None => Some(Reason::EpisodeChanged),
                Some(episode) if episode.actions >= *max => Some(Reason::Exhausted { actions: episode.actions }),
                Some(_) => None,
            },
            Guard::Rate { per_minute } => {
                let until = self.actions.rate_limited(tenant, *per_minute, now);
                until.map(|until| Reason::RateLimited { until })
            }
        }
    }
}
