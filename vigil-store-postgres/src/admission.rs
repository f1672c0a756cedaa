//! Admission: the guards in their order, then action, episode and audit in one transaction.
//!
//! Whoever admits on a target first takes that target's lock, and looks only then: what it finds is what the admissions
//! before it left behind. What changes without the lock (the end of an action, a policy's revision) reads nothing that an
//! admission writes, so that the two could as well have come one after the other.

use std::num::NonZeroU32;

use sqlx::{PgConnection, Row};
use vigil_core::action::{Action, ActionId, Verification};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeChange, EpisodeId};
use vigil_core::policy::{PolicyName, Reason};
use vigil_core::store::{
    ActionIntent, Actor, Admission, AuditEntry, Braked, Guard, LastAction, StoreError, refuse_evidence,
};
use vigil_core::target::Target;

use crate::actions::{busy, last, rate, rate_limited, rated, settled};
use crate::audit::{self, entry};
use crate::connections::{Commit, Connections};
use crate::error::Error;
use crate::idempotency::{self, Taken};
use crate::row::{self, Reader, Statement, at, text, to_json};
use crate::time::At;
use crate::{brakes, digest, episodes};

pub(crate) async fn admit(
    connections: &Connections,
    intent: ActionIntent,
    guards: &[Guard],
) -> Result<Admission, Error> {
    let (guards, given) = (guards.to_vec(), connections.given_now());
    let opened_at = connections.now().await?;
    let lock = digest::number(&["admission", intent.tenant.as_str(), intent.target.as_str()]);
    // What a policy admits has been promised to nobody, and nothing is done about it before a start is durable, which comes after it.
    let is_promised = intent.policy.is_none() || intent.idempotency.is_some();
    let commit = if is_promised { Commit::Durable } else { Commit::InOrder };
    let work = connections.exclusively(lock, commit, move |c| {
        Box::pin(async move { admit_alone(c, intent, &guards, given, opened_at).await })
    });
    work.await
}

async fn admit_alone(
    connection: &mut PgConnection,
    mut intent: ActionIntent,
    guards: &[Guard],
    given: Option<At>,
    opened_at: Timestamp,
) -> Result<Admission, Error> {
    if guards.iter().any(|guard| matches!(guard, Guard::Rate { .. })) {
        // All of the tenant count together. After the target's, by everybody: nobody waits for a target while holding this one.
        let lock = digest::number(&["actions per minute", intent.tenant.as_str()]);
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *connection).await?;
    }
    let opens = intent.opens.take();
    let mut facts = Facts::read(connection, &intent, opens.is_some(), guards, given).await?;
    let (id, now) = (facts.id, facts.now);
    // It is written with the action, or with the refusal.
    let opened = opens.clone().map(|opens| Episode::open(facts.opening, opens, opened_at));
    if let Some(opened) = &opened {
        intent.episode = Some((opened.id, opened.version));
    }
    // The key first: it is known what the answer will be, unless the guards refuse.
    if let Some(idempotency) = intent.idempotency.clone() {
        let action = intent.clone().into_action(id, now);
        match idempotency::take(connection, "actions", &intent.tenant, &idempotency, &action, given).await? {
            Taken::Fresh => {}
            Taken::Replayed(action) => return Ok(Admission::Replayed(action)),
            Taken::Reused => return Err(StoreError::KeyReused.into()),
        }
    }
    let mut refused = None;
    for (place, guard) in guards.iter().enumerate() {
        if !facts.are_about(guard) {
            facts = Facts::read(connection, &intent, false, &guards[place..], given).await?;
        }
        refused = refuse(guard, &facts, opened.as_ref().or(facts.episode.as_ref()), now);
        if refused.is_some() {
            break;
        }
    }
    let mut episode = opened.or(facts.episode);
    // An episode that is no longer what the planner saw cannot be moved on, whatever the guards say.
    let changed = (intent.episode.is_some() && episode.is_none()).then_some(Reason::EpisodeChanged);
    if let Some(mut reason) = refused.or(changed) {
        if let Some(opens) = opens {
            episode = episodes::open_new(connection, opens, opened_at).await?;
            if episode.is_none() {
                reason = Reason::EpisodeChanged;
            }
        }
        if let Some(episode) = episode {
            let change = EpisodeChange::Refuse { reason: reason.clone() };
            let given = Some(At(now));
            episodes::change(connection, &intent.tenant, episode.id, episode.version, &change, &intent.actor, given)
                .await?;
        }
        return block(connection, &intent, reason).await;
    }
    let action = intent.clone().into_action(id, now);
    let entry = AuditEntry::admitted(&action, &intent.actor);
    match episode {
        Some(episode) if opens.is_some() => {
            if !insert_opening(connection, &action, &episode, opened_at, &entry).await? {
                return block(connection, &intent, Reason::EpisodeChanged).await;
            }
        }
        episode => {
            let moved = episode.map(|episode| (episode.admitted(action.id, now), episode.version));
            insert(connection, &action, moved.as_ref(), &entry).await?;
        }
    }
    Ok(Admission::Admitted(action))
}

