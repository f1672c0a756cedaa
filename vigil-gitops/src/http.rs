//! What the daemon answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use vigil_program::chain;
use vigil_remediator::service::Service;

use crate::config::Mode;
use crate::rounds::Rounds;

/// How long something is waited for before it counts as away.
const PING: Duration = Duration::from_secs(3);

/// `/health`, `/ready`, `/metrics`, `/drift`, and the remediator protocol at `/remediate`.
pub(crate) fn router(rounds: Arc<Rounds>, service: &Service) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/drift", get(drift))
        .with_state(rounds)
        .merge(service.protocol())
}

async fn health() -> Response {
    let health = json!({ "status": "healthy", "service": "vigil-gitopsd", "version": env!("CARGO_PKG_VERSION") });
    axum::Json(health).into_response()
}

/// Whether drift can be told and healed. A source that cannot be reached does not make the others useless: it is said, and the status
/// is 200 as long as the server answers and one source can be compared, or there is none.
async fn ready(State(rounds): State<Arc<Rounds>>) -> Response {
    let word = |answer: Result<Result<(), String>, _>| match answer {
        Ok(Ok(())) => "up".to_owned(),
        Ok(Err(why)) => why,
        Err::<_, tokio::time::error::Elapsed>(_) => "gives no answer".to_owned(),
    };
    let server = word(timeout(PING, rounds.ping()).await);
    let mut sources = Map::new();
    let mut can_compare = false;
    for source in rounds.sources.iter().filter(|source| source.config().mode != Mode::Off) {
        let ping = async { source.ping().await.map_err(|error| chain(&error)) };
        let mut state = word(timeout(PING, ping).await);
        if let Some(error) = source.known().error.clone() {
            state = error;
        }
        can_compare |= state == "up";
        sources.insert(source.name().to_owned(), state.into());
    }
    let is_ready = server == "up" && (can_compare || sources.is_empty());
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if is_ready { "ready" } else { "not_ready" };
    (status, axum::Json(json!({ "status": word, "server": server, "sources": sources }))).into_response()
}

async fn metrics(State(rounds): State<Arc<Rounds>>) -> Response {
    match rounds.envelope.metrics().await {
        Ok(healing) => {
            let text = rounds.telemetry.encode() + &healing;
            // The text format of Prometheus, version 0.0.4.
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "keys cannot be counted");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn drift(State(rounds): State<Arc<Rounds>>) -> axum::Json<Value> {
    axum::Json(rounds.picture())
}
