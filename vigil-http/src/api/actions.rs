//! `/api/v1/actions`: remediations asked for, looked at, called off.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use vigil_core::ActionRequest;
use vigil_core::action::{Action, ActionId, ActionKey, ActionStatus, ActionType, Severity};
use vigil_core::store::{ActionFilter, Admission, StoreError};
use vigil_core::target::Target;

use crate::api::health::by_store;
use crate::body::{JsonBody, KeyedBody, OptionalBody, without_nul};
use crate::dto::ActionDto;
use crate::extract::{Caller, IdInPath, ListQuery, Word, cursor, status_word};
use crate::fields::{Fields, object, prose, text};
use crate::problem::{ApiError, Kind};
use crate::router::App;

/// How many bytes `details` and `reason` may have.
const MAX_PROSE: usize = 64 * 1024;

/// How many actions a page has when the client does not say.
const PAGE: usize = 50;

#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    ok: bool,
    action_id: ActionId,
    message: &'static str,
    #[serde(flatten)]
    action: ActionDto,
}

impl Changed {
    fn new(action: Action, message: &'static str) -> Json<Self> {
        Json(Self { ok: true, action_id: action.id, message, action: action.into() })
    }
}

/// Takes in an action: a pending one is carried out, any other is the record of something done elsewhere.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: KeyedBody,
) -> Result<(StatusCode, Json<Changed>), ApiError> {
    without_nul(&body.json)?;
    let mut fields = Fields::of(&body.json, "").map_err(ApiError::invalid)?;
    fields.only(&["target", "action", "status", "details", "severity", "params"], &ActionDto::ADDED);
    let target = fields.required("target", text(Target::new));
    let action = fields.required("action", text(ActionType::parse));
    let status = fields.optional("status", text(ActionStatus::parse)).unwrap_or(ActionStatus::Pending);
    let details = fields.optional("details", prose(MAX_PROSE));
    let severity = fields.optional("severity", text(Severity::parse)).unwrap_or_default();
    let params = fields.optional("params", object).unwrap_or_default();
    let errors = fields.end();
    let (Some(target), Some(action), true) = (target, action, errors.is_empty()) else {
        return Err(ApiError::invalid(errors));
    };
    app.gates.tenants.action(&caller.tenant)?;
    let Caller { tenant, actor, .. } = caller;
    let idempotency = body.idempotency;
    let request = ActionRequest { tenant, target, action, status, details, severity, params, idempotency, actor };
    match app.vigil.request_action(request).await? {
        Admission::Admitted(action) | Admission::Replayed(action) => {
            Ok((StatusCode::CREATED, Changed::new(action, "Action created successfully")))
        }
        Admission::Blocked(reason) => Err(ApiError::new(Kind::Conflict, format!("Not admitted: {reason}."))),
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ActionList {
    count: usize,
    actions: Vec<ActionDto>,
    next_cursor: Option<String>,
}

/// The newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: ListQuery,
) -> Result<Json<ActionList>, ApiError> {
    let status = query.status()?;
    page(&app, &caller, query, status).await
}

/// Those of one status.
pub(crate) async fn list_of_status(
    State(app): State<App>,
    caller: Caller,
    Word(status): Word,
    query: ListQuery,
) -> Result<Json<ActionList>, ApiError> {
    let status = status_word(&status)?;
    if query.status()?.is_some_and(|other| other != status) {
        return Err(ApiError::field("/status", "must be the one in the path, or be left out"));
    }
    page(&app, &caller, query, Some(status)).await
}

async fn page(
    app: &App,
    caller: &Caller,
    query: ListQuery,
    status: Option<ActionStatus>,
) -> Result<Json<ActionList>, ApiError> {
    let target = query.target.as_deref().map(Target::new).transpose();
    let target = target.map_err(|e| ApiError::field("/target", e.problem))?;
    let after = query.cursor.as_deref().map(cursor::action).transpose()?;
    let limit = query.limit.unwrap_or(PAGE);
    // One more than asked for tells whether there is a next page.
    let filter = ActionFilter { status, target, after, limit: limit + 1 };
    let mut actions = app.vigil.store().actions(&caller.tenant, &filter).await?;
    let more = actions.len() > limit;
    actions.truncate(limit);
    let next_cursor = actions.last().filter(|_| more).map(|last| cursor::of_action(last.started_at, last.id));
    let actions: Vec<ActionDto> = actions.into_iter().map(ActionDto::from).collect();
    Ok(Json(ActionList { count: actions.len(), actions, next_cursor }))
}

/// One action.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    IdInPath(id): IdInPath,
) -> Result<Json<ActionDto>, ApiError> {
    let key = ActionKey { tenant: caller.tenant, id };
    let action = app.vigil.store().action(&key).await?;
    action.map(|action| Json(action.into())).ok_or_else(|| ApiError::not_found(format_args!("Action {id}")))
}

/// Calls an action off. A running one keeps its target occupied until its executor reports.
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    IdInPath(id): IdInPath,
    OptionalBody(body): OptionalBody,
) -> Result<Json<Changed>, ApiError> {
    let reason = match &body {
        None => None,
        Some(body) => {
            without_nul(body)?;
            let mut fields = Fields::of(body, "").map_err(ApiError::invalid)?;
            fields.only(&["reason"], &[]);
            let reason = fields.optional("reason", prose(MAX_PROSE));
            let errors = fields.end();
            if !errors.is_empty() {
                return Err(ApiError::invalid(errors));
            }
            reason
        }
    };
    let key = ActionKey { tenant: caller.tenant, id };
    let action = app.vigil.cancel_action(&key, reason, &caller.actor).await?;
    Ok(Changed::new(action, "Action cancelled successfully"))
}

/// Moves on an action that a client carries out itself.
pub(crate) async fn record(
    State(app): State<App>,
    caller: Caller,
    IdInPath(id): IdInPath,
    JsonBody(body): JsonBody,
) -> Result<Json<Changed>, ApiError> {
    without_nul(&body)?;
    let mut fields = Fields::of(&body, "").map_err(ApiError::invalid)?;
    fields.only(&["status", "details"], &ActionDto::ADDED);
    let status = fields.required("status", text(ActionStatus::parse));
    let details = fields.optional("details", prose(MAX_PROSE));
    let errors = fields.end();
    let (Some(status), true) = (status, errors.is_empty()) else { return Err(ApiError::invalid(errors)) };
    let key = ActionKey { tenant: caller.tenant, id };
    match app.vigil.record_status(&key, status, details, &caller.actor).await {
        Ok(action) => Ok(Changed::new(action, "Action updated successfully")),
        Err(StoreError::Illegal(illegal)) => {
            let managed = app.vigil.store().action(&key).await?.is_some_and(|action| action.managed);
            let why = if managed {
                format!("Action {id} is carried out by Vigil: it can be cancelled, not moved on.")
            } else {
                format!("Action {id} is {}: it cannot become {status}.", illegal.status)
            };
            Err(ApiError::new(Kind::Conflict, why))
        }
        Err(other) => Err(other.into()),
    }
}

/// Whether actions can be taken in.
pub(crate) async fn health(State(app): State<App>) -> Response {
    by_store(&app, "actions").await
}
