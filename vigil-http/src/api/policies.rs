//! `/api/v1/policies`: what is wrong, and what to do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::{Number, Value, json};
use utoipa::ToSchema;
use vigil_core::CatalogError;
use vigil_core::action::Severity;
use vigil_core::clock::Timestamp;
use vigil_core::policy::{PolicyName, PolicySpec};
use vigil_core::store::{PolicySource, StoreError, StoredPolicy};

use crate::body::{JsonBody, without_nul};
use crate::dto::{Confirmation, PolicyDto, seconds};
use crate::extract::{Caller, IfMatch, ListQuery, NameInPath, Page, Word, cursor, unknown_value};
use crate::fields::Fields;
use crate::problem::{ApiError, Kind};
use crate::router::App;
use crate::schema;

/// A policy's revision, for `If-Match`.
type Tag = [(HeaderName, String); 1];

fn tag(policy: &StoredPolicy) -> Tag {
    [(ETAG, format!("\"{}\"", policy.revision))]
}

/// A policy as it is answered.
fn policy_json(policy: &StoredPolicy) -> Value {
    json_of(&PolicyDto::from(policy))
}

fn json_of(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).expect("text, numbers, lists and maps are JSON")
}

/// Add a policy
///
/// It is in force on every replica at once, unless `enabled` is false.
#[utoipa::path(
    post, path = "/api/v1/policies", tag = "Policies", operation_id = "create_policy",
    request_body(content = schema::NewPolicy, description = "The policy"),
    responses(
        (status = 201, description = "It is committed", body = PolicyDto, headers(("ETag" = String, description = "The revision in quotes, for `If-Match`"))),
        (status = 409, description = "A policy has this name already"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Tag, Json<Value>), ApiError> {
    without_nul(&body)?;
    let spec = PolicySpec::of_json(&body, app.vigil.catalog().registry()).map_err(ApiError::invalid)?;
    app.gates.tenants.policy(&caller.tenant, &app.vigil)?;
    let policy = app.vigil.catalog().create(&caller.tenant, spec, &caller.actor).await?;
    Ok((StatusCode::CREATED, tag(&policy), Json(policy_json(&policy))))
}

/// Policies by name, all or a page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "ok": true, "total": 1, "enabled_count": 1, "count": 1, "next_cursor": null,
    "policies": {"high-cpu": {
        "name": "high-cpu", "description": "A web server is overloaded", "severity": "critical", "target": "web-*",
        "enabled": true, "params": {"cooldown_seconds": 300}, "auto_remediate": true,
        "condition": {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80.0}, "action": "restart",
        "revision": 3, "updated_at": "2026-01-20T12:00:00Z", "source": {"kind": "api"}
    }}
})))]
pub(crate) struct PolicyList {
    /// Always true: an error is a problem.
    ok: bool,
    /// The policies of this page by name.
    #[schema(value_type = BTreeMap<String, PolicyDto>)]
    policies: BTreeMap<String, Value>,
    /// How many there are on all pages.
    total: usize,
    /// How many of those are in force.
    enabled_count: usize,
    /// How many are on this page.
    count: usize,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List policies by name
///
/// All of them, unless `limit` is given.
#[utoipa::path(
    get, path = "/api/v1/policies", tag = "Policies", operation_id = "list_policies", params(Page),
    responses(
        (status = 200, description = "All of them, or a page", body = PolicyList),
        (status = 422, description = "A parameter is wrong or does not exist"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: ListQuery,
) -> Result<Json<PolicyList>, ApiError> {
    page(&app, &caller, &query, |_| true)
}

/// List policies of one severity by name
#[utoipa::path(
    get, path = "/api/v1/policies/severity/{severity}", tag = "Policies", operation_id = "list_policies_by_severity",
    params(("severity" = schema::Severity, Path, description = "The severity", example = "critical"), Page),
    responses(
        (status = 200, description = "All of them, or a page", body = PolicyList),
        (status = 400, description = "The severity does not exist, or the path is not UTF-8"),
        (status = 422, description = "A parameter is wrong or does not exist"),
    )
)]
pub(crate) async fn list_of_severity(
    State(app): State<App>,
    caller: Caller,
    Word(severity): Word,
    query: ListQuery,
) -> Result<Json<PolicyList>, ApiError> {
    let severity = Severity::parse(&severity).map_err(unknown_value)?;
    page(&app, &caller, &query, |policy| policy.spec.severity == severity)
}

