//! A server process in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
pub(crate) use vigil_tests::http::{Answer, request};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// The server's binary: built beside this test's.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().and_then(Path::parent).expect("it lies in target/<profile>/deps").join("examples/server")
}

/// The command, without anything of this process's environment that could speak to it.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).env_clear().kill_on_drop(true).stdin(Stdio::null());
    command
}

/// The same with a low soft limit of open files, as a shell or systemd would hand out.
pub(crate) fn command_with_few_files(folder: &Path, files: usize) -> Command {
    let mut command = Command::new("sh");
    command.current_dir(folder).env_clear().kill_on_drop(true).stdin(Stdio::null());
    command.args(["-c", &format!("ulimit -Sn {files} && exec \"$0\" \"$@\"")]).arg(binary());
    command
}

/// Runs a command that must not start, and answers what it says.
pub(crate) async fn refused(mut command: Command) -> String {
    let output = timeout(PATIENCE, command.output()).await.expect("it ends at once").expect("it can be run");
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Server {
    /// Starts on a free port, with a dry run unless `flags` say otherwise.
    pub(crate) async fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = command(folder);
        command.args(["--port", "0"]).args(flags);
        Self::run(command).await
    }

    /// Starts a command and waits until it serves.
    pub(crate) async fn run(command: Command) -> Self {
        Self::try_run(command).await.unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// The same; answers what it says if it does not start.
    pub(crate) async fn try_run(mut command: Command) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server is built");
        let stdout = child.stdout.take().expect("it is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (kept, (serving, served)) = (log.clone(), tokio::sync::oneshot::channel());
        tokio::spawn(async move {
            let mut serving = Some(serving);
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                let text_address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
                let address = event["address"].as_str().or(text_address).map(str::to_owned);
                kept.lock().unwrap().push(line);
                if let Some(address) = address
                    && let Some(serving) = serving.take()
                {
                    let _ = serving.send(address);
                }
            }
        });
        let Ok(Ok(address)) = timeout(PATIENCE, served).await else {
            let _ = child.start_kill();
            let output = child.wait_with_output().await.expect("it ended");
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        };
        Ok(Self { child, address, log })
    }

    /// Waits until it has logged a line with `words`.
    pub(crate) async fn logged(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().iter().any(|line| line.contains(words)) {
            assert!(Instant::now() < deadline, "'{words}' is not in {:#?}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        request(&self.address, "GET", path, &[], None).await.expect("it answers")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        request(&self.address, "POST", path, &[], Some(body)).await.expect("it answers")
    }

    pub(crate) async fn put(&self, path: &str, body: Option<&Value>) -> Answer {
        request(&self.address, "PUT", path, &[], body).await.expect("it answers")
    }

    /// All actions, newest first.
    pub(crate) async fn actions(&self) -> Vec<Value> {
        self.get("/api/v1/actions?limit=500").await.json()["actions"].as_array().cloned().unwrap_or_default()
    }

    /// Waits for the first action that satisfies `wanted`.
    pub(crate) async fn action(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let actions = self.actions().await;
            if let Some(action) = actions.iter().find(|action| wanted(action)) {
                return action.clone();
            }
            assert!(Instant::now() < deadline, "no such action among {actions:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the runner has gone over all targets `times` more times.
    pub(crate) async fn sweeps(&self, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        let (mut seen, mut last) = (0, Value::Null);
        while seen <= times {
            let now = self.get("/api/v1/policies/runner/status").await.json()["runner"]["last_sweep"].clone();
            seen += usize::from(now != last);
            last = now;
            assert!(Instant::now() < deadline, "the runner does not run");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: nothing is finished, nothing is closed.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }

    /// SIGTERM, and the wait until it has ended well.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().expect("it is running").to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill is there");
        assert!(killed.success());
        let ended =
            timeout(PATIENCE, self.child.wait()).await.expect("it stops in time").expect("it can be waited for");
        assert!(ended.success(), "it ended with {ended}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it is running")
    }
}
