//! [`Events`]: what this process did, for whoever listens: programs that embed Vigil, live views, tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, broadcast};

use crate::action::{Action, ActionId};
use crate::clock::Timestamp;
use crate::episode::Episode;
use crate::metric::Metric;
use crate::policy::{PolicyName, Reason};
use crate::queue::QueueStats;
use crate::store::AuditEntry;
use crate::target::Target;
use crate::tenant::TenantId;

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A violation was judged.
    Decided {
        /// Whose.
        tenant: TenantId,
        /// The violated policy.
        policy: PolicyName,
        /// The target that violates it.
        target: Target,
        /// `act`, `suggest` or `blocked`.
        decision: &'static str,
        /// Why it was blocked.
        reason: Option<Reason>,
        /// The action that was admitted.
        action: Option<ActionId>,
    },
    /// An episode opened, changed or ended.
    Episode(Arc<Episode>),
    /// An action was admitted or changed.
    Action(Arc<Action>),
    /// An audit entry got its sequence, on whatever replica. They come in its order, each at least once, and as long as somebody
    /// listens without a gap; who began to listen late, or was too slow, finds one and reads what is between in the Store.
    Audit(Arc<AuditEntry>),
    /// How much is in the queue.
    Queue(QueueStats),
}

/// Hands events to any number of listeners. A listener that is too slow is told how many it missed.
#[derive(Debug, Clone)]
pub struct Events {
    events: broadcast::Sender<Event>,
    samples: broadcast::Sender<Arc<Metric>>,
    told: Arc<Mutex<HashMap<TenantId, (i64, u32)>>>,
    listened: Arc<Notify>,
}

impl Events {
    /// How many events a listener may lag behind.
    pub const CAPACITY: usize = 1024;
    /// How many samples of a tenant are told of in one second.
    pub const SAMPLES_PER_SECOND: u32 = 50;

    /// Nobody listens yet.
    pub(crate) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(Self::CAPACITY),
            samples: broadcast::Sender::new(Self::CAPACITY),
            told: Arc::default(),
            listened: Arc::default(),
        }
    }

    /// Everything from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        let receiver = self.events.subscribe();
        self.listened.notify_one();
        receiver
    }

    /// Samples that this process takes in from now on: of each tenant the first few of every second, see
    /// [`SAMPLES_PER_SECOND`](Self::SAMPLES_PER_SECOND).
    pub fn samples(&self) -> broadcast::Receiver<Arc<Metric>> {
        self.samples.subscribe()
    }

    /// Tells whoever listens; nobody need.
    pub(crate) fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Tells of a sample that was taken in, unless enough of its tenant were told of in this second.
    pub(crate) fn sample(&self, metric: &Metric, now: Timestamp) {
        if self.samples.receiver_count() == 0 {
            return;
        }
        let second = now.as_micros() / 1_000_000;
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner); // no change to it can panic half way
            let (of, count) = told.entry(metric.tenant.clone()).or_insert((second, 0));
            if *of != second {
                (*of, *count) = (second, 0);
            }
            if *count >= Self::SAMPLES_PER_SECOND {
                return;
            }
            *count += 1;
        }
        let _ = self.samples.send(Arc::new(metric.clone()));
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Waits until somebody begins to listen.
    pub(crate) async fn listened(&self) {
        self.listened.notified().await;
    }
}
