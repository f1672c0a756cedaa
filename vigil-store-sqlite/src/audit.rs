//! The audit: entries are inserted in their change's transaction and numbered later, without gaps.

use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use vigil_core::policy::PolicyName;
use vigil_core::store::{AuditEntry, AuditFilter};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::row::{self, to_json};

pub(crate) async fn insert(connection: &mut SqliteConnection, entry: &AuditEntry) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (tenant, at, kind, actor, action, episode, policy, target, reason, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(entry.tenant.as_str())
    .bind(entry.at.as_micros())
    .bind(entry.kind.as_str())
    .bind(entry.actor.as_str())
    .bind(entry.action.map(|action| action.0))
    .bind(entry.episode.map(|episode| episode.0))
    .bind(entry.policy.as_ref().map(PolicyName::as_str))
    .bind(entry.target.as_ref().map(Target::as_str))
    .bind(entry.reason.as_deref())
    .bind(to_json(&entry.detail)?)
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn sequence(connection: &mut SqliteConnection, limit: usize) -> Result<Vec<AuditEntry>, Error> {
    let rows =
        sqlx::query(UNSEQUENCED).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let last: i64 = sqlx::query("UPDATE counters SET value = value + ? WHERE name = 'audit_seq' RETURNING value")
        .bind(count)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let mut entries = Vec::with_capacity(rows.len());
    for (row, seq) in rows.iter().zip(last - count + 1..) {
        sqlx::query("UPDATE audit SET seq = ? WHERE id = ?")
            .bind(seq)
            .bind(row.try_get::<i64, _>("id")?)
            .execute(&mut *connection)
            .await?;
        entries.push(AuditEntry { seq: Some(seq), ..row::audit_entry(row)? });
    }
    Ok(entries)
}

pub(crate) const UNSEQUENCED: &str = "SELECT * FROM audit WHERE seq IS NULL ORDER BY id LIMIT ?";

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    filter: &AuditFilter,
) -> Result<Vec<AuditEntry>, Error> {
    let mut query = sqlx::query(AssertSqlSafe(list_statement(filter))).bind(tenant.as_str());
    if let Some(action) = filter.action {
        query = query.bind(action.0);
    }
    if let Some(episode) = filter.episode {
        query = query.bind(episode.0);
    }
    if let Some(policy) = &filter.policy {
        query = query.bind(policy.as_str());
    }
    if let Some(target) = &filter.target {
        query = query.bind(target.as_str());
    }
    if let Some(kind) = &filter.kind {
        query = query.bind(kind.as_str());
    }
    if let Some(since) = filter.since {
        query = query.bind(since.as_micros()).bind((since - AuditFilter::DISORDER).as_micros());
    }
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let rows = query.bind(filter.after).bind(limit).fetch_all(connection).await?;
    rows.iter().map(row::audit_entry).collect()
}

pub(crate) const NEWS: &str = "SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?";

pub(crate) async fn news(
    connection: &mut SqliteConnection,
    after: i64,
    limit: usize,
) -> Result<Vec<AuditEntry>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sqlx::query(NEWS).bind(after).bind(limit).fetch_all(connection).await?;
    rows.iter().map(row::audit_entry).collect()
}

pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<i64, Error> {
    let head = sqlx::query("SELECT value FROM counters WHERE name = 'audit_seq'").fetch_one(connection).await?;
    Ok(head.try_get(0)?)
}

/// One statement per combination of filters, so that each uses its index.
pub(crate) fn list_statement(filter: &AuditFilter) -> String {
    let mut statement = "SELECT * FROM audit WHERE tenant = ?".to_owned();
    for (there, condition) in [
        (filter.action.is_some(), " AND action = ?"),
        (filter.episode.is_some(), " AND episode = ?"),
        (filter.policy.is_some(), " AND policy = ?"),
        (filter.target.is_some(), " AND target = ?"),
        (filter.kind.is_some(), " AND kind = ?"),
        // The index of rare kinds is known by this.
        (filter.is_of_a_rare_kind(), " AND kind NOT LIKE 'action.%' AND kind NOT LIKE 'episode.%'"),
        // What is older than the disorder has been sequenced before: all that is wanted lies behind it.
        (
            filter.since.is_some(),
            " AND at >= ? AND seq > coalesce((SELECT seq FROM audit AS older \
               WHERE older.at < ? AND older.seq IS NOT NULL ORDER BY older.at DESC LIMIT 1), 0)",
        ),
    ] {
        if there {
            statement.push_str(condition);
        }
    }
    statement + " AND seq > ? ORDER BY seq LIMIT ?"
}
