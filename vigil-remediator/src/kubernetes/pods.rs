//! Pods: evicting them, one or several, never deleting them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use super::api::{Api, JSON, Unread};
use super::object::Object;
use super::{LOOK, workload};
use crate::executor::{Prepared, failed, succeeded};
use crate::job::Job;

/// How long it waits before it asks again for what a budget does not allow: as long as `kubectl drain`.
const BUDGET: Duration = Duration::from_secs(5);
/// How long before it asks again for what nobody answered.
const AGAIN: Duration = Duration::from_secs(2);

/// A pod by what tells it from its successor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Pod {
    pub(super) fn of(pod: &Value) -> Self {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { namespace: text("namespace"), name: text("name"), uid: text("uid") }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }

    fn json(&self) -> Value {
        json!([self.namespace, self.name, self.uid])
    }

    /// Whether it, and not a successor of its name, is still there.
    async fn is_there(&self, api: &Api) -> Result<bool, Unread> {
        Ok(api.read(&self.path()).await?.is_some_and(|now| now["metadata"]["uid"] == self.uid))
    }
}

/// Checks the grace period.
pub(super) fn grace(job: &Job) -> Result<Option<u64>, String> {
    job.whole("grace_seconds", 0..=3600)
}

pub(super) fn prepare_evict(job: &Job, now: &Value) -> Prepared {
    if let Err(wrong) = grace(job) {
        return Prepared::Rejected(wrong);
    }
    if !has_controller(now) && job.params.get("force") != Some(&Value::Bool(true)) {
        return Prepared::Rejected(
            "no controller would bring the pod back; params.force: true evicts it anyway".to_owned(),
        );
    }
    Prepared::Ready(json!({ "pods": [Pod::of(now).json()] }))
}

pub(super) async fn execute_evict(
    api: &Api,
    job: &Job,
    before: &Value,
    until: Instant,
) -> Result<Outcome, RemediatorError> {
    let pods = chosen(before);
    evict_all(api, job, &pods, until).await
}

/// Chooses pods of the workload on the node that has the most of them, as long as another has two fewer.
pub(super) async fn prepare_rebalance(api: &Api, object: &Object, job: &Job, now: &Value) -> Result<Prepared, Unread> {
    let most = match (grace(job), job.whole("max_evictions", 1..=100)) {
        (Ok(_), Ok(most)) => most.unwrap_or(1),
        (Err(wrong), _) | (_, Err(wrong)) => return Ok(Prepared::Rejected(wrong)),
    };
    let labels = now["spec"]["selector"]["matchLabels"].as_object();
    let has_expressions = now["spec"]["selector"]["matchExpressions"].as_array().is_some_and(|all| !all.is_empty());
    let (Some(labels), false) = (labels, has_expressions) else {
        return Ok(Prepared::Rejected("its selector is not made of labels alone".to_owned()));
    };
    // Labels are made of letters, digits and -_./ : in a query only the slash and the equals sign are written otherwise.
    let pair = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    let selector: Vec<_> = labels.iter().map(pair).map(|pair| pair.replace('/', "%2F").replace('=', "%3D")).collect();
    let path = format!("/api/v1/namespaces/{}/pods?labelSelector={}", object.namespace, selector.join("%2C"));
    let pods = api.list(&path).await?;
    let mut nodes: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
    for node in api.list("/api/v1/nodes").await?.iter().filter(|node| takes_pods(node)) {
        nodes.insert(node["metadata"]["name"].as_str().unwrap_or_default().to_owned(), Vec::new());
    }
    for pod in pods.iter().filter(|pod| pod["status"]["phase"] == "Running" && has_controller(pod)) {
        nodes.entry(pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).or_default().push(Pod::of(pod));
    }
    let mut victims = Vec::new();
    while (victims.len() as u64) < most {
        let fewest = nodes.values().map(Vec::len).min().unwrap_or(0);
        let Some(fullest) = nodes.values_mut().max_by_key(|pods| pods.len()).filter(|pods| pods.len() >= fewest + 2)
        else {
            break;
        };
        victims.extend(fullest.pop());
        // Where it goes is the scheduler's choice: counted as if to the emptiest.
        let emptiest = nodes.values_mut().min_by_key(|pods| pods.len()).expect("there is a fullest one");
        emptiest.push(Pod { namespace: String::new(), name: String::new(), uid: String::new() });
    }
    victims.retain(|pod| !pod.uid.is_empty());
    if victims.is_empty() {
        let counts: Vec<_> = nodes.iter().map(|(node, pods)| format!("{node}: {}", pods.len())).collect();
        return Ok(Prepared::Rejected(format!("its pods are spread evenly already ({})", counts.join(", "))));
    }
    Ok(Prepared::Ready(json!({ "pods": victims.iter().map(Pod::json).collect::<Vec<_>>() })))
}

