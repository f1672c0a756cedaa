//! The clock that follows the Store's.

use std::sync::Arc;
use std::time::Duration;

use vigil_core::clock::{Clock, StoreClock, Timestamp};
use vigil_core::store::MemoryStore;
use vigil_core::testing::ManualClock;

#[tokio::test]
async fn a_clock_that_is_wrong_is_set_by_the_stores_and_one_that_is_nearly_right_is_left_alone() {
    let (own, stores) = (Arc::new(ManualClock::new()), Arc::new(ManualClock::new()));
    let store = MemoryStore::with_clock(stores.clone());
    let clock = StoreClock::new(own.clone());
    for wrong_by in [300, -300, 0] {
        own.set(Timestamp::from_micros(stores.now().as_micros() + wrong_by * 1_000_000));
        clock.follow(&store).await.unwrap();
        assert_eq!(clock.now(), stores.now(), "{wrong_by}");
    }
    own.advance(Duration::from_millis(400));
    clock.follow(&store).await.unwrap();
    assert_eq!(clock.now(), own.now());
}
