//! [`SqliteStore`]: the Store in one SQLite file.

use std::fs::File;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};
use tokio::sync::Notify;
use vigil_core::action::{Action, ActionId, ActionKey, Change};
use vigil_core::clock::{Clock, Timestamp};
use vigil_core::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, Resolution};
use vigil_core::key::{ApiKey, KeyTable, KeyWrite};
use vigil_core::metric::{MetricName, Sample};
use vigil_core::policy::PolicyName;
use vigil_core::store::{
    ActionFilter, ActionIntent, Actor, Admission, AuditEntry, AuditFilter, Brake, BrakeChange, Brakes, Due,
    EpisodeFilter, Followed, Guard, MetricBatch, Note, PolicyTable, PolicyWrite, Range, RangeQuery, Recorded, Scope,
    Series, SeriesFilter, Standing, Store, StoreError,
};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::writer::Writer;
use crate::{
    OpenError, SqliteOptions, actions, admission, audit, brakes, episodes, keys, metrics, migrate, policies, retention,
    scopes, series,
};

/// The Store in one SQLite file: write-ahead log, `synchronous=FULL`, one writer with group commit, several readers.
///
/// One process at a time has the file; a second one is refused by [`SqliteStore::open`]. Dropping it commits what was
/// accepted; [`SqliteStore::close`] also waits for that.
#[derive(Debug)]
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    writer: Writer,
    /// `None` in memory: there the writer's connection is the only one that sees the data.
    readers: Option<SqlitePool>,
    changed: Notify,
}

impl SqliteStore {
    /// Opens the database, creating and migrating it if need be. Leases of a former process are void from then on.
    ///
    /// # Errors
    /// [`OpenError`], one sentence for whoever starts the program.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let path = options.path.clone().unwrap_or_else(|| PathBuf::from(":memory:"));
        let lock = options.path.as_deref().map(take_lock).transpose()?;
        let connect = match &options.path {
            Some(path) => SqliteConnectOptions::new().filename(path).create_if_missing(true),
            None => SqliteConnectOptions::new().in_memory(true),
        };
        let connect = connect
            .busy_timeout(Duration::from_secs(5))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .statement_cache_capacity(256);
        let mut connection = connect.connect().await.map_err(|error| refused(&path, error))?;
        migrate::migrate(&mut connection, &path).await?;
        void_leases(&mut connection, options.clock.now()).await.map_err(|error| refused(&path, error))?;
        let readers = options.path.as_ref().map(|_| {
            SqlitePoolOptions::new()
                .max_connections(options.readers.max(1))
                .acquire_timeout(Duration::from_secs(5))
                .connect_lazy_with(connect.clone().read_only(true).create_if_missing(false))
        });
        let writer = Writer::start(connection, options.waiting_room.max(1), lock)
            .map_err(|error| OpenError::Other(path.clone(), error.into()))?;
        Ok(Self { clock: options.clock, writer, readers, changed: Notify::new() })
    }

    /// Commits what was accepted and closes the file.
    pub async fn close(self) {
        if let Some(readers) = self.readers {
            readers.close().await;
        }
        self.writer.close().await;
    }

    /// Runs work that only reads.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => {
                let mut connection = readers.acquire().await.map_err(Error::from)?;
                Ok(work(&mut connection).await?)
            }
            None => self.writer.run(work).await,
        }
    }
}

/// Takes the file's lock for as long as the answer lives. The operating system gives it back if the process dies.
fn take_lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(name);
    let file = file.map_err(|error| OpenError::NotWritable(path.to_owned(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(OpenError::Other(path.to_owned(), error.into())),
    }
}

pub(crate) fn refused(path: &Path, error: sqlx::Error) -> OpenError {
    let code =
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse::<i32>().ok());
    match code.map(|code| code & 0xff) {
        // SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM
        Some(8 | 14 | 3) => OpenError::NotWritable(path.to_owned(), std::io::Error::other(error)),
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => OpenError::Corrupt(path.to_owned(), error),
        _ => OpenError::Other(path.to_owned(), error.into()),
    }
}

