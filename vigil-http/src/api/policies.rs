//! `/api/v1/policies`: what is wrong, and what to do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::{Number, Value};
use vigil_core::CatalogError;
use vigil_core::action::Severity;
use vigil_core::clock::Timestamp;
use vigil_core::policy::{PolicyName, PolicySpec};
use vigil_core::store::{PolicySource, StoreError, StoredPolicy};

use crate::body::{JsonBody, without_nul};
use crate::dto::{Confirmation, PolicyDto, seconds};
use crate::extract::{Caller, IfMatch, ListQuery, Word, cursor, unknown_value};
use crate::fields::Fields;
use crate::problem::{ApiError, Kind};
use crate::router::App;

/// A policy's revision, for `If-Match`.
type Tag = [(HeaderName, String); 1];

fn tag(policy: &StoredPolicy) -> Tag {
    [(ETAG, format!("\"{}\"", policy.revision))]
}

/// A policy as it is answered.
fn policy_json(policy: &StoredPolicy) -> Value {
    serde_json::to_value(PolicyDto::from(policy)).expect("text, numbers, lists and maps are JSON")
}

/// Adds a policy.
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

#[derive(Debug, Serialize)]
pub(crate) struct PolicyList {
    ok: bool,
    policies: BTreeMap<String, Value>,
    total: usize,
    enabled_count: usize,
    count: usize,
    next_cursor: Option<String>,
}

/// All policies by name, or a page of them.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: ListQuery,
) -> Result<Json<PolicyList>, ApiError> {
    page(&app, &caller, &query, |_| true)
}

/// Those of one severity.
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

/// One policy.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<(Tag, Json<Value>), ApiError> {
    let policy = stored(&app, &caller, &policy_name(&name)?)?;
    Ok((tag(&policy), Json(policy_json(&policy))))
}

/// Changes the fields that the body has and leaves the others.
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
                let mut json = policy_json(&policy);
                json["ok"] = true.into();
                return Ok((tag(&policy), Json(json)));
            }
            // Somebody else was faster: merge over what is there now. A client that named a revision is told above.
            Err(CatalogError::Stale { .. } | CatalogError::Store(StoreError::Conflict(_))) => {}
            Err(other) => return Err(other.into()),
        }
    }
}

/// The policy as it is written now, with the patch's fields in the place of its own.
fn merged(spec: &PolicySpec, patch: &Value) -> Value {
    let mut json = serde_json::to_value(spec).expect("text, numbers, lists and maps are JSON");
    for (field, value) in patch.as_object().into_iter().flatten() {
        json[field] = value.clone();
    }
    json
}

/// Removes a policy.
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<Json<Confirmation>, ApiError> {
    let name = policy_name(&name)?;
    app.vigil.catalog().remove(&caller.tenant, &name, &caller.actor).await?;
    Ok(Json(Confirmation::new(format!("Policy '{name}' deleted"))))
}

/// Puts a policy in force.
pub(crate) async fn enable(
    State(app): State<App>,
    caller: Caller,
    Word(name): Word,
) -> Result<Json<Confirmation>, ApiError> {
    set_enabled(&app, &caller, &name, true).await
}

/// Takes a policy out of force.
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

/// Reads the policy files again, all or none.
pub(crate) async fn reload(State(app): State<App>, caller: Caller) -> Result<Json<Confirmation>, ApiError> {
    let policies = app.vigil.catalog().reload(&caller.actor).await?;
    let noun = if policies == 1 { "policy" } else { "policies" };
    Ok(Json(Confirmation::new(format!("Policies reloaded successfully ({policies} {noun})"))))
}

#[derive(Debug, Serialize)]
pub(crate) struct RunnerAnswer {
    ok: bool,
    runner: Runner,
}

#[derive(Debug, Serialize)]
struct Runner {
    enabled: bool,
    running: bool,
    interval_seconds: Number,
    batch_size: usize,
    last_sweep: Option<Timestamp>,
    targets: u64,
    judged: u64,
}

/// What the runner is doing.
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
