//! `/api/v1/episodes`: violations, and what became of them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use vigil_core::action::{ActionId, Severity};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeId, EpisodeState, Resolution};
use vigil_core::metric::Sample;
use vigil_core::policy::{ConditionSpec, PolicyName};
use vigil_core::store::EpisodeFilter;
use vigil_core::target::Target;

use crate::body::{OptionalBody, without_nul};
use crate::extract::{Caller, Word, cursor};
use crate::fields::{Fields, prose};
use crate::params::{Params, id, named};
use crate::problem::ApiError;
use crate::router::App;

/// How many episodes a page has when the client does not say.
const PAGE: usize = 50;

/// How many bytes a reason may have.
const MAX_REASON: usize = 4096;

/// An episode.
#[derive(Debug, Serialize)]
pub(crate) struct EpisodeDto {
    id: EpisodeId,
    policy_name: PolicyName,
    target: Target,
    state: EpisodeState,
    severity: Severity,
    condition: ConditionSpec,
    pending_since: Timestamp,
    firing_since: Option<Timestamp>,
    known_at: Timestamp,
    unmet_since: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    resolution: Option<Resolution>,
    evidence: Vec<Sample>,
    /// How many actions it has had.
    actions: u32,
    last_action_id: Option<ActionId>,
    refusal: Option<RefusalDto>,
}

/// Why nothing is done about it at present.
#[derive(Debug, Serialize)]
struct RefusalDto {
    reason: &'static str,
    detail: String,
    next_at: Option<Timestamp>,
    since: Timestamp,
    count: u64,
}

impl From<Episode> for EpisodeDto {
    fn from(episode: Episode) -> Self {
        let refusal = episode.refusal.map(|refusal| RefusalDto {
            reason: refusal.reason.code(),
            detail: refusal.reason.to_string(),
            next_at: refusal.reason.next_at(),
            since: refusal.since,
            count: refusal.count,
        });
        Self {
            id: episode.id,
            policy_name: episode.policy,
            target: episode.target,
            state: episode.state,
            severity: episode.severity,
            condition: episode.condition,
            pending_since: episode.pending_since,
            firing_since: episode.firing_since,
            known_at: episode.known_at,
            unmet_since: episode.unmet_since,
            resolved_at: episode.resolved_at,
            resolution: episode.resolution,
            evidence: episode.evidence,
            actions: episode.actions,
            last_action_id: episode.last_action,
            refusal,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct EpisodeList {
    count: usize,
    episodes: Vec<EpisodeDto>,
    next_cursor: Option<String>,
}

/// The newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<EpisodeList>, ApiError> {
    params.only(&["state", "policy", "target", "limit", "cursor"], &[]);
    let state = params.word("state", EpisodeState::parse)?;
    let policy = params.optional("policy", named(PolicyName::new));
    let target = params.optional("target", named(Target::new));
    let before = params.optional("cursor", cursor::number).map(EpisodeId);
    let limit = params.limit(PAGE);
    params.end()?;
    // One more than asked for tells whether there is a next page.
    let filter = EpisodeFilter { state, policy, target, before, limit: limit + 1 };
    let mut episodes = app.vigil.store().episodes(&caller.tenant, &filter).await?;
    let more = episodes.len() > limit;
    episodes.truncate(limit);
    let next_cursor = episodes.last().filter(|_| more).map(|last| cursor::of_number(last.id.0));
    let episodes: Vec<EpisodeDto> = episodes.into_iter().map(EpisodeDto::from).collect();
    Ok(Json(EpisodeList { count: episodes.len(), episodes, next_cursor }))
}

/// One episode.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Word(word): Word,
) -> Result<Json<EpisodeDto>, ApiError> {
    let id = id(&word).map(EpisodeId).map_err(|problem| ApiError::field("/id", problem))?;
    let episode = app.vigil.store().episode(&caller.tenant, id).await?;
    episode.map(|episode| Json(episode.into())).ok_or_else(|| ApiError::not_found(format_args!("Episode {word}")))
}

#[derive(Debug, Serialize)]
pub(crate) struct Reset {
    ok: bool,
    message: &'static str,
    #[serde(flatten)]
    episode: EpisodeDto,
}

/// Ends an episode by a person's word. If its condition is still met, another one opens, with all its actions before it.
pub(crate) async fn reset(
    State(app): State<App>,
    caller: Caller,
    Word(word): Word,
    OptionalBody(body): OptionalBody,
) -> Result<Json<Reset>, ApiError> {
    let id = id(&word).map(EpisodeId).map_err(|problem| ApiError::field("/id", problem))?;
    let mut reason = None;
    if let Some(body) = &body {
        without_nul(body)?;
        let mut fields = Fields::of(body, "").map_err(ApiError::invalid)?;
        fields.only(&["reason"], &[]);
        reason = fields.optional("reason", prose(MAX_REASON));
        let errors = fields.end();
        if !errors.is_empty() {
            return Err(ApiError::invalid(errors));
        }
    }
    let episode = app.vigil.reset_episode(&caller.tenant, id, reason, &caller.actor).await?;
    Ok(Json(Reset { ok: true, message: "Episode reset successfully", episode: episode.into() }))
}
