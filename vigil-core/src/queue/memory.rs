//! [`MemoryQueue`]: the Queue of one process. The Store makes it safe: what it forgets, the reconciler brings again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Claim, Queue, QueueError, QueueStats};
use crate::action::ActionKey;
use crate::clock::{Clock, SystemClock};
use crate::task::Task;

/// A queue in memory, on tokio's clock.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Entry>,
    scheduled: Vec<(Instant, Entry)>,
    leased: HashMap<String, (Instant, Entry)>,
    dead: VecDeque<(Task, String)>,
    tokens: u64,
    stats: QueueStats,
}

#[derive(Debug, Clone)]
struct Entry {
    task: Task,
    deliveries: u32,
}

impl MemoryQueue {
    /// How many dead letters are kept; beyond that the oldest go.
    pub const MAX_DEAD: usize = 10_000;

    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// The dead letters with their reasons, oldest first.
    pub fn dead_letters(&self) -> Vec<(Task, String)> {
        self.lock().dead.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state holds plain values that are moved whole: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn enqueue(&self, task: Task, delay: Duration) -> Result<(), QueueError> {
        let mut state = self.lock();
        state.stats.enqueued += 1;
        state.put(Entry { task, deliveries: 0 }, delay);
        drop(state);
        self.arrived.notify_waiters();
        Ok(())
    }

    async fn claim(&self, lease: Duration, wait: Duration, max: usize) -> Result<Vec<Claim>, QueueError> {
        let deadline = Instant::now() + wait;
        loop {
            // Registered before looking, so that nothing arrives unseen in between.
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let (claims, next_due) = {
                let mut state = self.lock();
                (state.claim(lease, max), state.next_due())
            };
            if !claims.is_empty() || max == 0 {
                return Ok(claims);
            }
            let wake = next_due.map_or(deadline, |due| due.min(deadline));
            let woken = timeout_at(wake, arrived).await.is_ok();
            if !woken && wake == deadline {
                return Ok(self.lock().claim(lease, max));
            }
        }
    }

    async fn extend(&self, claim: &Claim, lease: Duration) -> Result<(), QueueError> {
        let mut state = self.lock();
        let (until, _) = state.leased.get_mut(&claim.token).ok_or(QueueError::LeaseLost)?;
        *until = Instant::now() + lease;
        Ok(())
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        let mut state = self.lock();
        state.leased.remove(&claim.token).ok_or(QueueError::LeaseLost)?;
        state.stats.completed += 1;
        state.stats.last_processed = Some(SystemClock.now());
        Ok(())
    }

    async fn retry(&self, claim: &Claim, delay: Duration) -> Result<(), QueueError> {
        let mut state = self.lock();
        let (_, entry) = state.leased.remove(&claim.token).ok_or(QueueError::LeaseLost)?;
        state.put(entry, delay);
        drop(state);
        self.arrived.notify_waiters();
        Ok(())
    }

    async fn dead_letter(&self, claim: &Claim, reason: &str) -> Result<(), QueueError> {
        let mut state = self.lock();
        let (_, entry) = state.leased.remove(&claim.token).ok_or(QueueError::LeaseLost)?;
        if state.dead.len() == Self::MAX_DEAD {
            state.dead.pop_front();
        }
        state.dead.push_back((entry.task, reason.to_owned()));
        state.stats.failed += 1;
        state.stats.last_processed = Some(SystemClock.now());
        Ok(())
    }

    async fn rescue(&self, limit: usize) -> Result<usize, QueueError> {
        let mut state = self.lock();
        let now = Instant::now();
        let lost = state.leased.iter().filter(|(_, (until, _))| *until <= now).map(|(token, _)| token.clone());
        let lost: Vec<String> = lost.take(limit).collect();
        for token in &lost {
            if let Some((_, entry)) = state.leased.remove(token) {
                state.ready.push_back(entry);
            }
        }
        drop(state);
        if !lost.is_empty() {
            self.arrived.notify_waiters();
        }
        Ok(lost.len())
    }

    async fn missing(&self, actions: &[ActionKey]) -> Result<Vec<ActionKey>, QueueError> {
        let state = self.lock();
        let leased = state.leased.values().map(|(_, entry)| entry);
        let scheduled = state.scheduled.iter().map(|(_, entry)| entry);
        let known: HashSet<ActionKey> =
            state.ready.iter().chain(scheduled).chain(leased).map(|e| e.task.key()).collect();
        Ok(actions.iter().filter(|action| !known.contains(action)).cloned().collect())
    }

    async fn stats(&self) -> Result<QueueStats, QueueError> {
        let state = self.lock();
        let now = Instant::now();
        let due = state.scheduled.iter().filter(|(at, _)| *at <= now).count() as u64;
        Ok(QueueStats {
            ready: state.ready.len() as u64 + due,
            scheduled: state.scheduled.len() as u64 - due,
            leased: state.leased.len() as u64,
            dead: state.dead.len() as u64,
            ..state.stats
        })
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

impl State {
    fn put(&mut self, entry: Entry, delay: Duration) {
        if delay.is_zero() {
            self.ready.push_back(entry);
        } else {
            self.scheduled.push((Instant::now() + delay, entry));
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.scheduled.iter().map(|(at, _)| *at).min()
    }

    fn claim(&mut self, lease: Duration, max: usize) -> Vec<Claim> {
        let now = Instant::now();
        let mut due: Vec<(Instant, Entry)> = self.scheduled.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        self.ready.extend(due.into_iter().map(|(_, entry)| entry));
        let mut claims = Vec::new();
        while claims.len() < max
            && let Some(mut entry) = self.ready.pop_front()
        {
            self.tokens += 1;
            self.stats.dequeued += 1;
            entry.deliveries += 1;
            let token = self.tokens.to_string();
            claims.push(Claim { task: entry.task.clone(), token: token.clone(), deliveries: entry.deliveries });
            self.leased.insert(token, (now + lease, entry));
        }
        claims
    }
}
