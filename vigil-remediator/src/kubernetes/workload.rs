//! Rollouts and scaling of Deployments, StatefulSets and DaemonSets.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::LOOK;
use super::api::{Api, FIELD_MANAGER, JSON, MERGE, Unread};
use super::object::{Kind, Object};
use crate::executor::{Prepared, failed, indeterminate, succeeded};
use crate::job::Job;

/// Carries the key in the pod template: a template that changed is rolled out.
const KEY: &str = "vigil.io/idempotency-key";
/// Where `kubectl apply` keeps the manifest that it applied last.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The most replicas without `params.max`.
const MOST: u64 = 10;
/// How often a write is tried over that met a newer version of the object.
const CONFLICTS: usize = 5;

pub(super) fn prepare_restart(kind: Kind, now: &Value) -> Prepared {
    if now["spec"]["paused"] == true {
        return Prepared::Rejected("its rollouts are paused: somebody is at it".to_owned());
    }
    if holds_back(kind, now) {
        return Prepared::Rejected("its update strategy keeps pods as they are (OnDelete, or a partition)".to_owned());
    }
    Prepared::Ready(json!({ "generation": now["metadata"]["generation"] }))
}

pub(super) async fn restart(api: &Api, object: &Object, job: &Job, until: Instant) -> Result<Outcome, RemediatorError> {
    let annotations = json!({ KEY: job.key.0 });
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    for _ in 0..CONFLICTS {
        match api.write(Method::PATCH, &object.path(), MERGE, &patch).await? {
            Ok(_) => return wait(api, object, "rolled out", until).await,
            Err(refusal) if refusal.status == StatusCode::CONFLICT => sleep(LOOK).await,
            Err(refusal) => return Ok(Outcome::Rejected { reason: refusal.message }),
        }
    }
    Err(RemediatorError::Throttled { retry_after: LOOK * 10 })
}

pub(super) async fn probe_restart(
    api: &Api,
    object: &Object,
    job: &Job,
    before: &Value,
) -> Result<Probe, RemediatorError> {
    let Some(now) = api.read(&object.path()).await? else { return Ok(Probe::Unknown) };
    if now["spec"]["template"]["metadata"]["annotations"][KEY] != job.key.0 {
        // Changed since by somebody else: the key may have been there, and may have been overwritten.
        let is_as_before = now["metadata"]["generation"] == before["generation"];
        return Ok(if is_as_before { Probe::NotDone } else { Probe::Unknown });
    }
    Ok(match rollout(object.kind, &now) {
        Rollout::Done => Probe::Done(succeeded("rolled out: its pods carry the key")),
        Rollout::Stuck(why) => Probe::Done(failed(why)),
        Rollout::Going(_) => Probe::InProgress,
    })
}

/// Decides the number of replicas, unless somebody else decides it.
pub(super) async fn prepare_scale(api: &Api, object: &Object, job: &Job, now: &Value) -> Result<Prepared, Unread> {
    let bounds = || -> Result<_, String> {
        let step = job.whole("step", 1..=100)?.unwrap_or(1);
        Ok((step, job.whole("min", 0..=10_000)?.unwrap_or(1), job.whole("max", 1..=10_000)?.unwrap_or(MOST)))
    };
    let (step, min, max) = match bounds() {
        Ok(bounds) => bounds,
        Err(wrong) => return Ok(Prepared::Rejected(wrong)),
    };
    if let Some(owner) = autoscaler(api, object).await? {
        return Ok(Prepared::Rejected(format!("{owner} owns the number of replicas: change it there")));
    }
    if let Some(owner) = applier(now).filter(|_| job.params.get("force") != Some(&Value::Bool(true))) {
        let reason = format!("{owner} owns the number of replicas: change it there, or say params.force: true");
        return Ok(Prepared::Rejected(reason));
    }
    let from = now["spec"]["replicas"].as_u64().unwrap_or(1);
    let to = match job.action {
        ActionType::ScaleUp => (from + step).min(max),
        _ => from.saturating_sub(step).max(min),
    };
    let goes_the_right_way = if job.action == ActionType::ScaleUp { to > from } else { to < from };
    if !goes_the_right_way {
        return Ok(Prepared::Rejected(format!("it has {from} replicas, and may have from {min} to {max}")));
    }
    Ok(Prepared::Ready(json!({ "from": from, "to": to })))
}

pub(super) async fn scale(
    api: &Api,
    object: &Object,
    before: &Value,
    until: Instant,
) -> Result<Outcome, RemediatorError> {
    let (from, to) = (&before["from"], &before["to"]);
    let path = format!("{}/scale", object.path());
    for _ in 0..CONFLICTS {
        let Some(mut scale) = api.read(&path).await? else {
            return Ok(Outcome::Rejected { reason: "it is gone".to_owned() });
        };
        let replicas = &scale["spec"]["replicas"];
        // A scale to 0 is shown as no number.
        let now = if replicas.is_null() { &json!(0) } else { replicas };
        if now != from && now != to {
            return Ok(Outcome::Rejected {
                reason: format!("somebody else has scaled it from {from} to {now} meanwhile"),
            });
        }
        scale["spec"]["replicas"] = to.clone();
        // With the version that was read: if another writes in between, this is refused.
        match api.write(Method::PUT, &path, JSON, &scale).await? {
            Ok(_) => return wait(api, object, &format!("scaled from {from} to {to}"), until).await,
            Err(refusal) if refusal.status == StatusCode::CONFLICT => sleep(LOOK).await,
            Err(refusal) => return Ok(Outcome::Rejected { reason: refusal.message }),
        }
    }
    Err(RemediatorError::Throttled { retry_after: LOOK * 10 })
}