fn page(
    app: &App,
    caller: &Caller,
    query: &ListQuery,
    wanted: impl Fn(&StoredPolicy) -> bool,
) -> Result<Json<PolicyList>, ApiError> {
    for (name, value) in [("/status", &query.status), ("/target", &query.target)] {
        if value.is_some() {
            return Err(ApiError::field(name, "is not a parameter of this list"));
        }
    }
    let after = query.cursor.as_deref().map(cursor::name).transpose()?;
    let mut all = app.vigil.catalog().set().all_stored(&caller.tenant);
    all.retain(|policy| wanted(policy));
    let (total, enabled_count) = (all.len(), all.iter().filter(|policy| policy.is_enabled()).count());
    let rest = all.iter().filter(|policy| after.as_deref().is_none_or(|after| policy.spec.name.as_str() > after));
    let limit = query.limit.unwrap_or(usize::MAX);
    let shown: Vec<&Arc<StoredPolicy>> = rest.clone().take(limit).collect();
    let more = rest.count() > shown.len();
    let next_cursor = shown.last().filter(|_| more).map(|last| cursor::of_name(last.spec.name.as_str()));
    let policies: BTreeMap<String, Value> =
        shown.iter().map(|policy| (policy.spec.name.to_string(), policy_json(policy))).collect();
    Ok(Json(PolicyList { ok: true, count: policies.len(), policies, total, enabled_count, next_cursor }))
}