/// Nothing is admitted, and the key may be used again.
async fn block(connection: &mut PgConnection, intent: &ActionIntent, reason: Reason) -> Result<Admission, Error> {
    if let Some(idempotency) = &intent.idempotency {
        idempotency::give_back(connection, "actions", &intent.tenant, idempotency).await?;
    }
    Ok(Admission::Blocked(reason))
}

/// What the guards are judged by, as one statement finds it.
struct Facts {
    /// The number that the action gets.
    id: ActionId,
    /// The one of the episode that it opens.
    opening: EpisodeId,
    now: Timestamp,
    /// The intent's episode, if it is open and still has the version that the planner saw.
    episode: Option<Episode>,
    asked: Asked,
    revision: Option<i64>,
    busy: Option<ActionId>,
    braked: Option<Braked>,
    /// When the tenant may have its next action, if it has had what it may within the last minute.
    rate_limited: Option<Timestamp>,
    last: Option<Last>,
    /// The latest `Action::settled_at` of the actions on the target of `last`.
    settled_at: Option<Timestamp>,
}

/// What was asked about. Usually all guards name the same policy and target.
#[derive(Default)]
struct Asked {
    revision: Option<PolicyName>,
    busy: Option<Target>,
    last: Option<(PolicyName, Target)>,
    rate: Option<NonZeroU32>,
    brake: bool,
}

/// The newest managed action of a policy on a target, as far as guards look at it.
struct Last {
    started_at: Timestamp,
    action: LastAction,
}

impl Facts {
    /// Asks about the first guard of each kind.
    async fn read(
        connection: &mut PgConnection,
        intent: &ActionIntent,
        opens: bool,
        guards: &[Guard],
        given: Option<At>,
    ) -> Result<Self, Error> {
        let mut asked = Asked::default();
        for guard in guards {
            match guard {
                Guard::Revision { policy, .. } => asked.revision = asked.revision.or_else(|| Some(policy.clone())),
                Guard::Free { target } => asked.busy = asked.busy.or_else(|| Some(target.clone())),
                Guard::Cooldown { policy, target, .. } | Guard::Evidence { policy, target, .. } => {
                    asked.last = asked.last.or_else(|| Some((policy.clone(), target.clone())));
                }
                Guard::Rate { per_minute } => asked.rate = asked.rate.or(Some(*per_minute)),
                Guard::Brake => asked.brake = true,
                Guard::Attempts { .. } => {}
            }
        }
        let row = sqlx::query(FACTS)
            .bind(intent.tenant.as_str())
            .bind(asked.last.as_ref().map(|(policy, _)| policy.as_str()))
            .bind(asked.last.as_ref().map(|(_, target)| target.as_str()))
            .bind(given)
            .bind(asked.revision.as_ref().map(PolicyName::as_str))
            .bind(asked.busy.as_ref().map(Target::as_str))
            .bind(intent.episode.map(|(id, _)| id.0))
            .bind(asked.rate.map(rate))
            .bind(opens)
            .bind(asked.brake.then(brakes::lock))
            .fetch_one(connection)
            .await?;
        let reader = Reader::new(&row, "fact");
        let episode = if reader.maybe_int("id")?.is_some() { Some(row::episode(&row)?) } else { None };
        let seen = |episode: &Episode| episode.is_open() && Some((episode.id, episode.version)) == intent.episode;
        let last = match reader.maybe_int("newest_id")? {
            None => None,
            Some(id) => Some(Last {
                started_at: reader.time("newest_started_at")?,
                action: LastAction {
                    id: ActionId(id),
                    completed_at: reader.maybe_time("newest_completed_at")?,
                    verification: reader.maybe_word("newest_verification", Verification::parse)?,
                },
            }),
        };
        let now = reader.time("now")?;
        Ok(Self {
            id: ActionId(reader.int("number")?),
            opening: EpisodeId(reader.int("opening")?),
            now,
            episode: episode.filter(seen),
            revision: reader.maybe_int("in_force")?,
            busy: reader.maybe_int("busy")?.map(ActionId),
            braked: Braked::until(reader.maybe_time("braked")?),
            rate_limited: rate_limited(reader.maybe_time("rated")?, now),
            settled_at: reader.maybe_time("settled")?,
            asked,
            last,
        })
    }

