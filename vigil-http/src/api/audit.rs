//! `GET /api/v1/audit`: what was done, by whom, and why.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use vigil_core::action::ActionId;
use vigil_core::clock::Timestamp;
use vigil_core::episode::EpisodeId;
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, AuditFilter};
use vigil_core::target::Target;

use crate::extract::{Caller, Page, cursor};
use crate::params::{Params, id, named, time};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// How many entries a page has when the client does not say.
const PAGE: usize = 100;

/// An entry of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry, examples(json!(example())))]
pub(crate) struct AuditDto {
    /// Its place in the gapless order of all entries, of all tenants.
    #[schema(required)]
    seq: Option<i64>,
    /// When it happened.
    #[schema(value_type = schema::Time)]
    at: Timestamp,
    /// What happened: what it is about, a dot, and a word.
    kind: String,
    /// Who caused it: a part of Vigil, or `key:` and the id of an API key.
    #[schema(value_type = String)]
    actor: Actor,
    /// The action it is about, if it is about one.
    #[schema(value_type = Option<i64>, required)]
    action_id: Option<ActionId>,
    /// The episode it is about, if it is about one.
    #[schema(value_type = Option<i64>, required)]
    episode_id: Option<EpisodeId>,
    /// The policy it is about, if it is about one.
    #[schema(value_type = Option<schema::PolicyName>, required)]
    policy_name: Option<PolicyName>,
    /// The target it is about, if it is about one.
    #[schema(value_type = Option<schema::Name>, required)]
    target: Option<Target>,
    /// Why, in words or as a reason's word.
    #[schema(required)]
    reason: Option<String>,
    /// What else there is to know; its fields depend on `kind`.
    #[schema(value_type = schema::Detail)]
    detail: Value,
}

fn example() -> Value {
    json!({
        "seq": 118, "at": "2026-01-20T12:00:01Z", "kind": "action.started", "actor": "worker", "action_id": 42, "episode_id": 7,
        "policy_name": "high-cpu", "target": "web-1", "reason": null, "detail": {"status": "running", "attempt": 1},
    })
}

impl From<AuditEntry> for AuditDto {
    fn from(entry: AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at,
            kind: entry.kind,
            actor: entry.actor,
            action_id: entry.action,
            episode_id: entry.episode,
            policy_name: entry.policy,
            target: entry.target,
            reason: entry.reason,
            detail: entry.detail,
        }
    }
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"count": 1, "entries": [example()], "next_cursor": null})))]
pub(crate) struct AuditList {
    /// How many are on this page.
    count: usize,
    /// The entries.
    entries: Vec<AuditDto>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

schema::parameters! {
    /// The filters of the audit.
    Filters = [
        {"name": "action_id", "description": "Only entries about this action: its whole history", "example": 42,
            "schema": {"type": "integer"}},
        {"name": "episode_id", "description": "Only entries about this episode", "example": 7,
            "schema": {"type": "integer"}},
        {"name": "policy", "description": "Only entries about this policy", "example": "high-cpu",
            "schema": {"$ref": "#/components/schemas/PolicyName"}},
        {"name": "target", "description": "Only entries about this target", "example": "web-1",
            "schema": {"$ref": "#/components/schemas/Name"}},
        {"name": "kind", "description": "Only entries of this kind", "example": "action.started",
            "schema": {"type": "string", "minLength": 1, "pattern": schema::NO_NUL}},
        {"name": "since", "description": "Only what happened from then on", "example": "2026-01-20T12:00:00Z",
            "schema": schema::time_in_query()},
    ];
}

/// Read the audit
///
/// In the order in which it happened. An entry is seen once it has its sequence, within seconds.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "History", operation_id = "list_audit", params(Filters, Page),
    responses((status = 200, description = "A page of it", body = AuditList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<AuditList>, ApiError> {
    params.only(&["action_id", "episode_id", "policy", "target", "kind", "since", "limit", "cursor"], &[]);
    let kind = |text: &str| if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) };
    let filter = AuditFilter {
        action: params.optional("action_id", id).map(ActionId),
        episode: params.optional("episode_id", id).map(EpisodeId),
        policy: params.optional("policy", named(PolicyName::new)),
        target: params.optional("target", named(Target::new)),
        kind: params.optional("kind", kind),
        since: params.optional("since", time),
        after: params.optional("cursor", cursor::number).unwrap_or(0),
        limit: 0,
    };
    let limit = params.limit(PAGE);
    params.end()?;
    // One more than asked for tells whether there is a next page.
    let filter = AuditFilter { limit: limit + 1, ..filter };
    let mut entries = app.vigil.store().audit(&caller.tenant, &filter).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next_cursor = entries.last().filter(|_| more).and_then(|last| last.seq).map(cursor::of_number);
    let entries: Vec<AuditDto> = entries.into_iter().map(AuditDto::from).collect();
    Ok(Json(AuditList { count: entries.len(), entries, next_cursor }))
}
