//! `/api/v1/actions`: remediations asked for, looked at, called off.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use vigil_core::ActionRequest;
use vigil_core::action::{Action, ActionId, ActionKey, ActionStatus, ActionType, Severity};
use vigil_core::policy::Reason;
use vigil_core::store::{ActionFilter, Admission, StoreError};
use vigil_core::target::Target;

use crate::api::health::by_store;
use crate::body::{JsonBody, KeyedBody, OptionalBody, without_nul};
use crate::dto::{ActionDto, ServiceHealth};
use crate::extract::{Caller, IdInPath, ListQuery, Page, StatusFilter, TargetFilter, Word, cursor, status_word};
use crate::fields::{Fields, object, prose, text};
use crate::problem::{ApiError, Kind};
use crate::router::App;
use crate::schema;

/// How many bytes `details` and `reason` may have.
const MAX_PROSE: usize = 64 * 1024;

/// How many actions a page has when the client does not say.
const PAGE: usize = 50;

/// What was done to an action, and the action.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedAction)]
pub(crate) struct Changed {
    /// Always true: an error is a problem.
    ok: bool,
    /// Its id, as in `id`.
    #[schema(value_type = i64)]
    action_id: ActionId,
    /// What was done, for people.
    message: &'static str,
    #[serde(flatten)]
    action: ActionDto,
}

impl Changed {
    fn new(action: Action, message: &'static str) -> Json<Self> {
        Json(Self { ok: true, action_id: action.id, message, action: action.into() })
    }
}

/// Ask for a remediation, or record one
///
/// A `pending` action, the default, is carried out: never two at a time on one target, so that it may wait, and held back by
/// no cooldown. An action of any other status is the record of something done elsewhere, and does not count among those that the
/// tenant may have in a minute.
#[utoipa::path(
    post, path = "/api/v1/actions", tag = "Actions", operation_id = "create_action", params(KeyedBody),
    request_body(content = schema::NewAction, description = "The action"),
    responses(
        (status = 201, description = "It is committed", body = Changed, example = json!(changed("pending"))),
        (status = 409, description = "The brake is on"),
    )
)]
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
    let now = app.vigil.clock().now();
    if status == ActionStatus::Pending {
        app.gates.tenants.action(&caller.tenant, now)?;
    }
    let (tenant, actor) = (caller.tenant.clone(), caller.actor.clone());
    let idempotency = body.idempotency;
    let request =
        ActionRequest { tenant: tenant.clone(), target, action, status, details, severity, params, idempotency, actor };
    match app.vigil.request_action(request).await? {
        Admission::Admitted(action) | Admission::Replayed(action) => {
            Ok((StatusCode::CREATED, Changed::new(action, "Action created successfully")))
        }
        Admission::Blocked(Reason::RateLimited { until }) => Err(app.gates.tenants.no_action(&tenant, until, now)),
        Admission::Blocked(reason) => Err(ApiError::new(Kind::Conflict, format!("Not admitted: {reason}."))),
    }
}

/// A page of actions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActionList {
    /// How many are on this page.
    count: usize,
    /// The actions.
    actions: Vec<ActionDto>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List actions, the newest first
#[utoipa::path(
    get, path = "/api/v1/actions", tag = "Actions", operation_id = "list_actions", params(StatusFilter, TargetFilter, Page),
    responses(
        (status = 200, description = "A page of them", body = ActionList, example = json!(listed())),
        (status = 400, description = "The status does not exist"),
        (status = 422, description = "A parameter is wrong or does not exist"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: ListQuery,
) -> Result<Json<ActionList>, ApiError> {
    let status = query.status()?;
    page(&app, &caller, query, status).await
}

/// List actions of one status, the newest first
#[utoipa::path(
    get, path = "/api/v1/actions/status/{status}", tag = "Actions", operation_id = "list_actions_by_status",
    params(
        ("status" = schema::ActionStatus, Path, description = "The status", example = "pending"),
        TargetFilter,
        Page,
    ),
    responses(
        (status = 200, description = "A page of them", body = ActionList, example = json!(listed())),
        (status = 400, description = "The status does not exist, or the path is not UTF-8"),
        (status = 422, description = "A parameter is wrong or does not exist"),
    )
)]
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

