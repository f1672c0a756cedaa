//! Episodes: one open one per (tenant, policy, target), by a unique index.

use sqlx::{PgConnection, Row};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeChange, EpisodeId, EpisodeIntent, EpisodeState, Resolution};
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, EpisodeFilter, Scope, StoreError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::audit::{self, entry};
use crate::error::Error;
use crate::row::{self, Reader, Statement, at, to_json};
use crate::time::At;

/// An episode, and the time by the Store's clock.
pub(crate) async fn find(
    connection: &mut PgConnection,
    tenant: &TenantId,
    id: EpisodeId,
    now: Option<At>,
) -> Result<Option<(Episode, Timestamp)>, Error> {
    let row =
        sqlx::query("SELECT *, coalesce($3, clock_timestamp()) AS now FROM episodes WHERE id = $1 AND tenant = $2")
            .bind(id.0)
            .bind(tenant.as_str())
            .bind(now)
            .fetch_optional(connection)
            .await?;
    row.as_ref().map(|row| Ok((row::episode(row)?, Reader::new(row, "episode").time("now")?))).transpose()
}

async fn open_one(
    connection: &mut PgConnection,
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
    "SELECT * FROM episodes WHERE tenant = $1 AND policy = $2 AND target = $3 AND state <> 'resolved'";

/// The one that is open, or a new one.
pub(crate) async fn open(
    connection: &mut PgConnection,
    intent: EpisodeIntent,
    now: Timestamp,
) -> Result<Episode, Error> {
    loop {
        if let Some(opened) = open_new(connection, intent.clone(), now).await? {
            return Ok(opened);
        }
        // It may end just now: then there is none, and the next try opens one.
        if let Some(open) = open_one(connection, &intent.tenant, &intent.policy, &intent.target).await? {
            return Ok(open);
        }
    }
}

/// A new one, unless one is open.
pub(crate) async fn open_new(
    connection: &mut PgConnection,
    intent: EpisodeIntent,
    now: Timestamp,
) -> Result<Option<Episode>, Error> {
    let mut episode = Episode::open(EpisodeId(0), intent, now);
    let entry = AuditEntry::opened(&episode, &Actor::new("controller"), now);
    let opened = bind(audit::bind(sqlx::query(OPEN), &entry)?, &episode)?.fetch_optional(connection).await?;
    let Some(row) = opened else { return Ok(None) };
    episode.id = EpisodeId(row.try_get(0)?);
    Ok(Some(episode))
}

/// Binds what a new episode has beside what it is of, in nine parameters from the next one on.
pub(crate) fn bind<'q>(statement: Statement<'q>, episode: &Episode) -> Result<Statement<'q>, Error> {
    Ok(statement
        .bind(episode.state.as_str())
        .bind(episode.severity.as_str())
        .bind(to_json(&episode.condition)?)
        .bind(episode.version)
        .bind(At(episode.pending_since))
        .bind(at(episode.firing_since))
        .bind(At(episode.known_at))
        .bind(to_json(&episode.evidence)?)
        .bind(i64::from(episode.actions)))
}

pub(crate) const OPEN: &str = "WITH opened AS (INSERT INTO episodes \
       (tenant, policy, target, state, severity, condition, version, pending_since, firing_since, known_at, evidence, actions) \
       VALUES ($1, $7, $8, $11, $12, $13::json, $14, $15, $16, $17, $18::json, $19) \
       ON CONFLICT (tenant, policy, target) WHERE state <> 'resolved' DO NOTHING RETURNING id) \
     INSERT INTO audit (tenant, at, kind, actor, action, episode, policy, target, reason, detail) \
       SELECT $1, $2, $3, $4, $5, coalesce(id, $6), $7, $8, $9, $10::json FROM opened RETURNING episode";

pub(crate) async fn change(
    connection: &mut PgConnection,
    tenant: &TenantId,
    id: EpisodeId,
    version: i64,
    change: &EpisodeChange,
    actor: &Actor,
    now: Option<At>,
) -> Result<Episode, Error> {
    let found = find(connection, tenant, id, now).await?;
    let (before, now) = found.ok_or_else(|| StoreError::NotFound(format!("episode {id}")))?;
    if before.version != version {
        return Err(conflict(id));
    }
    let after = before.apply(change, now).ok_or_else(|| conflict(id))?;
    let entry = AuditEntry::episode_changed(&before, &after, change, actor, now);
    update(connection, &after, before.version, entry.as_ref()).await?;
    Ok(after)
}

