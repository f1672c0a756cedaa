//! Actions: reading, listing, handing out, and the compare-and-set that changes them.

use std::num::NonZeroU32;
use std::time::Duration;

use sqlx::{PgConnection, Row};
use vigil_core::action::{Action, ActionId, ActionKey, Change, Verification};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{EpisodeChange, Resolution};
use vigil_core::policy::PolicyName;
use vigil_core::store::{ActionFilter, Actor, AuditEntry, Braked, Due, MINUTE, Standing, StoreError, VERIFY_LEASE};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::audit::{self, entry};
use crate::brakes::{self, braked};
use crate::episodes;
use crate::error::Error;
use crate::row::{self, Reader, at, text};
use crate::time::At;

pub(crate) async fn find(connection: &mut PgConnection, key: &ActionKey) -> Result<Option<Action>, Error> {
    Ok(find_now(connection, key, None).await?.map(|(action, _)| action))
}

/// An action, and the time by the Store's clock.
async fn find_now(
    connection: &mut PgConnection,
    key: &ActionKey,
    now: Option<At>,
) -> Result<Option<(Action, Timestamp)>, Error> {
    let row = sqlx::query(FIND).bind(key.id.0).bind(key.tenant.as_str()).bind(now).fetch_optional(connection).await?;
    row.as_ref().map(|row| Ok((row::action(row)?, Reader::new(row, "action").time("now")?))).transpose()
}

pub(crate) const FIND: &str =
    "SELECT *, coalesce($3, clock_timestamp()) AS now FROM actions WHERE id = $1 AND tenant = $2";

pub(crate) async fn list(
    connection: &mut PgConnection,
    tenant: &TenantId,
    filter: &ActionFilter,
) -> Result<Vec<Action>, Error> {
    let (after_at, after_id) = filter.after.unwrap_or((Timestamp::MAX, ActionId(i64::MAX)));
    let mut query = sqlx::query(list_statement(filter))
        .bind(tenant.as_str())
        .bind(At(after_at))
        .bind(after_id.0)
        .bind(row::limit(filter.limit));
    if let Some(status) = filter.status {
        query = query.bind(status.as_str());
    }
    if let Some(target) = &filter.target {
        query = query.bind(target.as_str());
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(row::action).collect()
}

/// One statement per combination of filters, so that each uses its index.
pub(crate) fn list_statement(filter: &ActionFilter) -> &'static str {
    match (filter.status.is_some(), filter.target.is_some()) {
        (false, false) => {
            "SELECT * FROM actions WHERE tenant = $1 \
             AND (started_at, id) < ($2, $3) ORDER BY started_at DESC, id DESC LIMIT $4"
        }
        (true, false) => {
            "SELECT * FROM actions WHERE tenant = $1 AND status = $5 \
             AND (started_at, id) < ($2, $3) ORDER BY started_at DESC, id DESC LIMIT $4"
        }
        (false, true) => {
            "SELECT * FROM actions WHERE tenant = $1 AND target = $5 \
             AND (started_at, id) < ($2, $3) ORDER BY started_at DESC, id DESC LIMIT $4"
        }
        (true, true) => {
            "SELECT * FROM actions WHERE tenant = $1 AND status = $5 AND target = $6 \
             AND (started_at, id) < ($2, $3) ORDER BY started_at DESC, id DESC LIMIT $4"
        }
    }
}

/// One statement: how things stand at one moment.
pub(crate) async fn standing(
    connection: &mut PgConnection,
    tenant: &TenantId,
    policy: &PolicyName,
    target: &Target,
    per_minute: Option<NonZeroU32>,
    now: Option<At>,
) -> Result<Standing, Error> {
    let row = sqlx::query(STANDING)
        .bind(tenant.as_str())
        .bind(policy.as_str())
        .bind(target.as_str())
        .bind(now)
        .bind(per_minute.map(rate))
        .fetch_one(connection)
        .await?;
    let is_there = |id| Ok::<_, Error>(row.try_get::<Option<i64>, _>(id)?.is_some());
    let now = Reader::new(&row, "standing").time("now")?;
    Ok(Standing {
        now,
        episode: if is_there("id")? { Some(row::episode(&row)?) } else { None },
        last_action: if is_there("newest_id")? { Some(row::action_under(&row, "newest_")?) } else { None },
        busy: row.try_get::<Option<i64>, _>("busy")?.map(ActionId),
        settled_at: Reader::new(&row, "standing").maybe_time("settled")?,
        braked: Braked::until(Reader::new(&row, "standing").maybe_time("braked")?),
        rate_limited: rate_limited(Reader::new(&row, "standing").maybe_time("rated")?, now),
    })
}

