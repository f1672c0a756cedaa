//! Admission: the guards in their order, then action, episode and audit in one transaction.
//!
//! Whoever admits on a target first takes that target's lock, and looks only then: what it finds is what the admissions
//! before it left behind. What changes without the lock (the end of an action, a policy's revision) reads nothing that an
//! admission writes, so that the two could as well have come one after the other.

use sqlx::{PgConnection, Row};
use vigil_core::action::{Action, ActionId, Verification};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeChange};
use vigil_core::policy::{PolicyName, Reason};
use vigil_core::store::{ActionIntent, Admission, AuditEntry, Guard, StoreError};

use crate::audit::{self, entry};
use crate::connections::Connections;
use crate::error::Error;
use crate::idempotency::{self, Taken};
use crate::row::{at, text, to_json};
use crate::time::At;
use crate::{actions, digest, episodes};

pub(crate) async fn admit(
    connections: &Connections,
    intent: ActionIntent,
    guards: &[Guard],
) -> Result<Admission, Error> {
    let (guards, given) = (guards.to_vec(), connections.given_now());
    let lock = digest::number(&["admission", intent.tenant.as_str(), intent.target.as_str()]);
    connections.exclusively(lock, move |c| Box::pin(async move { admit_alone(c, intent, &guards, given).await })).await
}

async fn admit_alone(
    connection: &mut PgConnection,
    intent: ActionIntent,
    guards: &[Guard],
    given: Option<At>,
) -> Result<Admission, Error> {
    let row = sqlx::query(NUMBER).bind(given).fetch_one(&mut *connection).await?;
    let (id, At(now)): (i64, At) = (row.try_get("id")?, row.try_get("now")?);
    let id = ActionId(id);
    // The key first: it is known what the answer will be, unless the guards refuse.
    if let Some(idempotency) = intent.idempotency.clone() {
        let action = intent.clone().into_action(id, now);
        match idempotency::take(connection, "actions", &intent.tenant, &idempotency, &action, given).await? {
            Taken::Fresh => {}
            Taken::Replayed(action) => return Ok(Admission::Replayed(action)),
            Taken::Reused => return Err(StoreError::KeyReused.into()),
        }
    }
    let episode = seen_episode(connection, &intent).await?;
    let mut refused = None;
    for guard in guards {
        refused = refuse(connection, &intent, guard, episode.as_ref(), now).await?;
        if refused.is_some() {
            break;
        }
    }
    // An episode that is no longer what the planner saw cannot be moved on, whatever the guards say.
    let changed = (intent.episode.is_some() && episode.is_none()).then_some(Reason::EpisodeChanged);
    if let Some(reason) = refused.or(changed) {
        if let Some(episode) = episode {
            let change = EpisodeChange::Refuse { reason: reason.clone() };
            let given = Some(At(now));
            episodes::change(connection, &intent.tenant, episode.id, episode.version, &change, &intent.actor, given)
                .await?;
        }
        if let Some(idempotency) = &intent.idempotency {
            idempotency::give_back(connection, "actions", &intent.tenant, idempotency).await?;
        }
        return Ok(Admission::Blocked(reason));
    }
    let actor = intent.actor.clone();
    let action = intent.into_action(id, now);
    insert(connection, &action, &AuditEntry::admitted(&action, &actor)).await?;
    if let Some(episode) = episode {
        episodes::update(connection, &episode.admitted(action.id, now), episode.version, None).await?;
    }
    Ok(Admission::Admitted(action))
}

const NUMBER: &str =
    "SELECT nextval(pg_get_serial_sequence('actions', 'id')) AS id, coalesce($1, clock_timestamp()) AS now";

/// Why a guard does not hold, if it does not.
async fn refuse(
    connection: &mut PgConnection,
    intent: &ActionIntent,
    guard: &Guard,
    episode: Option<&Episode>,
    now: Timestamp,
) -> Result<Option<Reason>, Error> {
    let tenant = &intent.tenant;
    Ok(match guard {
        Guard::Revision { policy, revision } => {
            let row =
                sqlx::query(REVISION).bind(tenant.as_str()).bind(policy.as_str()).fetch_optional(connection).await?;
            let stored: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
            (stored != Some(*revision)).then_some(Reason::PolicyChanged)
        }
        Guard::Free { target } => {
            actions::busy(connection, tenant, target).await?.map(|action| Reason::Busy { action })
        }
        Guard::Cooldown { policy, target, period } => {
            let last = actions::last(connection, tenant, policy, target).await?;
            let until = last.map(|last| last.started_at + *period).filter(|until| now < *until);
            until.map(|until| Reason::Cooldown { until })
        }
        Guard::Evidence { policy, target, since } => {
            let Some(last) = actions::last(connection, tenant, policy, target).await? else { return Ok(None) };
            if last.verification == Some(Verification::Awaiting) {
                return Ok(Some(Reason::AwaitingVerification { action: last.id }));
            }
            // One that has not ended has certainly not ended before the evidence was taken.
            let ended = last.completed_at.unwrap_or(now);
            (last.completed_at.is_none() || ended >= *since).then_some(Reason::StaleEvidence { since: ended })
        }
        Guard::Attempts { max } => match episode {
            None => Some(Reason::EpisodeChanged),
            Some(episode) if episode.actions >= *max => Some(Reason::Exhausted { actions: episode.actions }),
            Some(_) => None,
        },
    })
}

const REVISION: &str = "SELECT revision FROM policies WHERE tenant = $1 AND name = $2 AND enabled";

/// The intent's episode, if it is open and still has the version that the planner saw.
async fn seen_episode(connection: &mut PgConnection, intent: &ActionIntent) -> Result<Option<Episode>, Error> {
    let Some((id, version)) = intent.episode else { return Ok(None) };
    let known = episodes::find(connection, &intent.tenant, id, None).await?.map(|(episode, _)| episode);
    Ok(known.filter(|episode| episode.is_open() && episode.version == version))
}

async fn insert(connection: &mut PgConnection, action: &Action, entry: &AuditEntry) -> Result<(), Error> {
    audit::bind(sqlx::query(INSERT), entry)?
        .bind(action.id.0)
        .bind(action.target.as_str())
        .bind(action.action.as_str())
        .bind(action.status.as_str())
        .bind(action.details.as_deref().map(text))
        .bind(At(action.started_at))
        .bind(action.severity.as_str())
        .bind(to_json(&action.params)?)
        .bind(action.policy.as_ref().map(PolicyName::as_str))
        .bind(action.policy_revision)
        .bind(action.episode.map(|episode| episode.0))
        .bind(action.condition.as_ref().map(to_json).transpose()?)
        .bind(action.managed)
        .bind(action.version)
        .bind(action.nonce.cast_signed())
        .bind(at(action.running_at))
        .bind(at(action.completed_at))
        .bind(At(action.not_before))
        .bind(At(action.expires_at))
        .bind(at(action.evidence_at))
        .execute(connection)
        .await?;
    Ok(())
}

const INSERT: &str = concat!(
    "WITH admitted AS (INSERT INTO actions (tenant, id, target, action, status, details, started_at, severity, params, policy, \
       policy_revision, episode, condition, managed, version, nonce, running_at, completed_at, not_before, expires_at, evidence_at) \
       VALUES ($1, $11, $12, $13, $14, $15, $16, $17, $18::json, $19, $20, $21, $22::json, $23, $24, $25, $26, $27, $28, $29, $30) \
       RETURNING id) ",
    entry!(),
    " FROM admitted"
);
