//! `/api/v1/queue/dead`: tasks that were given up on, and what a person does about them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use vigil_core::action::{ActionId, ActionType};
use vigil_core::clock::Timestamp;
use vigil_core::queue::DeadLetter;
use vigil_core::target::Target;

use crate::dto::Confirmation;
use crate::extract::{Caller, Word, cursor};
use crate::params::{Params, count};
use crate::problem::ApiError;
use crate::router::App;

/// How many letters a page has when the client does not say.
const PAGE: usize = 100;

/// A task that was given up on.
#[derive(Debug, Serialize)]
pub(crate) struct LetterDto {
    task_id: String,
    action_id: Option<ActionId>,
    target: Option<Target>,
    action: Option<ActionType>,
    policy_name: Option<String>,
    reason: String,
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

#[derive(Debug, Serialize)]
pub(crate) struct LetterList {
    count: usize,
    dead: Vec<LetterDto>,
    next_cursor: Option<String>,
}

/// The oldest first.
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

/// Puts one in line again. An action that is final by now is not carried out again.
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Word(letter): Word,
) -> Result<Json<Confirmation>, ApiError> {
    app.vigil.retry_dead_letter(&caller.tenant, &letter, &caller.actor).await?;
    Ok(Json(Confirmation::new(format!("Task '{letter}' is in line again"))))
}

/// Forgets one.
pub(crate) async fn discard(
    State(app): State<App>,
    caller: Caller,
    Word(letter): Word,
) -> Result<Json<Confirmation>, ApiError> {
    app.vigil.discard_dead_letter(&caller.tenant, &letter, &caller.actor).await?;
    Ok(Json(Confirmation::new(format!("Task '{letter}' discarded successfully"))))
}

#[derive(Debug, Serialize)]
pub(crate) struct Purged {
    ok: bool,
    purged: usize,
    message: String,
}

/// Forgets those that are old enough.
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