/// Evicts one after another, each only when the workload is whole again.
pub(super) async fn rebalance(
    api: &Api,
    object: &Object,
    job: &Job,
    before: &Value,
    until: Instant,
) -> Result<Outcome, RemediatorError> {
    let pods = chosen(before);
    for (number, pod) in pods.iter().enumerate() {
        let evicted = evict_all(api, job, std::slice::from_ref(pod), until).await;
        let outcome = match evicted {
            Ok(Outcome::Succeeded { .. }) => {
                workload::wait(api, object, &format!("{} evicted", number + 1), until).await
            }
            other => other,
        };
        match outcome {
            Ok(Outcome::Succeeded { .. }) => {}
            other if number == 0 => return other,
            other => {
                let why = other.map_or_else(|error| crate::envelope::chain(&error), |outcome| format!("{outcome:?}"));
                return Ok(failed(format!("{number} of {} evicted, then: {why}", pods.len())));
            }
        }
    }
    Ok(succeeded(format!("{} pods evicted from the fullest nodes", pods.len())))
}

pub(super) async fn probe(api: &Api, before: &Value) -> Result<Probe, RemediatorError> {
    let pods = chosen(before);
    let mut left = 0;
    for pod in &pods {
        let now = api.read(&pod.path()).await?;
        left +=
            usize::from(now.is_some_and(|now| {
                now["metadata"]["uid"] == pod.uid && now["metadata"]["deletionTimestamp"].is_null()
            }));
    }
    Ok(match left {
        0 => Probe::Done(succeeded(format!("{} pods are evicted", pods.len()))),
        _ => Probe::NotDone,
    })
}

/// A pod on its way out.
struct Leaving<'a> {
    pod: &'a Pod,
    /// What was asked of the API server, and what it said.
    asked: Asked,
    /// Nothing more is asked about it before.
    not_before: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Nothing,
    /// It was sent, and nobody knows whether it was taken.
    Maybe,
    /// It was taken: all that is left is to look whether the pod is gone.
    Taken,
}

/// Evicts pods and waits until they are gone. A PodDisruptionBudget that does not allow it yet is waited for, and an API server that
/// asks to wait is given the time.
pub(super) async fn evict_all(api: &Api, job: &Job, pods: &[Pod], until: Instant) -> Result<Outcome, RemediatorError> {
    let version = eviction_version(api).await?;
    let now = Instant::now();
    let mut left: Vec<_> = pods.iter().map(|pod| Leaving { pod, asked: Asked::Nothing, not_before: now }).collect();
    let (mut acted, mut gone, mut why) = (false, 0, String::new());
    let mut busy_until = now;
    loop {
        let mut still = Vec::new();
        for mut leaving in std::mem::take(&mut left) {
            let now = Instant::now();
            if now < leaving.not_before.max(busy_until) {
                still.push(leaving);
                continue;
            }
            if leaving.asked != Asked::Taken {
                match evict(api, version, job, leaving.pod).await {
                    Ok(Ok(())) => leaving.asked = Asked::Taken,
                    Ok(Err(Refused::Budget(reason))) => {
                        why = reason;
                        leaving.not_before = now + BUDGET;
                    }
                    Ok(Err(Refused::Gone)) => {
                        gone += 1;
                        continue;
                    }
                    Ok(Err(Refused::Never(reason))) => {
                        return Ok(match acted || gone > 0 {
                            true => {
                                failed(format!("{gone} of {} pods evicted; {}: {reason}", pods.len(), leaving.pod.name))
                            }
                            false => Outcome::Rejected { reason: format!("{}: {reason}", leaving.pod.name) },
                        });
                    }
                    // Its wait is over too late, and nothing was done.
                    Err(RemediatorError::Throttled { retry_after }) if !acted && now + retry_after > until => {
                        return Err(RemediatorError::Throttled { retry_after });
                    }
                    Err(RemediatorError::Throttled { retry_after }) => {
                        why = "the API server is busy".to_owned();
                        busy_until = now + retry_after;
                    }
                    // The same eviction again does no more than the first: it names the uid.
                    Err(error @ RemediatorError::Indeterminate(_)) => {
                        why = crate::envelope::chain(&error);
                        leaving.asked = Asked::Maybe;
                        leaving.not_before = now + AGAIN;
                    }
                    Err(nothing_done) if !acted => return Err(nothing_done),
                    Err(error) => {
                        why = crate::envelope::chain(&error);
                        leaving.not_before = now + AGAIN;
                    }
                }
                acted |= leaving.asked != Asked::Nothing;
            }
            if leaving.asked != Asked::Nothing {
                match leaving.pod.is_there(api).await.map_err(RemediatorError::from) {
                    Ok(false) => {
                        gone += 1;
                        continue;
                    }
                    Ok(true) if leaving.asked == Asked::Taken => {
                        why = format!("{} takes its time to end", leaving.pod.name);
                    }
                    Ok(true) => {}
                    Err(RemediatorError::Throttled { retry_after }) => busy_until = now + retry_after,
                    Err(error) => why = crate::envelope::chain(&error),
                }
            }
            still.push(leaving);
        }
        if still.is_empty() {
            return Ok(succeeded(format!("{} pods evicted", pods.len())));
        }
        if Instant::now() + LOOK > until {
            let said = format!("{gone} of {} pods evicted in time; {} left: {why}", pods.len(), still.len());
            return if acted || gone > 0 { Ok(failed(said)) } else { Ok(blocked(said)) };
        }
        left = still;
        sleep(LOOK).await;
    }
}

