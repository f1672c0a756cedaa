//! The suite, on files that are closed and opened again, and in memory.

use std::sync::Arc;

use tempfile::TempDir;
use vigil_core::store::Store;
use vigil_core::testing::ManualClock;
use vigil_core::testing::store_conformance::StoreFixture;
use vigil_store_sqlite::{OpenError, SqliteOptions, SqliteStore};

async fn opened(options: SqliteOptions) -> Arc<SqliteStore> {
    loop {
        match SqliteStore::open(options.clone()).await {
            Ok(store) => return Arc::new(store),
            // The writer of the store before is still committing what it accepted.
            Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

struct OnFile {
    folder: TempDir,
    clock: Arc<ManualClock>,
    store: Option<Arc<SqliteStore>>,
}

impl OnFile {
    fn options(&self) -> SqliteOptions {
        SqliteOptions::file(self.folder.path().join("vigil.db")).clock(self.clock.clone())
    }
}

#[async_trait::async_trait]
impl StoreFixture for OnFile {
    async fn open(clock: Arc<ManualClock>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut fixture = Self { folder, clock, store: None };
        fixture.store = Some(opened(fixture.options()).await);
        Some(fixture)
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("it is open")
    }

    async fn reopen(&mut self) -> bool {
        self.store = None;
        self.store = Some(opened(self.options()).await);
        true
    }
}

struct InMemory(Arc<SqliteStore>);

#[async_trait::async_trait]
impl StoreFixture for InMemory {
    async fn open(clock: Arc<ManualClock>) -> Option<Self> {
        Some(Self(opened(SqliteOptions::memory().clock(clock)).await))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn reopen(&mut self) -> bool {
        false // memory forgets
    }
}

mod on_file {
    vigil_core::store_conformance!(crate::conformance::OnFile);
}

mod in_memory {
    vigil_core::store_conformance!(crate::conformance::InMemory);
}