    /// Whether they answer what a guard asks.
    fn are_about(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Revision { policy, .. } => self.asked.revision.as_ref() == Some(policy),
            Guard::Free { target } => self.asked.busy.as_ref() == Some(target),
            Guard::Cooldown { policy, target, .. } | Guard::Evidence { policy, target, .. } => {
                self.asked.last.as_ref().is_some_and(|(p, t)| p == policy && t == target)
            }
            Guard::Rate { per_minute } => self.asked.rate == Some(*per_minute),
            Guard::Brake => self.asked.brake,
            Guard::Attempts { .. } => true,
        }
    }
}

pub(crate) const FACTS: &str = concat!(
    // Before everything else, the time too: it may wait.
    "WITH brake AS MATERIALIZED \
       (SELECT CASE WHEN $10::bigint IS NOT NULL THEN vigil_braked($10, $1, coalesce($4, clock_timestamp())) END AS braked) \
     SELECT brake.braked, nextval(pg_get_serial_sequence('actions', 'id')) AS number, \
     CASE WHEN $9 THEN nextval(pg_get_serial_sequence('episodes', 'id')) ELSE 0 END AS opening, coalesce($4, clock_timestamp()) AS now, \
     (SELECT revision FROM policies WHERE tenant = $1 AND name = $5 AND enabled) AS in_force, \
     ",
    busy!("$6"),
    " AS busy, ",
    settled!("$3"),
    " AS settled, ",
    rated!("$8", "$4"),
    " AS rated, \
     episodes.*, last.id AS newest_id, last.started_at AS newest_started_at, last.completed_at AS newest_completed_at, \
     last.verification AS newest_verification FROM brake \
     LEFT JOIN episodes ON episodes.id = $7 AND episodes.tenant = $1 \
     LEFT JOIN LATERAL (",
    last!(),
    ") AS last ON true"
);

/// Why a guard does not hold, if it does not.
fn refuse(guard: &Guard, facts: &Facts, episode: Option<&Episode>, now: Timestamp) -> Option<Reason> {
    match guard {
        Guard::Revision { revision, .. } => (facts.revision != Some(*revision)).then_some(Reason::PolicyChanged),
        Guard::Brake => facts.braked.map(|Braked { until }| Reason::Braked { until }),
        Guard::Free { .. } => facts.busy.map(|action| Reason::Busy { action }),
        Guard::Cooldown { period, .. } => {
            let until = facts.last.as_ref().map(|last| last.started_at + *period).filter(|until| now < *until);
            until.map(|until| Reason::Cooldown { until })
        }
        Guard::Evidence { since, .. } => {
            refuse_evidence(facts.last.as_ref().map(|last| last.action), facts.settled_at, *since, now)
        }
        Guard::Attempts { max } => match episode {
            None => Some(Reason::EpisodeChanged),
            Some(episode) if episode.actions >= *max => Some(Reason::Exhausted { actions: episode.actions }),
            Some(_) => None,
        },
        Guard::Rate { .. } => facts.rate_limited.map(|until| Reason::RateLimited { until }),
    }
}

