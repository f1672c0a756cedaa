//! [`StoreClock`]: this machine's clock, set by the Store's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::store::{Store, StoreError};

/// A clock that follows the Store's, the only one that all replicas share: it is another clock and a difference, which
/// [`Vigil`](crate::Vigil) measures when it loads policies and every few seconds while it runs.
///
/// Clocks that differ by less than a second are taken to agree.
#[derive(Debug)]
pub struct StoreClock {
    own: Arc<dyn Clock>,
    /// By how much the Store's is ahead, in microseconds.
    ahead: AtomicI64,
}

impl StoreClock {
    /// What is not worth following, and how long the Store may take to say what time it is for that to tell anything.
    const NEAR: Duration = Duration::from_secs(1);

    /// Shows what `own` shows until it is set.
    pub fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead: AtomicI64::new(0) }
    }

    /// Asks the Store what time it is.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot say: the clock goes on as it was.
    pub async fn follow(&self, store: &dyn Store) -> Result<(), StoreError> {
        let asked = self.own.now();
        let answer = store.now().await?;
        let answered = self.own.now();
        if answered < asked || answered.since(asked) > Self::NEAR {
            return Ok(());
        }
        let middle = asked + answered.since(asked) / 2;
        let ahead = answer.as_micros().saturating_sub(middle.as_micros());
        let is_near = u128::from(ahead.unsigned_abs()) < Self::NEAR.as_micros();
        let ahead = if is_near { 0 } else { ahead };
        let before = self.ahead.swap(ahead, Ordering::Relaxed);
        if before.abs_diff(ahead) > u64::try_from(Self::NEAR.as_micros()).unwrap_or(u64::MAX) {
            tracing::warn!(
                seconds = ahead as f64 / 1e6,
                "the store's clock is another one than this machine's; it is followed"
            );
        }
        Ok(())
    }
}

impl Default for StoreClock {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.own.now().as_micros().saturating_add(self.ahead.load(Ordering::Relaxed)))
    }
}
