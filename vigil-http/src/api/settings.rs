//! `GET /api/v1/settings`: what this process runs with, secrets hidden.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use vigil_core::Settings;

use crate::config::HttpConfig;
use crate::dto::seconds;
use crate::extract::Caller;
use crate::router::App;

/// The effective configuration.
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