/// Show one action
#[utoipa::path(
    get, path = "/api/v1/actions/{id}", tag = "Actions", operation_id = "get_action", params(IdInPath),
    responses(
        (status = 200, description = "The action", body = ActionDto),
        (status = 404, description = "No action has this id"),
        (status = 422, description = "The id is not a whole number"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    IdInPath(id): IdInPath,
) -> Result<Json<ActionDto>, ApiError> {
    let key = ActionKey { tenant: caller.tenant.clone(), id };
    let action = app.vigil.store().action(&key).await?;
    action.map(|action| Json(action.into())).ok_or_else(|| ApiError::not_found(format_args!("Action {id}")))
}

/// Call an action off
///
/// A pending one is never started. A running one keeps its target occupied until its executor reports; what it reports goes to
/// the audit only.
#[utoipa::path(
    put, path = "/api/v1/actions/{id}/cancel", tag = "Actions", operation_id = "cancel_action", params(IdInPath),
    request_body(content = Option<schema::Cancellation>, description = "The reason; the body may be left out"),
    responses(
        (status = 200, description = "It is cancelled", body = Changed, example = json!(changed("cancelled"))),
        (status = 404, description = "No action has this id"),
        (status = 409, description = "It is final already"),
        (status = 422, description = "The id is not a whole number, or a field is wrong"),
    )
)]
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
    let key = ActionKey { tenant: caller.tenant.clone(), id };
    let action = app.vigil.cancel_action(&key, reason, &caller.actor).await?;
    Ok(Changed::new(action, "Action cancelled successfully"))
}

/// Move on an action that is carried out elsewhere
///
/// For actions that were recorded with a status other than `pending`; those that Vigil carries out can only be cancelled.
#[utoipa::path(
    put, path = "/api/v1/actions/{id}/status", tag = "Actions", operation_id = "record_action_status", params(IdInPath),
    request_body(content = schema::StatusRecord, description = "The new status"),
    responses(
        (status = 200, description = "It is recorded", body = Changed, example = json!(changed("completed"))),
        (status = 404, description = "No action has this id"),
        (status = 409, description = "The state machine has no such move, or Vigil carries it out itself"),
        (status = 422, description = "The id is not a whole number, or a field is wrong"),
    )
)]
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
    let key = ActionKey { tenant: caller.tenant.clone(), id };
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

/// Actions can be taken in
#[utoipa::path(
    get, path = "/api/v1/actions/health", tag = "Health", operation_id = "actions_health",
    responses(
        (status = 200, description = "They can", body = ServiceHealth, example = json!({"status": "healthy", "service": "actions"})),
        (status = 503, description = "The store is down", body = ServiceHealth,
            example = json!({"status": "unhealthy", "service": "actions"})),
    )
)]
pub(crate) async fn health(State(app): State<App>) -> Response {
    by_store(&app, "actions").await
}

/// An answer in the documentation: an action of this status.
fn changed(status: &str) -> Value {
    let message = match status {
        "pending" => "Action created successfully",
        "cancelled" => "Action cancelled successfully",
        _ => "Action updated successfully",
    };
    let (mut answer, is_final) = (example(), status != "pending");
    answer["ok"] = true.into();
    answer["action_id"] = answer["id"].clone();
    answer["message"] = message.into();
    answer["status"] = status.into();
    answer["phase"] = if is_final { "done" } else { "queued" }.into();
    answer["completed_at"] = if is_final { "2026-01-20T12:05:00Z".into() } else { Value::Null };
    answer
}

/// A page in the documentation.
fn listed() -> Value {
    json!({"count": 1, "actions": [example()], "next_cursor": null})
}

fn example() -> Value {
    json!({
        "id": 42, "target": "web-service", "action": "restart", "status": "pending", "details": "Asked for by hand",
        "started_at": "2026-01-20T12:00:00Z", "running_at": null, "completed_at": null, "error_message": null, "attempt": 0,
        "phase": "queued", "policy_name": null, "episode_id": null, "verification": null, "params": {},
        "severity": "warning",
    })
}
