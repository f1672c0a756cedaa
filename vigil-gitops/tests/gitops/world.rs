//! The world of a test: a server with its whole loop, and a daemon that it calls, over HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vigil_core::action::Action;
use vigil_core::clock::{SystemClock, Timestamp};
use vigil_core::metric::{MetricName, Sample};
use vigil_core::policy::{PolicyName, PolicySpec};
use vigil_core::retry::RetryPolicy;
use vigil_core::store::{ActionFilter, Actor, EpisodeFilter, MemoryStore, Scope};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_core::testing::eventually;
use vigil_core::{RunnerSettings, Settings, Vigil};
use vigil_gitops::{Config, Daemon};
use vigil_http::{HttpConfig, HttpRemediator, HttpRemediatorOptions, router, serve};

/// A server, and a folder for everything else.
pub(crate) struct World {
    pub(crate) vigil: Arc<Vigil>,
    pub(crate) server: SocketAddr,
    /// Where the server calls the daemon.
    pub(crate) daemon: SocketAddr,
    folder: TempDir,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// A daemon that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let daemon = free.local_addr().unwrap();
        let options = HttpRemediatorOptions { timeout: Duration::from_secs(5), ..HttpRemediatorOptions::default() };
        let remediator = HttpRemediator::new(&format!("http://{daemon}/remediate"), Arc::new(SystemClock), options);
        let vigil = Vigil::builder().store(Arc::new(MemoryStore::new())).remediator(Arc::new(remediator.unwrap()));
        let vigil = Arc::new(vigil.settings(short()).build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (config, routes) = (HttpConfig::default(), router(vigil.clone(), HttpConfig::default()));
        let (serving, looping, looped) = (stop.clone(), stop.clone(), vigil.clone());
        let tasks = vec![
            tokio::spawn(async move { serve(listener, routes, &config, serving.cancelled()).await }),
            tokio::spawn(async move { looped.run(looping.cancelled()).await.unwrap() }),
        ];
        Self { vigil, server, daemon, folder: tempfile::tempdir().unwrap(), stop, tasks }
    }

    /// A path of this test's own.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        crate::common::write(self.folder.path(), file, text);
    }

    /// A configuration with these sources.
    pub(crate) fn config(&self, sources: &str) -> Config {
        let text = format!(
            "server: http://{}\nlisten: {}\ninterval_seconds: 0.2\nstate: {}\nsources:\n{sources}\n",
            self.server,
            self.daemon,
            self.path("state").display()
        );
        Config::parse(&text, Path::new("gitopsd.yaml")).unwrap()
    }

    /// Starts a daemon at the address that the server calls.
    pub(crate) async fn start(&self, sources: &str) -> Running {
        let daemon = Daemon::open(&self.config(sources), None, Arc::new(SystemClock)).await.unwrap();
        Running::start(daemon).await
    }

    /// Makes a policy by hand, or changes one.
    pub(crate) async fn by_hand(&self, policy: Value) {
        let spec: PolicySpec = serde_json::from_value(policy).unwrap();
        let (catalog, tenant, actor) = (self.vigil.catalog(), TenantId::default(), Actor::new("a person"));
        match self.policy(spec.name.as_str()) {
            None => catalog.create(&tenant, spec, &actor).await.unwrap(),
            Some(_) => catalog.update(&tenant, spec, None, &actor).await.unwrap(),
        };
    }

    /// A policy as it is in force.
    pub(crate) fn policy(&self, name: &str) -> Option<Value> {
        let set = self.vigil.catalog().set();
        let stored = set.stored(&TenantId::default(), &PolicyName::new(name).unwrap())?;
        Some(serde_json::to_value(&stored.spec).unwrap())
    }

    /// All actions, oldest first.
    pub(crate) async fn actions(&self) -> Vec<Action> {
        let filter = ActionFilter { limit: 1000, ..ActionFilter::default() };
        let mut actions = self.vigil.store().actions(&TenantId::default(), &filter).await.unwrap();
        actions.reverse();
        actions
    }

    /// The patches in the evidence of the episodes of a target.
    pub(crate) async fn evidence(&self, target: &str) -> Vec<String> {
        let filter = EpisodeFilter { limit: 1000, ..EpisodeFilter::default() };
        let episodes = self.vigil.store().episodes(&TenantId::default(), &filter).await.unwrap();
        let of_target = episodes.iter().filter(|episode| episode.target.as_str() == target);
        let evidence = of_target.flat_map(|episode| &episode.evidence);
        evidence.filter_map(|sample| sample.tags.get("patch").map(str::to_owned)).collect()
    }

    /// Every sample of a target, oldest first: its value, and its patch.
    pub(crate) async fn samples(&self, target: &str) -> Vec<(f64, String)> {
        let scope = Scope { tenant: TenantId::default(), target: Some(Target::new(target).unwrap()) };
        let names = [MetricName::new("drift_detected").unwrap()];
        let samples = self.vigil.store().samples(&scope, &names, Timestamp::MIN, 100_000).await.unwrap();
        let of = |sample: &Sample| (sample.value, sample.tags.get("patch").unwrap_or_default().to_owned());
        samples.iter().map(of).collect()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

impl Running {
    pub(crate) async fn start(daemon: Daemon) -> Self {
        let (listener, stop) = (daemon.listen().await.unwrap(), CancellationToken::new());
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(daemon.run(listener, stop.clone()));
        Self { address, stop, task }
    }

    /// What it answers, as text.
    pub(crate) async fn text(&self, path: &str) -> String {
        get(self.address, path).await.body
    }

    /// What it says of an item, as soon as `wanted` is what it says.
    pub(crate) async fn item(&self, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("what is wanted of {target}"), async || {
            let drift: Value = serde_json::from_str(&self.text("/drift").await).unwrap();
            let sources = drift["sources"].as_array().unwrap();
            let mut items = sources.iter().flat_map(|source| source["items"].as_array().unwrap());
            items.find(|item| item["target"] == target && wanted(item)).cloned()
        })
        .await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, format!("GET {path} HTTP/1.1\r\nHost: vigil\r\nConnection: close\r\n\r\n")).await
}

/// Asks a daemon to heal, as the server's worker does.
pub(crate) async fn remediate(address: SocketAddr, key: &str, attempt: u32, target: &str) -> Answer {
    let body = json!({"action_id": 1, "target": target, "action": "custom", "attempt": attempt}).to_string();
    let head = format!(
        "POST /remediate HTTP/1.1\r\nHost: vigil\r\nConnection: close\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n",
        body.len()
    );
    request(address, format!("{head}\r\n{body}")).await
}

async fn request(address: SocketAddr, text: String) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Spans in which a test sees a whole episode.
fn short() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        recheck: ms(50),
        workers: 2,
        retry: RetryPolicy { base: ms(50), cap: ms(200), tries: 5 },
        settle: ms(50),
        verify: ms(5000),
        verify_interval: ms(50),
        reconcile_interval: ms(200),
        runner: RunnerSettings { enabled: true, interval: ms(200), batch_size: 100 },
        lanes: 1,
        ..Settings::default()
    }
}
