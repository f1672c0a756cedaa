//! [`MemoryQueue`]: the whole Queue in one process's memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Claim, DeadLetter, Depth, Queue, QueueError, QueueStats};
use crate::action::ActionKey;
use crate::clock::{Clock, SystemClock};
use crate::task::Task;
use crate::tenant::TenantId;
use crate::turns::Turns;

/// A [`Queue`] in memory. Everything is gone when it is dropped, which the Store makes safe.
///
/// Delays and leases run on tokio's time, so that a paused test moves them. A claim that waits costs nothing: it is woken
/// by the task it waits for.
#[derive(Debug)]
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Tells waiting claims that there is a task, or one that becomes due earlier than they know of.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Tenants take turns.
    ready: Turns<Entry>,
    /// By the time they become due; the number keeps equal times apart, and in order.
    scheduled: BTreeMap<(Instant, u64), Entry>,
    leased: BTreeMap<u64, Lease>,
    dead: VecDeque<DeadLetter>,
    /// How many of the entries above, the dead not counted, deliver an action.
    delivering: HashMap<ActionKey, usize>,
    last_number: u64,
    /// The counters; the depths in it are filled in when they are asked for.
    totals: QueueStats,
}

#[derive(Debug)]
struct Entry {
    task: Task,
    deliveries: u32,
}

#[derive(Debug)]
struct Lease {
    entry: Entry,
    until: Instant,
}

impl MemoryQueue {
    /// How many dead letters are kept; beyond that the oldest goes.
    pub const MAX_DEAD: usize = 1000;

