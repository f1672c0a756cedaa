//! `/api/v1/queue/dead`: tasks that were given up on, and what a person does about them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vigil_core::action::{ActionId, ActionType};
use vigil_core::clock::Timestamp;
use vigil_core::queue::DeadLetter;
use vigil_core::target::Target;

use crate::dto::Confirmation;
use crate::extract::{Caller, Page, Word, cursor};
use crate::params::{Params, count};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// How many letters a page has when the client does not say.
const PAGE: usize = 100;

/// A task that was given up on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(crate) struct LetterDto {
    /// Names it.
    task_id: String,
    /// The action that it would carry out; null if what was queued is no task.
    #[schema(value_type = Option<i64>, required)]
    action_id: Option<ActionId>,
    /// What that would be done to.
    #[schema(value_type = Option<schema::Name>, required)]
    target: Option<Target>,
    /// What would be done.
    #[schema(value_type = Option<schema::ActionType>, required)]
    action: Option<ActionType>,
    /// The policy that wanted it; null when a person did.
    #[schema(required)]
    policy_name: Option<String>,
    /// Why it was given up.
    reason: String,
    /// When it was given up.
    #[schema(value_type = schema::Time)]
    at: Timestamp,
    /// What was queued, whatever it is.
    payload: String,
}

impl From<DeadLetter> for LetterDto {
    fn from(letter: DeadLetter) -> Self {
        let task = letter.task;
        Self {
            task_id: letter.id,
            action_id: task.as_ref().map(|task| task.action_id),
            target: task.as_ref().map(|task| task.target.clone()),
            action: task.as_ref().and_then(|task| task.action),
            policy_name: task.and_then(|task| task.policy_name),
            reason: letter.reason,
            at: letter.at,
            payload: letter.payload,
        }
    }
}

/// A page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterList, examples(json!({"count": 1, "dead": [{
    "task_id": "42", "action_id": 42, "target": "web-1", "action": "restart", "policy_name": "high-cpu",
    "reason": "the worker was lost 3 times", "at": "2026-01-20T12:00:00Z", "payload": "{\"action_id\":42}"
}], "next_cursor": null})))]
pub(crate) struct LetterList {
    /// How many are on this page.
    count: usize,
    /// The letters.
    dead: Vec<LetterDto>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List tasks that were given up, the oldest first
#[utoipa::path(
    get, path = "/api/v1/queue/dead", tag = "Queue", operation_id = "list_dead_letters", params(Page),
    responses((status = 200, description = "A page of them", body = LetterList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<LetterList>, ApiError> {
    params.only(&["limit", "cursor"], &[]);
    let number = |text: &str| u64::try_from(cursor::number(text)?).map_err(|_| cursor::NOT_OURS.to_owned());
    let after = params.optional("cursor", number).unwrap_or(0);
    let limit = params.limit(PAGE);
    params.end()?;
    // One more than asked for tells whether there is a next page.
    let mut dead = app.vigil.queue().dead(&caller.tenant, after, limit + 1).await?;
    let more = dead.len() > limit;
    dead.truncate(limit);
    let last = dead.last().filter(|_| more).and_then(|last| i64::try_from(last.number).ok());
    let dead: Vec<LetterDto> = dead.into_iter().map(LetterDto::from).collect();
    Ok(Json(LetterList { count: dead.len(), dead, next_cursor: last.map(cursor::of_number) }))
}

/// Put a dead letter in line again
///
/// An action that is final by now is not carried out again.
#[utoipa::path(
    post, path = "/api/v1/queue/dead/{task_id}/retry", tag = "Queue", operation_id = "retry_dead_letter",
    params(("task_id" = String, Path, description = "The letter's `task_id`", example = "42")),
    responses(
        (status = 200, description = "It is in line again", body = Confirmation,
            example = json!({"ok": true, "message": "Task '42' is in line again"})),
        (status = 404, description = "No dead letter has this id"),
    )
)]
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Word(letter): Word,
) -> Result<Json<Confirmation>, ApiError> {
    app.vigil.retry_dead_letter(&caller.tenant, &letter, &caller.actor).await?;
    Ok(Json(Confirmation::new(format!("Task '{letter}' is in line again"))))
}

/// Forget a dead letter
#[utoipa::path(
    delete, path = "/api/v1/queue/dead/{task_id}", tag = "Queue", operation_id = "discard_dead_letter",
    params(("task_id" = String, Path, description = "The letter's `task_id`", example = "42")),
    responses(
        (status = 200, description = "It is forgotten", body = Confirmation,
            example = json!({"ok": true, "message": "Task '42' discarded successfully"})),
        (status = 404, description = "No dead letter has this id"),
    )
)]
pub(crate) async fn discard(
    State(app): State<App>,
    caller: Caller,
    Word(letter): Word,
) -> Result<Json<Confirmation>, ApiError> {
    app.vigil.discard_dead_letter(&caller.tenant, &letter, &caller.actor).await?;
    Ok(Json(Confirmation::new(format!("Task '{letter}' discarded successfully"))))
}

/// Dead letters were forgotten.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"ok": true, "purged": 3, "message": "3 dead letters purged successfully"})))]
pub(crate) struct Purged {
    /// Always true: an error is a problem.
    ok: bool,
    /// How many.
    purged: usize,
    /// What was done, for people.
    message: String,
}

schema::parameters! {
    /// Which are forgotten.
    Old = [
        {"name": "older_than_seconds", "required": true, "example": 86400,
            "description": "How many seconds ago they must have been given up",
            "schema": {"type": "integer", "minimum": 0, "maximum": u64::MAX}},
    ];
}

/// Forget old dead letters
#[utoipa::path(
    delete, path = "/api/v1/queue/dead", tag = "Queue", operation_id = "purge_dead_letters", params(Old),
    responses((status = 200, description = "They are forgotten", body = Purged))
)]
pub(crate) async fn purge(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Purged>, ApiError> {
    params.only(&["older_than_seconds"], &[]);
    let older_than = params.required("older_than_seconds", count);
    params.end()?;
    let older_than = Duration::from_secs(older_than.unwrap_or(u64::MAX));
    let purged = app.vigil.purge_dead_letters(&caller.tenant, older_than, &caller.actor).await?;
    Ok(Json(Purged { ok: true, purged, message: format!("{purged} dead letters purged successfully") }))
}
