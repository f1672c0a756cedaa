//! The first act's remediator: the service is a child of this process, which really restarts it.

use std::collections::HashMap;
use std::process::Stdio;

use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use vigil_core::action::IdempotencyKey;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};

use super::Fatal;
use super::shop::Shop;

/// A child process that serves on one port, and what became of every key that asked to restart it.
#[derive(Debug)]
pub(crate) struct Service {
    shop: Shop,
    child: Mutex<Child>,
    outcomes: Mutex<HashMap<IdempotencyKey, Outcome>>,
}

impl Service {
    /// Starts it on a free port and waits until it answers.
    pub(crate) async fn start() -> Result<Self, Fatal> {
        let shop = Shop::on_a_free_port().await?;
        let service = Self { shop, child: Mutex::new(spawn(shop)?), outcomes: Mutex::default() };
        shop.serves().await?;
        Ok(service)
    }

    /// From outside.
    pub(crate) fn shop(&self) -> Shop {
        self.shop
    }

    async fn restart(&self) -> Result<String, Fatal> {
        let mut child = self.child.lock().await;
        let old = child.id().unwrap_or(0);
        child.kill().await?;
        *child = spawn(self.shop)?;
        let new = child.id().unwrap_or(0);
        drop(child);
        self.shop.serves().await?;
        Ok(format!("process {old} killed, process {new} answers"))
    }
}

/// This very program as the service; it dies with us.
fn spawn(shop: Shop) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--victim", &shop.port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
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
