//! [`ManualClock`]: time that moves when it is told to.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that stands still until it is moved. Starts at [`ManualClock::START`].
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// 2026-01-20T12:00:00.123456Z: not a round number, so that a Store that drops digits is found out.
    pub const START: Timestamp = Timestamp::from_micros(1_768_910_400_123_456);

    /// A clock that shows [`ManualClock::START`].
    pub fn new() -> Self {
        Self::at(Self::START)
    }

    /// A clock that shows `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_micros()))
    }

    /// Moves it, forwards or backwards.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_micros(), Ordering::SeqCst);
    }

    /// Moves it forwards and answers the new time.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let by = i64::try_from(by.as_micros()).expect("a test advances by less than 292,000 years");
        Timestamp::from_micros(self.0.fetch_add(by, Ordering::SeqCst) + by)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
