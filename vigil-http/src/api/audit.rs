//! `GET /api/v1/audit`: what was done, by whom, and why.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use vigil_core::action::ActionId;
use vigil_core::clock::Timestamp;
use vigil_core::episode::EpisodeId;
use vigil_core::policy::PolicyName;
use vigil_core::store::{Actor, AuditEntry, AuditFilter};
use vigil_core::target::Target;

use crate::extract::{Caller, cursor};
use crate::params::{Params, id, named, time};
use crate::problem::ApiError;
use crate::router::App;

/// How many entries a page has when the client does not say.
const PAGE: usize = 100;

/// An entry of the audit.
#[derive(Debug, Serialize)]
pub(crate) struct AuditDto {
    seq: Option<i64>,
    at: Timestamp,
    kind: String,
    actor: Actor,
    action_id: Option<ActionId>,
    episode_id: Option<EpisodeId>,
    policy_name: Option<PolicyName>,
    target: Option<Target>,
    reason: Option<String>,
    detail: Value,
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

#[derive(Debug, Serialize)]
pub(crate) struct AuditList {
    count: usize,
    entries: Vec<AuditDto>,
    next_cursor: Option<String>,
}

/// In the order in which it happened. An entry is seen once it has its sequence, within seconds.
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
