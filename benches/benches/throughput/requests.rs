//! Requests a second, beside a bare axum server in the same process that does the least that could be called the same: answers a
//! constant, reads the same rows by hand, parses the same JSON and keeps nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ColumnIndex, Decode, PgPool, SqlitePool, Type};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::program::Private;
use crate::service::Service;
use crate::{ROUNDS, Series, Span};

const CONNECTIONS: usize = 64;
/// Those who wait share a commit: what durability costs each depends on how many they are.
const INGESTING: [usize; 2] = [CONNECTIONS, 256];
const LIST: &str = "/api/v1/actions?limit=50";
const INGEST: &str = "/api/v1/ingest";

pub(crate) async fn measure(postgres: Option<&Private>, span: Span) {
    println!("\nRequests a second over {CONNECTIONS} connections, SQLite");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.db");
    let service = Service::on_sqlite(&path).await;
    fill(service.address).await;
    let bare = Bare::start(bare_routes().merge(on_sqlite(&path).await)).await;
    let pair = Pair { ours: service.address, bare: bare.address, span };
    pair.compare("GET /health", "axum, a constant", Ask::Get("/health"), CONNECTIONS).await;
    pair.compare("GET /api/v1/actions?limit=50", "axum, the query by hand", Ask::Get(LIST), CONNECTIONS).await;
    pair.compare_ingest().await;

    let Some(postgres) = postgres else { return println!("skipped: PostgreSQL is not installed") };
    println!("\nRequests a second over {CONNECTIONS} connections, PostgreSQL");
    let url = postgres.run("url");
    let service = Service::on_postgres(&url, None, None).await;
    fill(service.address).await;
    let bare = Bare::start(bare_routes().merge(on_postgres(&url).await)).await;
    let pair = Pair { ours: service.address, bare: bare.address, span };
    pair.compare("GET /api/v1/actions?limit=50", "axum, the query by hand", Ask::Get(LIST), CONNECTIONS).await;
    pair.compare_ingest().await;
}

/// What is asked over and over.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Get(&'static str),
    Ingest,
}

/// The server and the bare one.
struct Pair {
    ours: SocketAddr,
    bare: SocketAddr,
    span: Span,
}

impl Pair {
    /// In turns, so that a noisy machine is noisy for both.
    async fn compare(&self, what: &str, baseline: &'static str, ask: Ask, connections: usize) {
        let mut series = Series::new(what, baseline);
        for _ in 0..ROUNDS {
            let ours = rate(self.ours, ask, connections, self.span).await;
            series.add(ours, rate(self.bare, ask, connections, self.span).await);
        }
        series.print();
    }

    async fn compare_ingest(&self) {
        for connections in INGESTING {
            let what = format!("durable ingest over {connections}");
            self.compare(&what, "axum, parses only", Ask::Ingest, connections).await;
        }
    }
}

async fn rate(address: SocketAddr, ask: Ask, connections: usize, span: Span) -> f64 {
    let answered = Arc::new(AtomicU64::new(0));
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for connection in 0..connections {
        let answered = answered.clone();
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let body =
                format!(r#"{{"name":"cpu_percent","value":41.5,"tags":{{"host":"host-{connection}","zone":"eu-1"}}}}"#);
            while began.elapsed() < span.0 {
                match ask {
                    Ask::Get(path) => client.get(path).await,
                    Ask::Ingest => client.post(INGEST, &body).await,
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    clients.join_all().await;
    answered.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// More actions than a page has, each as one that was carried out.
async fn fill(address: SocketAddr) {
    let mut client = Client::connect(address).await;
    for number in 0..200 {
        let body = format!(
            r#"{{"target":"web-{number}","action":"restart","status":"completed","details":"cpu_percent = 97.5 for a minute"}}"#
        );
        client.post("/api/v1/actions", &body).await;
    }
}

/// A server with nothing but routes.
struct Bare {
    address: SocketAddr,
    _running: JoinSet<()>,
}

impl Bare {
    async fn start(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, _running: running }
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    service: &'static str,
    version: &'static str,
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    value: f64,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Ingested {
    ok: bool,
    metric_id: i64,
    message: &'static str,
}

fn bare_routes() -> Router {
    let health = async || Json(Health { status: "healthy", service: "vigil", version: "1.0.0" });
    let ingest = async |Json(sample): Json<Sample>| {
        assert!(!sample.name.is_empty() && sample.value.is_finite() && !sample.tags.is_empty());
        (StatusCode::CREATED, Json(Ingested { ok: true, metric_id: 1, message: "Metric ingested successfully" }))
    };
    Router::new().route("/health", get(health)).route(INGEST, post(ingest))
}

#[derive(Serialize)]
struct Page {
    count: usize,
    actions: Vec<Row>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Row {
    id: i64,
    target: String,
    action: String,
    status: String,
    details: Option<String>,
    started_at: String,
    running_at: Option<String>,
    completed_at: Option<String>,
    error_message: Option<String>,
    attempt: i64,
    policy_name: Option<String>,
    episode_id: Option<i64>,
    verification: Option<String>,
    params: serde_json::Value,
    severity: String,
}

/// Of rows that have the columns of a [`Row`], in its order.
fn page<'r, R: sqlx::Row>(rows: &'r [R]) -> Json<Page>
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    let row = |row: &'r R| Row {
        id: row.get(0),
        target: row.get(1),
        action: row.get(2),
        status: row.get(3),
        details: row.get(4),
        started_at: row.get(5),
        running_at: row.get(6),
        completed_at: row.get(7),
        error_message: row.get(8),
        attempt: row.get(9),
        policy_name: row.get(10),
        episode_id: row.get(11),
        verification: row.get(12),
        params: serde_json::from_str(&row.get::<String, _>(13)).unwrap(),
        severity: row.get(14),
    };
    let actions: Vec<Row> = rows.iter().map(row).collect();
    let next_cursor = actions.last().map(|row| format!("{}-{}", row.started_at, row.id));
    Json(Page { count: actions.len(), actions, next_cursor })
}

/// With as many connections as the Store reads with.
async fn on_sqlite(path: &Path) -> Router {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let list = async |State(pool): State<SqlitePool>| {
        let rows = sqlx::query(
            "SELECT id, target, action, status, details, strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1e6, 'unixepoch'), \
             strftime('%Y-%m-%dT%H:%M:%fZ', running_at / 1e6, 'unixepoch'), \
             strftime('%Y-%m-%dT%H:%M:%fZ', completed_at / 1e6, 'unixepoch'), error, attempt, policy, episode, verification, \
             params, severity FROM actions WHERE tenant = 'default' ORDER BY started_at DESC, id DESC LIMIT 50",
        );
        page(&rows.fetch_all(&pool).await.unwrap())
    };
    Router::new().route("/api/v1/actions", get(list)).with_state(pool)
}

/// With as many connections as the Store has.
async fn on_postgres(url: &str) -> Router {
    let pool = PgPoolOptions::new().max_connections(16).connect(url).await.unwrap();
    let list = async |State(pool): State<PgPool>| {
        let rows = sqlx::query(
            "SELECT id, target, action, status, details, started_at::text, running_at::text, completed_at::text, error, attempt, \
             policy, episode, verification, params::text, severity \
             FROM actions WHERE tenant = 'default' ORDER BY started_at DESC, id DESC LIMIT 50",
        );
        page(&rows.fetch_all(&pool).await.unwrap())
    };
    Router::new().route("/api/v1/actions", get(list)).with_state(pool)
}
