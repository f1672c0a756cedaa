//! [`FaultyQueue`]: a Queue that goes wrong where you say.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Faults;
use crate::action::ActionKey;
use crate::queue::{Claim, DeadLetter, Depth, Queue, QueueError, QueueStats};
use crate::task::Task;
use crate::tenant::TenantId;

/// Wraps a Queue; its [`faults`](FaultyQueue::faults) decide which calls go wrong, and how.
#[derive(Debug)]
pub struct FaultyQueue {
    inner: Arc<dyn Queue>,
    faults: Faults,
}

impl FaultyQueue {
    /// Wraps `inner`; nothing goes wrong yet.
    pub fn new(inner: Arc<dyn Queue>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// What goes wrong. Methods are named as in the trait: `"claim"`.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    async fn call<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, QueueError>> + Send,
    ) -> Result<T, QueueError> {
        self.faults.around(method, QueueError::Unavailable, call).await
    }
}

#[async_trait]
impl Queue for FaultyQueue {
    async fn enqueue(&self, task: Task, delay: Duration) -> Result<(), QueueError> {
        self.call("enqueue", self.inner.enqueue(task, delay)).await
    }

    async fn claim(&self, lease: Duration, wait: Duration, max: usize) -> Result<Vec<Claim>, QueueError> {
        self.call("claim", self.inner.claim(lease, wait, max)).await
    }

    async fn extend(&self, claim: &Claim, lease: Duration) -> Result<(), QueueError> {
        self.call("extend", self.inner.extend(claim, lease)).await
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        self.call("ack", self.inner.ack(claim)).await
    }

    async fn retry(&self, claim: &Claim, delay: Duration) -> Result<(), QueueError> {
        self.call("retry", self.inner.retry(claim, delay)).await
    }

    async fn dead_letter(&self, claim: &Claim, reason: &str) -> Result<(), QueueError> {
        self.call("dead_letter", self.inner.dead_letter(claim, reason)).await
    }

    async fn rescue(&self, limit: usize) -> Result<usize, QueueError> {
        self.call("rescue", self.inner.rescue(limit)).await
    }

    async fn missing(&self, actions: &[ActionKey]) -> Result<Vec<ActionKey>, QueueError> {
        self.call("missing", self.inner.missing(actions)).await
    }

    async fn dead(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.call("dead", self.inner.dead(tenant, after, limit)).await
    }

    async fn revive(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        self.call("revive", self.inner.revive(tenant, letter)).await
    }

    async fn discard(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        self.call("discard", self.inner.discard(tenant, letter)).await
    }

    async fn purge(&self, tenant: &TenantId, older_than: Duration) -> Result<usize, QueueError> {
        self.call("purge", self.inner.purge(tenant, older_than)).await
    }

    async fn stats(&self) -> Result<QueueStats, QueueError> {
        self.call("stats", self.inner.stats()).await
    }

    async fn depth(&self, tenant: &TenantId) -> Result<Depth, QueueError> {
        self.call("depth", self.inner.depth(tenant)).await
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.call("ping", self.inner.ping()).await
    }
}
