//! Scaling a Compose service: its containers carry labels (compose-spec, `com.docker.compose.*`), by which they are found,
//! and by which Compose takes those that are added here for its own.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, EndpointSettings, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use serde_json::{Value, json};
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::{SLACK, grace, not_done_after, refused, status};
use crate::executor::{Prepared, failed, indeterminate, succeeded, unavailable};
use crate::job::Job;

pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
/// Says that a container was started by `docker compose run`, and is none of the service's.
const ONE_OFF: &str = "com.docker.compose.oneoff";
/// Carries the key of the request that added a container.
const KEY: &str = "vigil.idempotency-key";
/// The most containers a service is scaled to without `params.max`.
const MOST: u64 = 10;

/// Decides how many are added, or which are removed.
pub(super) async fn prepare(
    engine: &Docker,
    project: &str,
    service: &str,
    job: &Job,
) -> Result<Prepared, RemediatorError> {
    let bounds = || -> Result<_, String> {
        let step = job.whole("step", 1..=10)?.unwrap_or(1);
        Ok((step, job.whole("min", 0..=1000)?.unwrap_or(1), job.whole("max", 1..=1000)?.unwrap_or(MOST)))
    };
    let (step, min, max) = match bounds() {
        Ok(bounds) => bounds,
        Err(wrong) => return Ok(Prepared::Rejected(wrong)),
    };
    let labels = [format!("{PROJECT}={project}"), format!("{SERVICE}={service}")];
    let mut running = containers(engine, &labels, false).await?;
    // Those that stopped hold their names.
    let all = containers(engine, &labels, true).await?;
    running.sort_by_key(number);
    let count = running.len() as u64;
    let Some(template) = running.first() else {
        return Ok(Prepared::Rejected(format!("no container of the Compose service '{project}/{service}' runs")));
    };
    Ok(match job.action {
        ActionType::ScaleUp if count >= max => {
            Prepared::Rejected(format!("'{project}/{service}' has {count} containers, and params.max is {max}"))
        }
        ActionType::ScaleUp => Prepared::Ready(json!({
            "template": template.id, "from": count, "add": step.min(max - count),
            "number": all.iter().map(number).max().unwrap_or(0) + 1,
        })),
        _ if count <= min => {
            Prepared::Rejected(format!("'{project}/{service}' has {count} containers, and params.min is {min}"))
        }
        _ => {
            let fewer = usize::try_from(step.min(count - min)).unwrap_or(1);
            let victims: Vec<_> = running.iter().rev().take(fewer).map(|container| &container.id).collect();
            Prepared::Ready(json!({ "from": count, "remove": victims }))
        }
    })
}

pub(super) async fn execute(engine: &Docker, job: &Job, before: &Value) -> Result<Outcome, RemediatorError> {
    match job.action {
        ActionType::ScaleUp => scale_up(engine, job, before).await,
        _ => scale_down(engine, job, before).await,
    }
}

pub(super) async fn probe(
    engine: &Docker,
    job: &Job,
    before: &Value,
    since: Duration,
) -> Result<Probe, RemediatorError> {
    let seconds = Duration::from_secs(u64::try_from(grace(job)).unwrap_or_default());
    if job.action == ActionType::ScaleUp {
        let added = containers(engine, &[format!("{KEY}={}", job.key)], false).await?.len() as u64;
        return Ok(match before["add"].as_u64() {
            Some(add) if added >= add => Probe::Done(succeeded(format!("{added} containers carry the key"))),
            _ => not_done_after(SLACK, since),
        });
    }
    let victims = victims(before);
    for victim in &victims {
        match engine.inspect_container(victim, None).await {
            Ok(_) => return Ok(not_done_after(seconds * u32::try_from(victims.len()).unwrap_or(1) + SLACK, since)),
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(unavailable(error)),
        }
    }
    Ok(Probe::Done(succeeded(format!("{} containers are gone", victims.len()))))
}

/// Adds containers that are like the first; those that carry the key already are counted.
async fn scale_up(engine: &Docker, job: &Job, before: &Value) -> Result<Outcome, RemediatorError> {
    let (add, number) = (before["add"].as_u64().unwrap_or(1), before["number"].as_u64().unwrap_or(1));
    let template = engine.inspect_container(before["template"].as_str().unwrap_or_default(), None).await;
    let template = template.map_err(unavailable)?;
    let there = containers(engine, &[format!("{KEY}={}", job.key)], true).await?;
    for (added, number) in (number..number + add).enumerate() {
        let (name, body) = match copy(&template, number, job) {
            Ok(copied) => copied,
            Err(wrong) => return Ok(failed(format!("the first container cannot be copied: {wrong}"))),
        };
        if !there.iter().any(|container| self::number(container) == number) {
            let options = CreateContainerOptionsBuilder::new().name(&name).build();
            if let Err(error) = engine.create_container(Some(options), body).await {
                return broke_off(added, refused(job, error));
            }
        }
        match engine.start_container(&name, None).await {
            Ok(()) => {}
            Err(error) if status(&error) == Some(304) => {}
            // A port that is taken, say: what cannot start is not left lying about.
            Err(error @ Error::DockerResponseServerError { .. }) => {
                let force = RemoveContainerOptionsBuilder::new().force(true).build();
                engine.remove_container(&name, Some(force)).await.map_err(indeterminate)?;
                return Ok(failed(format!("{added} of {add} added; {name} cannot be started: {error}")));
            }
            Err(error) => return Err(indeterminate(error)),
        }
    }
    let from = before["from"].as_u64().unwrap_or_default();
    Ok(succeeded(format!("scaled from {from} to {} containers", from + add)))
}

