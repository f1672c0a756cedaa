//! [`eventually`]: waits for a value with a deadline.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long [`eventually`] waits. Long: it is only ever used up by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds a value, and answers it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut looks = 0;
/// let found = vigil_core::testing::eventually("the third look", async || {
///     looks += 1;
///     (looks == 3).then_some(looks)
/// });
/// assert_eq!(found.await, 3);
/// # });
/// ```
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    eventually_within(PATIENCE, what, look)
}

/// As [`eventually`], with a deadline of your own.
///
/// # Panics
/// After `patience`, naming what was waited for.
#[track_caller]
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let found = timeout(patience, async {
            loop {
                if let Some(value) = look().await {
                    return value;
                }
                sleep(BETWEEN_LOOKS).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what} did not come within {patience:?}, awaited at {caller}"))
    }
}