/// Nothing was evicted: a budget stood against it all the time. Another attempt may meet it in a better mood.
fn blocked(reason: String) -> Outcome {
    Outcome::Failed { reason, retryable: true }
}

enum Refused {
    /// A PodDisruptionBudget does not allow it now.
    Budget(String),
    /// It is not there any more, or another of its name is.
    Gone,
    Never(String),
}

/// Our own body: the typed one of kube 5.0 spells `deleteOptions` so that the API server does not see them.
async fn evict(api: &Api, version: &str, job: &Job, pod: &Pod) -> Result<Result<(), Refused>, RemediatorError> {
    let mut options = json!({ "preconditions": { "uid": pod.uid } });
    if let Some(grace) = grace(job).ok().flatten() {
        options["gracePeriodSeconds"] = json!(grace);
    }
    let eviction = json!({
        "apiVersion": version, "kind": "Eviction",
        "metadata": { "name": pod.name, "namespace": pod.namespace }, "deleteOptions": options,
    });
    Ok(match api.write(Method::POST, &format!("{}/eviction", pod.path()), JSON, &eviction).await? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is_budget => Err(Refused::Budget(refusal.message)),
        // 409: the precondition does not hold, so it is another pod.
        Err(refusal) if matches!(refusal.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Err(Refused::Gone),
        Err(refusal) => Err(Refused::Never(refusal.message)),
    })
}

/// The version of the eviction subresource: policy/v1 since Kubernetes 1.22, policy/v1beta1 before.
async fn eviction_version(api: &Api) -> Result<&'static str, RemediatorError> {
    let core = api.read("/api/v1").await?.unwrap_or_default();
    let resources = core["resources"].as_array();
    let eviction = resources.and_then(|all| all.iter().find(|resource| resource["name"] == "pods/eviction"));
    Ok(match eviction {
        Some(eviction) if eviction["version"] == "v1beta1" => "policy/v1beta1",
        _ => "policy/v1",
    })
}

fn chosen(before: &Value) -> Vec<Pod> {
    let pods: Vec<[String; 3]> = serde_json::from_value(before["pods"].clone()).unwrap_or_default();
    pods.into_iter().map(|[namespace, name, uid]| Pod { namespace, name, uid }).collect()
}

pub(super) fn has_controller(pod: &Value) -> bool {
    controller(pod).is_some()
}

/// The kind of what would bring it back.
pub(super) fn controller(pod: &Value) -> Option<&str> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["kind"].as_str()
}

fn takes_pods(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let is_ready = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    is_ready && node["spec"]["unschedulable"] != true
}
