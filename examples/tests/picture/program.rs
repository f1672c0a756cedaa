//! [`Program`]: one of the programs as a process, and what it logs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use vigil_tests::http::{Answer, request};

/// How long anything may take before a test fails: other tests and compilers may have the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Looks again and again until there is a value; `None` if there is none in time.
pub(crate) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let found = timeout(PATIENCE, async {
        loop {
            if let Some(value) = look().await {
                return value;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    found.await.ok()
}

/// A program of the workspace, built beside this test.
pub(crate) fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    let how = "cargo build --workspace --all-features --bins --examples";
    assert!(path.exists(), "{} is not there: `{how}` builds it", path.display());
    path
}

/// A command in a folder, without anything of this process's environment.
pub(crate) fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(built(name));
    command.current_dir(folder).env_clear().kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A running program.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts a command and waits until it says where it serves.
    pub(crate) async fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("{name} ended; it said {:#?}", log.lock().unwrap()));
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                log.lock().unwrap().push(line);
                if let Some(address) = event["address"].as_str() {
                    return address.to_owned();
                }
            }
        });
        let address = address.await.unwrap_or_else(|_| panic!("{name} does not serve: {:#?}", log.lock().unwrap()));
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Self { name, child, address, log }
    }

    /// The lines of its log that hold some words.
    pub(crate) fn said(&self, words: &str) -> Vec<String> {
        self.log.lock().unwrap().iter().filter(|line| line.contains(words)).cloned().collect()
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let asked = timeout(PATIENCE, request(&self.address, method, path, headers, body));
        asked
            .await
            .expect("it answers in time")
            .unwrap_or_else(|error| panic!("{} {method} {path}: {error}", self.name))
    }

    /// One number of its `/metrics`, by name and labels.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.ask("GET", "/metrics", &[], None).await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {series} in {text}"))
    }

    /// SIGTERM, and the wait until it has ended well.
    pub(crate) async fn stop(mut self) {
        signal(self.child.id().unwrap(), "TERM").await;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{} does not stop", self.name)).unwrap();
        assert!(ended.success(), "{} ended with {ended}: {:#?}", self.name, self.log.lock().unwrap());
    }

    /// Its log, for whoever reads why a test failed.
    pub(crate) fn tail(&self) -> String {
        let log = self.log.lock().unwrap();
        format!("{}:\n{}", self.name, log[log.len().saturating_sub(15)..].join("\n"))
    }
}

pub(crate) async fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().await.unwrap();
    assert!(sent.success(), "process {pid} is there");
}
