//! Episodes: one open one per (tenant, policy, target), by a unique index.

use sqlx::SqliteConnection;
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent};
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, EpisodeFilter, Scope, StoreError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::audit;
use crate::error::Error;
use crate::row::{self, micros, to_json};

pub(crate) async fn find(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    id: EpisodeId,
) -> Result<Option<Episode>, Error> {
    let row = sqlx::query("SELECT * FROM episodes WHERE id = ? AND tenant = ?")
        .bind(id.0)
        .bind(tenant.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::episode).transpose()
}

pub(crate) async fn open_one(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    policy: &PolicyName,
    target: &Target,
) -> Result<Option<Episode>, Error> {
    let row = sqlx::query(OPEN_ONE)
        .bind(tenant.as_str())
        .bind(policy.as_str())
        .bind(target.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::episode).transpose()
}

pub(crate) const OPEN_ONE: &str =
    "SELECT * FROM episodes WHERE tenant = ? AND policy = ? AND target = ? AND state <> 'resolved'";

pub(crate) async fn open(
    connection: &mut SqliteConnection,
    intent: EpisodeIntent,
    now: Timestamp,
) -> Result<Episode, Error> {
    match open_one(connection, &intent.tenant, &intent.policy, &intent.target).await? {
        Some(open) => Ok(open),
        None => insert(connection, intent, now).await,
    }
}

/// A new one, unless one is open.
pub(crate) async fn open_new(
    connection: &mut SqliteConnection,
    intent: EpisodeIntent,
    now: Timestamp,
) -> Result<Option<Episode>, Error> {
    match open_one(connection, &intent.tenant, &intent.policy, &intent.target).await? {
        Some(_) => Ok(None),
        None => insert(connection, intent, now).await.map(Some),
    }
}

async fn insert(connection: &mut SqliteConnection, intent: EpisodeIntent, now: Timestamp) -> Result<Episode, Error> {
    let mut episode = Episode::open(EpisodeId(0), intent, now);
    let written = sqlx::query(
        "INSERT INTO episodes (tenant, policy, target, state, severity, condition, version, pending_since, firing_since, known_at, \
         evidence, actions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(episode.tenant.as_str())
    .bind(episode.policy.as_str())
    .bind(episode.target.as_str())
    .bind(episode.state.as_str())
    .bind(episode.severity.as_str())
    .bind(to_json(&episode.condition)?)
    .bind(episode.version)
    .bind(episode.pending_since.as_micros())
    .bind(micros(episode.firing_since))
    .bind(episode.known_at.as_micros())
    .bind(to_json(&episode.evidence)?)
    .bind(episode.actions)
    .execute(&mut *connection)
    .await?;
    episode.id = EpisodeId(written.last_insert_rowid());
    audit::insert(connection, &AuditEntry::opened(&episode, &Actor::new("controller"), now)).await?;
    Ok(episode)
}

pub(crate) async fn change(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    id: EpisodeId,
    version: i64,
    change: &EpisodeChange,
    actor: &Actor,
    now: Timestamp,
) -> Result<Episode, Error> {
    let before = find(connection, tenant, id).await?.ok_or_else(|| StoreError::NotFound(format!("episode {id}")))?;
    let conflict = || StoreError::Conflict(format!("episode {id}"));
    if before.version != version {
        return Err(conflict().into());
    }
    let after = before.apply(change, now).ok_or_else(conflict)?;
    update(connection, &after, before.version).await?;
    if let Some(entry) = AuditEntry::episode_changed(&before, &after, change, actor, now) {
        audit::insert(connection, &entry).await?;
    }
    Ok(after)
}

/// The same whatever its version; nothing if it is not there or has ended.
pub(crate) async fn change_if_open(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    id: EpisodeId,
    wanted: &EpisodeChange,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), Error> {
    match find(connection, tenant, id).await? {
        Some(open) if open.is_open() => {
            change(connection, tenant, id, open.version, wanted, actor, now).await.map(drop)
        }
        _ => Ok(()),
    }
}

pub(crate) async fn update(connection: &mut SqliteConnection, episode: &Episode, version: i64) -> Result<(), Error> {
    let written = sqlx::query(
        "UPDATE episodes SET state = ?, condition = ?, version = ?, pending_since = ?, firing_since = ?, known_at = ?, unmet_since = ?, \
         resolved_at = ?, resolution = ?, evidence = ?, actions = ?, last_action = ?, refusal = ? \
         WHERE id = ? AND tenant = ? AND version = ?",
    )
    .bind(episode.state.as_str())
    .bind(to_json(&episode.condition)?)
    .bind(episode.version)
    .bind(episode.pending_since.as_micros())
    .bind(micros(episode.firing_since))
    .bind(episode.known_at.as_micros())
    .bind(micros(episode.unmet_since))
    .bind(micros(episode.resolved_at))
    .bind(episode.resolution.map(vigil_core::episode::Resolution::as_str))
    .bind(to_json(&episode.evidence)?)
    .bind(episode.actions)
    .bind(episode.last_action.map(|action| action.0))
    .bind(episode.refusal.as_ref().map(to_json).transpose()?)
    .bind(episode.id.0)
    .bind(episode.tenant.as_str())
    .bind(version)
    .execute(connection)
    .await?;
    match written.rows_affected() {
        0 => Err(StoreError::Conflict(format!("episode {}", episode.id)).into()),
        _ => Ok(()),
    }
}

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    filter: &EpisodeFilter,
) -> Result<Vec<Episode>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM episodes WHERE tenant = ?1 AND id < ?2 AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR policy = ?4) \
         AND (?5 IS NULL OR target = ?5) ORDER BY id DESC LIMIT ?6",
    )
    .bind(tenant.as_str())
    .bind(filter.before.map_or(i64::MAX, |before| before.0))
    .bind(filter.state.map(vigil_core::episode::EpisodeState::as_str))
    .bind(filter.policy.as_ref().map(PolicyName::as_str))
    .bind(filter.target.as_ref().map(Target::as_str))
    .bind(i64::try_from(filter.limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(row::episode).collect()
}

pub(crate) async fn open_of(connection: &mut SqliteConnection, scope: &Scope) -> Result<Vec<Episode>, Error> {
    let rows =
        sqlx::query(OPEN_OF).bind(scope.tenant.as_str()).bind(scope.acting_on().as_str()).fetch_all(connection).await?;
    rows.iter().map(row::episode).collect()
}

pub(crate) const OPEN_OF: &str = "SELECT * FROM episodes WHERE tenant = ? AND target = ? AND state <> 'resolved'";
