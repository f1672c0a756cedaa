//! The agent before the real API: its router over a real port, and a store.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vigil_agent::{Agent, Config, Sample};
use vigil_core::Vigil;
use vigil_core::clock::{SystemClock, Timestamp};
use vigil_core::metric::{MetricName, Sample as Stored};
use vigil_core::queue::MemoryQueue;
use vigil_core::remediator::DryRun;
use vigil_core::store::{MemoryStore, Scope, Store};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_core::testing::eventually_within;
use vigil_http::{HttpConfig, router, serve};

use crate::hub::{PATIENCE, samples};
use crate::program::batches;

/// What happens to a request on its way.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// 503 with `Retry-After`; the API never sees it.
    Busy(&'static str),
    /// The API takes it, and its answer is lost.
    LoseAnswer,
}

/// The API on a port that stays the same while it is away.
struct Api {
    store: Arc<MemoryStore>,
    vigil: Arc<Vigil>,
    config: HttpConfig,
    address: SocketAddr,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    /// The keys of the requests that were answered 201, in their order.
    taken: Arc<Mutex<Vec<String>>>,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Api {
    async fn start(config: HttpConfig) -> Self {
        let store = Arc::new(MemoryStore::new());
        let vigil = Vigil::builder().store(store.clone()).queue(Arc::new(MemoryQueue::new()));
        let vigil = Arc::new(vigil.remediator(Arc::new(DryRun::new())).build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (faults, taken) = (Arc::default(), Arc::default());
        let mut api = Self { store, vigil, config, address, faults, taken, serving: None };
        api.serve(listener);
        api
    }

    fn serve(&mut self, listener: TcpListener) {
        let (faults, taken) = (self.faults.clone(), self.taken.clone());
        let between = from_fn(move |request: Request, next: Next| pass(faults.clone(), taken.clone(), request, next));
        let (router, config) = (router(self.vigil.clone(), self.config.clone()).layer(between), self.config.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move { serve(listener, router, &config, stopped.cancelled()).await });
        self.serving = Some((stop, serving));
    }

    async fn away(&mut self) {
        let (stop, serving) = self.serving.take().unwrap();
        stop.cancel();
        serving.await.unwrap();
    }

    async fn back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn config(&self, folder: &Path, yaml: &str) -> Config {
        let buffer = folder.join("buffer").display().to_string();
        let text = format!("server: http://{}\nbuffer: {buffer}\ntags: {{ host: h }}\n{yaml}", self.address);
        Config::parse(&text, Path::new("test.yaml")).unwrap()
    }

    fn agent(&self, folder: &Path, yaml: &str) -> Agent {
        Agent::new(&self.config(folder, yaml), Arc::new(SystemClock)).unwrap()
    }

    async fn stored(&self, target: &str, metric: &str) -> Vec<Stored> {
        let scope = Scope::of(&TenantId::default(), &Target::new(target).unwrap());
        let metric = [MetricName::new(metric).unwrap()];
        self.store.samples(&scope, &metric, Timestamp::MIN, usize::MAX).await.unwrap()
    }
}

async fn pass(
    faults: Arc<Mutex<VecDeque<Fault>>>,
    taken: Arc<Mutex<Vec<String>>>,
    request: Request,
    next: Next,
) -> Response {
    let fault = faults.lock().unwrap().pop_front();
    if let Some(Fault::Busy(wait)) = fault {
        return (StatusCode::SERVICE_UNAVAILABLE, [("Retry-After", wait)]).into_response();
    }
    let key = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
    let answer = next.run(request).await;
    if answer.status() == StatusCode::CREATED {
        taken.lock().unwrap().push(key);
    }
    match fault {
        Some(_) => StatusCode::BAD_GATEWAY.into_response(),
        None => answer,
    }
}

const NO_HOST: &str = "host: { cpu: false, memory: false, load: false, disks: [], networks: [] }";

#[tokio::test]
async fn what_is_measured_of_a_service_is_about_the_service_and_not_its_host() {
    let (api, folder) = (Api::start(HttpConfig::default()).await, tempfile::tempdir().unwrap());
    let yaml = format!(
        "{NO_HOST}
processes:
  - {{ name: init, command: none-is-called-so, tags: {{ service: shop }} }}
  - {{ name: cron, command: none-is-called-so }}
checks:
  - {{ name: port, tcp: '{}', target: database, tags: {{ service: shop }} }}
  - {{ name: page, tcp: '{0}' }}
  - {{ name: own, tcp: '{0}', target: '' }}
",
        api.address
    );
    let mut agent = api.agent(folder.path(), &yaml);
    let samples = agent.once().await;
    agent.ship(&samples).await;
    for (target, tag, name, up) in [
        ("shop", "process", "init", 0.0),
        ("cron", "process", "cron", 0.0),
        ("database", "check", "port", 1.0),
        ("page", "check", "page", 1.0),
        ("h", "check", "own", 1.0),
    ] {
        let stored = api.stored(target, "up").await;
        let found = stored.iter().find(|sample| sample.tags.get(tag) == Some(name));
        assert_eq!(found.map(|sample| sample.value), Some(up), "{name} of {target}: {stored:?}");
    }
    assert_eq!(api.stored("h", "up").await.len(), 2, "its own, and the check that is left to the host");
}

/// Two hundred series are read forty times while the server is away: minutes of a usual agent. (Ten minutes at a hundred samples a second
/// wait in `shipping`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_the_server_has_every_sample_of_a_running_agent_once() {
    const SERIES: u32 = 200;
    let rounds = Arc::new(AtomicU32::new(0));
    let exposed = {
        let rounds = rounds.clone();
        async move || {
            let round = rounds.fetch_add(1, Ordering::SeqCst);
            (1..SERIES).map(|series| format!("load{{series=\"{series}\"}} {round}\n")).collect::<String>()
        }
    };
    let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", source.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(source, Router::new().route("/metrics", get(exposed))).await });
    let (mut api, folder) = (Api::start(HttpConfig::default()).await, tempfile::tempdir().unwrap());
    // The rate at which it catches up is the default one.
    let yaml = format!(
        "{NO_HOST}\ninterval_seconds: 0.2\nscrape: [{{ url: '{url}', include: [load], tags: {{ target: bench }} }}]"
    );
    let (agent, stop) = (api.agent(folder.path(), &yaml), CancellationToken::new());
    let running = tokio::spawn(agent.run(None, stop.clone()));
    let until_round = async |round: u32| {
        eventually_within(PATIENCE, "rounds are made", async || (rounds.load(Ordering::SeqCst) >= round).then_some(()))
            .await;
    };
    until_round(3).await;
    api.away().await;
    let gone_at = rounds.load(Ordering::SeqCst);
    until_round(gone_at + 40).await;
    api.faults.lock().unwrap().extend([Fault::LoseAnswer, Fault::Busy("1"), Fault::Busy("0"), Fault::LoseAnswer]);
    let taken_before = api.taken.lock().unwrap().len();
    let kept = batches(folder.path());
    api.back().await;
    eventually_within(PATIENCE, "what was kept arrives", async || {
        let waiting = batches(folder.path());
        kept.iter().all(|batch| !waiting.contains(batch)).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    let stored = api.stored("bench", "load").await;
    let mut series: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for sample in &stored {
        series.entry(sample.tags.get("series").unwrap()).or_default().push(sample.value as u32);
    }
    assert_eq!(series.len() as u32, SERIES - 1);
    let values = series["1"].clone();
    // The first round compares nothing and is not sent.
    assert_eq!(values, (1..=*values.last().unwrap()).collect::<Vec<_>>(), "each once, in order");
    assert!(*values.last().unwrap() >= gone_at + 38, "{values:?}");
    assert!(series.values().all(|other| *other == values), "of every series");
    let taken = api.taken.lock().unwrap().clone();
    assert!(taken.is_sorted(), "the oldest first");
    let mut once = taken.clone();
    once.dedup();
    assert_eq!(taken.len(), once.len() + 2, "two answers were lost, and their batches sent again");
    println!("{} samples, {} batches after the outage", stored.len(), taken.len() - taken_before);
}

#[tokio::test]
async fn what_the_api_refuses_for_good_does_not_hold_up_the_rest() {
    let config = HttpConfig { batch_limit: 4096, ..HttpConfig::default() };
    let (api, folder) = (Api::start(config).await, tempfile::tempdir().unwrap());
    let agent = api.agent(folder.path(), NO_HOST);
    agent.ship(&samples(0..200)).await; // 413
    let ahead = Timestamp::from_micros(4_000_000_000_000_000);
    let ahead: Vec<_> = samples(200..201).into_iter().map(|sample| Sample { timestamp: ahead, ..sample }).collect();
    agent.ship(&ahead).await; // 422
    assert_eq!(api.stored("web-1", "n").await, []);
    agent.ship(&samples(201..204)).await;
    let stored: Vec<_> = api.stored("web-1", "n").await.iter().map(|sample| sample.value).collect();
    assert_eq!(stored, [201.0, 202.0, 203.0]);
}

#[tokio::test]
async fn a_wait_of_nothing_is_a_second_and_a_date_is_understood() {
    let (api, folder) = (Api::start(HttpConfig::default()).await, tempfile::tempdir().unwrap());
    let agent = api.agent(folder.path(), NO_HOST);
    for (number, wait) in [(0, "0"), (1, "Thu, 01 Jan 1970 00:00:00 GMT")] {
        api.faults.lock().unwrap().push_back(Fault::Busy(wait));
        let began = tokio::time::Instant::now();
        agent.ship(&samples(number..number + 1)).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "{wait}");
    }
    assert_eq!(api.stored("web-1", "n").await.len(), 2);
}