    /// An empty Queue on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty Queue that reads its timestamps (not delays and leases) from `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), changed: Notify::new() }
    }

    /// The tasks that were given up on, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.lock().dead.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panics while it holds the lock")
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn enqueue(&self, task: Task, delay: Duration) -> Result<(), QueueError> {
        let mut state = self.lock();
        state.totals.enqueued += 1;
        *state.delivering.entry(task.key()).or_default() += 1;
        state.put(Entry { task, deliveries: 0 }, delay);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn claim(&self, lease: Duration, wait: Duration, max: usize) -> Result<Vec<Claim>, QueueError> {
        let give_up = from_now(wait);
        loop {
            // Made before the look, so that nothing can come unnoticed between the look and the wait.
            let changed = self.changed.notified();
            let next_due = {
                let mut state = self.lock();
                let claims = state.claim(lease, max);
                if !claims.is_empty() || max == 0 {
                    return Ok(claims);
                }
                state.next_due()
            };
            if Instant::now() >= give_up {
                return Ok(Vec::new());
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(next_due.map_or(give_up, |due| due.min(give_up))) => {}
            }
        }
    }

    async fn extend(&self, claim: &Claim, lease: Duration) -> Result<(), QueueError> {
        let mut state = self.lock();
        let held = number_of(claim).and_then(|number| state.leased.get_mut(&number)).ok_or(QueueError::LeaseLost)?;
        held.until = from_now(lease);
        Ok(())
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        let mut state = self.lock();
        let entry = state.take(claim)?;
        state.forget(&entry.task.key());
        state.totals.completed += 1;
        state.totals.last_processed = Some(self.clock.now());
        Ok(())
    }

    async fn retry(&self, claim: &Claim, delay: Duration) -> Result<(), QueueError> {
        let mut state = self.lock();
        let entry = state.take(claim)?;
        state.put(entry, delay);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn dead_letter(&self, claim: &Claim, reason: &str) -> Result<(), QueueError> {
        let mut state = self.lock();
        let Entry { task, .. } = state.take(claim)?;
        let (at, number) = (self.clock.now(), state.next_number());
        state.forget(&task.key());
        state.totals.failed += 1;
        state.totals.last_processed = Some(at);
        state.dead.push_back(DeadLetter {
            id: task.task_id.clone(),
            number,
            tenant: task.tenant.clone(),
            payload: serde_json::to_string(&task).map_err(|error| QueueError::Backend(error.into()))?,
            task: Some(task),
            reason: reason.to_owned(),
            at,
        });
        if state.dead.len() > Self::MAX_DEAD {
            state.dead.pop_front();
        }
        Ok(())
    }

    async fn rescue(&self, limit: usize) -> Result<usize, QueueError> {
        let mut state = self.lock();
        let now = Instant::now();
        let lost = state.leased.iter().filter(|(_, lease)| lease.until <= now).map(|(number, _)| *number);
        let lost: Vec<u64> = lost.take(limit).collect();
        for number in &lost {
            if let Some(lease) = state.leased.remove(number) {
                let tenant = lease.entry.task.tenant.clone();
                state.ready.push(&tenant, lease.entry);
            }
        }
        drop(state);
        if !lost.is_empty() {
            self.changed.notify_waiters();
        }
        Ok(lost.len())
    }

    async fn missing(&self, actions: &[ActionKey]) -> Result<Vec<ActionKey>, QueueError> {
        let state = self.lock();
        Ok(actions.iter().filter(|key| !state.delivering.contains_key(key)).cloned().collect())
    }

    async fn dead(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let state = self.lock();
        let theirs = state.dead.iter().filter(|letter| letter.tenant == *tenant && letter.number > after);
        Ok(theirs.take(limit).cloned().collect())
    }

    async fn revive(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        let mut state = self.lock();
        let Some(letter) = state.unbury(tenant, letter) else { return Ok(None) };
        if let Some(task) = letter.task.clone() {
            state.totals.enqueued += 1;
            *state.delivering.entry(task.key()).or_default() += 1;
            state.put(Entry { task, deliveries: 0 }, Duration::ZERO);
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(Some(letter))
    }

    async fn discard(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        Ok(self.lock().unbury(tenant, letter))
    }

    async fn purge(&self, tenant: &TenantId, older_than: Duration) -> Result<usize, QueueError> {
        let mut state = self.lock();
        let (before, newest) = (state.dead.len(), self.clock.now() - older_than);
        state.dead.retain(|letter| letter.tenant != *tenant || letter.at > newest);
        Ok(before - state.dead.len())
    }

    async fn stats(&self) -> Result<QueueStats, QueueError> {
        let mut state = self.lock();
        state.promote();
        Ok(QueueStats {
            ready: state.ready.len() as u64,
            scheduled: state.scheduled.len() as u64,
            leased: state.leased.len() as u64,
            dead: state.dead.len() as u64,
            ..state.totals
        })
    }

    async fn depth(&self, tenant: &TenantId) -> Result<Depth, QueueError> {
        let mut state = self.lock();
        state.promote();
        let dead = state.dead.iter().filter(|letter| letter.tenant == *tenant).count();
        Ok(Depth { ready: state.ready.len_of(tenant) as u64, dead: dead as u64 })
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn put(&mut self, entry: Entry, delay: Duration) {
        if delay.is_zero() {
            self.ready.push(&entry.task.tenant.clone(), entry);
        } else {
            let number = self.next_number();
            self.scheduled.insert((from_now(delay), number), entry);
        }
    }

    /// Moves what has become due behind what waits already.
    fn promote(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.scheduled.first_entry()
            && first.key().0 <= now
        {
            let entry = first.remove();
            self.ready.push(&entry.task.tenant.clone(), entry);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.scheduled.first_key_value().map(|((due, _), _)| *due)
    }

    fn claim(&mut self, lease: Duration, max: usize) -> Vec<Claim> {
        self.promote();
        let count = max.min(self.ready.len());
        let mut claims = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(mut entry) = self.ready.pop() else { break };
            entry.deliveries += 1;
            let number = self.next_number();
            claims.push(Claim { task: entry.task.clone(), token: number.to_string(), deliveries: entry.deliveries });
            self.leased.insert(number, Lease { entry, until: from_now(lease) });
            self.totals.dequeued += 1;
        }
        claims
    }

    /// Ends a claim that is still held.
    fn take(&mut self, claim: &Claim) -> Result<Entry, QueueError> {
        let lease = number_of(claim).and_then(|number| self.leased.remove(&number));
        lease.map(|lease| lease.entry).ok_or(QueueError::LeaseLost)
    }

    /// Takes a dead letter out.
    fn unbury(&mut self, tenant: &TenantId, letter: &str) -> Option<DeadLetter> {
        let place = self.dead.iter().position(|known| known.tenant == *tenant && known.id == letter)?;
        self.dead.remove(place)
    }

    fn forget(&mut self, action: &ActionKey) {
        if let Some(count) = self.delivering.get_mut(action) {
            *count -= 1;
            if *count == 0 {
                self.delivering.remove(action);
            }
        }
    }
}

fn number_of(claim: &Claim) -> Option<u64> {
    claim.token.parse().ok()
}

/// `Instant` overflows where `Duration` does not.
fn from_now(by: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);
    Instant::now() + by.min(LONGEST)
}
