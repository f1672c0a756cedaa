//! [`Service`]: the whole service in this process, as the example server assembles it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use vigil_core::queue::Queue;
use vigil_core::remediator::Remediator;
use vigil_core::store::Store;
use vigil_core::{Vigil, VigilBuilder};
use vigil_http::{HttpConfig, router, serve};
use vigil_queue_redis::{RedisOptions, RedisQueue};
use vigil_store_postgres::{PostgresOptions, PostgresStore};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

use crate::client::Client;

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) vigil: Arc<Vigil>,
    _running: JoinSet<()>,
}

impl Service {
    pub(crate) async fn on_sqlite(path: &Path) -> Self {
        let store = SqliteStore::open(SqliteOptions::file(path)).await.unwrap();
        Self::start(Vigil::builder().store(Arc::new(store))).await
    }

    pub(crate) async fn on_postgres(url: &str, redis: Option<&str>, remediator: Option<Arc<dyn Remediator>>) -> Self {
        let store: Arc<dyn Store> = Arc::new(PostgresStore::open(PostgresOptions::of_url(url).unwrap()).await.unwrap());
        let mut builder = Vigil::builder().store(store);
        if let Some(redis) = redis {
            let queue: Arc<dyn Queue> = Arc::new(RedisQueue::new(&RedisOptions::of_url(redis).unwrap()).unwrap());
            builder = builder.queue(queue);
        }
        if let Some(remediator) = remediator {
            builder = builder.remediator(remediator);
        }
        Self::start(builder).await
    }

    async fn start(builder: VigilBuilder) -> Self {
        let vigil = Arc::new(builder.build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        let (looped, config) = (vigil.clone(), HttpConfig::default());
        running.spawn(async move { looped.run(std::future::pending()).await.unwrap() });
        let routes = router(vigil.clone(), config.clone());
        running.spawn(async move { serve(listener, routes, &config, std::future::pending()).await });
        Self { address, vigil, _running: running }
    }

    /// Rows a second that are answered 201 over so many connections, so many metrics a request.
    pub(crate) async fn ingest(&self, connections: usize, metrics: usize, span: Duration) -> f64 {
        let rows = Arc::new(AtomicU64::new(0));
        let (began, mut clients) = (Instant::now(), JoinSet::new());
        for connection in 0..connections {
            let (rows, address) = (rows.clone(), self.address);
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut round = 0_usize;
                while began.elapsed() < span {
                    round += 1;
                    let (path, body) = if metrics == 1 {
                        ("/api/v1/ingest", sample(connection, round))
                    } else {
                        let all: Vec<String> = (0..metrics).map(|number| sample(number, round)).collect();
                        ("/api/v1/ingest/agent/metrics", format!("[{}]", all.join(",")))
                    };
                    client.post(path, &body).await;
                    rows.fetch_add(metrics as u64, Ordering::Relaxed);
                }
            });
        }
        clients.join_all().await;
        rows.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
    }
}

fn sample(host: usize, round: usize) -> String {
    format!(r#"{{"name":"cpu_percent","value":{}.5,"tags":{{"host":"host-{host}","zone":"eu-1"}}}}"#, round % 70)
}
