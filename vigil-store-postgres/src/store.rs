//! [`PostgresStore`]: the Store in a PostgreSQL database, shared by any number of replicas.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use tokio::time::timeout;
use vigil_core::action::{Action, ActionId, ActionKey, Change};
use vigil_core::clock::Timestamp;
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

use crate::connections::Connections;
use crate::error::Error;
use crate::listener::Listener;
use crate::writer::Writer;
use crate::{
    OpenError, PostgresOptions, actions, admission, audit, brakes, episodes, keys, metrics, migrate, policies,
    retention, scopes, series,
};

/// The Store in a PostgreSQL database, shared by any number of replicas; correct under READ COMMITTED.
///
/// Dropping it commits what was accepted; [`PostgresStore::close`] also waits for that.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    writer: Writer,
    listener: Listener,
}

impl PostgresStore {
    /// How often a generation is asked for where nothing tells of a change: a revoked key must be refused within a second.
    const POLL: Duration = Duration::from_millis(500);

    /// Connects, and brings the schema up to date if no other replica is at it.
    ///
    /// # Errors
    /// [`OpenError`], one sentence for whoever starts the program.
    pub async fn open(options: PostgresOptions) -> Result<Self, OpenError> {
        let place = options.place();
        let connections = Connections::new(options.clone());
        check(&connections, &options, &place).await?;
        migrate::migrate(&connections, &place).await?;
        let writer = Writer::start(&connections, options.writers, options.waiting_room);
        let listener = Listener::start((!options.pooled).then(|| options.connect.clone()));
        Ok(Self { connections, writer, listener })
    }

    /// Commits what was accepted and closes the connections.
    pub async fn close(self) {
        self.writer.close().await;
        self.connections.close().await;
    }
}

/// Whether the server is one that keeps the contract.
pub(crate) async fn check(connections: &Connections, options: &PostgresOptions, place: &str) -> Result<(), OpenError> {
    let asked = connections.single(|c| {
        Box::pin(async move {
            let row = sqlx::query(
                "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                 current_setting('synchronous_commit'), current_setting('fsync')",
            );
            let row = row.fetch_one(c).await?;
            let (number, version): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
            let (commit, fsync): (String, String) = (row.try_get(2)?, row.try_get(3)?);
            Ok((number, version, commit, fsync))
        })
    });
    let (number, found, commit, fsync) = asked.await.map_err(|error| match error {
        Error::Sql(source) => OpenError::Unreachable { place: place.to_owned(), source },
        other => OpenError::Migration { place: place.to_owned(), source: other.into() },
    })?;
    if number < 140_000 {
        return Err(OpenError::TooOld { place: place.to_owned(), found });
    }
    for (setting, value) in [("synchronous_commit", commit), ("fsync", fsync)] {
        if value == "off" && !options.allow_unsafe_durability {
            return Err(OpenError::NotDurable { place: place.to_owned(), setting });
        }
    }
    Ok(())
}