async fn scale_down(engine: &Docker, job: &Job, before: &Value) -> Result<Outcome, RemediatorError> {
    let victims = victims(before);
    for (removed, victim) in victims.iter().enumerate() {
        let stop = StopContainerOptionsBuilder::new().t(grace(job)).build();
        match engine.stop_container(victim, Some(stop)).await {
            Ok(()) => {}
            Err(error) if matches!(status(&error), Some(304 | 404)) => {}
            Err(error) => return broke_off(removed, refused(job, error)),
        }
        match engine.remove_container(victim, None).await {
            Ok(()) => {}
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return broke_off(removed + 1, refused(job, error)),
        }
    }
    let from = before["from"].as_u64().unwrap_or_default();
    Ok(succeeded(format!("scaled from {from} to {} containers", from.saturating_sub(victims.len() as u64))))
}

/// What an answer says that nothing happened is not true any more once something was done.
fn broke_off(done: usize, answer: Result<Outcome, RemediatorError>) -> Result<Outcome, RemediatorError> {
    match answer {
        _ if done == 0 => answer,
        Ok(Outcome::Rejected { reason }) => Ok(failed(format!("{done} done, then {reason}"))),
        Err(error) => Err(indeterminate(error)),
        other => other,
    }
}

fn victims(before: &Value) -> Vec<String> {
    serde_json::from_value(before["remove"].clone()).unwrap_or_default()
}

pub(super) async fn containers(
    engine: &Docker,
    labels: &[String],
    stopped_too: bool,
) -> Result<Vec<ContainerSummary>, RemediatorError> {
    let filters = HashMap::from([("label", labels.to_vec())]);
    let options = ListContainersOptionsBuilder::new().all(stopped_too).filters(&filters).build();
    let mut found = engine.list_containers(Some(options)).await.map_err(unavailable)?;
    let is_one_off = |container: &ContainerSummary| {
        container
            .labels
            .as_ref()
            .and_then(|labels| labels.get(ONE_OFF))
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    found.retain(|container| !is_one_off(container));
    Ok(found)
}

pub(super) fn number(container: &ContainerSummary) -> u64 {
    let label = container.labels.as_ref().and_then(|labels| labels.get(NUMBER));
    label.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The name and the configuration of a container like `template` with another number.
fn copy(
    template: &ContainerInspectResponse,
    number: u64,
    job: &Job,
) -> serde_json::Result<(String, ContainerCreateBody)> {
    let config = serde_json::to_value(template.config.clone().unwrap_or_default())?;
    let mut body: ContainerCreateBody = serde_json::from_value(config)?;
    let labels = body.labels.get_or_insert_default();
    let separator = if template.name.as_ref().is_some_and(|name| name.contains('-')) { '-' } else { '_' };
    let name =
        [PROJECT, SERVICE].map(|label| labels.get(label).cloned().unwrap_or_default()).join(&separator.to_string());
    let name = format!("{name}{separator}{number}");
    labels.insert(NUMBER.to_owned(), number.to_string());
    labels.insert(KEY.to_owned(), job.key.0.clone());
    let id = template.id.as_deref().unwrap_or_default();
    let is_own = |name: &String| !name.is_empty() && id.starts_with(name.as_str());
    body.hostname = body.hostname.filter(|hostname| !is_own(hostname));
    let mode = template.host_config.as_ref().and_then(|host| host.network_mode.clone()).unwrap_or_default();
    body.host_config.clone_from(&template.host_config);
    if !matches!(mode.as_str(), "host" | "none" | "default" | "") && !mode.starts_with("container:") {
        let networks =
            template.network_settings.as_ref().and_then(|settings| settings.networks.clone()).unwrap_or_default();
        let endpoints = networks.into_iter().map(|(network, endpoint)| {
            // Addresses are given out anew; the aliases are the service's name, and an id that is not this one's.
            let aliases = endpoint.aliases.map(|aliases| aliases.into_iter().filter(|alias| !is_own(alias)).collect());
            (network, EndpointSettings { aliases, ..EndpointSettings::default() })
        });
        body.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints.collect()) });
    }
    Ok((name, body))
}
