//! Admission: the guards in their order, then action, episode and audit in one transaction. One writer: no race is left.

use sqlx::SqliteConnection;
use vigil_core::action::{Action, ActionId};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeChange};
use vigil_core::policy::Reason;
use vigil_core::store::{ActionIntent, Admission, AuditEntry, Braked, Guard, LastAction, refuse_evidence};

use crate::error::Error;
use crate::row::{micros, to_json};
use crate::{actions, audit, brakes, episodes, metrics, policies};

pub(crate) async fn admit(
    connection: &mut SqliteConnection,
    mut intent: ActionIntent,
    guards: &[Guard],
    now: Timestamp,
) -> Result<Admission, Error> {
    if let Some(idempotency) = &intent.idempotency
        && let Some(action) = metrics::replay(connection, "actions", &intent.tenant, idempotency, now).await??
    {
        return Ok(Admission::Replayed(action));
    }
    if let Some(opens) = intent.opens.take() {
        let Some(opened) = episodes::open_new(connection, opens, now).await? else {
            return Ok(Admission::Blocked(Reason::EpisodeChanged));
        };
        intent.episode = Some((opened.id, opened.version));
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
            episodes::change(connection, &intent.tenant, episode.id, episode.version, &change, &intent.actor, now)
                .await?;
        }
        return Ok(Admission::Blocked(reason));
    }
    let (actor, idempotency) = (intent.actor.clone(), intent.idempotency.clone());
    let mut action = intent.into_action(ActionId(0), now);
    action.id = insert(connection, &action).await?;
    if let Some(episode) = episode {
        episodes::update(connection, &episode.admitted(action.id, now), episode.version).await?;
    }
    audit::insert(connection, &AuditEntry::admitted(&action, &actor)).await?;
    if let Some(idempotency) = &idempotency {
        metrics::remember(connection, "actions", &action.tenant, idempotency, &action, now).await?;
    }
    Ok(Admission::Admitted(action))
}

/// Why a guard does not hold, if it does not.
async fn refuse(
    connection: &mut SqliteConnection,
    intent: &ActionIntent,
    guard: &Guard,
    episode: Option<&Episode>,
    now: Timestamp,
) -> Result<Option<Reason>, Error> {
    let tenant = &intent.tenant;
    Ok(match guard {
        Guard::Revision { policy, revision } => {
            let stored = policies::find(connection, tenant, policy).await?;
            let same = stored.is_some_and(|stored| stored.is_in_force(*revision));
            (!same).then_some(Reason::PolicyChanged)
        }
        Guard::Brake => {
            let braked = brakes::braked(connection, tenant, now).await?;
            braked.map(|Braked { until }| Reason::Braked { until })
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
            let last = actions::last(connection, tenant, policy, target).await?;
            let settled_at = actions::settled_at(connection, tenant, target).await?;
            refuse_evidence(last.as_ref().map(LastAction::of), settled_at, *since, now)
        }
        Guard::Attempts { max } => match episode {
            None => Some(Reason::EpisodeChanged),
            Some(episode) if episode.actions >= *max => Some(Reason::Exhausted { actions: episode.actions }),
            Some(_) => None,
        },
        Guard::Rate { per_minute } => {
            let until = actions::rate_limited(connection, tenant, *per_minute, now).await?;
            until.map(|until| Reason::RateLimited { until })
        }
    })
}

/// The intent's episode, if it is open and still has the version that the planner saw.
async fn seen_episode(connection: &mut SqliteConnection, intent: &ActionIntent) -> Result<Option<Episode>, Error> {
    let Some((id, version)) = intent.episode else { return Ok(None) };
    let known = episodes::find(connection, &intent.tenant, id).await?;
    Ok(known.filter(|episode| episode.is_open() && episode.version == version))
}

async fn insert(connection: &mut SqliteConnection, action: &Action) -> Result<ActionId, Error> {
    let written = sqlx::query(
        "INSERT INTO actions (target, action, status, details, started_at, tenant, severity, params, policy, policy_revision, \
         episode, condition, managed, version, nonce, running_at, completed_at, not_before, expires_at, evidence_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(action.target.as_str())
    .bind(action.action.as_str())
    .bind(action.status.as_str())
    .bind(action.details.as_deref())
    .bind(action.started_at.as_micros())
    .bind(action.tenant.as_str())
    .bind(action.severity.as_str())
    .bind(to_json(&action.params)?)
    .bind(action.policy.as_ref().map(vigil_core::policy::PolicyName::as_str))
    .bind(action.policy_revision)
    .bind(action.episode.map(|episode| episode.0))
    .bind(action.condition.as_ref().map(to_json).transpose()?)
    .bind(action.managed)
    .bind(action.version)
    .bind(action.nonce.cast_signed())
    .bind(micros(action.running_at))
    .bind(micros(action.completed_at))
    .bind(action.not_before.as_micros())
    .bind(action.expires_at.as_micros())
    .bind(micros(action.evidence_at))
    .execute(connection)
    .await?;
    Ok(ActionId(written.last_insert_rowid()))
}
