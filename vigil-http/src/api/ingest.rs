//! `/api/v1/ingest`: samples come in. Everything is checked here; what is answered 201 is committed.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vigil_core::clock::Timestamp;
use vigil_core::metric::{Metric, MetricId, MetricName, Tags};
use vigil_core::policy::FieldError;
use vigil_core::store::{Idempotency, MetricBatch};

use crate::api::health::by_store;
use crate::batch::BatchBody;
use crate::body::KeyedBody;
use crate::dto::ServiceHealth;
use crate::extract::Caller;
use crate::fields::{Fields, Wrong, escape, number, text};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

/// A sample was committed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"ok": true, "metric_id": 1, "message": "Metric ingested successfully"})))]
pub(crate) struct Ingested {
    /// Always true: an error is a problem.
    ok: bool,
    /// Its id.
    #[schema(value_type = i64)]
    metric_id: MetricId,
    /// What was done, for people.
    message: &'static str,
}

/// Take in one sample
///
/// 201 means that it is committed. Policies are evaluated afterwards: a violation never delays or fails the answer.
#[utoipa::path(
    post, path = "/api/v1/ingest", tag = "Metrics in", operation_id = "ingest", params(KeyedBody),
    request_body(content = schema::NewMetric, description = "The sample"),
    responses(
        (status = 201, description = "It is committed", body = Ingested),
    )
)]
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    KeyedBody { json, idempotency }: KeyedBody,
) -> Result<(StatusCode, Json<Ingested>), ApiError> {
    let metric = metric(&app, &caller, &json, "").map_err(ApiError::invalid)?;
    drop(json); // it may have much beside the sample, which may wait
    let ids = record(&app, caller, vec![metric], idempotency).await?;
    let metric_id = first(&ids)?;
    Ok((StatusCode::CREATED, Json(Ingested { ok: true, metric_id, message: "Metric ingested successfully" })))
}

/// Samples were committed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "ok": true, "metric_id": 1, "message": "2 metrics ingested successfully", "accepted": 2, "metric_ids": [1, 2]
})))]
pub(crate) struct BatchIngested {
    /// Always true: an error is a problem.
    ok: bool,
    /// The id of the first.
    #[schema(value_type = i64)]
    metric_id: MetricId,
    /// What was done, for people.
    message: String,
    /// How many.
    accepted: usize,
    /// Their ids, in the order of the request.
    #[schema(value_type = Vec<i64>)]
    metric_ids: Vec<MetricId>,
}

/// Take in many samples
///
/// One sample, a list of them, or a list under the key `metrics`: all or none. Pointers of errors begin with the index.
#[utoipa::path(
    post, path = "/api/v1/ingest/agent/metrics", tag = "Metrics in", operation_id = "ingest_batch", params(KeyedBody),
    request_body(content = schema::NewMetrics, description = "The samples, 8 MiB of JSON unless configured otherwise"),
    responses(
        (status = 201, description = "All are committed", body = BatchIngested),
    )
)]
pub(crate) async fn some(
    State(app): State<App>,
    caller: Caller,
    body: BatchBody,
) -> Result<(StatusCode, Json<BatchIngested>), ApiError> {
    let idempotency = body.idempotency.clone();
    let (reading, sender) = (app.clone(), caller.clone());
    let metrics = body.each(&app, move |item, base| metric(&reading, &sender, item, base)).await?;
    let ids = record(&app, caller, metrics, idempotency).await?;
    let message = match ids.len() {
        1 => "Metric ingested successfully".to_owned(),
        n => format!("{n} metrics ingested successfully"),
    };
    let answer = BatchIngested { ok: true, metric_id: first(&ids)?, message, accepted: ids.len(), metric_ids: ids };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Samples can be taken in
#[utoipa::path(
    get, path = "/api/v1/ingest/health", tag = "Health", operation_id = "ingest_health",
    responses(
        (status = 200, description = "They can", body = ServiceHealth),
        (status = 503, description = "The store is down", body = ServiceHealth,
            example = json!({"status": "unhealthy", "service": "ingest"})),
    )
)]
pub(crate) async fn health(State(app): State<App>) -> Response {
    by_store(&app, "ingest").await
}

async fn record(
    app: &App,
    caller: Caller,
    metrics: Vec<Metric>,
    idempotency: Option<Idempotency>,
) -> Result<Vec<MetricId>, ApiError> {
    app.gates.tenants.samples(&caller.tenant, metrics.len())?;
    if let Some(most) = app.gates.tenants.most_series(&caller.tenant) {
        // In a box: few tenants have a limit, and each request would have room for what it takes.
        Box::pin(app.gates.tenants.series(&caller.tenant, most, &metrics, &app.vigil)).await?;
    }
    let batch = MetricBatch { tenant: caller.tenant.clone(), metrics, idempotency };
    Ok(app.vigil.ingest(batch).await?.ids)
}

/// Every store gives one id a sample, and no batch is empty; anything else is a defect of the store.
fn first(ids: &[MetricId]) -> Result<MetricId, ApiError> {
    ids.first().copied().ok_or_else(ApiError::internal)
}

/// Reads one sample. Unknown fields are ignored: agents send extras.
fn metric(app: &App, caller: &Caller, value: &Value, base: &str) -> Result<Metric, Vec<FieldError>> {
    let mut fields = Fields::of(value, base)?;
    let name = fields.required("name", text(MetricName::new));
    let value = fields.required("value", number);
    let tags = fields.optional("tags", tags).unwrap_or_default();
    let timestamp = fields.optional("timestamp", time);
    let errors = fields.end();
    let (Some(name), Some(value), true) = (name, value, errors.is_empty()) else { return Err(errors) };
    let received_at = app.vigil.clock().now();
    let tenant = caller.tenant.clone();
    Metric::new(tenant, name, value, tags, timestamp, received_at, app.vigil.target_tags())
        .map_err(|e| vec![crate::fields::error(format!("{base}/{}", e.field), e.problem)])
}

fn tags(value: &Value) -> Result<Tags, Wrong> {
    let object = value.as_object().ok_or_else(|| Wrong::new("must be an object of text"))?;
    let mut pairs = Vec::with_capacity(object.len());
    let mut wrong = Vec::new();
    for (key, value) in object {
        match value {
            Value::String(text) => pairs.push((key.as_str(), text.as_str())),
            _ => wrong.push((format!("/{}", escape(key)), "must be text".to_owned())),
        }
    }
    if !wrong.is_empty() {
        return Err(Wrong(wrong));
    }
    Tags::new(pairs).map_err(|invalid| {
        let below = invalid.field.strip_prefix("tags/").map_or_else(String::new, |key| format!("/{}", escape(key)));
        Wrong(vec![(below, invalid.problem)])
    })
}

fn time(value: &Value) -> Result<Timestamp, Wrong> {
    let wrong = || Wrong::new("must be an RFC 3339 time or seconds since 1970");
    match value {
        Value::String(text) => Timestamp::parse(text).map_err(|_| wrong()),
        Value::Number(seconds) => seconds.as_f64().and_then(Timestamp::from_unix_seconds).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