/// A managed action that is pending, running or occupying on the target of that parameter, of tenant `$1`.
macro_rules! busy {
    ($target:literal) => {
        concat!(
            "(SELECT id FROM actions WHERE tenant = $1 AND target = ",
            $target,
            " AND managed AND status IN ('pending', 'running') UNION ALL SELECT id FROM actions WHERE tenant = $1 AND target = ",
            $target,
            " AND occupies LIMIT 1)"
        )
    };
}
pub(crate) use busy;

/// The latest `Action::settled_at` of the managed actions on the target of that parameter, of tenant `$1`.
macro_rules! settled {
    ($target:literal) => {
        concat!(
            "(SELECT greatest(completed_at, verify_after) FROM actions WHERE tenant = $1 AND target = ",
            $target,
            " AND managed AND running_at IS NOT NULL AND completed_at IS NOT NULL \
             ORDER BY greatest(completed_at, verify_after) DESC LIMIT 1)"
        )
    };
}
pub(crate) use settled;

/// The oldest of the tenant's newest managed actions of about the last minute, so many as the parameter says: as many rows as it
/// had in that time, and no more than it may have. Nothing is looked at if the parameter is null.
macro_rules! rated {
    ($per_minute:literal, $now:literal) => {
        concat!(
            "(SELECT started_at FROM actions WHERE ",
            $per_minute,
            "::bigint IS NOT NULL AND tenant = $1 AND managed AND started_at > coalesce(",
            $now,
            // Not later than the time that counts: an index can be asked for it.
            ", now()) - interval '1 minute' ORDER BY started_at DESC, id DESC LIMIT 1 OFFSET ",
            $per_minute,
            " - 1)"
        )
    };
}
pub(crate) use rated;

/// What [`rated!`] takes.
pub(crate) fn rate(per_minute: NonZeroU32) -> i64 {
    i64::from(per_minute.get())
}

/// When the tenant may have its next action, of what [`rated!`] found.
pub(crate) fn rate_limited(rated: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    rated.map(|at| at + MINUTE).filter(|until| now < *until)
}

/// The newest managed action of policy `$2` on target `$3` of tenant `$1`.
macro_rules! last {
    () => {
        "SELECT * FROM actions WHERE managed AND tenant = $1 AND policy = $2 AND target = $3 ORDER BY started_at DESC, id DESC LIMIT 1"
    };
}
pub(crate) use last;

pub(crate) const STANDING: &str = concat!(
    "SELECT coalesce($4, clock_timestamp()) AS now, \
     ",
    busy!("$3"),
    " AS busy, ",
    settled!("$3"),
    " AS settled, ",
    braked!("$1", "$4"),
    " AS braked, ",
    rated!("$5", "$4"),
    " AS rated, episodes.*, last.id AS newest_id, last.tenant AS newest_tenant, last.target AS newest_target, last.action AS newest_action, \
     last.status AS newest_status, last.details AS newest_details, last.severity AS newest_severity, last.params AS newest_params, \
     last.policy AS newest_policy, last.policy_revision AS newest_policy_revision, last.episode AS newest_episode, \
     last.condition AS newest_condition, last.managed AS newest_managed, last.version AS newest_version, last.attempt AS newest_attempt, \
     last.tries AS newest_tries, last.crashes AS newest_crashes, last.nonce AS newest_nonce, last.lease_until AS newest_lease_until, \
     last.occupies AS newest_occupies, last.started_at AS newest_started_at, last.running_at AS newest_running_at, \
     last.completed_at AS newest_completed_at, last.not_before AS newest_not_before, last.expires_at AS newest_expires_at, \
     last.deadline AS newest_deadline, last.indeterminate_at AS newest_indeterminate_at, last.verification AS newest_verification, \
     last.verify_after AS newest_verify_after, last.verify_by AS newest_verify_by, last.error AS newest_error, \
     last.evidence_at AS newest_evidence_at FROM (SELECT 1) AS always \
     LEFT JOIN episodes ON episodes.tenant = $1 AND episodes.policy = $2 AND episodes.target = $3 AND episodes.state <> 'resolved' \
     LEFT JOIN LATERAL (",
    last!(),
    ") AS last ON true"
);

