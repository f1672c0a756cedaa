//! `GET /api/v1/ui/queue/stats`: how much waits, and what went through.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::time::timeout;
use vigil_core::clock::Timestamp;
use vigil_core::queue::QueueStats;

use crate::extract::Caller;
use crate::problem::ApiError;
use crate::router::App;

#[derive(Debug, Serialize)]
pub(crate) struct QueueAnswer {
    ok: bool,
    #[serde(flatten)]
    depths: QueueDto,
    queue: QueueDto,
    worker: Worker,
}

#[derive(Debug, Clone, Serialize)]
struct QueueDto {
    queue_depth: u64,
    queue_length: u64,
    scheduled: u64,
    leased: u64,
    dead: u64,
    completed: u64,
    failed: u64,
    /// From 0 to 1; null as long as nothing was processed.
    success_rate: Option<f64>,
    history: Vec<u64>,
    tasks_enqueued: u64,
    tasks_dequeued: u64,
    last_processed_task: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Worker {
    active: bool,
    status: &'static str,
    tasks_completed: u64,
    tasks_failed: u64,
}

/// The queue as it is now. When it cannot be asked: 503, never zeros.
pub(crate) async fn stats(State(app): State<App>, _: Caller) -> Result<Json<QueueAnswer>, ApiError> {
    let asked = timeout(app.config.ping_timeout, app.vigil.queue().stats()).await;
    let stats = asked.map_err(|_| ApiError::unavailable("The queue does not answer; try again later."))??;
    app.vigil.telemetry().queue_length(stats.ready);
    let depths = depths(&stats, app.vigil.queue_history());
    let active = app.vigil.worker_is_active();
    let worker = Worker {
        active,
        status: if active { "running" } else { "stopped" },
        tasks_completed: stats.completed,
        tasks_failed: stats.failed,
    };
    Ok(Json(QueueAnswer { ok: true, queue: depths.clone(), depths, worker }))
}

fn depths(stats: &QueueStats, history: Vec<u64>) -> QueueDto {
    let processed = stats.completed + stats.failed;
    QueueDto {
        queue_depth: stats.ready,
        queue_length: stats.ready,
        scheduled: stats.scheduled,
        leased: stats.leased,
        dead: stats.dead,
        completed: stats.completed,
        failed: stats.failed,
        success_rate: (processed > 0).then(|| stats.completed as f64 / processed as f64),
        history,
        tasks_enqueued: stats.enqueued,
        tasks_dequeued: stats.dequeued,
        last_processed_task: stats.last_processed,
    }
}
