//! Processes: how many there are, and one more.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_remediator::process::{bare, count_named};

use super::list::{Process, Start};
use crate::declaration::ItemState;
use crate::diff::diff;

/// How long a process may take until it is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it must stay to count as started.
const STAYS: Duration = Duration::from_millis(500);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn compare(process: &Process) -> ItemState {
    let (found, count) = (count_named(&process.name), process.count);
    // More than the fewest is no difference.
    let drift = diff(&json!({ "count": count }), &json!({ "count": found.min(count) }), &[]);
    drift.map_or(ItemState::Same, |mut drift| {
        drift.summary = format!("{found} of {count} processes run");
        ItemState::Drifted(drift)
    })
}

/// Starts as many as there are too few.
pub(super) async fn heal(process: &Process) -> Result<Outcome, RemediatorError> {
    let Process { name, count, .. } = process;
    let found = count_named(name);
    if found >= *count {
        return Ok(Outcome::Succeeded { details: Some(format!("{found} processes '{name}' run already")) });
    }
    let Some(Start(start)) = &process.start else {
        return Ok(Outcome::Rejected { reason: format!("nothing says how '{name}' is started: give it a start") });
    };
    // In a session of its own it outlives this program, and the terminal that this one may have.
    let argv: Vec<String> = ["setsid".to_owned(), "--".to_owned()].into_iter().chain(start.iter().cloned()).collect();
    let mut children = Vec::new();
    for _ in found..*count {
        let mut command = bare(&argv, &process.env, process.working_folder.as_deref());
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) if children.is_empty() => return Err(RemediatorError::Unavailable(error.into())),
            Err(error) => return Err(RemediatorError::Indeterminate(error.into())),
        }
    }
    let until = Instant::now() + PATIENCE;
    let mut there_since = None;
    // Once they are let go of here, the runtime collects them when they end.
    loop {
        for child in &mut children {
            // One that puts itself into the background ends well.
            if let Ok(Some(status)) = child.try_wait()
                && !status.success()
            {
                return Ok(failed(format!("{} ended with {status}", start[0])));
            }
        }
        let now = Instant::now();
        let found = count_named(name);
        if found < *count {
            there_since = None;
        } else if now.duration_since(*there_since.get_or_insert(now)) >= STAYS {
            let started = children.len();
            return Ok(Outcome::Succeeded {
                details: Some(format!("{started} started, {found} processes '{name}' run")),
            });
        }
        if now >= until {
            return Ok(failed(format!("{} was started, and {found} of {count} processes '{name}' run", start[0])));
        }
        sleep(LOOK).await;
    }
}

fn failed(reason: String) -> Outcome {
    Outcome::Failed { reason, retryable: false }
}