/// Binds `$1` to `$30`: the entry, and the action's columns after those that it has from there.
fn bind<'q>(statement: Statement<'q>, action: &'q Action, entry: &AuditEntry) -> Result<Statement<'q>, Error> {
    Ok(audit::bind(statement, entry)?
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
        .bind(at(action.evidence_at)))
}

/// The insertion of an action, up to the FROM that says whether.
macro_rules! action {
    () => {
        "INSERT INTO actions (tenant, id, target, action, status, details, started_at, severity, params, policy, \
           policy_revision, episode, condition, managed, version, nonce, running_at, completed_at, not_before, expires_at, evidence_at) \
         SELECT $1, $11, $12, $13, $14, $15, $16, $17, $18::json, $19, $20, $21, $22::json, $23, $24, $25, $26, $27, $28, $29, $30"
    };
}

/// Action, audit and the episode that it moves on, from the version that it had, in one statement.
async fn insert(
    connection: &mut PgConnection,
    action: &Action,
    moved: Option<&(Episode, i64)>,
    entry: &AuditEntry,
) -> Result<(), Error> {
    let episode = moved.map(|(episode, _)| episode);
    let row = bind(sqlx::query(INSERT), action, entry)?
        .bind(episode.map(|episode| episode.state.as_str()))
        .bind(episode.map(|episode| episode.version))
        .bind(episode.map(|episode| i64::from(episode.actions)))
        .bind(at(episode.and_then(|episode| episode.firing_since)))
        .bind(moved.map(|(_, version)| *version))
        .fetch_one(connection)
        .await?;
    let done: i64 = row.try_get(0)?;
    match moved {
        Some((episode, _)) if done == 0 => Err(StoreError::Conflict(format!("episode {}", episode.id)).into()),
        _ => Ok(()),
    }
}

pub(crate) const INSERT: &str = concat!(
    "WITH admitted AS (",
    action!(),
    " RETURNING id)",
    // What `Episode::admitted` changes.
    ", moved AS (UPDATE episodes SET state = $31, version = $32, actions = $33, firing_since = $34, last_action = $11, refusal = NULL \
       WHERE id = $21 AND tenant = $1 AND version = $35 RETURNING id) ",
    entry!(),
    " FROM admitted RETURNING (SELECT count(*) FROM moved)"
);

/// Action, audit and the episode that it opens, in one statement: all of them, unless an episode is open; whether they were.
async fn insert_opening(
    connection: &mut PgConnection,
    action: &Action,
    opened: &Episode,
    opened_at: Timestamp,
    entry: &AuditEntry,
) -> Result<bool, Error> {
    let opening = AuditEntry::opened(opened, &Actor::new("controller"), opened_at);
    let episode = opened.admitted(action.id, action.started_at);
    let written =
        bind(sqlx::query(INSERT_OPENING), action, entry)?.bind(episode.policy.as_str()).bind(episode.target.as_str());
    let written = episodes::bind(written, &episode)?
        .bind(At(opening.at))
        .bind(text(&opening.kind))
        .bind(text(opening.actor.as_str()))
        .bind(opening.reason.as_deref().map(text))
        .bind(to_json(&opening.detail)?)
        .execute(connection)
        .await?;
    Ok(written.rows_affected() > 0)
}

pub(crate) const INSERT_OPENING: &str = concat!(
    "WITH opened AS (INSERT INTO episodes (tenant, id, policy, target, state, severity, condition, version, pending_since, firing_since, \
       known_at, evidence, actions, last_action) \
       VALUES ($1, $21, $31, $32, $33, $34, $35::json, $36, $37, $38, $39, $40::json, $41, $11) \
       ON CONFLICT (tenant, policy, target) WHERE state <> 'resolved' DO NOTHING RETURNING id), admitted AS (",
    action!(),
    " FROM opened RETURNING id), entered AS (INSERT INTO audit (tenant, at, kind, actor, episode, policy, target, reason, detail) \
       SELECT $1, $42, $43, $44, $21, $31, $32, $45, $46::json FROM opened RETURNING id) ",
    entry!(),
    // The entry of the episode comes first.
    " FROM admitted WHERE (SELECT count(*) FROM entered) > 0"
);
