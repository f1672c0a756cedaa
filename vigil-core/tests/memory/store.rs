//! The Store in memory keeps the whole contract.

use std::sync::Arc;

use vigil_core::clock::Timestamp;
use vigil_core::metric::MetricName;
use vigil_core::store::{MemoryStore, Scope, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::store_conformance::StoreFixture;
use vigil_core::testing::{ManualClock, batch, metric, target};

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

#[tokio::test]
async fn of_one_series_the_newest_samples_are_kept() {
    let store = MemoryStore::with_clock(Arc::new(ManualClock::new()));
    let many = MemoryStore::SAMPLES_PER_SERIES + 10;
    let at = |n: usize| ManualClock::START + std::time::Duration::from_secs(n as u64);
    store.record_metrics(batch((0..many).map(|n| metric("cpu", n as f64).on("web-1").at(at(n))))).await.unwrap();
    let scope = Scope { tenant: TenantId::default(), target: Some(target("web-1")) };
    let cpu = [MetricName::new("cpu").unwrap()];
    let kept = store.samples(&scope, &cpu, Timestamp::MIN, usize::MAX).await.unwrap();
    assert_eq!(kept.len(), MemoryStore::SAMPLES_PER_SERIES);
    assert_eq!((kept[0].value, kept[kept.len() - 1].value), (10.0, (many - 1) as f64));
}
