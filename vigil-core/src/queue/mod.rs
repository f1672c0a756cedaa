//! The [`Queue`] seam: a hint that brings actions to workers quickly. Losing it costs latency, never an action.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::action::ActionKey;
use crate::clock::Timestamp;
use crate::task::Task;
use crate::tenant::TenantId;

mod memory;

pub use memory::MemoryQueue;

/// Brings tasks to workers. Held as `Arc<dyn Queue>`.
///
/// # Contract
/// - First in, first out within a tenant; retries, rescues and delays are exempt. Tenants take turns: however much of one waits, new
///   or to be tried again, the next task of another is claimed within a few claims.
/// - A claim and its lease are one step: a claimed task is either acknowledged, retried, dead-lettered, or rescued after its
///   lease ran out. It may be delivered more than once, and two tasks may deliver one action: the Store decides.
/// - A claim whose lease ran out and was rescued is void: its calls answer [`QueueError::LeaseLost`] and change nothing.
/// - A Queue may forget everything at once; nothing else may be lost.
///
/// # Cancel safety
/// A dropped [`claim`](Queue::claim) loses nothing: what it took, if anything, is rescued when its lease runs out.
///
/// # Time
/// The Queue's own clock judges delays and leases.
///
/// # Errors
/// See [`QueueError`].
///
/// # Implementing
/// Run `vigil_core::queue_conformance!` (feature `testing`) over your Queue.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync + 'static {
    /// Puts a task in, to be claimed after `delay`.
    async fn enqueue(&self, task: Task, delay: Duration) -> Result<(), QueueError>;

    /// Takes up to `max` tasks under a lease; waits up to `wait` for the first one. Empty when none came.
    async fn claim(&self, lease: Duration, wait: Duration, max: usize) -> Result<Vec<Claim>, QueueError>;

    /// Lets the lease run `lease` from now.
    async fn extend(&self, claim: &Claim, lease: Duration) -> Result<(), QueueError>;

    /// The task is done: forget it.
    async fn ack(&self, claim: &Claim) -> Result<(), QueueError>;

    /// The task is to be claimed again after `delay`.
    async fn retry(&self, claim: &Claim, delay: Duration) -> Result<(), QueueError>;

    /// The task can never be done: keep it aside with the reason.
    async fn dead_letter(&self, claim: &Claim, reason: &str) -> Result<(), QueueError>;

    /// Puts up to `limit` tasks whose lease ran out back in line; answers how many.
    async fn rescue(&self, limit: usize) -> Result<usize, QueueError>;

    /// Those of the actions that no waiting, delayed or leased task delivers.
    async fn missing(&self, actions: &[ActionKey]) -> Result<Vec<ActionKey>, QueueError>;

    /// A tenant's dead letters, oldest first, from behind the one with number `after` on; 0: from the first.
    async fn dead(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<Vec<DeadLetter>, QueueError>;

    /// Puts the task of a tenant's dead letter in again as if it were new, and answers the letter, which is gone then; `None`
    /// if there is none of that id. The Store decides whether anything is left to be done.
    async fn revive(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError>;

    /// Forgets a tenant's dead letter, and answers it; `None` if there is none of that id.
    async fn discard(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError>;

    /// Forgets a tenant's dead letters that are so old, or older; answers how many.
    async fn purge(&self, tenant: &TenantId, older_than: Duration) -> Result<usize, QueueError>;

    /// How much is in it, and what went through.
    async fn stats(&self) -> Result<QueueStats, QueueError>;

    /// How much of a tenant's is in it.
    async fn depth(&self, tenant: &TenantId) -> Result<Depth, QueueError>;

    /// Whether the Queue can serve now.
    async fn ping(&self) -> Result<(), QueueError>;
}

/// What a Queue cannot do, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Somebody else has, or had, the task: stop working on it.
    #[error("the lease on the task was lost")]
    LeaseLost,
    /// Out of reach or overloaded: try again later.
    #[error("the queue is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is queued cannot be read.
    #[error("a queued task cannot be read")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("the queue failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A task under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The task.
    pub task: Task,
    /// Names this very delivery.
    pub token: String,
    /// How often the task was delivered, this time included.
    pub deliveries: u32,
}

/// A task that was given up on. A Queue keeps a bounded number of them; the oldest go first.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Names it: its task's id, or, where there is none, one that the Queue gave it.
    pub id: String,
    /// Greater than that of every letter before it.
    pub number: u64,
    /// Whose.
    pub tenant: TenantId,
    /// The task; `None` if what was queued is none.
    pub task: Option<Task>,
    /// What was queued, whatever it is.
    pub payload: String,
    /// Why it was given up on.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How much of one tenant's is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Waiting to be claimed, due retries included.
    pub ready: u64,
    /// Kept aside.
    pub dead: u64,
}

/// How much is in a queue, and what went through it since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Waiting to be claimed, due retries included.
    pub ready: u64,
    /// Waiting for their delay to pass.
    pub scheduled: u64,
    /// Claimed, not yet answered.
    pub leased: u64,
    /// Kept aside.
    pub dead: u64,
    /// Ever enqueued.
    pub enqueued: u64,
    /// Ever claimed.
    pub dequeued: u64,
    /// Ever acknowledged.
    pub completed: u64,
    /// Ever dead-lettered.
    pub failed: u64,
    /// When a task was last acknowledged or dead-lettered.
    pub last_processed: Option<Timestamp>,
}