pub(super) async fn probe_scale(api: &Api, object: &Object, before: &Value) -> Result<Probe, RemediatorError> {
    let Some(now) = api.read(&object.path()).await? else { return Ok(Probe::Unknown) };
    let replicas = now["spec"]["replicas"].as_u64();
    Ok(if replicas == before["to"].as_u64() {
        match rollout(object.kind, &now) {
            Rollout::Done => Probe::Done(succeeded(format!("it has {} replicas", before["to"]))),
            Rollout::Stuck(why) => Probe::Done(failed(why)),
            Rollout::Going(_) => Probe::InProgress,
        }
    } else if replicas == before["from"].as_u64() {
        Probe::NotDone
    } else {
        Probe::Unknown
    })
}

/// Waits until what was written is true of the pods.
pub(super) async fn wait(api: &Api, object: &Object, what: &str, until: Instant) -> Result<Outcome, RemediatorError> {
    let mut state = String::new();
    loop {
        let looked = api.watch(&object.path(), &mut state).await;
        match &looked {
            Ok(Some(now)) => match rollout(object.kind, now) {
                Rollout::Done => return Ok(succeeded(what)),
                Rollout::Stuck(why) => return Ok(failed(format!("{what}, and {why}"))),
                Rollout::Going(how_far) => state = how_far,
            },
            Ok(None) => return Ok(failed(format!("{what}, and it is gone"))),
            // It was written: whether the pods follow can be asked again.
            Err(_) => {}
        }
        let pause = looked.as_ref().err().copied().unwrap_or(LOOK);
        if Instant::now() + pause > until {
            return match looked {
                Ok(_) => Ok(failed(format!("{what}, and not done in time: {state}"))),
                Err(_) => Err(indeterminate(format!("{what}; {state}"))),
            };
        }
        sleep(pause).await;
    }
}

/// How far the pods are behind the template.
enum Rollout {
    Done,
    Going(String),
    Stuck(String),
}

/// As `kubectl rollout status` judges.
fn rollout(kind: Kind, now: &Value) -> Rollout {
    let (spec, status) = (&now["spec"], &now["status"]);
    let number = |field: &str| status[field].as_u64().unwrap_or(0);
    if status["observedGeneration"].as_i64() < now["metadata"]["generation"].as_i64() {
        return Rollout::Going("its controller has not seen the change yet".to_owned());
    }
    let wanted = match kind {
        Kind::DaemonSet => number("desiredNumberScheduled"),
        _ => spec["replicas"].as_u64().unwrap_or(1),
    };
    let (there, updated, available) = match kind {
        Kind::DaemonSet => {
            (number("currentNumberScheduled"), number("updatedNumberScheduled"), number("numberAvailable"))
        }
        Kind::StatefulSet if status["currentRevision"] == status["updateRevision"] => {
            (number("replicas"), number("replicas"), number("readyReplicas"))
        }
        Kind::StatefulSet => (number("replicas"), number("updatedReplicas"), number("readyReplicas")),
        _ => (number("replicas"), number("updatedReplicas"), number("availableReplicas")),
    };
    let updated = if holds_back(kind, now) { wanted } else { updated };
    let conditions = status["conditions"].as_array();
    let stuck =
        conditions.and_then(|all| all.iter().find(|condition| condition["reason"] == "ProgressDeadlineExceeded"));
    if let Some(stuck) = stuck {
        return Rollout::Stuck(format!("it makes no progress: {}", stuck["message"].as_str().unwrap_or_default()));
    }
    if there == wanted && updated == wanted && available == wanted {
        return Rollout::Done;
    }
    Rollout::Going(format!("{updated} of {wanted} updated, {available} available, {there} there"))
}

/// Whether pods stay as they are when the template changes, some or all.
fn holds_back(kind: Kind, now: &Value) -> bool {
    let strategy = &now["spec"]["updateStrategy"];
    kind != Kind::Deployment
        && (strategy["type"] == "OnDelete"
            || strategy["rollingUpdate"]["partition"].as_u64().is_some_and(|from| from > 0))
}

/// A HorizontalPodAutoscaler that scales it.
async fn autoscaler(api: &Api, object: &Object) -> Result<Option<String>, Unread> {
    let path = format!("/apis/autoscaling/v1/namespaces/{}/horizontalpodautoscalers", object.namespace);
    let scales_it = |autoscaler: &&Value| {
        let target = &autoscaler["spec"]["scaleTargetRef"];
        target["kind"] == object.kind_name() && target["name"] == object.name
    };
    let autoscalers = api.list(&path).await?;
    let found = autoscalers.iter().find(scales_it);
    Ok(found.map(|found| {
        format!("the HorizontalPodAutoscaler '{}'", found["metadata"]["name"].as_str().unwrap_or_default())
    }))
}

/// Who declares the number of replicas, and would put back what is changed here: a field manager that applies it on the server, or
/// whoever applied a manifest with it by `kubectl apply`. Whoever wrote it once, by `kubectl scale` say, declares nothing.
fn applier(now: &Value) -> Option<String> {
    let mut managers = now["metadata"]["managedFields"].as_array().into_iter().flatten();
    let manager = managers.find(|entry| {
        entry["operation"] == "Apply"
            && entry["manager"] != FIELD_MANAGER
            && !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null()
    });
    if let Some(manager) = manager {
        return Some(format!("the field manager '{}'", manager["manager"].as_str().unwrap_or_default()));
    }
    let applied = now["metadata"]["annotations"][APPLIED].as_str()?;
    let applied: Value = serde_json::from_str(applied).ok()?;
    (!applied["spec"]["replicas"].is_null()).then(|| "the manifest of 'kubectl apply'".to_owned())
}
