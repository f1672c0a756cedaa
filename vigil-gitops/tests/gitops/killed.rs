//! The program, killed with -9 in the middle of a heal.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;
use vigil_core::policy::PolicyName;
use vigil_core::tenant::TenantId;
use vigil_core::testing::eventually;
use vigil_tests::fault_proxy::{FaultProxy, Network};

use crate::program::{PATIENCE, POLICY, command, world_with_drift};
use crate::world::{World, remediate};

const HOT: &str = "drift/rules/policy/hot";
/// Between the program and Vigil: time to kill it in.
const SLOW: Network = Network::Slow(Duration::from_millis(500));

/// A run of the program.
struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
    /// Whether it said that the run before it left a heal unfinished.
    is_heir: bool,
}

impl Run {
    async fn start(world: &World, network: &FaultProxy) -> Self {
        let mut command = command(world);
        // Only what changes is compared: nothing else is on the network.
        command.env("GITOPSD_INTERVAL", "3600").env("VIGIL_URL", format!("http://{}", network.address()));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut run = Self { child, lines, address: SocketAddr::from(([127, 0, 0, 1], 0)), is_heir: false };
        let serving = run.says("comparing").await;
        run.address = serving["address"].as_str().unwrap().parse().unwrap();
        run
    }

    /// Reads its log as far as this message.
    async fn says(&mut self, message: &str) -> Value {
        let said = timeout(PATIENCE, async {
            loop {
                let line: Value = serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap();
                self.is_heir |= line["message"] == "a former run left heals unfinished";
                if line["message"] == message {
                    return line;
                }
            }
        });
        said.await.unwrap_or_else(|_| panic!("it does not say '{message}'"))
    }
}

/// The number of the write that made a policy what it is, and its threshold. Writes of all policies are counted together.
fn written(world: &World) -> Option<(i64, f64)> {
    let set = world.vigil.catalog().set();
    let stored = set.stored(&TenantId::default(), &PolicyName::new("hot").unwrap())?;
    let spec = serde_json::to_value(&stored.spec).unwrap();
    Some((stored.revision, spec["condition"]["threshold"].as_f64().unwrap()))
}

/// A policy that was changed by hand, and a program that has told so and is asked to heal it.
async fn healing() -> (World, FaultProxy, Run, i64) {
    let world = World::new().await;
    world_with_drift(&world);
    let mut changed: Value =
        serde_json::json!({"name": "hot", "action": "restart", "params": {"managed_by": "vigil-gitops/rules"}});
    changed["condition"] = serde_json::json!({"type": "metric_exceeds", "metric": "cpu", "threshold": 99});
    world.by_hand(changed).await;
    let (revision, threshold) = written(&world).unwrap();
    assert!(threshold == 99.0 && POLICY.contains("80"));
    let network = FaultProxy::start(&world.server.to_string()).await;
    let run = Run::start(&world, &network).await;
    eventually("the drift is told", async || (!world.samples(HOT).await.is_empty()).then_some(())).await;
    // The last write: from here on only the heal writes.
    let last = world.vigil.catalog().set();
    let own = last.stored(&TenantId::default(), &PolicyName::new("gitops-rules").unwrap()).unwrap().revision;
    network.becomes(SLOW);
    let address = run.address;
    // Nobody is there to be answered.
    tokio::spawn(async move { remediate(address, "k1", 1, HOT).await });
    assert_eq!(own, revision + 1, "made by the program");
    (world, network, run, own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_knows_that_it_healed_the_next_run_finds_it_done() {
    let (world, network, mut run, revision) = healing().await;
    eventually("the effect", async || written(&world).filter(|(_, threshold)| *threshold == 80.0)).await;
    run.child.kill().await.unwrap();
    network.becomes(Network::Whole);
    let run = Run::start(&world, &network).await;
    assert!(run.is_heir, "it was killed before the answer came");
    let answer = remediate(run.address, "k1", 2, HOT).await;
    assert!(answer.status == 200 && answer.body.contains("it is as it is declared"), "{answer:?}");
    assert_eq!(written(&world), Some((revision + 1, 80.0)), "written once");
    drop(run);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_healed_the_next_run_does() {
    let (world, network, mut run, revision) = healing().await;
    run.says("healing").await;
    // Half a second of network is between it and the effect.
    run.child.kill().await.unwrap();
    assert_eq!(written(&world).map(|(_, threshold)| threshold), Some(99.0), "nothing was done");
    network.becomes(Network::Whole);
    let run = Run::start(&world, &network).await;
    assert!(run.is_heir, "the key was committed");
    let answer = remediate(run.address, "k1", 2, HOT).await;
    assert!(answer.status == 200 && answer.body.contains("put back as it is declared"), "{answer:?}");
    let again = remediate(run.address, "k1", 3, HOT).await;
    assert!(again.body.contains("put back as it is declared"), "{again:?}");
    assert_eq!(written(&world), Some((revision + 1, 80.0)), "written once");
    drop(run);
    world.stop().await;
}
