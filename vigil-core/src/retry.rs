//! [`RetryPolicy`]: whether and when something that failed is tried again. A pure value.

use std::time::Duration;

/// Exponential backoff with full jitter and a budget.
///
/// Full jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The upper bound of the first wait; doubles with every attempt.
    pub base: Duration,
    /// The upper bound of every wait.
    pub cap: Duration,
    /// How many attempts that were taken may fail.
    pub tries: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(30), tries: 5 }
    }
}

/// How an attempt failed, as far as trying again goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// It was not taken: nothing happened, no try is used up.
    NotTaken,
    /// It was not taken, and the other side said how long to wait.
    Throttled(Duration),
    /// It was taken and failed.
    Taken,
}

impl RetryPolicy {
    /// The wait before attempt `failures + 1`, or `None` when the budget is used up. `jitter` is in `0.0..1.0`.
    ///
    /// Where the other side said how long to wait, that is the floor, and the waits still grow: it was asked before.
    pub fn decide(&self, failures: u32, class: FailureClass, jitter: f64) -> Option<Duration> {
        let bound = self.base.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.cap);
        match class {
            FailureClass::Taken if failures >= self.tries => None,
            FailureClass::Taken | FailureClass::NotTaken => Some(bound.mul_f64(jitter)),
            FailureClass::Throttled(floor) => Some(floor.max(bound) + bound.mul_f64(jitter / 2.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { base: Duration::from_secs(1), cap: Duration::from_secs(30), tries: 5 };

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<u64> =
            (1..8).map(|n| POLICY.decide(n, FailureClass::NotTaken, 0.999_999).unwrap().as_millis() as u64).collect();
        assert_eq!(waits, [999, 1999, 3999, 7999, 15999, 29999, 29999]);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(POLICY.decide(3, FailureClass::NotTaken, 0.0), Some(Duration::ZERO));
    }

    #[test]
    fn the_other_sides_wait_is_a_floor_and_grows() {
        let wait = |n, jitter| POLICY.decide(n, FailureClass::Throttled(Duration::from_secs(1)), jitter).unwrap();
        assert!(wait(1, 0.0) >= Duration::from_secs(1));
        assert!(wait(1, 0.99) < wait(2, 0.0) && wait(2, 0.99) < wait(3, 0.0));
        assert!(
            POLICY.decide(1, FailureClass::Throttled(Duration::from_secs(90)), 0.0) >= Some(Duration::from_secs(90))
        );
    }

    #[test]
    fn only_attempts_that_were_taken_use_up_the_budget() {
        assert!(POLICY.decide(4, FailureClass::Taken, 0.5).is_some());
        assert_eq!(POLICY.decide(5, FailureClass::Taken, 0.5), None);
        assert!(POLICY.decide(5000, FailureClass::NotTaken, 0.5).is_some());
    }
}
