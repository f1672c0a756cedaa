//! The program: asked once, started, stopped.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use vigil_core::testing::eventually;

use crate::world::{World, get};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn command(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigil-gitopsd"));
    command.env_clear().env("PATH", std::env::var("PATH").unwrap()).current_dir(world.path(""));
    command.env("VIGIL_URL", format!("http://{}", world.server)).env("VIGIL_GITOPSD_LISTEN", "127.0.0.1:0");
    command.env("VIGIL_GITOPSD_CONFIG", "gitopsd.yaml").env("VIGIL_GITOPSD_STATE", "state").kill_on_drop(true);
    command
}

async fn run(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let ended = timeout(PATIENCE, command(world).args(arguments).output()).await.unwrap().unwrap();
    let Output { status, stdout, stderr } = ended;
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub(crate) const POLICY: &str =
    "- {name: hot, action: restart, condition: {type: metric_exceeds, metric: cpu, threshold: 80}}\n";

pub(crate) fn world_with_drift(world: &World) {
    world.write("policies/hot.yaml", POLICY);
    world.write("gitopsd.yaml", "sources: [{name: rules, mode: enforce, path: policies, policies: {}}]\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_tells_and_dry_run_only_prints_and_the_exit_code_says_what_was_found() {
    let world = World::new().await;
    world_with_drift(&world);
    let (code, out, err) = run(&world, &["--dry-run"]).await;
    assert_eq!((code, err.as_str()), (Some(2), ""));
    let item: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((&item["target"], &item["state"]), (&json!("drift/rules/policy/hot"), &json!("drifted")));
    assert_eq!(item["patch"][0]["value"]["params"]["managed_by"], "vigil-gitops/rules");
    assert!(world.policy("gitops-rules").is_none() && world.samples("drift/rules/policy/hot").await.is_empty());
    assert!(!world.path("state").exists(), "nothing is written");

    let (code, ..) = run(&world, &["--once"]).await;
    assert_eq!(code, Some(2));
    assert_eq!(world.samples("drift/rules/policy/hot").await.len(), 1);
    assert!(world.policy("gitops-rules").is_some() && world.policy("hot").is_none());

    let declared: Value = item["patch"][0]["value"].clone();
    world.by_hand(declared).await;
    assert_eq!(run(&world, &["--once"]).await.0, Some(0));
    let last = world.samples("drift/rules/policy/hot").await;
    assert_eq!(last.iter().map(|(value, _)| *value).collect::<Vec<_>>(), [1.0, 0.0, 0.0], "taken back: {last:?}");

    world.write("policies/broken.yaml", "- {name: broken}\n");
    let (code, _, err) = run(&world, &["--dry-run"]).await;
    assert!(code == Some(1) && err.contains("vigil-gitopsd: rules: broken.yaml:1: "), "{err}");
    let (code, _, err) = run(&world, &["--once", "--server", "http://127.0.0.1:9"]).await;
    assert!(code == Some(1) && err.contains("Vigil cannot be reached"), "{err}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_names_what_there_is_and_a_mistake_stops_the_start() {
    let world = World::new().await;
    world_with_drift(&world);
    let (code, out, _) = run(&world, &["--help"]).await;
    assert_eq!(code, Some(0));
    for word in ["GITOPSD_INTERVAL", "--once", "--dry-run", "REMEDIATOR_SECRET", "--config"] {
        assert!(out.contains(word), "{word} is not in {out}");
    }
    let (code, _, err) = run(&world, &["--listen", "0.0.0.0:0"]).await;
    assert!(code == Some(1) && err.contains("without a secret would let anybody act"), "{err}");
    let (code, _, err) = run(&world, &["--interval", "0"]).await;
    assert!(code == Some(2) && err.contains("from 0.1 to 86400"), "{err}");
    world.write("gitopsd.yaml", "sources:\n  - {name: rules, path: policies, polices: {}}\n");
    let (code, _, err) = run(&world, &[]).await;
    assert!(
        code == Some(1) && err.contains("gitopsd.yaml: ") && err.contains("line 2") && err.contains("polices"),
        "{err}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_compares_when_a_file_changes_and_stops_when_it_is_told_to() {
    let world = World::new().await;
    world_with_drift(&world);
    let mut command = command(&world);
    // The interval is too long to be what finds the change.
    command.env("GITOPSD_INTERVAL", "3600").env("REMEDIATOR_SECRET", "a secret, long enough");
    let mut daemon = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    let serving: Value = timeout(PATIENCE, async {
        loop {
            let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            if line["address"].is_string() {
                return line;
            }
        }
    })
    .await
    .unwrap();
    let address = serving["address"].as_str().unwrap().parse().unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let patch = async |wanted: &str| {
        eventually("what is declared now", async || get(address, "/drift").await.body.contains(wanted).then_some(()))
            .await;
    };
    patch("\"threshold\":80").await;
    world.write("policies/hot.yaml", &POLICY.replace("80", "70"));
    patch("\"threshold\":70").await;
    assert_eq!(get(address, "/ready").await.status, 200);
    assert!(get(address, "/health").await.body.contains("vigil-gitopsd"));
    let unsigned = crate::world::remediate(address, "k", 1, "drift/rules/policy/hot").await;
    assert_eq!(unsigned.status, 401, "a secret is set");

    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(timeout(PATIENCE, daemon.wait()).await.unwrap().unwrap().success());
    world.stop().await;
}
