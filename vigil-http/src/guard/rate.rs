//! [`Rate`]: how many requests a key or a peer may make, in bounded memory.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use tokio::time::Instant;
use vigil_core::key::KeyId;

use crate::problem::{ApiError, Kind};

/// So many requests a second on average, and so many at once. Each replica counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average.
    pub per_second: NonZeroU32,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Key(KeyId),
    Peer(IpAddr),
    /// All for whom there is no room.
    Rest,
}

pub(crate) struct RateGate {
    limiter: RateLimiter<Who, HashMapStateStore<Who>, DefaultClock>,
    room: usize,
    /// When those who are back at their full burst were last forgotten.
    tidied: Mutex<Option<Instant>>,
}

impl RateGate {
    /// How many are counted apart.
    const ROOM: usize = 100_000;
    /// How often those of whom nothing need be remembered are forgotten, when there is no room.
    const TIDY_EVERY: Duration = Duration::from_secs(5);

    pub(crate) fn new(rate: Rate) -> Self {
        Self::with_room(rate, Self::ROOM)
    }

    fn with_room(rate: Rate, room: usize) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self { limiter: RateLimiter::hashmap(quota), room, tidied: Mutex::default() }
    }

    /// Counts one request.
    pub(crate) fn check(&self, who: Who) -> Result<(), ApiError> {
        if self.limiter.len() >= self.room {
            self.tidy();
        }
        let who = if self.limiter.len() >= self.room { Who::Rest } else { who };
        self.limiter.check_key(&who).map_err(|until| too_many(&until, "Too many requests; wait as Retry-After says."))
    }

    /// Looks at all of them, which takes milliseconds: once in a while, however many come.
    fn tidy(&self) {
        // A panic while it was locked leaves it whole: it holds one value.
        let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        if tidied.is_none_or(|at| at.elapsed() >= Self::TIDY_EVERY) {
            *tidied = Some(Instant::now());
            self.limiter.retain_recent();
        }
    }
}

impl std::fmt::Debug for RateGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateGate").field("counted", &self.limiter.len()).finish_non_exhaustive()
    }
}

/// 429, with the time after which it may be tried again.
pub(crate) fn too_many(until: &NotUntil<<DefaultClock as Clock>::Instant>, detail: impl Into<String>) -> ApiError {
    let wait = until.wait_time_from(DefaultClock::default().now());
    ApiError::new(Kind::TooMany, detail).waiting(wait.as_secs() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_apart_and_the_many_share_what_is_left() {
        let one = NonZeroU32::MIN;
        let gate = RateGate::with_room(Rate { per_second: one, burst: one }, 10);
        let peer = |n: u8| Who::Peer(IpAddr::from([10, 0, 0, n]));
        for n in 0..10 {
            assert!(gate.check(peer(n)).is_ok(), "{n} is counted apart");
        }
        let passed = (10..=255).filter(|n| gate.check(peer(*n)).is_ok()).count();
        assert!(passed < 10, "{passed} of 246 that share one count passed");
        assert!(gate.limiter.len() <= 11, "memory is bounded");
    }
}
