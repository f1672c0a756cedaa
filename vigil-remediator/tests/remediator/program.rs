//! The program itself: killed with -9 between effect and answer, stopped, asked what it would do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use vigil_core::action::IdempotencyKey;
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError};

use crate::bench::{PATIENCE, request, spawn};
use crate::service::client;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vigil-remediator");

/// The program over a configuration, on a port of its own choice.
pub(crate) struct Program {
    pub(crate) config: PathBuf,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) async fn start(config: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--config", config.to_str().unwrap(), "--listen", "127.0.0.1:0"])
            .env_clear()
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it says where it serves");
                let line: serde_json::Value = serde_json::from_str(&line).expect("every line is JSON");
                if line["message"] == "serving" {
                    break line["address"].as_str().unwrap().parse().unwrap();
                }
            }
        });
        let address = address.await.unwrap();
        // What it says later must not fill the pipe.
        spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { config: config.to_owned(), child, address }
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn again(&mut self) {
        self.kill().await;
        *self = Self::start(&self.config.clone()).await;
    }

    pub(crate) async fn known(&self, key: &str) -> Probe {
        let client = client(self.address, None);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match client.probe(&IdempotencyKey(key.to_owned())).await {
                Ok(Probe::InProgress) | Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
                probe => return probe.unwrap(),
            }
        }
    }
}

/// A configuration with one service that appends a line to `starts` when it starts, and then is `script`.
fn config(script: &str, times: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remediator.yaml");
    let text = format!(
        "
ledger: {folder}/keys.redb
executors:
  host:
    process:
      folder: {folder}/processes
      services:
        shop: {{ command: [/bin/sh, -c, 'echo $VIGIL_IDEMPOTENCY_KEY >> {folder}/starts; {script}'], {times} }}
routes: [{{ target: shop, executor: host }}]
",
        folder = folder.path().display()
    );
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// It counts as started after two seconds: time to kill the program between the effect and the answer.
const SLEEPS: (&str, &str) = ("exec sleep 600", "start_seconds: 2");

struct Starts(PathBuf);

impl Starts {
    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    async fn reach(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.lines().len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.lines());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_effect_and_answer_it_finds_the_effect_and_does_nothing_again() {
    let (folder, path) = config(SLEEPS.0, SLEEPS.1);
    let starts = Starts(folder.path().join("starts"));
    let mut program = Program::start(&path).await;
    starts.reach(1).await;
    let address = program.address;
    let asking = spawn(async move { client(address, None).remediate(&request("k1", 1, "shop", "restart")).await });
    // The effect is there; the answer is two seconds away.
    starts.reach(2).await;
    program.again().await;
    let broken = asking.await.unwrap();
    assert!(matches!(broken, Err(RemediatorError::Indeterminate(_))), "{broken:?}");
    let probe = program.known("k1").await;
    assert!(matches!(probe, Probe::Done(Outcome::Succeeded { .. })), "{probe:?}");
    let second = client(program.address, None).remediate(&request("k1", 2, "shop", "restart")).await.unwrap();
    assert!(matches!(second, Outcome::Succeeded { .. }), "{second:?}");
    assert_eq!(starts.lines(), ["", "k1"], "started with the program, restarted once");
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_effect_it_knows_that_nothing_was_done() {
    let stubborn = "trap \"sleep 1; exit\" TERM; while :; do sleep 0.05; done";
    let (folder, path) = config(stubborn, "start_seconds: 0.1, stop_seconds: 3");
    let starts = Starts(folder.path().join("starts"));
    let mut program = Program::start(&path).await;
    starts.reach(1).await;
    let address = program.address;
    let asking = spawn(async move { client(address, None).remediate(&request("k1", 1, "shop", "restart")).await });
    let client_of = |program: &Program| client(program.address, None);
    // It is being stopped, which takes a second; the new process is not started yet.
    while client_of(&program).probe(&IdempotencyKey("k1".to_owned())).await.unwrap() == Probe::NotDone {
        sleep(Duration::from_millis(5)).await;
    }
    program.again().await;
    assert!(asking.await.unwrap().is_err());
    let deadline = Instant::now() + PATIENCE;
    let mut attempt = 2;
    loop {
        match client_of(&program).remediate(&request("k1", attempt, "shop", "restart")).await {
            Ok(Outcome::Succeeded { .. }) => break,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        attempt += 1;
        sleep(Duration::from_millis(50)).await;
    }
    let restarts = starts.lines().len() - 1;
    assert_eq!(restarts, 1, "{:?}", starts.lines());
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_finishes_what_it_is_at() {
    let (folder, path) = config(SLEEPS.0, SLEEPS.1);
    let starts = Starts(folder.path().join("starts"));
    let mut program = Program::start(&path).await;
    starts.reach(1).await;
    let address = program.address;
    let asking = spawn(async move { client(address, None).remediate(&request("k1", 1, "shop", "restart")).await });
    starts.reach(2).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(program.child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(matches!(asking.await.unwrap(), Ok(Outcome::Succeeded { .. })));
    assert!(program.child.wait().await.unwrap().success());
    program.again().await;
    assert!(matches!(program.known("k1").await, Probe::Done(Outcome::Succeeded { .. })));
    stop(program).await;
}

/// Takes the service down, so that nothing is left of the test.
async fn stop(program: Program) {
    let drained = client(program.address, None).remediate(&request("the-end", 1, "shop", "drain-pod")).await.unwrap();
    assert!(matches!(drained, Outcome::Succeeded { .. }), "{drained:?}");
}

/// What the program prints, and whether it ended well.
pub(crate) async fn output(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(PROGRAM).args(arguments).env_clear().output().await.unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), text)
}
