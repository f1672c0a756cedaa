//! Snapshots of volumes (`snapshot.storage.k8s.io/v1`), named after the key.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::LOOK;
use super::api::{Api, JSON, Unread};
use super::object::Object;
use crate::executor::{Prepared, failed, indeterminate, succeeded};
use crate::job::Job;

const GROUP: &str = "/apis/snapshot.storage.k8s.io/v1";

pub(super) async fn prepare(api: &Api, object: &Object) -> Result<Prepared, Unread> {
    Ok(match api.read(GROUP).await? {
        Some(_) => Prepared::Ready(json!({ "claim": object.name })),
        None => Prepared::Rejected("the cluster has no VolumeSnapshots (snapshot.storage.k8s.io/v1)".to_owned()),
    })
}

pub(super) async fn execute(api: &Api, object: &Object, job: &Job, until: Instant) -> Result<Outcome, RemediatorError> {
    let name = name(object, job);
    let mut snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": { "name": name, "namespace": object.namespace },
        "spec": { "source": { "persistentVolumeClaimName": object.name } },
    });
    match job.text("snapshot_class") {
        Ok(Some(class)) => snapshot["spec"]["volumeSnapshotClassName"] = json!(class),
        Ok(None) => {}
        Err(wrong) => return Ok(Outcome::Rejected { reason: wrong }),
    }
    match api.write(Method::POST, &folder(object), JSON, &snapshot).await? {
        Ok(_) => {}
        // It carries the key: it is this one.
        Err(refusal) if refusal.status == StatusCode::CONFLICT => {}
        Err(refusal) => return Ok(Outcome::Rejected { reason: refusal.message }),
    }
    let mut state = String::new();
    loop {
        let pause = match api.watch(&format!("{}/{name}", folder(object)), &mut state).await {
            Ok(Some(now)) => match judge(&now, &name) {
                Some(outcome) => return Ok(outcome),
                None => LOOK,
            },
            Ok(None) => return Ok(failed(format!("the VolumeSnapshot '{name}' is gone"))),
            Err(pause) => pause,
        };
        if Instant::now() + pause > until {
            return Err(indeterminate(format!("the VolumeSnapshot '{name}' is not ready yet; {state}")));
        }
        sleep(pause).await;
    }
}

pub(super) async fn probe(api: &Api, object: &Object, job: &Job) -> Result<Probe, RemediatorError> {
    let name = name(object, job);
    Ok(match api.read(&format!("{}/{name}", folder(object))).await? {
        None => Probe::NotDone,
        Some(now) => judge(&now, &name).map_or(Probe::InProgress, Probe::Done),
    })
}

/// `None` while it is being taken.
fn judge(now: &Value, name: &str) -> Option<Outcome> {
    if now["status"]["readyToUse"] == true {
        return Some(succeeded(format!("the VolumeSnapshot '{name}' is ready")));
    }
    let error = now["status"]["error"]["message"].as_str()?;
    Some(failed(format!("the VolumeSnapshot '{name}' failed: {error}")))
}

fn folder(object: &Object) -> String {
    format!("{GROUP}/namespaces/{}/volumesnapshots", object.namespace)
}

/// The claim and the key, as a name may be (RFC 1123).
fn name(object: &Object, job: &Job) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let key: String = job.key.0.chars().map(plain).collect();
    let key = &key[key.len().saturating_sub(100)..];
    let claim: String = object.name.chars().take(100).collect();
    format!("{}-{}", claim.trim_end_matches(['.', '-']), key.trim_matches('-'))
}
