//! `/api/v1/simulator` and `/api/v1/ui/simulator`: a load on this very server, from within.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::body::JsonBody;
use crate::extract::Caller;
use crate::fields::{Fields, Wrong, number, text};
use crate::problem::{ApiError, Kind};
use crate::router::App;
use crate::schema;
use crate::simulator::{Load, Mode, Simulator, Status};

/// What the simulator does, or did last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SimulatorStatus, examples(json!(example())))]
pub(crate) struct SimulatorAnswer {
    /// Always true: an error is a problem.
    ok: bool,
    /// Whether the configuration allows it.
    enabled: bool,
    /// Whether it sends now.
    running: bool,
    /// How events come: `STEADY`, `BURST`, `RAMP` or `CHAOS`; null before the first start.
    #[schema(required)]
    mode: Option<&'static str>,
    /// Events per minute, on the average; null before the first start.
    #[schema(required)]
    rate: Option<f64>,
    /// The same one gives the same events; null before the first start.
    #[schema(required)]
    seed: Option<u64>,
    /// For how long it has been, or was, sending.
    uptime_seconds: f64,
    /// How many events were sent: once all are answered, the sum of the other five.
    events_generated: u64,
    /// How many were taken.
    events_succeeded: u64,
    /// How many were refused, or not answered.
    events_failed: u64,
    /// How many were refused for now, by 429.
    events_rate_limited: u64,
    /// How many were given up.
    events_timeout: u64,
    /// How many were sent malformed.
    events_malformed: u64,
    /// How long the answers took.
    latency_ms: LatencyDto,
}

/// How long the answers to those that were taken took, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Latency)]
struct LatencyDto {
    /// Half took at most so long.
    p50: f64,
    /// 95 of 100 did.
    p95: f64,
    /// 99 of 100 did.
    p99: f64,
    /// The longest.
    max: f64,
}

/// A status in the documentation.
fn example() -> Value {
    json!({
        "ok": true, "enabled": true, "running": true, "mode": "BURST", "rate": 600.0, "seed": 7, "uptime_seconds": 12.5,
        "events_generated": 125, "events_succeeded": 118, "events_failed": 6, "events_rate_limited": 0, "events_timeout": 1,
        "events_malformed": 0, "latency_ms": {"p50": 1.2, "p95": 3.4, "p99": 5.6, "max": 7.8},
    })
}

impl SimulatorAnswer {
    fn of(simulator: Option<&Simulator>) -> Self {
        let status = simulator.and_then(Simulator::status);
        let load = status.as_ref().map(|status| &status.load);
        let figures = status.as_ref().map(|status| status.figures).unwrap_or_default();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let latencies = figures.latencies;
        Self {
            ok: true,
            enabled: simulator.is_some(),
            running: status.as_ref().is_some_and(|status| status.running),
            mode: load.map(|load| load.mode.as_str()),
            rate: load.map(|load| load.rate),
            seed: load.map(|load| load.seed),
            uptime_seconds: status.as_ref().map_or(0.0, |Status { uptime, .. }| uptime.as_secs_f64()),
            events_generated: figures.generated,
            events_succeeded: figures.succeeded,
            events_failed: figures.failed,
            events_rate_limited: figures.rate_limited,
            events_timeout: figures.timeout,
            events_malformed: figures.malformed,
            latency_ms: LatencyDto {
                p50: ms(latencies.p50),
                p95: ms(latencies.p95),
                p99: ms(latencies.p99),
                max: ms(latencies.max),
            },
        }
    }
}

fn allowed(app: &App) -> Result<&Simulator, ApiError> {
    app.config.simulator.as_deref().ok_or_else(|| {
        ApiError::new(Kind::Conflict, "The simulator is off: say simulator.enabled: true in the configuration.")
    })
}

