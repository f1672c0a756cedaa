//! `GET /api/v1/settings`: what this process runs with, secrets hidden.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use vigil_core::Settings;

use crate::config::HttpConfig;
use crate::dto::seconds;
use crate::extract::Caller;
use crate::router::App;
use crate::schema;

/// Show what the server runs with
///
/// The effective configuration of this process, its secrets left out.
#[utoipa::path(
    get, path = "/api/v1/settings", tag = "Settings", operation_id = "settings",
    responses((status = 200, description = "The settings", body = SettingsShown))
)]
pub(crate) async fn show(State(app): State<App>, _: Caller) -> Json<Value> {
    let mut settings = Map::new();
    settings.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    settings.insert("loop".to_owned(), looped(app.vigil.settings()));
    settings.insert("http".to_owned(), http(&app.config));
    settings.insert("program".to_owned(), Value::Object(app.config.shown.clone()));
    Json(Value::Object(settings))
}

fn looped(settings: &Settings) -> Value {
    json!({
        "target_tags": settings.target_tags.iter().collect::<Vec<_>>(),
        "staleness_seconds": seconds(settings.staleness),
        "actions_per_episode": settings.actions_per_episode,
        "expires_after_seconds": seconds(settings.expires_after),
        "unknown_after_seconds": seconds(settings.unknown_after),
        "recheck_seconds": seconds(settings.recheck),
        "workers": settings.workers,
        "lease_seconds": seconds(settings.lease),
        "heartbeat_seconds": seconds(settings.heartbeat),
        "lease_margin_seconds": seconds(settings.lease_margin),
        "remediation_timeout_seconds": seconds(settings.remediation_timeout),
        "deadline_seconds": seconds(settings.deadline),
        "retry": {
            "base_seconds": seconds(settings.retry.base),
            "cap_seconds": seconds(settings.retry.cap),
            "tries": settings.retry.tries,
        },
        "max_crashes": settings.max_crashes,
        "settle_seconds": seconds(settings.settle),
        "verify_seconds": seconds(settings.verify),
        "verify_interval_seconds": seconds(settings.verify_interval),
        "reconcile_interval_seconds": seconds(settings.reconcile_interval),
        "runner": {
            "enabled": settings.runner.enabled,
            "interval_seconds": seconds(settings.runner.interval),
            "batch_size": settings.runner.batch_size,
        },
        "metric_retention_seconds": seconds(settings.metric_retention),
        "history_retention_seconds": seconds(settings.history_retention),
        "lanes": settings.lanes,
        "lane_capacity": settings.lane_capacity,
        "grace_seconds": seconds(settings.grace),
    })
}

fn http(config: &HttpConfig) -> Value {
    let origins = config.origins.listed().map_or_else(
        || vec!["*".to_owned()],
        |listed| listed.iter().map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned()).collect(),
    );
    json!({
        "cors_origins": origins,
        "metrics_enabled": config.metrics_enabled,
        "body_limit_bytes": config.body_limit,
        "batch_limit_bytes": config.batch_limit,
        "body_timeout_seconds": seconds(config.body_timeout),
        "request_timeout_seconds": seconds(config.request_timeout),
        "ping_timeout_seconds": seconds(config.ping_timeout),
        "header_timeout_seconds": seconds(config.header_timeout),
        "max_connections": config.max_connections,
        "drain_seconds": seconds(config.drain),
    })
}

