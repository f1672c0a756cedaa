//! Actions: reading, listing, handing out, and the compare-and-set that changes them.

use std::num::NonZeroU32;

use sqlx::{Row, SqliteConnection};
use vigil_core::action::{Action, ActionId, ActionKey, Change};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{EpisodeChange, Resolution};
use vigil_core::policy::PolicyName;
use vigil_core::store::{ActionFilter, Actor, AuditEntry, Braked, Due, MINUTE, Standing, StoreError, VERIFY_LEASE};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::row::{self, micros, to_json};
use crate::{audit, brakes, episodes, policies};

pub(crate) async fn find(connection: &mut SqliteConnection, key: &ActionKey) -> Result<Option<Action>, Error> {
    let row = sqlx::query("SELECT * FROM actions WHERE id = ? AND tenant = ?")
        .bind(key.id.0)
        .bind(key.tenant.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::action).transpose()
}

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    filter: &ActionFilter,
) -> Result<Vec<Action>, Error> {
    let (after_at, after_id) = filter.after.unwrap_or((Timestamp::MAX, ActionId(i64::MAX)));
    let mut query = sqlx::query(list_statement(filter)).bind(tenant.as_str());
    if let Some(status) = filter.status {
        query = query.bind(status.as_str());
    }
    if let Some(target) = &filter.target {
        query = query.bind(target.as_str());
    }
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let rows = query.bind(after_at.as_micros()).bind(after_id.0).bind(limit).fetch_all(connection).await?;
    rows.iter().map(row::action).collect()
}

/// One statement per combination of filters, so that each uses its index.
pub(crate) fn list_statement(filter: &ActionFilter) -> &'static str {
    match (filter.status.is_some(), filter.target.is_some()) {
        (false, false) => {
            "SELECT * FROM actions WHERE tenant = ? \
             AND (started_at, id) < (?, ?) ORDER BY started_at DESC, id DESC LIMIT ?"
        }
        (true, false) => {
            "SELECT * FROM actions WHERE tenant = ? AND status = ? \
             AND (started_at, id) < (?, ?) ORDER BY started_at DESC, id DESC LIMIT ?"
        }
        (false, true) => {
            "SELECT * FROM actions WHERE tenant = ? AND target = ? \
             AND (started_at, id) < (?, ?) ORDER BY started_at DESC, id DESC LIMIT ?"
        }
        (true, true) => {
            "SELECT * FROM actions WHERE tenant = ? AND status = ? AND target = ? \
             AND (started_at, id) < (?, ?) ORDER BY started_at DESC, id DESC LIMIT ?"
        }
    }
}

pub(crate) async fn standing(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    policy: &PolicyName,
    target: &Target,
    per_minute: Option<NonZeroU32>,
    now: Timestamp,
) -> Result<Standing, Error> {
    let rate_limited = match per_minute {
        Some(per_minute) => rate_limited(connection, tenant, per_minute, now).await?,
        None => None,
    };
    Ok(Standing {
        now,
        episode: episodes::open_one(connection, tenant, policy, target).await?,
        last_action: last(connection, tenant, policy, target).await?,
        busy: busy(connection, tenant, target).await?,
        settled_at: settled_at(connection, tenant, target).await?,
        braked: brakes::braked(connection, tenant, now).await?,
        rate_limited,
    })
}

/// The newest managed action of a policy on a target.
pub(crate) async fn last(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    policy: &PolicyName,
    target: &Target,
) -> Result<Option<Action>, Error> {
    let row = sqlx::query(LAST)
        .bind(tenant.as_str())
        .bind(policy.as_str())
        .bind(target.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::action).transpose()
}

pub(crate) const LAST: &str = "SELECT * FROM actions WHERE managed = 1 AND tenant = ? AND policy = ? AND target = ? \
     ORDER BY started_at DESC, id DESC LIMIT 1";

/// A managed action that is pending, running or occupying on a target.
pub(crate) async fn busy(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    target: &Target,
) -> Result<Option<ActionId>, Error> {
    let row = sqlx::query(BUSY).bind(tenant.as_str()).bind(target.as_str()).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(ActionId))
}