pub(crate) async fn due(
    connection: &mut PgConnection,
    kind: Due,
    after: ActionId,
    limit: usize,
    now: Option<At>,
) -> Result<Vec<Action>, Error> {
    let mut query = sqlx::query(due_statement(kind)).bind(after.0).bind(now).bind(row::limit(limit));
    if kind == Due::Verification {
        query = query.bind(row::micros(VERIFY_LEASE));
    }
    let rows = query.fetch_all(connection).await?;
    let mut due: Vec<Action> = rows.iter().map(row::action).collect::<Result<_, _>>()?;
    due.sort_by_key(|action| action.id);
    Ok(due)
}

pub(crate) fn due_statement(kind: Due) -> &'static str {
    match kind {
        Due::Delivery => {
            "SELECT * FROM actions WHERE managed AND status IN ('pending', 'running') AND id > $1 \
             AND ((status = 'pending' AND not_before <= coalesce($2, now())) \
               OR (status = 'running' AND indeterminate_at IS NULL \
                 AND (lease_until IS NULL OR lease_until <= coalesce($2, now())))) ORDER BY id LIMIT $3"
        }
        // ARRAY keeps the planner from asking the inner statement more than once.
        Due::Verification => {
            "UPDATE actions SET verify_hidden = coalesce($2, now()) + $4 * interval '1 microsecond' WHERE id = ANY(ARRAY(\
               SELECT id FROM actions WHERE managed AND (verification = 'awaiting' OR indeterminate_at IS NOT NULL) \
               AND id > $1 AND verify_hidden <= coalesce($2, now()) \
               AND ((verification = 'awaiting' AND verify_after <= coalesce($2, now())) \
                 OR (status = 'running' AND condition IS NULL AND deadline <= coalesce($2, now()))) \
               ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING *"
        }
        Due::Occupation => {
            "SELECT * FROM actions WHERE managed AND occupies AND id > $1 \
             AND status IN ('completed', 'failed', 'cancelled') AND deadline <= coalesce($2, now()) ORDER BY id LIMIT $3"
        }
    }
}

/// Reads, applies the change, and writes if nobody else has written since: two statements, each atomic by itself. A heartbeat
/// in between has changed nothing but the lease: the change is applied to that.
pub(crate) async fn transition(
    connection: &mut PgConnection,
    key: &ActionKey,
    version: i64,
    change: &Change,
    resolve: Option<Resolution>,
    actor: &Actor,
    now: Option<At>,
) -> Result<Action, Error> {
    let (after, now) = loop {
        let found = find_now(connection, key, now).await?;
        let (before, now) = found.ok_or_else(|| StoreError::NotFound(format!("action {}", key.id)))?;
        if before.version != version {
            return Err(conflict(key.id));
        }
        let after = before.apply(change, now).map_err(StoreError::from)?;
        let entry = AuditEntry::changed(&before, &after, change, actor, now);
        match update(connection, &before, &after, &entry, change).await? {
            Written::Done => break (after, now),
            Written::Meanwhile => {}
            Written::Braked(Braked { until }) => return Err(StoreError::Braked { until }.into()),
            Written::PolicyChanged(policy) => return Err(StoreError::PolicyChanged(policy).into()),
        }
    };
    if let (Some(resolution), Some(id)) = (resolve, after.episode) {
        let change = EpisodeChange::Resolve { resolution };
        episodes::change_if_open(connection, &after.tenant, id, &change, actor, now).await?;
    }
    Ok(after)
}

/// Who occupies the target of an action, if anybody does.
pub(crate) async fn occupant(connection: &mut PgConnection, key: &ActionKey) -> Result<Option<ActionId>, Error> {
    let row = sqlx::query(OCCUPANT).bind(key.id.0).bind(key.tenant.as_str()).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(ActionId))
}

pub(crate) const OCCUPANT: &str = "SELECT other.id FROM actions AS mine JOIN actions AS other ON other.tenant = mine.tenant \
     AND other.target = mine.target AND other.occupies WHERE mine.id = $1 AND mine.tenant = $2";

/// What became of a change.
enum Written {
    Done,
    /// The row is no longer as it was read.
    Meanwhile,
    Braked(Braked),
    PolicyChanged(PolicyName),
}

