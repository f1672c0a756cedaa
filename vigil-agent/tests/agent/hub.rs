//! [`Hub`]: takes samples as the server does, and can be away.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use vigil_agent::{Agent, Config, Sample};
use vigil_core::clock::{SystemClock, Timestamp};

pub(crate) const PATIENCE: Duration = Duration::from_secs(100); // for a machine that is busy: it waits for no time, only until then

/// What it is to answer next, beside taking it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// A status, with `Retry-After` if there is one.
    Status(u16, Option<u64>),
    /// Takes it, and breaks off before it says so.
    TakeAndHangUp,
}

#[derive(Default)]
struct Book {
    /// By key: what was taken once is not taken again.
    taken: BTreeMap<String, Vec<Sample>>,
    /// In the order of their arrival.
    samples: Vec<Sample>,
    replies: VecDeque<Reply>,
    requests: usize,
}

/// A server of its own on a port that stays the same while it is away.
pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    book: Arc<Mutex<Book>>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Deserialize)]
struct Body {
    metrics: Vec<Sample>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut hub = Self { address: listener.local_addr().unwrap(), book: Arc::default(), serving: None };
        hub.serve(listener);
        hub
    }

    fn serve(&mut self, listener: TcpListener) {
        let router = Router::new().route("/api/v1/ingest/agent/metrics", post(take)).with_state(self.book.clone());
        self.serving = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    pub(crate) async fn away(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    pub(crate) async fn back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.book.lock().unwrap().replies.extend(replies);
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.book.lock().unwrap().samples.clone()
    }

    /// The keys of the batches that were taken.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.book.lock().unwrap().taken.keys().cloned().collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.book.lock().unwrap().requests
    }

    pub(crate) async fn until(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.samples().len() < count {
            assert!(Instant::now() < deadline, "{} of {count} samples came", self.samples().len());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// A configuration that only ships.
    pub(crate) fn config(&self, folder: &Path) -> Config {
        let text = format!(
            "
server: http://{}
host: {{ cpu: false, memory: false, load: false, disks: [], networks: [] }}
tags: {{ host: web-1 }}
buffer: {}
catch_up_per_second: 1000
interval_seconds: 0.2
",
            self.address,
            folder.join("buffer").display()
        );
        Config::parse(&text, Path::new("test.yaml")).unwrap()
    }

    pub(crate) fn agent(&self, folder: &Path) -> Agent {
        Agent::new(&self.config(folder), Arc::new(SystemClock)).unwrap()
    }
}

async fn take(State(book): State<Arc<Mutex<Book>>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut book = book.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    book.requests += 1;
    assert_eq!(
        (&headers["content-type"], &headers["content-encoding"]),
        (&"application/json".parse().unwrap(), &"gzip".parse().unwrap())
    );
    let reply = book.replies.pop_front();
    if let Some(Reply::Status(status, wait)) = reply {
        let mut response = (StatusCode::from_u16(status).unwrap(), "as scripted").into_response();
        if let Some(wait) = wait {
            response.headers_mut().insert("retry-after", wait.into());
        }
        return response;
    }
    let Body { metrics } = serde_json::from_reader(GzDecoder::new(&*body)).unwrap();
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    if !book.taken.contains_key(&key) {
        book.samples.extend(metrics.clone());
        book.taken.insert(key, metrics);
    }
    if matches!(reply, Some(Reply::TakeAndHangUp)) {
        drop(book);
        panic!("hangs up, as scripted");
    }
    StatusCode::CREATED.into_response()
}

/// Samples with the numbers of a range, at as many milliseconds.
pub(crate) fn samples(numbers: std::ops::Range<u32>) -> Vec<Sample> {
    let sample = |number: u32| Sample {
        name: "n".to_owned(),
        value: f64::from(number),
        tags: [("host".to_owned(), "web-1".to_owned())].into(),
        timestamp: Timestamp::from_micros(1_700_000_000_000_000 + i64::from(number) * 1000),
    };
    numbers.map(sample).collect()
}

pub(crate) fn values(samples: &[Sample]) -> Vec<u32> {
    samples.iter().map(|sample| sample.value as u32).collect()
}
