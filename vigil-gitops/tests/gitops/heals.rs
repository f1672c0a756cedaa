//! When a heal is refused, put off and tried again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tempfile::TempDir;
use vigil_core::clock::{Clock, SystemClock, Timestamp};
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_core::testing::{ManualClock, eventually};
use vigil_gitops::{
    Comparison, Config, Daemon, Drift, Item, ItemKey, ItemState, KindConfig, Mode, Origin, Place, Source, SourceConfig,
    SourceError, TimeOfDay, Watched, Window,
};

use crate::world::{Answer, Running, World, remediate};

/// One thing that drifts when it is told to, and cannot be healed a number of times.
#[derive(Debug, Default)]
struct Flaky {
    is_same: AtomicBool,
    failures: AtomicU32,
    heals: AtomicU32,
}

#[async_trait]
impl Source for Flaky {
    async fn compare(&self, _: &Path) -> Result<Comparison, SourceError> {
        let drift = Drift { summary: "it is off".to_owned(), patch: json!([{"op": "add", "path": "", "value": "on"}]) };
        let is_same = self.is_same.load(Ordering::SeqCst);
        let state = if is_same { ItemState::Same } else { ItemState::Drifted(drift) };
        let (kind, name) = ("thing".to_owned(), "lamp".to_owned());
        let item = Item { kind, namespace: String::new(), name, origin: Origin::default(), state };
        Ok(Comparison { items: vec![item], problems: Vec::new() })
    }

    async fn heal(&self, _: &Path, item: &ItemKey) -> Result<Outcome, RemediatorError> {
        assert_eq!(*item, ItemKey::new("thing", "", "lamp"));
        self.heals.fetch_add(1, Ordering::SeqCst);
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails {
            return Ok(Outcome::Failed { reason: "it is stuck".to_owned(), retryable: false });
        }
        self.is_same.store(true, Ordering::SeqCst);
        Ok(Outcome::Succeeded { details: Some("switched on".to_owned()) })
    }