/// The file is ours alone: whoever held a lease is gone, and whatever was to be judged is to be judged by us.
async fn void_leases(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE scopes SET due_at = ?1 WHERE due_at > ?1")
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE actions SET lease_until = ?1, verify_hidden = 0 WHERE lease_until > ?1 OR verify_hidden > 0")
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn record_metrics(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        self.writer.record(batch).await
    }

    async fn snapshot(&self, scope: &Scope, since: Timestamp) -> Result<Vec<Sample>, StoreError> {
        let scope = scope.clone();
        self.read(move |c| Box::pin(async move { metrics::snapshot(c, &scope, since).await })).await
    }

    async fn samples(
        &self,
        scope: &Scope,
        names: &[MetricName],
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, StoreError> {
        let (scope, names) = (scope.clone(), names.to_vec());
        self.read(move |c| Box::pin(async move { metrics::samples(c, &scope, &names, since, limit).await })).await
    }

    async fn series(&self, tenant: &TenantId, filter: &SeriesFilter) -> Result<Vec<Series>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read(move |c| Box::pin(async move { series::list(c, &tenant, &filter).await })).await
    }

    async fn range(&self, tenant: &TenantId, query: &RangeQuery) -> Result<Range, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        self.read(move |c| Box::pin(async move { series::range(c, &tenant, &query).await })).await
    }

    async fn count_series(&self, tenant: &TenantId, most: usize) -> Result<usize, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| Box::pin(async move { metrics::count_series(c, &tenant, most).await })).await
    }

    async fn claim_scopes(&self, every: Duration, limit: usize) -> Result<Vec<Scope>, StoreError> {
        let now = self.clock.now();
        self.writer.run(move |c| Box::pin(async move { scopes::claim(c, every, limit, now).await })).await
    }

    async fn admit(&self, intent: ActionIntent, guards: &[Guard]) -> Result<Admission, StoreError> {
        let (guards, now) = (guards.to_vec(), self.clock.now());
        self.writer.run(move |c| Box::pin(async move { admission::admit(c, intent, &guards, now).await })).await
    }

    async fn transition(
        &self,
        action: &ActionKey,
        version: i64,
        change: Change,
        resolve: Option<Resolution>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        let (key, actor, now) = (action.clone(), actor.clone(), self.clock.now());
        self.writer
            .run(move |c| {
                Box::pin(async move { actions::transition(c, &key, version, &change, resolve, &actor, now).await })
            })
            .await
    }

    async fn extend_lease(&self, action: &ActionKey, version: i64, by: Duration) -> Result<(), StoreError> {
        let (key, now) = (action.clone(), self.clock.now());
        self.writer
            .run(move |c| Box::pin(async move { actions::extend_lease(c, &key, version, now + by, now).await }))
            .await
    }

    async fn action(&self, action: &ActionKey) -> Result<Option<Action>, StoreError> {
        let key = action.clone();
        self.read(move |c| Box::pin(async move { actions::find(c, &key).await })).await
    }

    async fn actions(&self, tenant: &TenantId, filter: &ActionFilter) -> Result<Vec<Action>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read(move |c| Box::pin(async move { actions::list(c, &tenant, &filter).await })).await
    }

    async fn standing(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
        per_minute: Option<NonZeroU32>,
    ) -> Result<Standing, StoreError> {
        let (tenant, policy, target, now) = (tenant.clone(), policy.clone(), target.clone(), self.clock.now());
        self.read(move |c| {
            Box::pin(async move { actions::standing(c, &tenant, &policy, &target, per_minute, now).await })
        })
        .await
    }

    async fn open_episode(&self, intent: EpisodeIntent) -> Result<Episode, StoreError> {
        let now = self.clock.now();
        self.writer.run(move |c| Box::pin(async move { episodes::open(c, intent, now).await })).await
    }

    async fn change_episode(
        &self,
        tenant: &TenantId,
        episode: EpisodeId,
        version: i64,
        change: EpisodeChange,
        actor: &Actor,
    ) -> Result<Episode, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.clock.now());
        self.writer
            .run(move |c| {
                Box::pin(async move { episodes::change(c, &tenant, episode, version, &change, &actor, now).await })
            })
            .await
    }

    async fn episode(&self, tenant: &TenantId, episode: EpisodeId) -> Result<Option<Episode>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| Box::pin(async move { episodes::find(c, &tenant, episode).await })).await
    }

    async fn episodes(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Result<Vec<Episode>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read(move |c| Box::pin(async move { episodes::list(c, &tenant, &filter).await })).await
    }

    async fn open_episodes(&self, scope: &Scope) -> Result<Vec<Episode>, StoreError> {
        let scope = scope.clone();
        self.read(move |c| Box::pin(async move { episodes::open_of(c, &scope).await })).await
    }

    async fn due(&self, kind: Due, after: ActionId, limit: usize) -> Result<Vec<Action>, StoreError> {
        let now = self.clock.now();
        match kind {
            // Handing out for verification hides the action from others: that is a write.
            Due::Verification => {
                self.writer.run(move |c| Box::pin(async move { actions::due(c, kind, after, limit, now).await })).await
            }
            Due::Delivery | Due::Occupation => {
                self.read(move |c| Box::pin(async move { actions::due(c, kind, after, limit, now).await })).await
            }
        }
    }

    async fn policies(&self) -> Result<PolicyTable, StoreError> {
        self.read(move |c| Box::pin(async move { policies::table(c).await })).await
    }

    async fn generation(&self, of: Followed) -> Result<i64, StoreError> {
        self.read(move |c| Box::pin(async move { keys::generation(c, of).await })).await
    }

    async fn write_policies(
        &self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
    ) -> Result<i64, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.clock.now());
        let written = self
            .writer
            .run(move |c| Box::pin(async move { policies::write(c, &tenant, writes, &actor, now).await }))
            .await;
        // Also after an error: the caller may have gone away, and the change may be there.
        self.changed.notify_waiters();
        written
    }

    async fn keys(&self) -> Result<KeyTable, StoreError> {
        self.read(move |c| Box::pin(async move { keys::table(c).await })).await
    }

    async fn write_key(&self, tenant: &TenantId, write: KeyWrite, actor: &Actor) -> Result<ApiKey, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.clock.now());
        let written =
            self.writer.run(move |c| Box::pin(async move { keys::write(c, &tenant, &write, &actor, now).await })).await;
        self.changed.notify_waiters();
        written
    }

    async fn watch(&self, of: Followed, seen: i64) -> Result<i64, StoreError> {
        loop {
            // Made before the look, so that no change can fall between the look and the wait.
            let changed = self.changed.notified();
            let generation = self.generation(of).await?;
            if generation != seen {
                return Ok(generation);
            }
            changed.await;
        }
    }

    async fn brake(&self, tenant: &TenantId) -> Result<Brakes, StoreError> {
        let (tenant, now) = (tenant.clone(), self.clock.now());
        self.read(move |c| Box::pin(async move { brakes::of(c, &tenant, now).await })).await
    }

    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.read(|c| Box::pin(async move { brakes::all(c).await })).await
    }

    async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.clock.now());
        self.writer.run(move |c| Box::pin(async move { brakes::set(c, &tenant, change, &actor, now).await })).await
    }

    async fn sequence_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.writer.run(move |c| Box::pin(async move { audit::sequence(c, limit).await })).await
    }

    async fn note(&self, tenant: &TenantId, note: Note, actor: &Actor) -> Result<(), StoreError> {
        let entry = AuditEntry::noted(tenant, note, actor, self.clock.now());
        self.writer.run(move |c| Box::pin(async move { audit::insert(c, &entry).await })).await
    }

    async fn audit(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read(move |c| Box::pin(async move { audit::list(c, &tenant, &filter).await })).await
    }

    async fn audit_news(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(move |c| Box::pin(async move { audit::news(c, after, limit).await })).await
    }

    async fn audit_head(&self) -> Result<i64, StoreError> {
        self.read(move |c| Box::pin(async move { audit::head(c).await })).await
    }

    async fn prune(&self, metrics: Timestamp, history: Timestamp) -> Result<u64, StoreError> {
        let now = self.clock.now();
        self.writer.run(move |c| Box::pin(async move { retention::prune(c, metrics, history, now).await })).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.writer.run(move |c| Box::pin(async move { keys::generation(c, Followed::Policies).await })).await.map(drop)
    }
}
