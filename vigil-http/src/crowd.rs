//! [`Crowd`]: the connections in the order in which they came, and how they are asked to leave.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

/// All connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// The oldest first; those that have ended may still be in it.
    members: VecDeque<Weak<CancellationToken>>,
    open: usize,
}

/// What a connection listens to.
#[derive(Debug)]
pub(crate) struct Leave(Arc<CancellationToken>);

impl Crowd {
    /// One more.
    pub(crate) fn enter(&mut self) -> Leave {
        // What has ended is forgotten when it is half of all.
        if self.members.len() >= 2 * self.open + 64 {
            self.members.retain(|member| member.strong_count() > 0);
            self.open = self.members.len();
        }
        let token = Arc::new(CancellationToken::new());
        self.members.push_back(Arc::downgrade(&token));
        Leave(token)
    }

    /// Asks the oldest that was not asked yet.
    pub(crate) fn ask_the_oldest(&mut self) {
        while let Some(member) = self.members.pop_front() {
            if let Some(token) = member.upgrade() {
                return token.cancel();
            }
        }
    }

    /// Asks all.
    pub(crate) fn ask_all(&mut self) {
        for member in self.members.drain(..) {
            if let Some(token) = member.upgrade() {
                token.cancel();
            }
        }
    }
}

impl Leave {
    /// Waits until it is asked to.
    pub(crate) async fn asked(&self) {
        self.0.cancelled().await;
    }
}