#[async_trait]
impl Store for PostgresStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.connections.now().await?)
    }

    async fn record_metrics(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        self.writer.record(batch).await
    }

    async fn snapshot(&self, scope: &Scope, since: Timestamp) -> Result<Vec<Sample>, StoreError> {
        let scope = scope.clone();
        Ok(self.connections.single(move |c| Box::pin(async move { metrics::snapshot(c, &scope, since).await })).await?)
    }

    async fn samples(
        &self,
        scope: &Scope,
        names: &[MetricName],
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, StoreError> {
        let (scope, names) = (scope.clone(), names.to_vec());
        let work = self
            .connections
            .single(move |c| Box::pin(async move { metrics::samples(c, &scope, &names, since, limit).await }));
        Ok(work.await?)
    }

    async fn series(&self, tenant: &TenantId, filter: &SeriesFilter) -> Result<Vec<Series>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        Ok(self.connections.single(move |c| Box::pin(async move { series::list(c, &tenant, &filter).await })).await?)
    }

    async fn range(&self, tenant: &TenantId, query: &RangeQuery) -> Result<Range, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        Ok(self.connections.single(move |c| Box::pin(async move { series::range(c, &tenant, &query).await })).await?)
    }

    async fn count_series(&self, tenant: &TenantId, most: usize) -> Result<usize, StoreError> {
        let tenant = tenant.clone();
        let work =
            self.connections.single(move |c| Box::pin(async move { metrics::count_series(c, &tenant, most).await }));
        Ok(work.await?)
    }

    async fn claim_scopes(&self, every: Duration, limit: usize) -> Result<Vec<Scope>, StoreError> {
        let now = self.connections.given_now();
        Ok(self.connections.single(move |c| Box::pin(async move { scopes::claim(c, every, limit, now).await })).await?)
    }

    async fn admit(&self, intent: ActionIntent, guards: &[Guard]) -> Result<Admission, StoreError> {
        Ok(admission::admit(&self.connections, intent, guards).await?)
    }

    async fn transition(
        &self,
        action: &ActionKey,
        version: i64,
        change: Change,
        resolve: Option<Resolution>,
        actor: &Actor,
    ) -> Result<Action, StoreError> {
        let now = self.connections.given_now();
        loop {
            let (key, change, actor) = (action.clone(), change.clone(), actor.clone());
            let done = self.connections.run(resolve.is_some(), move |c| {
                Box::pin(async move { actions::transition(c, &key, version, &change, resolve, &actor, now).await })
            });
            match done.await {
                Err(error) if error.is_duplicate() => {
                    let key = action.clone();
                    let occupant =
                        self.connections.single(move |c| Box::pin(async move { actions::occupant(c, &key).await }));
                    // None: the target was freed in between.
                    if let Some(by) = occupant.await? {
                        return Err(StoreError::Occupied { by });
                    }
                }
                other => return Ok(other?),
            }
        }
    }

    async fn extend_lease(&self, action: &ActionKey, version: i64, by: Duration) -> Result<(), StoreError> {
        let (key, now) = (action.clone(), self.connections.given_now());
        let work = self
            .connections
            .single(move |c| Box::pin(async move { actions::extend_lease(c, &key, version, by, now).await }));
        Ok(work.await?)
    }

    async fn action(&self, action: &ActionKey) -> Result<Option<Action>, StoreError> {
        let key = action.clone();
        Ok(self.connections.single(move |c| Box::pin(async move { actions::find(c, &key).await })).await?)
    }

    async fn actions(&self, tenant: &TenantId, filter: &ActionFilter) -> Result<Vec<Action>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        Ok(self.connections.single(move |c| Box::pin(async move { actions::list(c, &tenant, &filter).await })).await?)
    }

    async fn standing(
        &self,
        tenant: &TenantId,
        policy: &PolicyName,
        target: &Target,
        per_minute: Option<NonZeroU32>,
    ) -> Result<Standing, StoreError> {
        let (tenant, policy, target) = (tenant.clone(), policy.clone(), target.clone());
        let now = self.connections.given_now();
        let work = self.connections.single(move |c| {
            Box::pin(async move { actions::standing(c, &tenant, &policy, &target, per_minute, now).await })
        });
        Ok(work.await?)
    }

    async fn open_episode(&self, intent: EpisodeIntent) -> Result<Episode, StoreError> {
        let now = self.connections.now().await?;
        Ok(self.connections.single(move |c| Box::pin(async move { episodes::open(c, intent, now).await })).await?)
    }

    async fn change_episode(
        &self,
        tenant: &TenantId,
        episode: EpisodeId,
        version: i64,
        change: EpisodeChange,
        actor: &Actor,
    ) -> Result<Episode, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.connections.given_now());
        let work = self.connections.single(move |c| {
            Box::pin(async move { episodes::change(c, &tenant, episode, version, &change, &actor, now).await })
        });
        Ok(work.await?)
    }

    async fn episode(&self, tenant: &TenantId, episode: EpisodeId) -> Result<Option<Episode>, StoreError> {
        let (tenant, now) = (tenant.clone(), self.connections.given_now());
        let work =
            self.connections.single(move |c| Box::pin(async move { episodes::find(c, &tenant, episode, now).await }));
        Ok(work.await?.map(|(episode, _)| episode))
    }

    async fn episodes(&self, tenant: &TenantId, filter: &EpisodeFilter) -> Result<Vec<Episode>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        Ok(self.connections.single(move |c| Box::pin(async move { episodes::list(c, &tenant, &filter).await })).await?)
    }

    async fn open_episodes(&self, scope: &Scope) -> Result<Vec<Episode>, StoreError> {
        let scope = scope.clone();
        Ok(self.connections.single(move |c| Box::pin(async move { episodes::open_of(c, &scope).await })).await?)
    }

    async fn due(&self, kind: Due, after: ActionId, limit: usize) -> Result<Vec<Action>, StoreError> {
        let now = self.connections.given_now();
        let work =
            self.connections.single(move |c| Box::pin(async move { actions::due(c, kind, after, limit, now).await }));
        Ok(work.await?)
    }

    async fn policies(&self) -> Result<PolicyTable, StoreError> {
        Ok(self.connections.single(|c| Box::pin(async move { policies::table(c).await })).await?)
    }

    async fn generation(&self, of: Followed) -> Result<i64, StoreError> {
        Ok(self.connections.single(move |c| Box::pin(async move { keys::generation(c, of).await })).await?)
    }

    async fn keys(&self) -> Result<KeyTable, StoreError> {
        Ok(self.connections.single(|c| Box::pin(async move { keys::table(c).await })).await?)
    }

    async fn write_key(&self, tenant: &TenantId, write: KeyWrite, actor: &Actor) -> Result<ApiKey, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.connections.given_now());
        let written = self
            .connections
            .transact(move |c| Box::pin(async move { keys::write(c, &tenant, &write, &actor, now).await }))
            .await;
        self.listener.hint();
        Ok(written?)
    }

    async fn watch(&self, of: Followed, seen: i64) -> Result<i64, StoreError> {
        let mut hints = self.listener.subscribe();
        loop {
            hints.mark_unchanged();
            let generation = self.generation(of).await?;
            if generation != seen {
                return Ok(generation);
            }
            // Neither a hint nor its absence means anything but that it is time to look.
            let _ = timeout(Self::POLL, hints.changed()).await;
        }
    }

    async fn write_policies(
        &self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
    ) -> Result<i64, StoreError> {
        let (tenant, actor, now) = (tenant.clone(), actor.clone(), self.connections.given_now());
        let written = self
            .connections
            .transact(move |c| Box::pin(async move { policies::write(c, &tenant, writes, &actor, now).await }))
            .await;
        // Also after an error: the change may be there all the same.
        self.listener.hint();
        Ok(written?)
    }

    async fn brake(&self, tenant: &TenantId) -> Result<Brakes, StoreError> {
        let (tenant, now) = (tenant.clone(), self.connections.given_now());
        Ok(self.connections.single(move |c| Box::pin(async move { brakes::of(c, &tenant, now).await })).await?)
    }

    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        Ok(self.connections.single(|c| Box::pin(async move { brakes::all(c).await })).await?)
    }

    async fn set_brake(&self, tenant: &TenantId, change: BrakeChange, actor: &Actor) -> Result<Brakes, StoreError> {
        Ok(brakes::set(&self.connections, tenant, change, actor).await?)
    }

    async fn sequence_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.connections.transact(move |c| Box::pin(async move { audit::sequence(c, limit).await })).await?)
    }

    async fn note(&self, tenant: &TenantId, note: Note, actor: &Actor) -> Result<(), StoreError> {
        let entry = AuditEntry::noted(tenant, note, actor, self.connections.now().await?);
        Ok(self.connections.single(move |c| Box::pin(async move { audit::insert(c, &entry).await })).await?)
    }

    async fn audit(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        Ok(self.connections.single(move |c| Box::pin(async move { audit::list(c, &tenant, &filter).await })).await?)
    }

    async fn audit_news(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.connections.single(move |c| Box::pin(async move { audit::news(c, after, limit).await })).await?)
    }

    async fn audit_head(&self) -> Result<i64, StoreError> {
        Ok(self.connections.single(move |c| Box::pin(async move { audit::head(c).await })).await?)
    }

    async fn prune(&self, metrics: Timestamp, history: Timestamp) -> Result<u64, StoreError> {
        Ok(retention::prune(&self.connections, metrics, history).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.generation(Followed::Policies).await.map(drop)
    }
}