/// Show one policy
#[utoipa::path(
    get, path = "/api/v1/policies/{name}", tag = "Policies", operation_id = "get_policy", params(NameInPath),
    responses(
        (status = 200, description = "The policy", body = PolicyDto, headers(("ETag" = String, description = "The revision in quotes, for `If-Match`"))),
        (status = 404, description = "No policy has this name"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<(Tag, Json<Value>), ApiError> {
    let policy = stored(&app, &caller, &policy_name(&name)?)?;
    Ok((tag(&policy), Json(policy_json(&policy))))
}

/// Change a policy
///
/// Only the fields that the body has change. A changed condition begins to be timed anew. With `If-Match` it is changed only if
/// nobody was faster.
#[utoipa::path(
    put, path = "/api/v1/policies/{name}", tag = "Policies", operation_id = "update_policy", params(NameInPath, IfMatch),
    request_body(content = schema::PolicyPatch, description = "The fields to change"),
    responses(
        (status = 200, description = "It is changed", body = UpdatedPolicy,
            headers(("ETag" = String, description = "The revision in quotes, for `If-Match`")),
            example = json!(updated())),
        (status = 404, description = "No policy has this name"),
        (status = 409, description = "It comes from a file, which alone may change it"),
        (status = 412, description = "`If-Match` names another revision than the newest"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
    if_match: IfMatch,
    JsonBody(patch): JsonBody,
) -> Result<(Tag, Json<Value>), ApiError> {
    without_nul(&patch)?;
    let name = policy_name(&name)?;
    let mut fields = Fields::of(&patch, "").map_err(ApiError::invalid)?;
    if patch.get("name").is_some_and(|sent| sent.as_str().map(str::trim) != Some(name.as_str())) {
        fields.refuse("name", "must be the one in the path: a policy cannot be renamed");
        return Err(ApiError::invalid(fields.end()));
    }
    loop {
        app.vigil.catalog().refresh().await?;
        let known = stored(&app, &caller, &name)?;
        if let PolicySource::File { path } = &known.source {
            return Err(CatalogError::OwnedByFile { name, path: path.clone() }.into());
        }
        let stale = match if_match {
            IfMatch::Any => false,
            IfMatch::Revision(revision) => revision != known.revision,
            IfMatch::Nothing => true,
        };
        if stale {
            return Err(CatalogError::Stale { name, revision: known.revision }.into());
        }
        let spec = PolicySpec::of_json(&merged(&known.spec, &patch), app.vigil.catalog().registry())
            .map_err(ApiError::invalid)?;
        match app.vigil.catalog().update(&caller.tenant, spec, Some(known.revision), &caller.actor).await {
            Ok(policy) => {
                let updated = UpdatedPolicy { ok: true, policy: PolicyDto::from(&*policy) };
                return Ok((tag(&policy), Json(json_of(&updated))));
            }
            // Somebody else was faster: merge over what is there now. A client that named a revision is told above.
            Err(CatalogError::Stale { .. } | CatalogError::Store(StoreError::Conflict(_))) => {}
            Err(other) => return Err(other.into()),
        }
    }
}

/// The changed policy.
#[derive(Debug, Serialize, ToSchema)]
struct UpdatedPolicy<'a> {
    /// Always true: an error is a problem.
    ok: bool,
    #[serde(flatten)]
    policy: PolicyDto<'a>,
}

/// The answer to an update in the documentation.
fn updated() -> Value {
    json!({
        "ok": true, "name": "high-cpu", "description": "A web server is overloaded", "severity": "warning", "target": "web-*",
        "enabled": true, "params": {"cooldown_seconds": 600}, "auto_remediate": true,
        "condition": {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80.0}, "action": "restart", "for": 60,
        "revision": 4, "updated_at": "2026-01-20T12:00:00Z", "source": {"kind": "api"}
    })
}

/// The policy as it is written now, with the patch's fields in the place of its own.
fn merged(spec: &PolicySpec, patch: &Value) -> Value {
    let mut json = serde_json::to_value(spec).expect("text, numbers, lists and maps are JSON");
    for (field, value) in patch.as_object().into_iter().flatten() {
        json[field] = value.clone();
    }
    json
}

/// Remove a policy
///
/// Pending actions of it are cancelled when they would start, running ones finish, open episodes end.
#[utoipa::path(
    delete, path = "/api/v1/policies/{name}", tag = "Policies", operation_id = "delete_policy", params(NameInPath),
    responses(
        (status = 200, description = "It is gone", body = Confirmation),
        (status = 404, description = "No policy has this name"),
        (status = 409, description = "It comes from a file, or somebody changed it at the same time"),
    )
)]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<Json<Confirmation>, ApiError> {
    let name = policy_name(&name)?;
    app.vigil.catalog().remove(&caller.tenant, &name, &caller.actor).await?;
    Ok(Json(Confirmation::new(format!("Policy '{name}' deleted"))))
}