pub(crate) const BUSY: &str = "SELECT id FROM actions WHERE tenant = ?1 AND target = ?2 AND managed = 1 AND status IN ('pending', 'running') \
     UNION ALL SELECT id FROM actions WHERE tenant = ?1 AND target = ?2 AND occupies = 1 LIMIT 1";

/// The latest `Action::settled_at` of the managed actions on a target.
pub(crate) async fn settled_at(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    target: &Target,
) -> Result<Option<Timestamp>, Error> {
    let row = sqlx::query(SETTLED).bind(tenant.as_str()).bind(target.as_str()).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(Timestamp::from_micros))
}

pub(crate) const SETTLED: &str = "SELECT max(completed_at, coalesce(verify_after, completed_at)) AS settled FROM actions \
     WHERE tenant = ?1 AND target = ?2 AND managed = 1 AND running_at IS NOT NULL AND completed_at IS NOT NULL \
     ORDER BY max(completed_at, coalesce(verify_after, completed_at)) DESC LIMIT 1";

/// When a tenant may have its next action, if it has had `per_minute` of them within the last minute.
pub(crate) async fn rate_limited(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    per_minute: NonZeroU32,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let row = sqlx::query(RATE)
        .bind(tenant.as_str())
        .bind((now - MINUTE).as_micros())
        .bind(i64::from(per_minute.get()) - 1)
        .fetch_optional(connection)
        .await?;
    let first = row.map(|row| row.try_get(0)).transpose()?;
    Ok(first.map(|micros| Timestamp::from_micros(micros) + MINUTE))
}

/// The oldest of the newest so many: as many rows as the tenant had actions in that time, and no more than it may have.
pub(crate) const RATE: &str = "SELECT started_at FROM actions WHERE tenant = ?1 AND managed = 1 AND started_at > ?2 \
     ORDER BY started_at DESC, id DESC LIMIT 1 OFFSET ?3";

pub(crate) async fn due(
    connection: &mut SqliteConnection,
    kind: Due,
    after: ActionId,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Action>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sqlx::query(due_statement(kind))
        .bind(after.0)
        .bind(now.as_micros())
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
    let due: Vec<Action> = rows.iter().map(row::action).collect::<Result<_, _>>()?;
    if kind == Due::Verification && !due.is_empty() {
        let ids: Vec<i64> = due.iter().map(|action| action.id.0).collect();
        sqlx::query("UPDATE actions SET verify_hidden = ? WHERE id IN (SELECT value FROM json_each(?))")
            .bind((now + VERIFY_LEASE).as_micros())
            .bind(to_json(&ids)?)
            .execute(connection)
            .await?;
    }
    Ok(due)
}

pub(crate) fn due_statement(kind: Due) -> &'static str {
    match kind {
        Due::Delivery => {
            "SELECT * FROM actions WHERE managed = 1 AND status IN ('pending', 'running') AND id > ?1 \
             AND ((status = 'pending' AND not_before <= ?2) \
               OR (status = 'running' AND indeterminate_at IS NULL AND coalesce(lease_until, 0) <= ?2)) ORDER BY id LIMIT ?3"
        }
        Due::Verification => {
            "SELECT * FROM actions WHERE managed = 1 AND (verification = 'awaiting' OR indeterminate_at IS NOT NULL) \
             AND id > ?1 AND verify_hidden <= ?2 AND ((verification = 'awaiting' AND verify_after <= ?2) \
               OR (status = 'running' AND condition IS NULL AND deadline <= ?2)) ORDER BY id LIMIT ?3"
        }
        Due::Occupation => {
            "SELECT * FROM actions WHERE managed = 1 AND occupies = 1 AND id > ?1 \
             AND status IN ('completed', 'failed', 'cancelled') AND deadline <= ?2 ORDER BY id LIMIT ?3"
        }
    }
}

