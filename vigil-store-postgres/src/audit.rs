//! The audit: entries are inserted in their change's statement or transaction and numbered later, without gaps.

use sqlx::{PgConnection, Row};
use vigil_core::policy::PolicyName;
use vigil_core::store::{AuditEntry, AuditFilter};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::row::{self, Statement, text, to_json};
use crate::time::At;

/// Binds `$1` to `$10` of a statement that inserts an entry with [`ENTRY`].
pub(crate) fn bind<'q>(statement: Statement<'q>, entry: &AuditEntry) -> Result<Statement<'q>, Error> {
    Ok(statement
        .bind(entry.tenant.as_str().to_owned())
        .bind(At(entry.at))
        .bind(text(&entry.kind))
        .bind(text(entry.actor.as_str()))
        .bind(entry.action.map(|action| action.0))
        .bind(entry.episode.map(|episode| episode.0))
        .bind(entry.policy.as_ref().map(PolicyName::as_str).map(str::to_owned))
        .bind(entry.target.as_ref().map(Target::as_str).map(str::to_owned))
        .bind(entry.reason.as_deref().map(text))
        .bind(to_json(&entry.detail)?))
}

/// The insertion of an entry, up to the FROM that says for which rows: those that the same statement changed.
macro_rules! entry {
    () => {
        "INSERT INTO audit (tenant, at, kind, actor, action, episode, policy, target, reason, detail) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json"
    };
}
pub(crate) use entry;

pub(crate) async fn insert(connection: &mut PgConnection, entry: &AuditEntry) -> Result<(), Error> {
    bind(sqlx::query(entry!()), entry)?.execute(connection).await?;
    Ok(())
}

/// One caller at a time: whoever finds another one at it has nothing to do.
pub(crate) async fn sequence(connection: &mut PgConnection, limit: usize) -> Result<Vec<AuditEntry>, Error> {
    let mine = sqlx::query("SELECT value FROM counters WHERE name = 'audit_seq' FOR UPDATE SKIP LOCKED");
    let Some(last) = mine.fetch_optional(&mut *connection).await? else { return Ok(Vec::new()) };
    let last: i64 = last.try_get(0)?;
    let rows = sqlx::query(SEQUENCE).bind(last).bind(row::limit(limit)).fetch_all(&mut *connection).await?;
    let mut entries = rows.iter().map(row::audit_entry).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.seq);
    if let Some(newest) = entries.last() {
        sqlx::query("UPDATE counters SET value = $1 WHERE name = 'audit_seq'")
            .bind(newest.seq)
            .execute(connection)
            .await?;
    }
    Ok(entries)
}

pub(crate) const SEQUENCE: &str = "UPDATE audit SET seq = $1 + next.place FROM \
     (SELECT id, row_number() OVER (ORDER BY id) AS place FROM \
       (SELECT id FROM audit WHERE seq IS NULL ORDER BY id LIMIT $2) AS oldest) AS next \
     WHERE audit.id = next.id RETURNING audit.*";

pub(crate) async fn list(
    connection: &mut PgConnection,
    tenant: &TenantId,
    filter: &AuditFilter,
) -> Result<Vec<AuditEntry>, Error> {
    let mut query = sqlx::query(list_statement(filter))
        .bind(tenant.as_str().to_owned())
        .bind(filter.after)
        .bind(row::limit(filter.limit));
    if let Some(action) = filter.action {
        query = query.bind(action.0);
    }
    if let Some(episode) = filter.episode {
        query = query.bind(episode.0);
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(row::audit_entry).collect()
}

pub(crate) const NEWS: &str = "SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";

pub(crate) async fn news(connection: &mut PgConnection, after: i64, limit: usize) -> Result<Vec<AuditEntry>, Error> {
    let rows = sqlx::query(NEWS).bind(after).bind(row::limit(limit)).fetch_all(connection).await?;
    rows.iter().map(row::audit_entry).collect()
}

pub(crate) async fn head(connection: &mut PgConnection) -> Result<i64, Error> {
    let head = sqlx::query("SELECT value FROM counters WHERE name = 'audit_seq'").fetch_one(connection).await?;
    Ok(head.try_get(0)?)
}

/// One statement per combination of filters, so that each uses its index.
pub(crate) fn list_statement(filter: &AuditFilter) -> &'static str {
    match (filter.action.is_some(), filter.episode.is_some()) {
        (false, false) => "SELECT * FROM audit WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        (true, false) => "SELECT * FROM audit WHERE tenant = $1 AND seq > $2 AND action = $4 ORDER BY seq LIMIT $3",
        (false, true) => "SELECT * FROM audit WHERE tenant = $1 AND seq > $2 AND episode = $4 ORDER BY seq LIMIT $3",
        (true, true) => {
            "SELECT * FROM audit WHERE tenant = $1 AND seq > $2 AND action = $4 AND episode = $5 ORDER BY seq LIMIT $3"
        }
    }
}
