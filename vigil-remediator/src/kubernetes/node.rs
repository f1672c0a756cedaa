//! Nodes: cordon, uncordon, drain.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::api::{Api, FIELD_MANAGER, MERGE, Unread};
use super::object::Object;
use super::pods::{Pod, controller, evict_all, grace, has_controller};
use crate::executor::{Prepared, failed, succeeded};
use crate::job::Job;

/// Says on a node that it was cordoned here, and for which key.
const CORDONED: &str = "vigil.io/cordoned-by";

/// `custom` on a node: `params.operation` is `cordon` or `uncordon`.
pub(super) fn prepare_custom(job: &Job, now: &Value) -> Prepared {
    let is_cordoned = now["spec"]["unschedulable"] == true;
    let is_ours = !now["metadata"]["annotations"][CORDONED].is_null() && !is_anothers(now);
    match job.text("operation") {
        Ok(Some("cordon")) if is_cordoned => Prepared::Rejected("it is cordoned already".to_owned()),
        Ok(Some("uncordon")) if !is_cordoned => Prepared::Rejected("it is not cordoned".to_owned()),
        Ok(Some("uncordon")) if !is_ours => {
            Prepared::Rejected("somebody else cordoned it, and has a reason: uncordon it by hand".to_owned())
        }
        Ok(Some("cordon" | "uncordon")) => Prepared::Ready(Value::Null),
        _ => Prepared::Rejected("custom on a node needs params.operation: cordon or uncordon".to_owned()),
    }
}

pub(super) async fn execute_custom(api: &Api, object: &Object, job: &Job) -> Result<Outcome, RemediatorError> {
    let is_cordon = job.text("operation") == Ok(Some("cordon"));
    if let Some(reason) = mark(api, object, is_cordon.then_some(job)).await? {
        return Ok(Outcome::Rejected { reason });
    }
    Ok(succeeded(if is_cordon { "cordoned" } else { "uncordoned" }))
}

pub(super) async fn probe_custom(api: &Api, object: &Object, job: &Job) -> Result<Probe, RemediatorError> {
    let Some(now) = api.read(&object.path()).await? else { return Ok(Probe::Unknown) };
    let is_cordoned = now["spec"]["unschedulable"] == true;
    Ok(match job.text("operation") == Ok(Some("cordon")) {
        wanted if wanted == is_cordoned => Probe::Done(succeeded(if is_cordoned { "cordoned" } else { "uncordoned" })),
        _ => Probe::NotDone,
    })
}

/// As `kubectl drain`, it does not lose what nobody would bring back, unless it is told to.
pub(super) async fn prepare_drain(api: &Api, object: &Object, job: &Job) -> Result<Prepared, Unread> {
    if let Err(wrong) = grace(job) {
        return Ok(Prepared::Rejected(wrong));
    }
    let pods = pods_to_move(api, object).await?;
    Ok(match would_be_lost(job, &pods) {
        Some(reason) => Prepared::Rejected(reason),
        None => Prepared::Ready(Value::Null),
    })
}

/// Why some of the pods must not be evicted: nobody would bring them, or what they keep on the node, back.
fn would_be_lost(job: &Job, pods: &[Value]) -> Option<String> {
    let allows = |name: &str| job.params.get(name) == Some(&Value::Bool(true));
    let named = |which: &dyn Fn(&Value) -> bool| -> Vec<String> {
        pods.iter().filter(|pod| which(pod)).map(|pod| Pod::of(pod).name).collect()
    };
    let lonely = named(&|pod| !has_controller(pod));
    if !lonely.is_empty() && !allows("force") {
        let names = lonely.join(", ");
        return Some(format!("no controller would bring {names} back; params.force: true evicts them anyway"));
    }
    let local = named(&|pod| {
        pod["spec"]["volumes"].as_array().is_some_and(|all| all.iter().any(|volume| !volume["emptyDir"].is_null()))
    });
    if !local.is_empty() && !allows("delete_emptydir_data") {
        let names = local.join(", ");
        return Some(format!("{names} keep data on the node; params.delete_emptydir_data: true deletes it"));
    }
    None
}

