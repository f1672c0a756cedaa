//! A remediator of one's own: `cargo run --example custom_remediator`. It rotates a real log file, once per key, beside a
//! dry run for everything else; it shows a failure that is tried again, and an answer that was lost and asked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use vigil_core::action::{Action, ActionStatus, ActionType, IdempotencyKey, Severity};
use vigil_core::events::Event;
use vigil_core::remediator::{
    DryRun, Outcome, Probe, RemediationRequest, Remediator, RemediatorError, RemediatorRouter, Route,
};
use vigil_core::retry::RetryPolicy;
use vigil_core::store::Actor;
use vigil_core::target::{Target, TargetPattern};
use vigil_core::tenant::TenantId;
use vigil_core::{ActionRequest, Settings, Vigil};

/// Rotates `<folder>/<target>.log`. What it did under a key it remembers: effects are unique per key.
#[derive(Debug)]
struct Rotate {
    folder: PathBuf,
    outcomes: Mutex<HashMap<IdempotencyKey, Outcome>>,
}

impl Rotate {
    async fn rotate(&self, request: &RemediationRequest) -> Outcome {
        let log = self.folder.join(format!("{}.log", request.target));
        match tokio::fs::rename(&log, log.with_extension(format!("{}.log", request.action_id))).await {
            Ok(()) => Outcome::Succeeded { details: Some(format!("{} rotated", log.display())) },
            // A log that is not there yet may come: worth another attempt.
            Err(error) => Outcome::Failed { reason: error.to_string(), retryable: true },
        }
    }
}

#[async_trait::async_trait]
impl Remediator for Rotate {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        let mut outcomes = self.outcomes.lock().await;
        match outcomes.get(&request.key) {
            Some(Outcome::Failed { retryable: true, .. }) | None => {}
            Some(known) => return Ok(known.clone()),
        }
        let outcome = self.rotate(request).await;
        println!("  attempt {}: {outcome:?}", request.attempt);
        outcomes.insert(request.key.clone(), outcome.clone());
        if request.params.contains_key("lose_the_answer") {
            return Err(RemediatorError::Indeterminate("the connection broke".into()));
        }
        Ok(outcome)
    }

    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        println!("  asked what became of {key}");
        Ok(self.outcomes.lock().await.get(key).cloned().map_or(Probe::NotDone, Probe::Done))
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let rotate = Rotate { folder: folder.path().to_owned(), outcomes: Mutex::default() };
    let router = RemediatorRouter::new()
        .with_route(Route::any().with_targets(TargetPattern::new("app-*")?), Arc::new(rotate))
        .with_fallback(Arc::new(DryRun::new()));
    let retry = RetryPolicy { base: Duration::from_millis(100), ..RetryPolicy::default() };
    let vigil =
        Vigil::builder().remediator(Arc::new(router)).settings(Settings { retry, ..Settings::default() }).build()?;
    let mut told = Ok(());
    let story = async { told = tell(&vigil, folder.path().to_owned()).await };
    vigil.run(story).await?;
    told
}

async fn tell(vigil: &Vigil, folder: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    println!("a log that is not there at first: tried again under the same key");
    let write = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::fs::write(folder.join("app-1.log"), "much\n").await
    };
    let (action, written) = tokio::join!(carry_out(vigil, "app-1", false), write);
    written?;
    check(&action?, "rotated")?;

    println!("an answer that is lost: asked for, not sent twice");
    tokio::fs::write(folder.join("app-2.log"), "more\n").await?;
    let action = carry_out(vigil, "app-2", true).await?;
    check(&action, "rotated")?;
    if action.attempt != 1 {
        return Err("it was sent twice".into());
    }

    println!("anything else: the dry run");
    check(&carry_out(vigil, "db-1", false).await?, "dry run")
}

/// Requests a rotation and waits for its end.
async fn carry_out(vigil: &Vigil, target: &str, lose: bool) -> Result<Action, Box<dyn std::error::Error>> {
    let mut events = vigil.events().subscribe();
    let target = Target::new(target)?;
    let request = ActionRequest {
        tenant: TenantId::default(),
        target: target.clone(),
        action: ActionType::Custom,
        status: ActionStatus::Pending,
        details: None,
        severity: Severity::Info,
        params: lose.then(|| ("lose_the_answer".to_owned(), true.into())).into_iter().collect(),
        idempotency: None,
        actor: Actor::new("example"),
    };
    vigil.request_action(request).await?;
    loop {
        match tokio::time::timeout(Duration::from_secs(30), events.recv()).await?? {
            Event::Action(action) if action.target == target && action.status.is_final() => {
                return Ok((*action).clone());
            }
            _ => {}
        }
    }
}

fn check(action: &Action, words: &str) -> Result<(), Box<dyn std::error::Error>> {
    let details = action.details.as_deref().unwrap_or_default();
    println!("  {} after {} attempt(s): {details}", action.status, action.attempt);
    let right = action.status == ActionStatus::Completed && details.contains(words);
    if right { Ok(()) } else { Err(format!("expected '{words}', got {action:?}").into()) }
}
