//! `/api/v1/episodes`: violations, and what became of them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use vigil_core::action::{ActionId, Severity};
use vigil_core::clock::Timestamp;
use vigil_core::episode::{Episode, EpisodeId, EpisodeState, Resolution};
use vigil_core::metric::Sample;
use vigil_core::policy::{ConditionSpec, PolicyName};
use vigil_core::store::EpisodeFilter;
use vigil_core::target::Target;

use crate::body::{OptionalBody, without_nul};
use crate::extract::{Caller, Page, Word, cursor};
use crate::fields::{Fields, prose};
use crate::params::{Params, id, named};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// How many episodes a page has when the client does not say.
const PAGE: usize = 50;

/// How many bytes a reason may have.
const MAX_REASON: usize = 4096;

/// An episode: one violation of a policy by a target, from its beginning to its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Episode, examples(json!(example("firing"))))]
pub(crate) struct EpisodeDto {
    /// Its id.
    #[schema(value_type = i64)]
    id: EpisodeId,
    /// The policy that is violated.
    #[schema(value_type = schema::PolicyName)]
    policy_name: PolicyName,
    /// The target that violates it.
    #[schema(value_type = schema::Name)]
    target: Target,
    /// Where it stands.
    #[schema(value_type = schema::EpisodeState)]
    state: EpisodeState,
    /// How bad it is.
    #[schema(value_type = schema::Severity)]
    severity: Severity,
    /// The condition as it was when the episode began.
    #[schema(value_type = schema::Condition)]
    condition: ConditionSpec,
    /// Since when the condition has been met.
    #[schema(value_type = schema::Time)]
    pending_since: Timestamp,
    /// Since when it has been met for as long as `for` asks; null before that.
    #[schema(value_type = Option<schema::Time>, required)]
    firing_since: Option<Timestamp>,
    /// When the condition was last known to be met or unmet.
    #[schema(value_type = schema::Time)]
    known_at: Timestamp,
    /// Since when the condition has been unmet; null while it is met.
    #[schema(value_type = Option<schema::Time>, required)]
    unmet_since: Option<Timestamp>,
    /// When it ended; null before that.
    #[schema(value_type = Option<schema::Time>, required)]
    resolved_at: Option<Timestamp>,
    /// How it ended; null before that.
    #[schema(value_type = Option<schema::Resolution>, required)]
    resolution: Option<Resolution>,
    /// The samples that met the condition.
    #[schema(value_type = Vec<schema::Sample>)]
    evidence: Vec<Sample>,
    /// How many actions it has had.
    actions: u32,
    /// The newest of them; null before the first.
    #[schema(value_type = Option<i64>, required)]
    last_action_id: Option<ActionId>,
    /// Why nothing is done about it at present; null when nothing is in the way.
    #[schema(required)]
    refusal: Option<RefusalDto>,
}

/// Why nothing is done about an episode at present.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refusal)]
struct RefusalDto {
    /// A word that programs may rely on.
    reason: &'static str,
    /// The same for people.
    detail: String,
    /// When it may next be allowed, if the passing of time alone can bring that.
    #[schema(value_type = Option<schema::Time>, required)]
    next_at: Option<Timestamp>,
    /// Since when it has been so.
    #[schema(value_type = schema::Time)]
    since: Timestamp,
    /// How often it was looked at since then.
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

/// A page of episodes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"count": 1, "episodes": [example("firing")], "next_cursor": null})))]
pub(crate) struct EpisodeList {
    /// How many are on this page.
    count: usize,
    /// The episodes.
    episodes: Vec<EpisodeDto>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

schema::parameters! {
    /// The filters of episodes.
    Filters = [
        {"name": "state", "description": "Only those in this state", "example": "firing",
            "schema": {"$ref": "#/components/schemas/EpisodeState"}},
        {"name": "policy", "description": "Only those of this policy", "example": "high-cpu",
            "schema": {"$ref": "#/components/schemas/PolicyName"}},
        {"name": "target", "description": "Only those of this target", "example": "web-1",
            "schema": {"$ref": "#/components/schemas/Name"}},
    ];
}

/// List episodes, the newest first
#[utoipa::path(
    get, path = "/api/v1/episodes", tag = "Episodes", operation_id = "list_episodes", params(Filters, Page),
    responses(
        (status = 200, description = "A page of them", body = EpisodeList),
        (status = 400, description = "The state does not exist"),
    )
)]
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

/// Show one episode
#[utoipa::path(
    get, path = "/api/v1/episodes/{id}", tag = "Episodes", operation_id = "get_episode", params(EpisodeInPath),
    responses(
        (status = 200, description = "The episode", body = EpisodeDto),
        (status = 404, description = "No episode has this id"),
        (status = 422, description = "The id is not a whole number"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Word(word): Word,
) -> Result<Json<EpisodeDto>, ApiError> {
    let id = id(&word).map(EpisodeId).map_err(|problem| ApiError::field("/id", problem))?;
    let episode = app.vigil.store().episode(&caller.tenant, id).await?;
    episode.map(|episode| Json(episode.into())).ok_or_else(|| ApiError::not_found(format_args!("Episode {word}")))
}

/// What was done to an episode, and the episode.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedEpisode)]
pub(crate) struct Reset {
    /// Always true: an error is a problem.
    ok: bool,
    /// What was done, for people.
    message: &'static str,
    #[serde(flatten)]
    episode: EpisodeDto,
}

/// End an episode by a person's word
///
/// If its condition is still met, another one opens, with all its actions before it.
#[utoipa::path(
    post, path = "/api/v1/episodes/{id}/reset", tag = "Episodes", operation_id = "reset_episode", params(EpisodeInPath),
    request_body(content = Option<schema::EpisodeReset>, description = "The reason; the body may be left out"),
    responses(
        (status = 200, description = "It is over", body = Reset, example = json!(ended())),
        (status = 404, description = "No episode has this id"),
        (status = 409, description = "It is over already"),
        (status = 422, description = "The id is not a whole number, or a field is wrong"),
    )
)]
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

/// An episode's id in the path, for the documentation: handlers take a [`Word`].
enum EpisodeInPath {}

impl utoipa::IntoParams for EpisodeInPath {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        vec![schema::parameter(json!({
            "name": "id", "in": "path", "required": true, "example": 7,
            "description": "The episode's id",
            "schema": {"type": "integer", "format": "int64"},
        }))]
    }
}

/// The answer to a reset in the documentation.
fn ended() -> Value {
    let mut answer = example("resolved");
    answer["ok"] = true.into();
    answer["message"] = "Episode reset successfully".into();
    answer["resolved_at"] = "2026-01-20T12:05:00Z".into();
    answer["resolution"] = "reset".into();
    answer["refusal"] = Value::Null;
    answer
}

/// An episode in the documentation.
pub(super) fn example(state: &str) -> Value {
    json!({
        "id": 7, "policy_name": "high-cpu", "target": "web-1", "state": state, "severity": "critical",
        "condition": {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80.0},
        "pending_since": "2026-01-20T12:00:00Z", "firing_since": "2026-01-20T12:01:00Z", "known_at": "2026-01-20T12:02:00Z",
        "unmet_since": null, "resolved_at": null, "resolution": null,
        "evidence": [{"metric": "cpu_percent", "tags": {}, "value": 95.0, "at": "2026-01-20T12:02:00Z"}],
        "actions": 1, "last_action_id": 42,
        "refusal": {"reason": "cooldown", "detail": "cooling down until 2026-01-20T12:06:00Z",
            "next_at": "2026-01-20T12:06:00Z", "since": "2026-01-20T12:01:30Z", "count": 4},
    })
}
