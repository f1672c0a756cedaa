//! [`Events`]: what this process did, for whoever listens: programs that embed Vigil, live views, tests.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::action::{Action, ActionId};
use crate::episode::Episode;
use crate::policy::{PolicyName, Reason};
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
    /// An audit entry got its sequence number: on the replica that gave it.
    Audit(Arc<AuditEntry>),
}

/// Hands events to any number of listeners. A listener that is too slow is told how many it missed.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Events {
    /// How many events a listener may lag behind.
    pub const CAPACITY: usize = 1024;

    /// Nobody listens yet.
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(Self::CAPACITY))
    }

    /// Everything from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    /// Tells whoever listens; nobody need.
    pub(crate) fn send(&self, event: Event) {
        let _ = self.0.send(event);
    }
}