pub(crate) async fn transition(
    connection: &mut SqliteConnection,
    key: &ActionKey,
    version: i64,
    change: &Change,
    resolve: Option<Resolution>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Action, Error> {
    let before = find(connection, key).await?.ok_or_else(|| StoreError::NotFound(format!("action {}", key.id)))?;
    if before.version != version {
        return Err(StoreError::Conflict(format!("action {}", key.id)).into());
    }
    let after = before.apply(change, now).map_err(StoreError::from)?;
    if change.begins_attempt()
        && let Some(Braked { until }) = brakes::braked(connection, &key.tenant, now).await?
    {
        return Err(StoreError::Braked { until }.into());
    }
    if let Some((policy, revision)) = change.required_policy() {
        let stored = policies::find(connection, &key.tenant, policy).await?;
        if !stored.is_some_and(|stored| stored.is_in_force(*revision)) {
            return Err(StoreError::PolicyChanged(policy.clone()).into());
        }
    }
    match update(connection, &after, version).await {
        Err(error) if error.is_duplicate() => {
            let by = occupant(connection, &after).await?;
            return Err(StoreError::Occupied { by }.into());
        }
        other => other?,
    }
    audit::insert(connection, &AuditEntry::changed(&before, &after, change, actor, now)).await?;
    if let (Some(resolution), Some(id)) = (resolve, after.episode) {
        let change = EpisodeChange::Resolve { resolution };
        episodes::change_if_open(connection, &after.tenant, id, &change, actor, now).await?;
    }
    Ok(after)
}

async fn occupant(connection: &mut SqliteConnection, action: &Action) -> Result<ActionId, Error> {
    let row = sqlx::query("SELECT id FROM actions WHERE tenant = ? AND target = ? AND occupies = 1")
        .bind(action.tenant.as_str())
        .bind(action.target.as_str())
        .fetch_one(connection)
        .await?;
    Ok(ActionId(row.try_get(0)?))
}

async fn update(connection: &mut SqliteConnection, action: &Action, version: i64) -> Result<(), Error> {
    let written = sqlx::query(
        "UPDATE actions SET status = ?, details = ?, version = ?, attempt = ?, tries = ?, crashes = ?, lease_until = ?, occupies = ?, \
         running_at = ?, completed_at = ?, not_before = ?, deadline = ?, indeterminate_at = ?, verification = ?, verify_after = ?, \
         verify_by = ?, error = ?, verify_hidden = 0 WHERE id = ? AND tenant = ? AND version = ?",
    )
    .bind(action.status.as_str())
    .bind(action.details.as_deref())
    .bind(action.version)
    .bind(action.attempt)
    .bind(action.tries)
    .bind(action.crashes)
    .bind(micros(action.lease_until))
    .bind(action.occupies)
    .bind(micros(action.running_at))
    .bind(micros(action.completed_at))
    .bind(action.not_before.as_micros())
    .bind(micros(action.deadline))
    .bind(micros(action.indeterminate_at))
    .bind(action.verification.map(vigil_core::action::Verification::as_str))
    .bind(micros(action.verify_after))
    .bind(micros(action.verify_by))
    .bind(action.error.as_deref())
    .bind(action.id.0)
    .bind(action.tenant.as_str())
    .bind(version)
    .execute(connection)
    .await?;
    match written.rows_affected() {
        0 => Err(StoreError::Conflict(format!("action {}", action.id)).into()),
        _ => Ok(()),
    }
}

pub(crate) async fn extend_lease(
    connection: &mut SqliteConnection,
    key: &ActionKey,
    version: i64,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    let written = sqlx::query(
        "UPDATE actions SET lease_until = ? WHERE id = ? AND tenant = ? AND version = ? AND status = 'running' AND lease_until > ?",
    )
    .bind(until.as_micros())
    .bind(key.id.0)
    .bind(key.tenant.as_str())
    .bind(version)
    .bind(now.as_micros())
    .execute(&mut *connection)
    .await?;
    if written.rows_affected() == 1 {
        return Ok(());
    }
    Err(match find(connection, key).await? {
        None => StoreError::NotFound(format!("action {}", key.id)).into(),
        Some(_) => StoreError::Conflict(format!("action {}", key.id)).into(),
    })
}
