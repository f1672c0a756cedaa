//! Randomness, passed in like time, so that tests can script it.

use std::fmt;

/// Gives random numbers for jitter, nonces and task ids.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// 64 uniformly random bits.
    fn next_u64(&self) -> u64;

    /// A number in `0.0..1.0`.
    fn jitter(&self) -> f64 {
        // 53 bits: every such f64 is exact and below one.
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn next_u64(&self) -> u64 {
        getrandom::u64().expect("the operating system gives random bytes once the program has started")
    }
}
