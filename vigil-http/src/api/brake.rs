//! `/api/v1/brake`: stops all automatic action, and lets it go on.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vigil_core::clock::Timestamp;
use vigil_core::store::{Actor, BrakeChange, BrakeScope, BrakeState, Brakes};
use vigil_core::tenant::TenantId;

use crate::body::{JsonBody, without_nul};
use crate::extract::Caller;
use crate::fields::{Fields, prose, text, time};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// How many bytes a reason may have.
const MAX_REASON: usize = 4096;

/// The brake that counts: the one that is on, or else the tenant's own as it was last set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Brake, examples(json!({
    "state": "stopped", "scope": "tenant", "reason": "Deploying", "until": "2026-01-20T13:00:00Z", "since": "2026-01-20T12:00:00Z",
    "by": "key:5f0a4c559c0e0a6f"
})))]
pub(crate) struct BrakeDto {
    /// Whether automatic action is stopped.
    #[schema(value_type = schema::BrakeState)]
    state: BrakeState,
    /// Whom it stops.
    #[schema(value_type = schema::BrakeScope)]
    scope: BrakeScope,
    /// Why it was set.
    #[schema(required)]
    reason: Option<String>,
    /// When it ends by itself; null when somebody must release it.
    #[schema(value_type = Option<schema::Time>, required)]
    until: Option<Timestamp>,
    /// When it was set; null if it never was.
    #[schema(value_type = Option<schema::Time>, required)]
    since: Option<Timestamp>,
    /// Who set it; of another tenant's brake that is not told.
    #[schema(value_type = Option<String>, required)]
    by: Option<Actor>,
}

impl BrakeDto {
    fn of(brakes: Brakes, tenant: &TenantId) -> Self {
        let on = brakes.stopping().cloned();
        let state = if on.is_some() { BrakeState::Stopped } else { BrakeState::Released };
        let Some(brake) = on.or(brakes.own) else {
            return Self { state, scope: BrakeScope::Tenant, reason: None, until: None, since: None, by: None };
        };
        let by = Some(brake.actor).filter(|_| brake.tenant == *tenant);
        Self { state, scope: brake.scope, reason: brake.reason, until: brake.until, since: Some(brake.since), by }
    }
}

/// The brake as it was set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BrakeSet {
    /// Always true: an error is a problem.
    ok: bool,
    #[serde(flatten)]
    brake: BrakeDto,
}

/// Show the brake
///
/// The one that is on, or else the tenant's own as it was last set.
#[utoipa::path(
    get, path = "/api/v1/brake", tag = "Brake", operation_id = "get_brake",
    responses((status = 200, description = "The brake as it counts now", body = BrakeDto))
)]
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<BrakeDto>, ApiError> {
    let brakes = app.vigil.store().brake(&caller.tenant).await?;
    Ok(Json(BrakeDto::of(brakes, &caller.tenant)))
}

/// Set the brake
///
/// When this is answered, nothing it stops is admitted or started on any replica. What runs is finished.
#[utoipa::path(
    put, path = "/api/v1/brake", tag = "Brake", operation_id = "set_brake",
    request_body(content = schema::BrakeChange, description = "What it shall be"),
    responses((status = 200, description = "It is set", body = BrakeSet, example = json!({
        "ok": true, "state": "stopped", "scope": "tenant", "reason": "Deploying", "until": "2026-01-20T13:00:00Z",
        "since": "2026-01-20T12:00:00Z", "by": "key:5f0a4c559c0e0a6f"
    })))
)]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<BrakeSet>, ApiError> {
    without_nul(&body)?;
    let mut fields = Fields::of(&body, "").map_err(ApiError::invalid)?;
    fields.only(&["state", "reason", "until", "scope"], &["ok", "since", "by"]);
    let state = fields.required("state", text(BrakeState::parse));
    let scope = fields.optional("scope", text(BrakeScope::parse)).unwrap_or_default();
    let reason = fields.optional("reason", prose(MAX_REASON)).filter(|reason| !reason.trim().is_empty());
    let until = fields.optional("until", time);
    if state == Some(BrakeState::Stopped) {
        if reason.is_none() {
            fields.refuse("reason", "is required to stop: say why, for whoever finds it");
        }
        if until.is_some() && until <= Some(app.vigil.store().now().await?) {
            fields.refuse("until", "must be a time to come");
        }
    }
    if scope == BrakeScope::All && caller.tenant != TenantId::default() {
        fields.refuse("scope", "must be tenant: only the default tenant can stop all");
    }
    let errors = fields.end();
    let (Some(state), true) = (state, errors.is_empty()) else { return Err(ApiError::invalid(errors)) };
    let change = BrakeChange { state, scope, reason, until };
    let brakes = app.vigil.set_brake(&caller.tenant, change, &caller.actor).await?;
    Ok(Json(BrakeSet { ok: true, brake: BrakeDto::of(brakes, &caller.tenant) }))
}
