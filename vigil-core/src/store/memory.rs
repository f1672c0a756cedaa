//! [`MemoryStore`]: the Store for tests, examples and programs that can afford to forget. Correct, not durable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    ActionFilter, ActionIntent, Actor, Admission, AuditEntry, AuditFilter, Due, EpisodeFilter, Guard, IDEMPOTENCY_KEPT,
    Idempotency, MetricBatch, PolicyTable, PolicyWrite, Recorded, Scope, Standing, Store, StoreError, StoredPolicy,
    VERIFY_LEASE,
};
use crate::action::{Action, ActionId, ActionKey, ActionStatus, Change, Verification};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, EpisodeState, Resolution};
use crate::metric::{MetricId, MetricName, Sample, Tags};
use crate::policy::{PolicyName, Reason};
use crate::target::Target;
use crate::tenant::TenantId;

mod admission;
mod policies;

/// A Store in memory. Every call is one critical section, so that races end as if the callers had come one by one.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: i64,
    samples: BTreeMap<Scope, ScopeSamples>,
    actions: BTreeMap<ActionId, Action>,
    verify_hidden: HashMap<ActionId, Timestamp>,
    episodes: BTreeMap<EpisodeId, Episode>,
    policies: BTreeMap<(TenantId, PolicyName), StoredPolicy>,
    generation: i64,
    audit: Vec<AuditEntry>,
    last_seq: i64,
    recorded: HashMap<(TenantId, String), Remembered<Vec<MetricId>>>,
    admitted: HashMap<(TenantId, String), Remembered<Action>>,
}

#[derive(Debug, Default)]
struct ScopeSamples {
    history: VecDeque<(Timestamp, Sample)>,
    latest: BTreeMap<(MetricName, Tags), Sample>,
}

/// The answer to a request with an idempotency key.
#[derive(Debug)]
struct Remembered<T> {
    fingerprint: String,
    answer: T,
    at: Timestamp,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// How many samples of one target are kept; beyond that the oldest go.
    pub const MAX_SAMPLES: usize = 100_000;

