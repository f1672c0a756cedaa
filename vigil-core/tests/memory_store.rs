//! The Store in memory keeps the whole contract.

use std::sync::Arc;

use vigil_core::store::{MemoryStore, Store};
use vigil_core::testing::ManualClock;
use vigil_core::testing::store_conformance::StoreFixture;

struct Fixture(Arc<MemoryStore>);

#[async_trait::async_trait]
impl StoreFixture for Fixture {
    async fn open(clock: Arc<ManualClock>) -> Option<Self> {
        Some(Self(Arc::new(MemoryStore::with_clock(clock))))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn reopen(&mut self) -> bool {
        false // memory forgets
    }
}

vigil_core::store_conformance!(Fixture);
