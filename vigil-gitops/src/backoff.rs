//! [`Backoff`]: what failed is tried again, later and later.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigil_core::clock::Timestamp;

/// How often something failed in a row, and before when it is not tried again. There is none for what went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backoff {
    failures: u32,
    until: Timestamp,
}

/// The longest wait: shorter than Vigil waits for an action that is put off (`expires_after_seconds`).
const LONGEST: Duration = Duration::from_secs(300);

impl Backoff {
    /// After one more failure: the first wait is `first`, and each is twice the one before, up to five minutes.
    pub(crate) fn after(before: Option<Self>, first: Duration, now: Timestamp) -> Self {
        let failures = before.map_or(1, |before| before.failures.saturating_add(1));
        let wait = first.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST.max(first));
        Self { failures, until: now + wait }
    }

    /// How long it is still waited; `None` if it may be tried.
    pub(crate) fn left(self, now: Timestamp) -> Option<Duration> {
        Some(self.until.since(now)).filter(|left| !left.is_zero())
    }

    /// Before when it is not tried again.
    pub(crate) fn until(self) -> Timestamp {
        self.until
    }

    /// How often it failed.
    pub(crate) fn failures(self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_five_minutes() {
        let now = Timestamp::from_micros(0);
        let mut backoff = None;
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff = Some(Backoff::after(backoff, Duration::from_secs(10), now));
            waits.push(backoff.and_then(|backoff| backoff.left(now)).unwrap().as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(backoff.unwrap().left(now + Duration::from_secs(300)), None);
    }
}