/// Cordons the node, unless somebody did, and evicts its pods. It stays cordoned, whatever comes of it.
pub(super) async fn drain(api: &Api, object: &Object, job: &Job, until: Instant) -> Result<Outcome, RemediatorError> {
    let Some(now) = api.read(&object.path()).await? else {
        return Ok(Outcome::Rejected { reason: "it is gone".to_owned() });
    };
    if now["spec"]["unschedulable"] != true
        && let Some(reason) = mark(api, object, Some(job)).await?
    {
        return Ok(Outcome::Rejected { reason });
    }
    let outcome = match pods_to_move(api, object).await {
        // Some may have come since it was looked at.
        Ok(pods) if would_be_lost(job, &pods).is_some() => {
            Ok(Outcome::Rejected { reason: would_be_lost(job, &pods).unwrap_or_default() })
        }
        Ok(pods) => {
            let pods: Vec<_> = pods.iter().map(Pod::of).collect();
            evict_all(api, job, &pods, until).await
        }
        Err(unread) => Err(unread.into()),
    };
    Ok(match outcome {
        Ok(Outcome::Succeeded { details }) => {
            succeeded(format!("cordoned and drained: {}", details.unwrap_or_default()))
        }
        Ok(Outcome::Failed { reason, retryable }) => {
            Outcome::Failed { reason: format!("cordoned; {reason}"), retryable }
        }
        Ok(Outcome::Rejected { reason }) => failed(format!("cordoned; then {reason}")),
        Ok(Outcome::InProgress) => Outcome::InProgress,
        // The cordon is done, and draining again goes on where this one ended.
        Err(error) => {
            let reason = format!("cordoned; then {}", crate::envelope::chain(&error));
            Outcome::Failed { reason, retryable: true }
        }
    })
}

pub(super) async fn probe_drain(api: &Api, object: &Object) -> Result<Probe, RemediatorError> {
    let Some(now) = api.read(&object.path()).await? else { return Ok(Probe::Unknown) };
    let is_drained = now["spec"]["unschedulable"] == true && pods_to_move(api, object).await?.is_empty();
    Ok(if is_drained { Probe::Done(succeeded("cordoned and drained")) } else { Probe::NotDone })
}

/// Those that a drain moves: not a DaemonSet's, which would come back at once, nor the kubelet's own, nor those that ended.
async fn pods_to_move(api: &Api, object: &Object) -> Result<Vec<Value>, Unread> {
    let mut pods = api.list(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", object.name)).await?;
    pods.retain(|pod| {
        controller(pod) != Some("DaemonSet")
            && pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null()
            && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
    });
    Ok(pods)
}

/// Whether somebody else wrote the cordon last, as the API server keeps account of it.
fn is_anothers(now: &Value) -> bool {
    let managers = now["metadata"]["managedFields"].as_array();
    let mut owners = managers.into_iter().flatten().filter(|entry| {
        let fields = &entry["fieldsV1"]["f:spec"];
        !fields["f:unschedulable"].is_null()
    });
    owners
        .next()
        .is_some_and(|first| first["manager"] != FIELD_MANAGER && owners.all(|entry| entry["manager"] != FIELD_MANAGER))
}

/// Cordons for a job, or uncordons; answers why the API server refuses to.
async fn mark(api: &Api, object: &Object, cordon_for: Option<&Job>) -> Result<Option<String>, RemediatorError> {
    let patch = json!({
        "metadata": { "annotations": { CORDONED: cordon_for.map(|job| &job.key.0) } },
        "spec": { "unschedulable": cordon_for.map(|_| true) },
    });
    match api.write(Method::PATCH, &object.path(), MERGE, &patch).await? {
        Ok(_) => Ok(None),
        Err(refusal) if refusal.status == StatusCode::CONFLICT => {
            Err(RemediatorError::Throttled { retry_after: super::IN_TRANSIT })
        }
        Err(refusal) => Ok(Some(refusal.message)),
    }
}
