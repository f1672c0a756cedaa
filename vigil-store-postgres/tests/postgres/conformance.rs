//! The suite, on a schema of its own for each test.

use std::sync::Arc;

use vigil_core::store::Store;
use vigil_core::testing::ManualClock;
use vigil_core::testing::store_conformance::StoreFixture;
use vigil_store_postgres::PostgresStore;

use crate::database::Database;

struct OnServer {
    database: Database,
    clock: Arc<ManualClock>,
    store: Arc<PostgresStore>,
}

#[async_trait::async_trait]
impl StoreFixture for OnServer {
    async fn open(clock: Arc<ManualClock>) -> Option<Self> {
        let database = Database::create().await?;
        let store = Arc::new(database.open_on(clock.clone()).await);
        Some(Self { database, clock, store })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn reopen(&mut self) -> bool {
        self.store = Arc::new(self.database.open_on(self.clock.clone()).await);
        true
    }
}

vigil_core::store_conformance!(OnServer);
