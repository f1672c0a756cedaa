//! The remediator protocol, line by line, over a real port.
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests does not know the helpers of a test crate

mod answers;
mod probes;
mod reach;
mod requests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use vigil_core::action::{ActionId, ActionType, IdempotencyKey, Severity};
use vigil_core::clock::Timestamp;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_core::testing::ManualClock;
use vigil_http::{HttpRemediator, HttpRemediatorOptions, Secret};
use vigil_tests::fake_remediator::{FakeRemediator, Step};

const KEY: &str = "acme-action-7-00000000deadbeef";

/// A clock that shows noon.
fn noon() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::parse("2026-01-20T12:00:00Z").unwrap()))
}

/// With time-outs short enough to wait for.
fn options() -> HttpRemediatorOptions {
    let (timeout, connect_timeout) = (Duration::from_millis(500), Duration::from_millis(200));
    HttpRemediatorOptions { timeout, connect_timeout, ..HttpRemediatorOptions::default() }
}

fn client(url: &str) -> HttpRemediator {
    client_with(url, options())
}

fn client_with(url: &str, options: HttpRemediatorOptions) -> HttpRemediator {
    HttpRemediator::new(url, noon(), options).unwrap()
}

fn request(attempt: u32) -> RemediationRequest {
    RemediationRequest {
        key: key(),
        attempt,
        tenant: TenantId::new("acme").unwrap(),
        action_id: ActionId(7),
        task_id: "task_1".to_owned(),
        target: Target::new("web-1").unwrap(),
        action: ActionType::RestartService,
        severity: Severity::Critical,
        params: Map::from_iter([("grace".to_owned(), json!(5))]),
        policy_name: Some("high-cpu".to_owned()),
        deadline: Timestamp::parse("2026-01-20T12:05:00Z").unwrap(),
        request_id: "req-1".to_owned(),
    }
}

fn key() -> IdempotencyKey {
    IdempotencyKey(KEY.to_owned())
}

/// What a remediation comes to that meets `step`.
async fn met(step: Step) -> Result<Outcome, RemediatorError> {
    let fake = FakeRemediator::start().await;
    fake.then(step);
    client(&fake.url()).remediate(&request(1)).await
}

/// What a probe comes to that meets `step`.
async fn probed(step: Step) -> Result<Probe, RemediatorError> {
    let fake = FakeRemediator::start().await;
    fake.then_probe(step);
    client(&fake.url()).probe(&key()).await
}

/// A URL where nothing listens.
async fn refusing_url() -> String {
    let fake = FakeRemediator::start().await;
    fake.stop().await;
    fake.url()
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn with_secret() -> HttpRemediatorOptions {
    HttpRemediatorOptions { secret: Some(Secret::new("s3cret")), ..options() }
}
