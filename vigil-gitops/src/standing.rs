//! The daemon's own policies: one for each source, by which Vigil heals.

use serde_json::{Value, json};
use vigil_program::chain;

use crate::config::Mode;
use crate::policies::{OWN, canonical, owner_of};
use crate::series::METRIC;
use crate::server::{Server, ServerError};
use crate::watched::Watched;

/// Has the server hold the policy of a source, as its mode says now.
///
/// # Errors
/// A sentence.
pub(crate) async fn keep(server: &Server, source: &Watched) -> Result<(), String> {
    let name = name_of(source.name());
    let wanted = wanted(&name, source);
    let live = server.policy(&name).await.map_err(|error| told(&name, &error))?;
    let changed = match live {
        None => server.create(&wanted).await.map(|()| "made"),
        Some(live) if live.managed_by() != Some(&owner_of(source.name())) => return Err(foreign(&name)),
        Some(live) if canonical(&live.json).ok() == canonical(&wanted).ok() => return Ok(()),
        Some(live) => server.update(&name, &live, &wanted).await.map(|()| "corrected"),
    };
    let what = changed.map_err(|error| told(&name, &error))?;
    tracing::info!(
        policy = name,
        auto_remediate = wanted["auto_remediate"].as_bool(),
        "the source's policy was {what}"
    );
    Ok(())
}

/// Removes the policy of a source that is off or gone, if it is the daemon's.
///
/// # Errors
/// A sentence.
pub(crate) async fn remove(server: &Server, source: &str) -> Result<(), String> {
    let name = name_of(source);
    let live = server.policy(&name).await.map_err(|error| told(&name, &error))?;
    if live.is_some_and(|live| live.managed_by() == Some(&owner_of(source))) {
        server.delete(&name).await.map_err(|error| told(&name, &error))?;
        tracing::info!(policy = name, "the source is off: its policy was removed");
    }
    Ok(())
}

fn name_of(source: &str) -> String {
    format!("{OWN}{source}")
}

/// While a window is open it acts no more than one in mode warn, and what has drifted waits.
fn wanted(name: &str, source: &Watched) -> Value {
    let config = source.config();
    let heals = config.mode == Mode::Enforce && !source.is_suspended();
    json!({
        "name": name,
        "description": format!("What {} declares lives as it is declared. Kept by vigil-gitopsd.", config.name),
        "severity": "warning",
        "target": format!("drift/{}/*", config.name),
        "enabled": true,
        "auto_remediate": heals,
        "condition": { "type": "metric_exceeds", "metric": METRIC, "threshold": 0 },
        "action": "custom",
        "params": { "managed_by": owner_of(&config.name), "cooldown_seconds": config.cooldown_seconds },
    })
}

fn foreign(name: &str) -> String {
    format!(
        "the policy '{name}' was made by hand: it is left alone, and nothing heals the source until it is renamed or removed"
    )
}

fn told(name: &str, error: &ServerError) -> String {
    format!("the policy '{name}' cannot be kept: {}", chain(error))
}
