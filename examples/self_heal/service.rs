//! The service from outside: a child process, and the remediator that really restarts it.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use vigil_core::action::IdempotencyKey;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};

use super::Fatal;

/// How long a request may take before the service counts as not answering.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a process may take to serve.
const START: Duration = Duration::from_secs(10);

/// A child process that serves on one port, and what became of every key that asked to restart it.
#[derive(Debug)]
pub(crate) struct Service {
    port: u16,
    child: Mutex<Child>,
    outcomes: Mutex<HashMap<IdempotencyKey, Outcome>>,
}

impl Service {
    /// Starts it on a free port and waits until it answers.
    pub(crate) async fn start() -> Result<Self, Fatal> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let service = Self { port, child: Mutex::new(spawn(port)?), outcomes: Mutex::default() };
        service.serves().await?;
        Ok(service)
    }

    /// The child's process id; 0 while there is none.
    pub(crate) async fn pid(&self) -> u32 {
        self.child.lock().await.id().unwrap_or(0)
    }

    /// Does some work; the time that it took, or `None` if it did not answer in time.
    pub(crate) async fn work(&self) -> Option<Duration> {
        let asked = Instant::now();
        let answer = timeout(PATIENCE, self.request("/work")).await;
        matches!(answer, Ok(Ok(text)) if text.starts_with("HTTP/1.1 200")).then(|| asked.elapsed())
    }

    /// Breaks it: `hang` or `leak`.
    pub(crate) async fn break_it(&self, fault: &str) -> Result<(), Fatal> {
        self.request(&format!("/break/{fault}")).await?;
        Ok(())
    }

    async fn request(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn serves(&self) -> Result<(), Fatal> {
        let deadline = Instant::now() + START;
        while self.work().await.is_none() {
            if Instant::now() > deadline {
                return Err(format!("the service did not answer within {} s", START.as_secs()).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn restart(&self) -> Result<String, Fatal> {
        let mut child = self.child.lock().await;
        let old = child.id().unwrap_or(0);
        child.kill().await?;
        *child = spawn(self.port)?;
        let new = child.id().unwrap_or(0);
        drop(child);
        self.serves().await?;
        Ok(format!("process {old} killed, process {new} answers"))
    }
}

/// This very program as the service; it dies with us.
fn spawn(port: u16) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--victim", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
}

#[async_trait::async_trait]
impl Remediator for Service {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        // Held to the end: a second request under the key waits for the outcome of the first.
        let mut outcomes = self.outcomes.lock().await;
        if let Some(known) = outcomes.get(&request.key) {
            return Ok(known.clone());
        }
        let outcome = match self.restart().await {
            Ok(details) => Outcome::Succeeded { details: Some(details) },
            Err(error) => Outcome::Failed { reason: error.to_string(), retryable: false },
        };
        outcomes.insert(request.key.clone(), outcome.clone());
        Ok(outcome)
    }

    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        Ok(self.outcomes.lock().await.get(key).cloned().map_or(Probe::NotDone, Probe::Done))
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}
