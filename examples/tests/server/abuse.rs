//! What comes from a network that wishes us ill, while somebody honest sends samples and somebody asks for `/health`.
//! `VIGIL_ABUSE_SCALE` is the share of the full size: 0.02 among the other tests, 1 by `scripts/test-abuse`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions, Row};
use tokio::time::{Instant, sleep, timeout};

use crate::process::{PATIENCE, Server, command_with_few_files, request};

mod attacks;

/// As much as the server may keep in memory, whatever comes.
const MOST_BYTES: u64 = 250_000_000;

/// How large the attacks are.
#[derive(Debug, Clone, Copy)]
struct Scale(f64);

impl Scale {
    fn asked() -> Self {
        Self(std::env::var("VIGIL_ABUSE_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(0.02))
    }

    fn is_full(self) -> bool {
        self.0 >= 1.0
    }

    /// That share of `full`, and not fewer than a handful.
    fn of(self, full: usize) -> usize {
        ((full as f64 * self.0) as usize).max(8)
    }
}

/// What the attackers know, and when they may stop.
#[derive(Clone)]
struct Front {
    address: String,
    scale: Scale,
    probes: Arc<Probes>,
}

impl Front {
    /// Waits until `/health` was asked for as often as makes a percentile.
    async fn watched(&self) {
        let until = self.probes.answered.load(Ordering::Relaxed) + self.scale.of(500) as u64;
        let deadline = Instant::now() + PATIENCE * 4;
        while self.probes.answered.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "/health is not answered any more");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// How long `/health` took, each time on a connection of its own.
#[derive(Default)]
struct Probes {
    answered: AtomicU64,
    took: Mutex<Vec<Duration>>,
}

impl Probes {
    /// Asks until it is dropped, from a thread of its own, so that the attackers' work is not taken for the server's.
    fn start(address: &str) -> Arc<Self> {
        let probes = Arc::new(Self::default());
        let (weak, address) = (Arc::downgrade(&probes), address.to_owned());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                while let Some(probes) = weak.upgrade() {
                    let began = Instant::now();
                    let answer = timeout(PATIENCE, request(&address, "GET", "/health", &[], None)).await;
                    let took = match answer {
                        Ok(Ok(answer)) if answer.status == 200 => began.elapsed(),
                        Ok(_) | Err(_) => Duration::MAX,
                    };
                    probes.took.lock().unwrap().push(took);
                    probes.answered.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(5)).await;
                }
            });
        });
        probes
    }

    /// Those since the last time, the shortest first.
    fn take(&self) -> Vec<Duration> {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        took.sort();
        took
    }
}

/// Somebody who sends samples one by one, and remembers what was acknowledged.
#[derive(Default)]
struct Honest {
    /// Values by id.
    acknowledged: Mutex<BTreeMap<i64, u64>>,
    refused: AtomicU64,
}