    /// An empty Store on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty Store on a clock of your own.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made on a copy and put back whole: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn record_metrics(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        let now = self.clock.now();
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(ids) = replay(&state.recorded, &batch.tenant, batch.idempotency.as_ref(), now)? {
            return Ok(Recorded { ids, replayed: true });
        }
        let mut ids = Vec::with_capacity(batch.metrics.len());
        for metric in batch.metrics {
            state.last_id += 1;
            ids.push(MetricId(state.last_id));
            let scope = Scope { tenant: metric.tenant, target: metric.target };
            let sample = Sample { metric: metric.name, tags: metric.series, value: metric.value, at: metric.at };
            state.samples.entry(scope).or_default().put(sample, metric.received_at);
        }
        remember(&mut state.recorded, &batch.tenant, batch.idempotency, ids.clone(), now);
        Ok(Recorded { ids, replayed: false })
    }

    async fn snapshot(&self, scope: &Scope, since: Timestamp) -> Result<Vec<Sample>, StoreError> {
        let state = self.lock();
        let latest = state.samples.get(scope).into_iter().flat_map(|samples| samples.latest.values());
        Ok(latest.filter(|sample| sample.at >= since).cloned().collect())
    }

    async fn samples(
        &self,
        scope: &Scope,
        metrics: &[MetricName],
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, StoreError> {
        let state = self.lock();
        let history = state.samples.get(scope).into_iter().flat_map(|samples| samples.history.iter());
        let wanted = history.map(|(_, sample)| sample).filter(|s| s.at >= since && metrics.contains(&s.metric));
        let mut found: Vec<Sample> = wanted.cloned().collect();
        found.sort_by_key(|sample| sample.at);
        found.truncate(limit);
        Ok(found)
    }

    async fn scopes(&self, after: Option<&Scope>, limit: usize) -> Result<Vec<Scope>, StoreError> {
        let state = self.lock();
        let known = state.samples.iter().filter(|(_, samples)| !samples.latest.is_empty()).map(|(scope, _)| scope);
        Ok(known.filter(|scope| after.is_none_or(|after| *scope > after)).take(limit).cloned().collect())
    }

    async fn admit(&self, intent: ActionIntent, guards: &[Guard]) -> Result<Admission, StoreError> {
        self.lock().admit(intent, guards, self.clock.now())
    }

    async fn transition(
        &self,
        action: &ActionKey,
        version: i64,
        change: Change,
        resolve: Option<Resolution>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        self.lock().transition(action, version, &change, resolve, actor, self.clock.now())
    }

    async fn extend_lease(&self, action: &ActionKey, version: i64, by: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut state = self.lock();
        let known = state.find_mut(action)?;
        if known.version != version || !known.is_leased(now) {
            return Err(StoreError::Conflict(format!("action {}", action.id)));
        }
        known.lease_until = Some(now + by);
        Ok(())
    }

    async fn action(&self, action: &ActionKey) -> Result<Option<Action>, StoreError> {
        Ok(self.lock().actions.get(&action.id).filter(|known| known.tenant == action.tenant).cloned())
    }

    async fn actions(&self, tenant: &TenantId, filter: &ActionFilter) -> Result<Vec<Action>, StoreError> {
        let state = self.lock();
        let mut found: Vec<&Action> = state
            .actions
            .values()
            .filter(|a| a.tenant == *tenant)
            .filter(|a| filter.status.is_none_or(|status| a.status == status))
            .filter(|a| filter.target.as_ref().is_none_or(|target| a.target == *target))
            .filter(|a| filter.after.is_none_or(|after| (a.started_at, a.id) < after))
            .collect();
        found.sort_by_key(|a| std::cmp::Reverse((a.started_at, a.id)));
        Ok(found.into_iter().take(filter.limit).cloned().collect())
    }

    async fn standing(&self, tenant: &TenantId, policy: &PolicyName, target: &Target) -> Result<Standing, StoreError> {
        let state = self.lock();
        Ok(Standing {
            now: self.clock.now(),
            episode: state.open_episode(tenant, policy, target).cloned(),
            last_action: state.last_action(tenant, policy, target).cloned(),
            busy: state.busy(tenant, target),
        })
    }

    async fn open_episode(&self, intent: EpisodeIntent) -> Result<Episode, StoreError> {
        let now = self.clock.now();
        let mut state = self.lock();
        if let Some(open) = state.open_episode(&intent.tenant, &intent.policy, &intent.target) {
            return Ok(open.clone());
        }
        state.last_id += 1;
        let episode = Episode::open(EpisodeId(state.last_id), intent, now);
        state.audit.push(AuditEntry::opened(&episode, &Actor::new("controller"), now));
        state.episodes.insert(episode.id, episode.clone());
        Ok(episode)
    }

    async fn change_episode(
        &self,
        tenant: &TenantId,
        episode: EpisodeId,
        version: i64,
        change: EpisodeChange,
        actor: &Actor,
    ) -> Result<Episode, StoreError> {
        self.lock().change_episode(tenant, episode, Some(version), &change, actor, self.clock.now())
    }

    async fn episodes(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Result<Vec<Episode>, StoreError> {
        let state = self.lock();
        let found = state
            .episodes
            .values()
            .rev()
            .filter(|e| e.tenant == *tenant)
            .filter(|e| filter.state.is_none_or(|state| e.state == state))
            .filter(|e| filter.policy.as_ref().is_none_or(|policy| e.policy == *policy))
            .filter(|e| filter.target.as_ref().is_none_or(|target| e.target == *target))
            .filter(|e| filter.before.is_none_or(|before| e.id < before));
        Ok(found.take(filter.limit).cloned().collect())
    }

    async fn open_episodes(&self, after: EpisodeId, limit: usize) -> Result<Vec<Episode>, StoreError> {
        let state = self.lock();
        let open = state.episodes.values().filter(|episode| episode.is_open() && episode.id > after);
        Ok(open.take(limit).cloned().collect())
    }

    async fn due(&self, kind: Due, after: ActionId, limit: usize) -> Result<Vec<Action>, StoreError> {
        let now = self.clock.now();
        let mut state = self.lock();
        let due: Vec<Action> = state
            .actions
            .values()
            .filter(|action| action.managed && action.id > after && state.is_due(kind, action, now))
            .take(limit)
            .cloned()
            .collect();
        if kind == Due::Verification {
            state.verify_hidden.extend(due.iter().map(|action| (action.id, now + VERIFY_LEASE)));
        }
        Ok(due)
    }

    async fn policies(&self) -> Result<PolicyTable, StoreError> {
        let state = self.lock();
        Ok(PolicyTable { generation: state.generation, policies: state.policies.values().cloned().collect() })
    }

    async fn policy_generation(&self) -> Result<i64, StoreError> {
        Ok(self.lock().generation)
    }

    async fn write_policies(
        &self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
    ) -> Result<i64, StoreError> {
        self.lock().write_policies(tenant, writes, actor, self.clock.now())
    }

    async fn sequence_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut sequenced = Vec::new();
        let unsequenced = state.audit.iter_mut().skip_while(|entry| entry.seq.is_some());
        for entry in unsequenced.take(limit) {
            state.last_seq += 1;
            entry.seq = Some(state.last_seq);
            sequenced.push(entry.clone());
        }
        Ok(sequenced)
    }

    async fn audit(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let state = self.lock();
        let found = state
            .audit
            .iter()
            .filter(|e| e.tenant == *tenant && e.seq.is_some_and(|seq| seq > filter.after))
            .filter(|e| filter.action.is_none_or(|action| e.action == Some(action)))
            .filter(|e| filter.episode.is_none_or(|episode| e.episode == Some(episode)));
        Ok(found.take(filter.limit).cloned().collect())
    }

    async fn prune(&self, metrics: Timestamp, history: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.rows();
        for samples in state.samples.values_mut() {
            samples.history.retain(|(received_at, _)| *received_at >= metrics);
            samples.latest.retain(|_, sample| sample.at >= metrics);
        }
        state.samples.retain(|_, samples| !samples.history.is_empty() || !samples.latest.is_empty());
        let kept = |ended: Option<Timestamp>| ended.is_none_or(|at| at >= history);
        state.actions.retain(|_, action| {
            action.occupies || action.verification == Some(Verification::Awaiting) || kept(action.completed_at)
        });
        state.episodes.retain(|_, episode| kept(episode.resolved_at));
        state.audit.retain(|entry| entry.seq.is_none() || entry.at >= history);
        Ok((before - state.rows()) as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl ScopeSamples {
    fn put(&mut self, sample: Sample, received_at: Timestamp) {
        let series = (sample.metric.clone(), sample.tags.clone());
        if self.latest.get(&series).is_none_or(|known| known.at <= sample.at) {
            self.latest.insert(series, sample.clone());
        }
        if self.history.len() == MemoryStore::MAX_SAMPLES {
            self.history.pop_front();
        }
        self.history.push_back((received_at, sample));
    }
}

impl State {
    fn rows(&self) -> usize {
        let samples: usize = self.samples.values().map(|s| s.history.len() + s.latest.len()).sum();
        samples + self.actions.len() + self.episodes.len() + self.audit.len()
    }

    fn find_mut(&mut self, key: &ActionKey) -> Result<&mut Action, StoreError> {
        let known = self.actions.get_mut(&key.id).filter(|action| action.tenant == key.tenant);
        known.ok_or_else(|| StoreError::NotFound(format!("action {}", key.id)))
    }

    fn open_episode(&self, tenant: &TenantId, policy: &PolicyName, target: &Target) -> Option<&Episode> {
        self.episodes
            .values()
            .find(|e| e.is_open() && e.tenant == *tenant && e.policy == *policy && e.target == *target)
    }

    /// The newest managed action of a policy on a target.
    fn last_action(&self, tenant: &TenantId, policy: &PolicyName, target: &Target) -> Option<&Action> {
        let of =
            |a: &&Action| a.managed && a.tenant == *tenant && a.policy.as_ref() == Some(policy) && a.target == *target;
        self.actions.values().filter(of).max_by_key(|a| (a.started_at, a.id))
    }

    /// A managed action that is pending, running or occupying on a target.
    fn busy(&self, tenant: &TenantId, target: &Target) -> Option<ActionId> {
        let busy = |a: &&Action| {
            a.managed && a.tenant == *tenant && a.target == *target && (!a.status.is_final() || a.occupies)
        };
        self.actions.values().find(busy).map(|a| a.id)
    }

    fn is_due(&self, kind: Due, action: &Action, now: Timestamp) -> bool {
        let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        match kind {
            Due::Delivery => match action.status {
                ActionStatus::Pending => action.not_before <= now,
                ActionStatus::Running => action.indeterminate_at.is_none() && !action.is_leased(now),
                _ => false,
            },
            Due::Verification => {
                let hidden = self.verify_hidden.get(&action.id).is_some_and(|until| *until > now);
                let unverifiable = action.indeterminate_at.is_some() && action.condition.is_none();
                let lost = unverifiable && action.status == ActionStatus::Running && passed(action.deadline);
                let awaiting = action.verification == Some(Verification::Awaiting) && passed(action.verify_after);
                !hidden && (awaiting || lost)
            }
            Due::Occupation => action.status.is_final() && action.occupies && passed(action.deadline),
        }
    }

    fn change_episode(
        &mut self,
        tenant: &TenantId,
        id: EpisodeId,
        version: Option<i64>,
        change: &EpisodeChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Episode, StoreError> {
        let known = self.episodes.get(&id).filter(|episode| episode.tenant == *tenant);
        let before = known.ok_or_else(|| StoreError::NotFound(format!("episode {id}")))?;
        let conflict = || StoreError::Conflict(format!("episode {id}"));
        if version.is_some_and(|version| version != before.version) {
            return Err(conflict());
        }
        let after = before.apply(change, now).ok_or_else(conflict)?;
        self.audit.extend(AuditEntry::episode_changed(before, &after, change, actor, now));
        self.episodes.insert(id, after.clone());
        Ok(after)
    }

    fn transition(
        &mut self,
        key: &ActionKey,
        version: i64,
        change: &Change,
        resolve: Option<Resolution>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Action, StoreError> {
        let before = self.find_mut(key)?.clone();
        if before.version != version {
            return Err(StoreError::Conflict(format!("action {}", key.id)));
        }
        let after = before.apply(change, now)?;
        if after.occupies && !before.occupies {
            let occupant = |a: &&Action| a.occupies && a.tenant == after.tenant && a.target == after.target;
            if let Some(other) = self.actions.values().find(occupant) {
                return Err(StoreError::Occupied { by: other.id });
            }
        }
        self.audit.push(AuditEntry::changed(&before, &after, change, actor, now));
        self.actions.insert(after.id, after.clone());
        let ended = self
            .episodes
            .get(&after.episode.unwrap_or(EpisodeId(0)))
            .is_some_and(|e| e.state == EpisodeState::Resolved);
        if let (Some(resolution), Some(episode), false) = (resolve, after.episode, ended) {
            self.change_episode(&after.tenant, episode, None, &EpisodeChange::Resolve { resolution }, actor, now)?;
        }
        Ok(after)
    }
}

/// The answer remembered for a key, if it is not too old.
fn replay<T: Clone>(
    known: &HashMap<(TenantId, String), Remembered<T>>,
    tenant: &TenantId,
    idempotency: Option<&Idempotency>,
    now: Timestamp,
) -> Result<Option<T>, StoreError> {
    let Some(idempotency) = idempotency else { return Ok(None) };
    match known.get(&(tenant.clone(), idempotency.key.clone())) {
        Some(earlier) if now.since(earlier.at) >= IDEMPOTENCY_KEPT => Ok(None),
        Some(earlier) if earlier.fingerprint == idempotency.fingerprint => Ok(Some(earlier.answer.clone())),
        Some(_) => Err(StoreError::KeyReused),
        None => Ok(None),
    }
}

fn remember<T>(
    known: &mut HashMap<(TenantId, String), Remembered<T>>,
    tenant: &TenantId,
    idempotency: Option<Idempotency>,
    answer: T,
    now: Timestamp,
) {
    if let Some(Idempotency { key, fingerprint }) = idempotency {
        known.retain(|_, earlier| now.since(earlier.at) < IDEMPOTENCY_KEPT);
        known.insert((tenant.clone(), key), Remembered { fingerprint, answer, at: now });
    }
}