    async fn ping(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

const LAMP: &str = "drift/house/thing/lamp";

struct House {
    folder: TempDir,
    clock: Arc<ManualClock>,
    flaky: Arc<Flaky>,
}

impl House {
    fn new(now: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        Self { folder: tempfile::tempdir().unwrap(), clock, flaky: Arc::default() }
    }

    /// A daemon without a server: only heals are of interest.
    async fn start(&self, suspend: Vec<Window>) -> Running {
        let text = format!("server: http://127.0.0.1:9\nlisten: 127.0.0.1:0\nstate: {}\n", self.state().display());
        let config = Config::parse(&text, Path::new("gitopsd.yaml")).unwrap();
        let source = SourceConfig {
            name: "house".to_owned(),
            mode: Mode::Enforce,
            place: Place::Path(self.folder.path().to_owned()),
            kind: KindConfig::Own("lamps"),
            ignore: Vec::new(),
            suspend,
            cooldown_seconds: 0,
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let watched = Watched::new(source, self.flaky.clone(), Duration::from_secs(1), &self.state(), clock.clone());
        let daemon = Daemon::of(&config, vec![Arc::new(watched)], None, clock).await.unwrap();
        Running::start(daemon).await
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn heals(&self) -> u32 {
        self.flaky.heals.load(Ordering::SeqCst)
    }
}

fn wait(answer: &Answer) -> Option<u64> {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("retry-after: "))?;
    line.trim().parse().ok()
}

#[tokio::test]
async fn a_failed_heal_is_put_off_longer_each_time_also_by_a_restart_and_not_forgotten() {
    let house = House::new(SystemClock.now());
    house.flaky.failures.store(2, Ordering::SeqCst);
    let daemon = house.start(Vec::new()).await;
    let failed = remediate(daemon.address, "k1", 1, LAMP).await;
    assert!(failed.status == 200 && failed.body.contains("it is stuck") && failed.body.contains("true"), "{failed:?}");
    let put_off = remediate(daemon.address, "k1", 2, LAMP).await;
    assert_eq!((put_off.status, wait(&put_off)), (503, Some(10)));

    // Under another key it is the same thing, and the next run knows it too.
    daemon.stop().await;
    let daemon = house.start(Vec::new()).await;
    house.clock.advance(Duration::from_secs(9));
    assert_eq!(wait(&remediate(daemon.address, "k2", 1, LAMP).await), Some(1));
    assert_eq!(house.heals(), 1);
    let shown = daemon.item(LAMP, |item| item["failures"] == 1).await;
    assert_eq!(shown["state"], "drifted");

    house.clock.advance(Duration::from_secs(1));
    assert!(remediate(daemon.address, "k1", 3, LAMP).await.body.contains("it is stuck"));
    assert_eq!(wait(&remediate(daemon.address, "k1", 4, LAMP).await), Some(20));
    house.clock.advance(Duration::from_secs(20));
    let healed = remediate(daemon.address, "k1", 5, LAMP).await;
    assert!(healed.status == 200 && healed.body.contains("switched on"), "{healed:?}");
    assert_eq!(house.heals(), 3);
    let again = remediate(daemon.address, "k1", 6, LAMP).await;
    assert!(again.body.contains("switched on") && house.heals() == 3, "once per key");

    // A success starts the waits anew.
    house.flaky.failures.store(1, Ordering::SeqCst);
    house.flaky.is_same.store(false, Ordering::SeqCst);
    assert!(remediate(daemon.address, "k3", 1, LAMP).await.body.contains("it is stuck"));
    assert_eq!(wait(&remediate(daemon.address, "k3", 2, LAMP).await), Some(10));
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_as_it_is_declared_or_is_not_declared_is_not_healed() {
    let house = House::new(SystemClock.now());
    house.flaky.is_same.store(true, Ordering::SeqCst);
    let daemon = house.start(Vec::new()).await;
    for (target, reason) in [
        (LAMP, "it is as it is declared"),
        ("drift/house/thing/oven", "nothing is declared under this name"),
        ("drift/garden/thing/lamp", "no source is called 'garden'"),
    ] {
        let answer = remediate(daemon.address, target, 1, target).await;
        assert!(answer.status == 422 && answer.body.contains(reason), "{answer:?}");
    }
    assert_eq!(house.heals(), 0);
    daemon.stop().await;
}

#[tokio::test]
async fn in_a_window_nothing_is_healed_and_after_it_everything() {
    // A Friday, late.
    let house = House::new(Timestamp::parse("2026-01-23T23:00:00Z").unwrap());
    let at = |text: &str| TimeOfDay::parse(text).unwrap();
    let night = Window { days: vec![vigil_gitops::Day::Fri], from: at("22:00"), to: at("06:00") };
    let daemon = house.start(vec![night]).await;
    let refused = remediate(daemon.address, "k1", 1, LAMP).await;
    assert!(refused.status == 422 && refused.body.contains("suspended at this time"), "{refused:?}");
    house.clock.advance(Duration::from_secs(7 * 3600));
    assert_eq!(remediate(daemon.address, "k2", 1, LAMP).await.status, 200);
    assert_eq!(house.heals(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_window_the_sources_policy_does_not_act() {
    let world = World::new().await;
    world.write("policies/none.yaml", "policies: []\n");
    let path = world.path("policies").display().to_string();
    let config = world.config(&format!(
        "  - {{name: rules, mode: enforce, path: {path}, policies: {{}}, suspend: [{{from: '22:00', to: '06:00'}}]}}"
    ));
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-01-23T23:00:00Z").unwrap()));
    let daemon = Running::start(Daemon::open(&config, None, clock.clone()).await.unwrap()).await;
    let acts = async |wanted: bool| {
        eventually("the policy of this time", async || {
            (world.policy("gitops-rules")?["auto_remediate"] == wanted).then_some(())
        })
        .await;
    };
    acts(false).await;
    clock.advance(Duration::from_secs(7 * 3600));
    acts(true).await;
    daemon.stop().await;
    world.stop().await;
}