/// Put a policy in force
///
/// For one from a file this survives a reload.
#[utoipa::path(
    put, path = "/api/v1/policies/{name}/enable", tag = "Policies", operation_id = "enable_policy", params(NameInPath),
    responses(
        (status = 200, description = "It is in force", body = Confirmation),
        (status = 404, description = "No policy has this name"),
        (status = 409, description = "Somebody changed it at the same time"),
    )
)]
pub(crate) async fn enable(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<Json<Confirmation>, ApiError> {
    set_enabled(&app, &caller, &name, true).await
}

/// Take a policy out of force
///
/// For one from a file this survives a reload.
#[utoipa::path(
    put, path = "/api/v1/policies/{name}/disable", tag = "Policies", operation_id = "disable_policy", params(NameInPath),
    responses(
        (status = 200, description = "It is out of force", body = Confirmation),
        (status = 404, description = "No policy has this name"),
        (status = 409, description = "Somebody changed it at the same time"),
    )
)]
pub(crate) async fn disable(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<Json<Confirmation>, ApiError> {
    set_enabled(&app, &caller, &name, false).await
}

async fn set_enabled(app: &App, caller: &Caller, name: &str, enabled: bool) -> Result<Json<Confirmation>, ApiError> {
    let name = policy_name(name)?;
    app.vigil.catalog().set_enabled(&caller.tenant, &name, enabled, &caller.actor).await?;
    let word = if enabled { "enabled" } else { "disabled" };
    Ok(Json(Confirmation::new(format!("Policy '{name}' {word}"))))
}

/// Read the policy files again
///
/// All or none: with an error in any file everything stays as it was.
#[utoipa::path(
    post, path = "/api/v1/policies/reload", tag = "Policies", operation_id = "reload_policies",
    responses(
        (status = 200, description = "What the files say is in force", body = Confirmation),
        (status = 409, description = "Policies kept changing at the same time"),
        (status = 422, description = "A file is wrong; `errors` has line and column"),
    )
)]
pub(crate) async fn reload(State(app): State<App>, caller: Caller) -> Result<Json<Confirmation>, ApiError> {
    let policies = app.vigil.catalog().reload(&caller.actor).await?;
    let noun = if policies == 1 { "policy" } else { "policies" };
    Ok(Json(Confirmation::new(format!("Policies reloaded successfully ({policies} {noun})"))))
}

/// The runner's status.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunnerStatus, examples(json!({"ok": true, "runner": {
    "enabled": true, "running": true, "interval_seconds": 30, "batch_size": 100, "last_sweep": "2026-01-20T12:00:00Z",
    "targets": 12, "judged": 4800
}})))]
pub(crate) struct RunnerAnswer {
    /// Always true: an error is a problem.
    ok: bool,
    /// The runner of this process.
    runner: Runner,
}

/// What judges every target at an interval, whether or not a sample comes.
#[derive(Debug, Serialize, ToSchema)]
struct Runner {
    /// Whether it is configured to run.
    enabled: bool,
    /// Whether it runs now.
    running: bool,
    /// How many seconds apart every target is judged, by whichever replica.
    #[schema(value_type = f64)]
    interval_seconds: Number,
    /// How many targets it takes at a time.
    batch_size: usize,
    /// When it last had nothing left to take; null before the first time.
    #[schema(value_type = Option<schema::Time>, required)]
    last_sweep: Option<Timestamp>,
    /// How many targets it took in the last interval: its share.
    targets: u64,
    /// How many pairs of policy and target it judged in the last interval.
    judged: u64,
}

/// Show what the runner does
#[utoipa::path(
    get, path = "/api/v1/policies/runner/status", tag = "Policies", operation_id = "runner_status",
    responses((status = 200, description = "Its status", body = RunnerAnswer))
)]
pub(crate) async fn runner(State(app): State<App>, _: Caller) -> Json<RunnerAnswer> {
    let status = app.vigil.runner_status();
    let runner = Runner {
        enabled: status.enabled,
        running: status.running,
        interval_seconds: seconds(status.interval),
        batch_size: status.batch_size,
        last_sweep: status.last_sweep,
        targets: status.targets,
        judged: status.judged,
    };
    Json(RunnerAnswer { ok: true, runner })
}

/// A name in the path. One that no policy can have is not found.
fn policy_name(word: &str) -> Result<PolicyName, ApiError> {
    PolicyName::new(word).map_err(|_| not_found(word))
}

fn stored(app: &App, caller: &Caller, name: &PolicyName) -> Result<Arc<StoredPolicy>, ApiError> {
    app.vigil.catalog().set().stored(&caller.tenant, name).cloned().ok_or_else(|| not_found(name.as_str()))
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(Kind::NotFound, format!("The policy '{name}' does not exist."))
}
