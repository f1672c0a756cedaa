//! `GET /api/v1/ui/queue/stats`: how much waits, and what went through, of all tenants; `GET /api/v1/queue`: of one's own.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use utoipa::ToSchema;
use vigil_core::clock::Timestamp;
use vigil_core::queue::QueueStats;
use vigil_core::tenant::TenantId;

use crate::extract::Caller;
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// The queue and this process's workers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueueStatus)]
pub(crate) struct QueueAnswer {
    /// Always true: an error is a problem.
    ok: bool,
    #[serde(flatten)]
    depths: QueueDto,
    /// The queue's numbers once more.
    queue: QueueDto,
    /// The workers of this process.
    worker: Worker,
}

/// The queue in numbers.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Queue, examples(json!(example())))]
struct QueueDto {
    /// How many tasks wait to be claimed, due retries among them.
    queue_depth: u64,
    /// The same.
    queue_length: u64,
    /// How many wait for their time.
    scheduled: u64,
    /// How many a worker has.
    leased: u64,
    /// How many were given up and wait for a person.
    dead: u64,
    /// How many were carried out.
    completed: u64,
    /// How many were given up.
    failed: u64,
    /// The share of those carried out, from 0 to 1; null as long as nothing was processed.
    #[schema(minimum = 0, maximum = 1, required)]
    success_rate: Option<f64>,
    /// The last 60 depths, 5 seconds apart, the newest last.
    #[schema(max_items = 60)]
    history: Vec<u64>,
    /// How many were ever enqueued.
    tasks_enqueued: u64,
    /// How many were ever claimed.
    tasks_dequeued: u64,
    /// When one was processed last; null before the first.
    #[schema(value_type = Option<schema::Time>, required)]
    last_processed_task: Option<Timestamp>,
}

/// The workers of this process.
#[derive(Debug, Serialize, ToSchema)]
struct Worker {
    /// Whether they run.
    active: bool,
    /// `running` or `stopped`.
    status: &'static str,
    /// How many tasks were carried out.
    tasks_completed: u64,
    /// How many tasks were given up.
    tasks_failed: u64,
}

/// Show the queue of all tenants as it is now
///
/// When it cannot be asked the answer is 503, never zeros.
#[utoipa::path(
    get, path = "/api/v1/ui/queue/stats", tag = "Queue", operation_id = "queue_stats",
    responses(
        (status = 200, description = "The queue in numbers", body = QueueAnswer, example = json!(answer())),
    )
)]
pub(crate) async fn stats(State(app): State<App>, _: Caller) -> Result<Json<QueueAnswer>, ApiError> {
    let asked = timeout(app.config.ping_timeout, app.vigil.queue().stats()).await;
    let stats = asked.map_err(|_| silent())??;
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

/// What of the tenant is in the queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantQueue, examples(json!({"tenant": "shop", "queue_depth": 3, "dead": 0})))]
pub(crate) struct TenantQueueDto {
    /// Whose.
    #[schema(value_type = schema::Tenant)]
    tenant: TenantId,
    /// How many of its tasks wait to be claimed, due retries among them.
    queue_depth: u64,
    /// How many of its tasks were given up and wait for a person.
    dead: u64,
}

/// Show how much of the tenant waits in the queue
///
/// When it cannot be asked the answer is 503, never zeros.
#[utoipa::path(
    get, path = "/api/v1/queue", tag = "Queue", operation_id = "tenant_queue",
    responses((status = 200, description = "The tenant's own", body = TenantQueueDto))
)]
pub(crate) async fn own(State(app): State<App>, caller: Caller) -> Result<Json<TenantQueueDto>, ApiError> {
    let asked = timeout(app.config.ping_timeout, app.vigil.queue().depth(&caller.tenant)).await;
    let depth = asked.map_err(|_| silent())??;
    Ok(Json(TenantQueueDto { tenant: caller.tenant.clone(), queue_depth: depth.ready, dead: depth.dead }))
}

fn silent() -> ApiError {
    ApiError::unavailable("The queue does not answer; try again later.")
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

/// The answer in the documentation.
fn answer() -> Value {
    let mut answer = example();
    answer["ok"] = true.into();
    answer["queue"] = example();
    answer["worker"] = json!({"active": true, "status": "running", "tasks_completed": 18, "tasks_failed": 2});
    answer
}

fn example() -> Value {
    json!({
        "queue_depth": 3, "queue_length": 3, "scheduled": 1, "leased": 2, "dead": 0, "completed": 18, "failed": 2,
        "success_rate": 0.9, "history": [5, 4, 3], "tasks_enqueued": 25, "tasks_dequeued": 22,
        "last_processed_task": "2026-01-20T12:00:00Z",
    })
}
