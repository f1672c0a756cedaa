//! The audit: entries are inserted in their change's statement or transaction and numbered later, without gaps.

use sqlx::{AssertSqlSafe, PgConnection, Row};
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
    let mut query = sqlx::query(AssertSqlSafe(list_statement(filter)))
        .bind(tenant.as_str().to_owned())
        .bind(filter.after)
        .bind(row::limit(filter.limit));
    if let Some(action) = filter.action {
        query = query.bind(action.0);
    }
    if let Some(episode) = filter.episode {
        query = query.bind(episode.0);
    }
    if let Some(policy) = &filter.policy {
        query = query.bind(policy.as_str().to_owned());
    }
    if let Some(target) = &filter.target {
        query = query.bind(target.as_str().to_owned());
    }
    if let Some(kind) = &filter.kind {
        query = query.bind(kind.clone());
    }
    if let Some(since) = filter.since {
        query = query.bind(At(since)).bind(At(since - AuditFilter::DISORDER));
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

/// One statement per combination of filters, so that each uses its index. `$1` tenant, `$2` after, `$3` limit, then what is
/// there.
pub(crate) fn list_statement(filter: &AuditFilter) -> String {
    let mut statement = "SELECT * FROM audit WHERE tenant = $1 AND seq > $2".to_owned();
    let mut place = 3;
    let mut next = || {
        place += 1;
        format!("${place}")
    };
    for (there, column) in [
        (filter.action.is_some(), "action"),
        (filter.episode.is_some(), "episode"),
        (filter.policy.is_some(), "policy"),
        (filter.target.is_some(), "target"),
        (filter.kind.is_some(), "kind"),
    ] {
        if there {
            statement += &format!(" AND {column} = {}", next());
        }
    }
    // The index of rare kinds is known by this.
    if filter.is_of_a_rare_kind() {
        statement += " AND kind NOT LIKE 'action.%' AND kind NOT LIKE 'episode.%'";
    }
    // What is older than the disorder has been sequenced before: all that is wanted lies behind it.
    if filter.since.is_some() {
        statement += &format!(
            " AND at >= {} AND seq > coalesce((SELECT seq FROM audit AS older \
               WHERE older.at < {} AND older.seq IS NOT NULL ORDER BY older.at DESC LIMIT 1), 0)",
            next(),
            next()
        );
    }
    statement + " ORDER BY seq LIMIT $3"
}