/// Changes an episode whatever its version, unless it has ended.
pub(crate) async fn change_if_open(
    connection: &mut PgConnection,
    tenant: &TenantId,
    id: EpisodeId,
    change: &EpisodeChange,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), Error> {
    let row = sqlx::query("SELECT * FROM episodes WHERE id = $1 AND tenant = $2 FOR UPDATE")
        .bind(id.0)
        .bind(tenant.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(before) = row.as_ref().map(row::episode).transpose()? else { return Ok(()) };
    let Some(after) = before.apply(change, now) else { return Ok(()) };
    let entry = AuditEntry::episode_changed(&before, &after, change, actor, now);
    update(connection, &after, before.version, entry.as_ref()).await
}

/// Writes an episode that still has `version`, and its audit entry if it is news.
pub(crate) async fn update(
    connection: &mut PgConnection,
    episode: &Episode,
    version: i64,
    entry: Option<&AuditEntry>,
) -> Result<(), Error> {
    let statement = match entry {
        Some(entry) => audit::bind(sqlx::query(UPDATE_AUDITED), entry)?,
        None => sqlx::query(UPDATE),
    };
    let written = statement
        .bind(episode.state.as_str())
        .bind(to_json(&episode.condition)?)
        .bind(episode.version)
        .bind(At(episode.pending_since))
        .bind(at(episode.firing_since))
        .bind(At(episode.known_at))
        .bind(at(episode.unmet_since))
        .bind(at(episode.resolved_at))
        .bind(episode.resolution.map(Resolution::as_str))
        .bind(to_json(&episode.evidence)?)
        .bind(i64::from(episode.actions))
        .bind(episode.last_action.map(|action| action.0))
        .bind(episode.refusal.as_ref().map(to_json).transpose()?)
        .bind(episode.id.0)
        .bind(episode.tenant.as_str())
        .bind(version)
        .execute(connection)
        .await?;
    if written.rows_affected() == 0 { Err(conflict(episode.id)) } else { Ok(()) }
}

pub(crate) const UPDATE: &str = "UPDATE episodes SET state = $1, condition = $2::json, version = $3, pending_since = $4, firing_since = $5, \
     known_at = $6, unmet_since = $7, resolved_at = $8, resolution = $9, evidence = $10::json, actions = $11, last_action = $12, \
     refusal = $13::json WHERE id = $14 AND tenant = $15 AND version = $16";

pub(crate) const UPDATE_AUDITED: &str = concat!(
    "WITH changed AS (UPDATE episodes SET state = $11, condition = $12::json, version = $13, pending_since = $14, \
       firing_since = $15, known_at = $16, unmet_since = $17, resolved_at = $18, resolution = $19, evidence = $20::json, \
       actions = $21, last_action = $22, refusal = $23::json WHERE id = $24 AND tenant = $25 AND version = $26 RETURNING id) ",
    entry!(),
    " FROM changed"
);

pub(crate) async fn list(
    connection: &mut PgConnection,
    tenant: &TenantId,
    filter: &EpisodeFilter,
) -> Result<Vec<Episode>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM episodes WHERE tenant = $1 AND id < $2 AND ($3::text IS NULL OR state = $3) \
         AND ($4::text IS NULL OR policy = $4) AND ($5::text IS NULL OR target = $5) ORDER BY id DESC LIMIT $6",
    )
    .bind(tenant.as_str())
    .bind(filter.before.map_or(i64::MAX, |before| before.0))
    .bind(filter.state.map(EpisodeState::as_str))
    .bind(filter.policy.as_ref().map(PolicyName::as_str))
    .bind(filter.target.as_ref().map(Target::as_str))
    .bind(row::limit(filter.limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(row::episode).collect()
}

pub(crate) async fn open_of(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Episode>, Error> {
    let rows =
        sqlx::query(OPEN_OF).bind(scope.tenant.as_str()).bind(scope.acting_on().as_str()).fetch_all(connection).await?;
    rows.iter().map(row::episode).collect()
}

pub(crate) const OPEN_OF: &str = "SELECT * FROM episodes WHERE tenant = $1 AND target = $2 AND state <> 'resolved'";

fn conflict(id: EpisodeId) -> Error {
    StoreError::Conflict(format!("episode {id}")).into()
}