/// Show what the simulator does
///
/// It is always there, also where the configuration does not allow it to start.
#[utoipa::path(
    get, path = "/api/v1/simulator/status", tag = "Simulator", operation_id = "simulator_status",
    responses((status = 200, description = "What it does, or did last", body = SimulatorAnswer))
)]
pub(crate) async fn status(State(app): State<App>, _: Caller) -> Json<SimulatorAnswer> {
    Json(SimulatorAnswer::of(app.config.simulator.as_deref()))
}

/// Put a load on this server
///
/// It comes with the key of whoever starts it.
#[utoipa::path(
    post, path = "/api/v1/simulator/start", tag = "Simulator", operation_id = "start_simulator",
    request_body(content = schema::NewLoad, description = "The load"),
    responses(
        (status = 200, description = "It sends", body = SimulatorAnswer),
        (status = 409, description = "It sends already, or the configuration does not allow it"),
    )
)]
pub(crate) async fn start(
    State(app): State<App>,
    _: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Json<SimulatorAnswer>, ApiError> {
    let simulator = allowed(&app)?;
    let load = load(&body, app.vigil.random().next_u64())?;
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok()).or(bearer);
    simulator
        .start(load, key)
        .map_err(|_| ApiError::new(Kind::Conflict, "The simulator is already running: stop it first."))?;
    Ok(Json(SimulatorAnswer { running: true, ..SimulatorAnswer::of(Some(simulator)) }))
}

/// Stop the load
///
/// What is on its way is still counted.
#[utoipa::path(
    post, path = "/api/v1/simulator/stop", tag = "Simulator", operation_id = "stop_simulator",
    responses(
        (status = 200, description = "It does not send any more", body = SimulatorAnswer),
        (status = 409, description = "It was not sending, or the configuration does not allow it"),
    )
)]
pub(crate) async fn stop(State(app): State<App>, _: Caller) -> Result<Json<SimulatorAnswer>, ApiError> {
    let simulator = allowed(&app)?;
    if !simulator.stop() {
        return Err(ApiError::new(Kind::Conflict, "The simulator is not running."));
    }
    Ok(Json(SimulatorAnswer::of(Some(simulator))))
}

const FIELDS: [&str; 8] =
    ["mode", "rate", "failure_rate", "timeout_rate", "malformed_rate", "seed", "duration_seconds", "targets"];
/// Events per minute where nothing is said.
const RATE: f64 = 60.0;

fn load(body: &Value, chosen: u64) -> Result<Load, ApiError> {
    let mut fields = Fields::of(body, "").map_err(ApiError::invalid)?;
    fields.only(&FIELDS, &[]);
    let mode = fields.optional("mode", text(str::parse::<Mode>));
    let rate = fields.optional("rate", number);
    let shares = ["failure_rate", "timeout_rate", "malformed_rate"].map(|name| fields.optional(name, number));
    let seed = fields.optional("seed", seed);
    let duration = fields.optional("duration_seconds", |value| {
        let seconds = number(value)?;
        Duration::try_from_secs_f64(seconds).map_err(|_| Wrong::new("must be more than 0 and at most a day"))
    });
    let targets = fields.optional("targets", targets);
    let errors = fields.end();
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    // What a number in JSON can carry, so that a client can give it back.
    let mut load = Load::new(mode.unwrap_or(Mode::Steady), rate.unwrap_or(RATE), seed.unwrap_or(chosen >> 11));
    let [failure_rate, timeout_rate, malformed_rate] = shares.map(Option::unwrap_or_default);
    (load.failure_rate, load.timeout_rate, load.malformed_rate) = (failure_rate, timeout_rate, malformed_rate);
    load.duration = duration;
    load.targets = targets.unwrap_or(load.targets);
    load.check().map_err(|wrong| ApiError::field(format!("/{}", wrong.field), wrong.problem))?;
    Ok(load)
}

fn seed(value: &Value) -> Result<u64, Wrong> {
    value.as_u64().ok_or_else(|| Wrong::new("must be a whole number from 0 on"))
}

fn targets(value: &Value) -> Result<Vec<String>, Wrong> {
    let names = value.as_array().and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    names.ok_or_else(|| Wrong::new("must be a list of names"))
}
