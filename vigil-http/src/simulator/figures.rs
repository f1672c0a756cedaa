//! [`Figures`]: what became of what was sent.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// The six counters, and how long answers took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Everything that was sent. Once all is answered, the sum of the other five.
    pub generated: u64,
    /// Taken: 2xx.
    pub succeeded: u64,
    /// Refused, or not answered.
    pub failed: u64,
    /// Refused for now: 429.
    pub rate_limited: u64,
    /// Given up.
    pub timeout: u64,
    /// Sent malformed.
    pub malformed: u64,
    /// How long the answers to those that succeeded took.
    pub latencies: Latencies,
}

/// Percentiles of the time from sending to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latencies {
    /// Half took at most so long.
    pub p50: Duration,
    /// 95 of 100.
    pub p95: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeded(Duration),
    Failed,
    RateLimited,
    TimedOut,
    Malformed,
}

/// Counts.
#[derive(Debug)]
pub(super) struct Counting(Mutex<(Figures, Histogram<u64>)>);

impl Default for Counting {
    fn default() -> Self {
        // Microseconds up to ten minutes, to three digits.
        let latencies = Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are fixed and good");
        Self(Mutex::new((Figures::default(), latencies)))
    }
}

impl Counting {
    pub(super) fn generated(&self) {
        self.lock().0.generated += 1;
    }

    pub(super) fn became(&self, fate: Fate) {
        let (figures, latencies) = &mut *self.lock();
        match fate {
            Fate::Succeeded(took) => {
                figures.succeeded += 1;
                latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
            Fate::Failed => figures.failed += 1,
            Fate::RateLimited => figures.rate_limited += 1,
            Fate::TimedOut => figures.timeout += 1,
            Fate::Malformed => figures.malformed += 1,
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let (figures, latencies) = &*self.lock();
        let at = |share| Duration::from_micros(latencies.value_at_quantile(share));
        let max = Duration::from_micros(latencies.max());
        Figures { latencies: Latencies { p50: at(0.5), p95: at(0.95), p99: at(0.99), max }, ..*figures }
    }

    fn lock(&self) -> MutexGuard<'_, (Figures, Histogram<u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}
