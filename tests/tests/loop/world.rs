//! The world of a test: a Store that outlives every process, the outside that is healed, and one process after another.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vigil_core::action::{Action, Verification};
use vigil_core::clock::{Clock, SystemClock, Timestamp};
use vigil_core::episode::Episode;
use vigil_core::policy::PolicySpec;
use vigil_core::queue::{MemoryQueue, Queue};
use vigil_core::retry::RetryPolicy;
use vigil_core::store::{ActionFilter, EpisodeFilter, MemoryStore, MetricBatch, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ScriptedRemediator, batch, metric, policy};
use vigil_core::{RunnerSettings, Settings, Vigil, VigilBuilder};
use vigil_queue_redis::{RedisOptions, RedisQueue};
use vigil_store_postgres::{PostgresOptions, PostgresStore};
use vigil_store_sqlite::{OpenError, SqliteOptions, SqliteStore};

use crate::shared;

/// Where the truth is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Sqlite,
    /// PostgreSQL, and Redis for the queue.
    Postgres,
}

impl Backend {
    /// Whether it can be tried here; says so if not, and fails where it is required.
    pub(crate) fn is_there(self) -> bool {
        let Self::Postgres = self else { return true };
        shared::server("postgres").is_some() && shared::server("redis").is_some()
    }
}

pub(crate) struct World {
    folder: Option<TempDir>,
    postgres: Option<PostgresOptions>,
    store: Option<Arc<dyn Store>>,
    pub(crate) remediator: Arc<ScriptedRemediator>,
}

impl World {
    pub(crate) async fn new(backend: Backend) -> Self {
        let remediator = Arc::new(ScriptedRemediator::new());
        let mut world = Self { folder: None, postgres: None, store: None, remediator };
        match backend {
            Backend::Memory => world.store = Some(Arc::new(MemoryStore::new())),
            Backend::Sqlite => world.folder = Some(tempfile::tempdir().unwrap()),
            Backend::Postgres => {
                // The test's own clock: it looks for what it sent by the times it sent.
                let options = PostgresOptions::of_url(&shared::schema().await).unwrap().clock(Arc::new(SystemClock));
                world.postgres = Some(options);
            }
        }
        world.restart().await;
        world
    }

    /// The Store as the next process finds it: a file is closed and opened again.
    pub(crate) async fn restart(&mut self) {
        if let Some(options) = &self.postgres {
            self.store = Some(Arc::new(PostgresStore::open(options.clone()).await.unwrap()));
        }
        let Some(folder) = &self.folder else { return };
        self.store = None;
        let options = SqliteOptions::file(folder.path().join("vigil.db"));
        loop {
            match SqliteStore::open(options.clone()).await {
                Ok(store) => return self.store = Some(Arc::new(store)),
                // What was killed is still letting go of the file.
                Err(OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("it is open")
    }

    /// A process over this world, with short spans.
    pub(crate) fn process(&self) -> VigilBuilder {
        Vigil::builder().store(self.store()).queue(self.queue()).remediator(self.remediator.clone()).settings(short())
    }

    /// An empty queue (V6), of the kind that goes with the Store.
    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        if self.postgres.is_none() {
            return Arc::new(MemoryQueue::new());
        }
        let mut options = RedisOptions::of_url(&shared::server("redis").expect("it is there")).unwrap();
        options.name = shared::name();
        Arc::new(RedisQueue::new(&options).unwrap())
    }

    /// The same, with a queue and a Store of the test's choice.
    pub(crate) fn process_over(&self, store: Arc<dyn Store>, queue: Arc<dyn Queue>) -> VigilBuilder {
        self.process().store(store).queue(queue)
    }

    /// All actions, oldest first.
    pub(crate) async fn actions(&self) -> Vec<Action> {
        let filter = ActionFilter { limit: 1000, ..ActionFilter::default() };
        let mut actions = self.store().actions(&TenantId::default(), &filter).await.unwrap();
        actions.reverse();
        actions
    }

    /// All episodes, newest first.
    pub(crate) async fn episodes(&self) -> Vec<Episode> {
        let filter = EpisodeFilter { limit: 1000, ..EpisodeFilter::default() };
        self.store().episodes(&TenantId::default(), &filter).await.unwrap()
    }

    /// Whether nothing is left to be done.
    pub(crate) async fn is_at_rest(&self) -> bool {
        let settled = |action: &Action| {
            action.status.is_final() && !action.occupies && action.verification != Some(Verification::Awaiting)
        };
        self.actions().await.iter().all(settled) && !self.episodes().await.iter().any(Episode::is_open)
    }
}

/// Spans in which a test sees a whole episode.
pub(crate) fn short() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        recheck: ms(30),
        workers: 2,
        lease: ms(1200),
        heartbeat: ms(200),
        lease_margin: ms(50),
        remediation_timeout: ms(300),
        deadline: ms(1500),
        retry: RetryPolicy { base: ms(20), cap: ms(100), tries: 5 },
        settle: ms(20),
        verify: ms(1000),
        verify_interval: ms(20),
        reconcile_interval: ms(100),
        runner: RunnerSettings { enabled: true, interval: ms(50), batch_size: 100 },
        lanes: 1,
        grace: Duration::from_secs(5),
        ..Settings::default()
    }
}

/// `cpu` above 80 on any target is healed by a restart.
pub(crate) fn hot() -> PolicySpec {
    policy("hot").exceeds("cpu", 80.0).auto().build()
}

/// One sample of `cpu`, now.
pub(crate) fn cpu(on: &str, value: f64) -> MetricBatch {
    sample("cpu", on, value)
}

/// One sample, now.
pub(crate) fn sample(name: &str, on: &str, value: f64) -> MetricBatch {
    let now = now();
    batch([metric(name, value).on(on).late(now, now)])
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