impl Honest {
    fn start(address: &str) -> Arc<Self> {
        let honest = Arc::new(Self::default());
        let (weak, address) = (Arc::downgrade(&honest), address.to_owned());
        tokio::spawn(async move {
            let mut value = 0_u64;
            while let Some(honest) = weak.upgrade() {
                value += 1;
                let body = json!({"name": "honest", "value": value, "tags": {"host": format!("web-{}", value % 10)}});
                let answer = request(&address, "POST", "/api/v1/ingest", &[], Some(&body)).await;
                match answer.ok().filter(|answer| answer.status == 201) {
                    Some(answer) => {
                        let id = answer.json()["metric_id"].as_i64().expect("an id");
                        honest.acknowledged.lock().unwrap().insert(id, value);
                    }
                    None => drop(honest.refused.fetch_add(1, Ordering::Relaxed)),
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        honest
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

/// How many bytes a process has had in memory since the last [`forget`], by the kernel's own count.
fn most_resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Begins that count anew (`man 5 proc_pid_clear_refs`).
fn forget(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("it is our own process");
}

/// As it is delivered, but that the suite has no time for timeouts of ten seconds.
async fn server(folder: &Path, scale: Scale, more: &str) -> Server {
    let files = vigil_program::raise_open_files();
    assert!(files.is_none_or(|files| files > scale.of(10_000) as u64 + 1000), "ulimit -Hn is {files:?}");
    let header_timeout = if scale.is_full() { "" } else { ", header_timeout_seconds: 1" };
    std::fs::write(folder.join("abuse.yaml"), format!("http: {{max_streams: 1024{header_timeout}{more}}}\n")).unwrap();
    let mut command = command_with_few_files(folder, 128);
    command.env("REMEDIATOR_URL", "dry-run");
    command.args(["--config", "abuse.yaml", "--port", "0"]);
    Server::run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_health_is_answered_memory_is_bounded_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale::asked();
    let server = server(folder.path(), scale, "").await;
    let policy = json!({"name": "honest", "auto_remediate": true, "action": "restart", "target": "web-*",
        "condition": {"type": "metric_exceeds", "metric": "honest", "threshold": 1e15}});
    assert_eq!(server.post("/api/v1/policies", &policy).await.status, 201);
    let probes = Probes::start(&server.address);
    let honest = Honest::start(&server.address);
    let front = Front { address: server.address.clone(), scale, probes: probes.clone() };

    println!("{:<34} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "probes", "p50 ms", "p99 ms", "max ms", "MB", "honest");
    let (mut stored, mut heavy) = (0, Vec::new());
    for (name, attack) in attacks::all() {
        forget(server.pid());
        let before = honest.count();
        probes.take();
        let outcome = timeout(PATIENCE * 20, attack(front.clone())).await.expect("an attack ends");
        front.watched().await;
        let (took, bytes, sent) = (probes.take(), most_resident(server.pid()), honest.count() - before);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        println!(
            "{name:<34} {:>8} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {sent:>8}   {}",
            took.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            bytes as f64 / 1e6,
            outcome.said
        );
        assert!(took.iter().all(|took| *took < PATIENCE), "{name}: /health was not answered: {took:?}");
        heavy.extend((bytes >= MOST_BYTES).then_some((name, bytes)));
        assert!(sent > 0, "{name}: nobody honest came through");
        stored += outcome.acknowledged;
    }

    assert!(heavy.is_empty(), "the server took too much memory: {heavy:?}");

    // At once after the last answer: what was acknowledged must be there already.
    let refused = honest.refused.load(Ordering::Relaxed);
    server.kill().await;
    let acknowledged = std::mem::take(&mut *honest.acknowledged.lock().unwrap());
    drop((probes, honest));
    let again = Server::start(folder.path(), &[]).await;
    assert_eq!(again.get("/ready").await.status, 200);
    again.stop().await;
    let lost = lost(folder.path(), &acknowledged).await;
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let flood = count(folder.path(), "name LIKE 'flood-%'").await;
    assert!(flood >= stored, "{stored} samples of the flood were acknowledged, {flood} are there");
    println!("{} honest samples acknowledged and there, {refused} refused; {flood} of the flood", acknowledged.len());
}

/// A program's own limit of open files must not be less than what it takes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_connections_as_are_configured_are_held_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale::asked();
    let connections = scale.of(10_000);
    let server = server(folder.path(), scale, &format!(", max_connections: {}", connections + 100)).await;
    let probes = Probes::start(&server.address);
    let front = Front { address: server.address.clone(), scale, probes: probes.clone() };
    let held = attacks::sit(&front, connections).await;
    front.watched().await;
    let (took, bytes) = (probes.take(), most_resident(server.pid()));
    println!(
        "{} connections, /health p99 {:?}, {:.1} MB",
        held.len(),
        took[(took.len() - 1) * 99 / 100],
        bytes as f64 / 1e6
    );
    assert_eq!(held.len(), connections);
    assert!(took.iter().all(|took| *took < PATIENCE), "/health was not answered: {took:?}");
    assert!(bytes < MOST_BYTES, "the server took {bytes} bytes");
}

async fn database(folder: &Path) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("vigil.db")).read_only(true);
    options.connect().await.expect("the database opens")
}

async fn lost(folder: &Path, acknowledged: &BTreeMap<i64, u64>) -> Vec<(i64, u64)> {
    let rows = sqlx::query("SELECT id, value FROM metrics WHERE name = 'honest'");
    let rows = rows.fetch_all(&mut database(folder).await).await.expect("it is readable");
    let there: BTreeMap<i64, u64> = rows.iter().map(|row| (row.get(0), row.get::<f64, _>(1) as u64)).collect();
    acknowledged.iter().filter(|(id, value)| there.get(id) != Some(value)).map(|(id, value)| (*id, *value)).collect()
}

async fn count(folder: &Path, which: &str) -> usize {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM metrics WHERE {which}")));
    let row = rows.fetch_one(&mut database(folder).await).await.expect("it is readable");
    usize::try_from(row.get::<i64, _>(0)).expect("a count")
}