schema::schemas! {
    /// What a process runs with.
    SettingsShown [LoopSettings, HttpSettings] = json!({
        "type": "object",
        "required": ["version", "loop", "http", "program"],
        "properties": {
            "version": {"type": "string", "description": "The server's version."},
            "loop": schema::with::<LoopSettings>("The control loop."),
            "http": schema::with::<HttpSettings>("The API."),
            "program": {"type": "object", "description": "What the program that serves the API adds to it."},
        },
        "examples": [{
            "version": "1.0.0", "loop": looped(&Settings::default()), "http": http(&HttpConfig::default()), "program": {},
        }],
    });

    /// The control loop.
    LoopSettings [] = described(&[
        ("target_tags", "The tags that may name a sample's target: the first present one wins."),
        ("staleness_seconds", "How old a sample may be and still count as data."),
        ("actions_per_episode", "How many actions an episode may have before a person must look."),
        ("expires_after_seconds", "How long an admitted action may wait to be started."),
        ("unknown_after_seconds", "After how long without a known verdict an episode ends."),
        ("recheck_seconds", "How soon a blocked violation is looked at again when no passing of time is known to free it."),
        ("workers", "How many actions this process carries out at a time."),
        ("lease_seconds", "How long a worker holds an action without a heartbeat."),
        ("heartbeat_seconds", "How often it gives one."),
        ("lease_margin_seconds", "How much of the lease must be left before anything is sent."),
        ("remediation_timeout_seconds", "How long one call of the remediator may take."),
        ("deadline_seconds", "How long an attempt may take in all."),
        ("retry", "The waits between attempts."),
        ("retry/base_seconds", "The first wait."),
        ("retry/cap_seconds", "The longest wait."),
        ("retry/tries", "How many attempts there may be."),
        ("max_crashes", "How many workers may be lost on one action."),
        ("settle_seconds", "How long an action's effect takes to show in metrics."),
        ("verify_seconds", "How long after that a proof is waited for."),
        ("verify_interval_seconds", "How often actions awaiting verification are looked at."),
        ("reconcile_interval_seconds", "How often what fell between the steps is picked up."),
        ("runner", "The sweep over all targets."),
        ("runner/enabled", "Whether it runs."),
        ("runner/interval_seconds", "From one sweep to the next."),
        ("runner/batch_size", "How many targets it reads at a time."),
        ("metric_retention_seconds", "How long samples are kept."),
        ("history_retention_seconds", "How long final actions, ended episodes and the audit are kept."),
        ("lanes", "How many lanes evaluate samples side by side."),
        ("lane_capacity", "How many samples may wait in a lane."),
        ("grace_seconds", "How long work in flight may take after shutdown was asked for."),
    ], &looped(&Settings::default()));

    /// The API.
    HttpSettings [] = described(&[
        ("cors_origins", "Whose pages may call the API from a browser."),
        ("metrics_enabled", "Whether `/metrics` is there."),
        ("body_limit_bytes", "How many bytes a body may have."),
        ("batch_limit_bytes", "How many bytes a batch of samples may have."),
        ("body_timeout_seconds", "How long a body may take to arrive."),
        ("request_timeout_seconds", "How long a request may take in all."),
        ("ping_timeout_seconds", "How long a backend may take to answer a health check."),
        ("header_timeout_seconds", "How long a request's head may take to arrive."),
        ("max_connections", "How many connections are served at a time."),
        ("drain_seconds", "How long requests in flight may take after shutdown was asked for."),
    ], &http(&HttpConfig::default()));
}

/// The schema of an object of settings: the types are those of the defaults, so that none can be missing from either.
fn described(words: &[(&str, &str)], defaults: &Value) -> Value {
    let properties: Map<String, Value> = defaults
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, default)| {
            let below: Vec<_> = words
                .iter()
                .filter_map(|(path, text)| Some((path.strip_prefix(name)?.strip_prefix('/')?, *text)))
                .collect();
            let mut schema = match default {
                Value::Object(_) => described(&below, default),
                Value::Array(_) => json!({"type": "array", "items": {"type": "string"}}),
                Value::Bool(_) => json!({"type": "boolean"}),
                Value::String(_) => json!({"type": "string"}),
                Value::Number(_) | Value::Null => json!({"type": "number", "minimum": 0}),
            };
            if let Some((_, text)) = words.iter().find(|(path, _)| path == name) {
                schema["description"] = (*text).into();
            }
            (name.clone(), schema)
        })
        .collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties})
}