/// Writes a change and its entry, if the row is still as it was read; the start of an attempt, only if no brake is engaged
/// and the policy that it requires is in force.
async fn update(
    connection: &mut PgConnection,
    before: &Action,
    action: &Action,
    entry: &AuditEntry,
    change: &Change,
) -> Result<Written, Error> {
    let begins = change.begins_attempt();
    let written = audit::bind(sqlx::query(if begins { BEGIN } else { UPDATE }), entry)?
        .bind(action.status.as_str())
        .bind(action.details.as_deref().map(text))
        .bind(action.version)
        .bind(i64::from(action.attempt))
        .bind(i64::from(action.tries))
        .bind(i64::from(action.crashes))
        .bind(at(action.lease_until))
        .bind(action.occupies)
        .bind(at(action.running_at))
        .bind(at(action.completed_at))
        .bind(At(action.not_before))
        .bind(at(action.deadline))
        .bind(at(action.indeterminate_at))
        .bind(action.verification.map(Verification::as_str))
        .bind(at(action.verify_after))
        .bind(at(action.verify_by))
        .bind(action.error.as_deref().map(text))
        .bind(action.id.0)
        .bind(before.version)
        // A heartbeat moves the lease without raising the version.
        .bind(at(before.lease_until));
    if !begins {
        let done = written.execute(connection).await?.rows_affected() == 1;
        return Ok(if done { Written::Done } else { Written::Meanwhile });
    }
    let policy = change.required_policy();
    let row = written
        .bind(brakes::lock())
        .bind(policy.map(|(name, _)| name.as_str()))
        .bind(policy.map(|(_, revision)| *revision))
        .fetch_one(connection)
        .await?;
    let braked = Braked::until(Reader::new(&row, "brake").maybe_time("braked")?);
    let in_force: bool = row.try_get("in_force")?;
    Ok(match (braked, policy) {
        (Some(braked), _) => Written::Braked(braked),
        (None, Some((name, _))) if !in_force => Written::PolicyChanged(name.clone()),
        (None, _) if row.try_get::<i64, _>("written")? == 1 => Written::Done,
        (None, _) => Written::Meanwhile,
    })
}

/// What a change does to a row. `$1` to `$10` are its entry's.
macro_rules! change {
    () => {
        "UPDATE actions SET status = $11, details = $12, version = $13, attempt = $14, tries = $15, crashes = $16, \
           lease_until = $17, occupies = $18, running_at = $19, completed_at = $20, not_before = $21, deadline = $22, \
           indeterminate_at = $23, verification = $24, verify_after = $25, verify_by = $26, error = $27, verify_hidden = '-infinity' "
    };
}

pub(crate) const UPDATE: &str = concat!(
    "WITH changed AS (",
    change!(),
    "WHERE id = $28 AND tenant = $1 AND version = $29 AND lease_until IS NOT DISTINCT FROM $30 RETURNING id) ",
    entry!(),
    " FROM changed"
);

/// The same, unless a brake is engaged or the required policy is not in force: both are read before the row is written.
pub(crate) const BEGIN: &str = concat!(
    "WITH may AS MATERIALIZED (SELECT * FROM vigil_may_begin($31, $1, $2, $32, $33)), changed AS (",
    change!(),
    "FROM may WHERE id = $28 AND tenant = $1 AND version = $29 AND lease_until IS NOT DISTINCT FROM $30 \
       AND may.braked IS NULL AND may.in_force RETURNING id), entered AS (",
    entry!(),
    " FROM changed RETURNING 1) SELECT braked, in_force, (SELECT count(*) FROM entered) AS written FROM may"
);

pub(crate) async fn extend_lease(
    connection: &mut PgConnection,
    key: &ActionKey,
    version: i64,
    by: Duration,
    now: Option<At>,
) -> Result<(), Error> {
    let written = sqlx::query(EXTEND_LEASE)
        .bind(key.id.0)
        .bind(key.tenant.as_str())
        .bind(version)
        .bind(now)
        .bind(row::micros(by))
        .execute(&mut *connection)
        .await?;
    if written.rows_affected() == 1 {
        return Ok(());
    }
    Err(match find(connection, key).await? {
        None => StoreError::NotFound(format!("action {}", key.id)).into(),
        Some(_) => conflict(key.id),
    })
}

pub(crate) const EXTEND_LEASE: &str = "UPDATE actions SET lease_until = coalesce($4, clock_timestamp()) + $5 * interval '1 microsecond' \
     WHERE id = $1 AND tenant = $2 AND version = $3 AND status = 'running' AND lease_until > coalesce($4, clock_timestamp())";

fn conflict(id: ActionId) -> Error {
    StoreError::Conflict(format!("action {id}")).into()
}
