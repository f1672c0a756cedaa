//! An API server that refuses, throttles, conflicts, blocks and hangs up, for every word.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};
use vigil_remediator::kubernetes::KubernetesExecutor;
use vigil_remediator::{Executor, Job, Prepared};

use super::{act, executor, ready, rejected};
use crate::bench::{PATIENCE, spawn};

/// What is answered to a write. Once the script is at its end every write succeeds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reply {
    Done,
    Forbidden,
    Conflict,
    /// 429 with `Retry-After: 7`.
    Throttled,
    /// 429 with `Retry-After: 1`.
    Soon,
    /// 503 with `Retry-After: 7`.
    Busy,
    Broken,
    /// A PodDisruptionBudget.
    Budget,
    HangUp,
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    writes: Mutex<Vec<(String, Value)>>,
    /// The same for reads; a script at its end answers what is there.
    reads: Mutex<VecDeque<Reply>>,
    /// How often a pod is still there once it was evicted.
    lingers: AtomicUsize,
}

/// A scripted cluster: one Deployment with pods on two nodes, a node, a claim.
struct Cluster {
    script: Arc<Script>,
    executor: Arc<KubernetesExecutor>,
    _folder: TempDir,
}

impl Cluster {
    async fn start(replies: &[Reply]) -> Self {
        let script = Arc::new(Script { replies: Mutex::new(replies.iter().copied().collect()), ..Script::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(script.clone());
        spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        Self { script, executor: executor(&kubeconfig, "shop").await, _folder: folder }
    }

    async fn run(&self, job: &Job) -> Result<Outcome, RemediatorError> {
        let before = ready(&self.executor, job).await;
        self.executor.execute(job, &before, Instant::now() + Duration::from_millis(1500)).await
    }

    async fn run_within(&self, job: &Job, patience: Duration) -> Result<Outcome, RemediatorError> {
        let before = ready(&self.executor, job).await;
        self.executor.execute(job, &before, Instant::now() + patience).await
    }

    /// What the next reads are answered.
    fn reading(self, replies: &[Reply]) -> Self {
        self.script.reads.lock().unwrap().extend(replies);
        self
    }

    fn writes(&self) -> Vec<(String, Value)> {
        self.script.writes.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method == Method::GET {
        let reply = script.reads.lock().unwrap().pop_front().unwrap_or(Reply::Done);
        return match object(uri.path(), uri.query().unwrap_or_default(), &script) {
            _ if reply != Reply::Done => refuse(reply),
            Some(found) => axum::Json(found).into_response(),
            None => status(StatusCode::NOT_FOUND, "not found", json!({})),
        };
    }
    assert!(uri.query().unwrap_or_default().contains("fieldManager=vigil-remediator"));
    script.writes.lock().unwrap().push((format!("{method} {}", uri.path()), body.clone()));
    let reply = script.replies.lock().unwrap().pop_front().unwrap_or(Reply::Done);
    match reply {
        Reply::Done => (StatusCode::OK, axum::Json(body)).into_response(),
        other => refuse(other),
    }
}

fn refuse(reply: Reply) -> Response {
    let wait = [("Retry-After", "7")];
    match reply {
        Reply::Done => unreachable!("it is done"),
        Reply::Forbidden => status(StatusCode::FORBIDDEN, "vigil may not do that", json!({})),
        Reply::Conflict => status(StatusCode::CONFLICT, "the object has been modified", json!({})),
        Reply::Throttled => (wait, status(StatusCode::TOO_MANY_REQUESTS, "slow down", json!({}))).into_response(),
        Reply::Soon => {
            ([("Retry-After", "1")], status(StatusCode::TOO_MANY_REQUESTS, "slow down", json!({}))).into_response()
        }
        Reply::Busy => (wait, status(StatusCode::SERVICE_UNAVAILABLE, "starting", json!({}))).into_response(),
        Reply::Broken => status(StatusCode::INTERNAL_SERVER_ERROR, "etcd leader changed", json!({})),
        Reply::Budget => {
            let causes = json!({"causes": [{"reason": "DisruptionBudget", "message": "needs 2 healthy pods"}]});
            status(
                StatusCode::TOO_MANY_REQUESTS,
                "Cannot evict pod as it would violate the pod's disruption budget.",
                causes,
            )
        }
        Reply::HangUp => panic!("hangs up, as scripted"),
    }
}

fn status(code: StatusCode, message: &str, details: Value) -> Response {
    (code, axum::Json(json!({"kind": "Status", "message": message, "details": details, "code": code.as_u16()})))
        .into_response()
}

fn object(path: &str, query: &str, script: &Script) -> Option<Value> {
    let evicted = script.writes.lock().unwrap().iter().filter(|(what, _)| what.ends_with("/eviction")).count();
    let is_there = |name: &str| {
        evicted == 0
            || path.ends_with(name) && script.lingers.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    };
    let pod = |name: &str, node: &str| {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "ownerReferences": [{"controller": true, "kind": "ReplicaSet"}]},
            "spec": {"nodeName": node, "volumes": []}, "status": {"phase": "Running"}})
    };
    let node = |name: &str| {
        json!({"metadata": {"name": name, "annotations": {"vigil.io/cordoned-by": if name == "ours" { json!("k") } else { Value::Null }}},
            "spec": {"unschedulable": name == "ours"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    };
    Some(match path {
        "/version" => json!({"major": "1"}),
        "/api/v1" => json!({"resources": [{"name": "pods/eviction", "group": "policy", "version": "v1"}]}),
        "/apis/apps/v1/namespaces/shop/deployments/web" => json!({
            "metadata": {"generation": 3, "managedFields": []},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}}),
        "/apis/apps/v1/namespaces/shop/deployments/declared" => json!({
            "metadata": {"generation": 1, "managedFields": [
                {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "argocd", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
            "spec": {"replicas": 3}}),
        "/apis/apps/v1/namespaces/shop/deployments/applied" => json!({
            "metadata": {"generation": 1, "annotations": {"kubectl.kubernetes.io/last-applied-configuration":
                json!({"spec": {"replicas": 3}}).to_string()}}, "spec": {"replicas": 3}}),
        "/apis/apps/v1/namespaces/shop/deployments/applied-without" => json!({
            "metadata": {"generation": 1, "annotations": {"kubectl.kubernetes.io/last-applied-configuration":
                json!({"spec": {"paused": false}}).to_string()}}, "spec": {"replicas": 3}}),
        "/apis/apps/v1/namespaces/shop/statefulsets/by-hand" => json!({
            "metadata": {"generation": 1}, "spec": {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}}),
        "/apis/apps/v1/namespaces/shop/statefulsets/in-parts" => json!({
            "metadata": {"generation": 1},
            "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}}),
        "/apis/apps/v1/namespaces/shop/deployments/web/scale" => {
            json!({"metadata": {"name": "web", "resourceVersion": "9"}, "spec": {"replicas": 3}})
        }
        "/apis/autoscaling/v1/namespaces/shop/horizontalpodautoscalers" => json!({"items": []}),
        "/api/v1/nodes" => json!({"items": [node("n1"), node("n2")]}),
        "/api/v1/nodes/n1" => node("n1"),
        "/api/v1/nodes/ours" => node("ours"),
        "/api/v1/namespaces/shop/pods" => {
            assert_eq!(query, "labelSelector=app%3Dweb");
            json!({"items": [pod("a", "n1"), pod("b", "n1"), pod("c", "n1")]})
        }
        "/api/v1/pods" if query.contains("nodeName%3Dn1") && evicted == 0 => json!({"items": [pod("a", "n1")]}),
        "/api/v1/pods" => json!({"items": []}),
        "/api/v1/namespaces/shop/pods/a" if is_there("a") => pod("a", "n1"),
        // Gone, as soon as an eviction was taken.
        "/api/v1/namespaces/shop/pods/c" if is_there("c") => pod("c", "n1"),
        "/api/v1/namespaces/shop/persistentvolumeclaims/data" => json!({"metadata": {"name": "data"}}),
        "/apis/snapshot.storage.k8s.io/v1" => json!({"resources": []}),
        path if path.starts_with("/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots/") => {
            json!({"status": {"readyToUse": true}})
        }
        _ => return None,
    })
}

/// Every word, on what it means something on.
fn words() -> Vec<(&'static str, Job)> {
    vec![
        ("restart", act("k", "web", "restart", json!({}))),
        ("scale-up", act("k", "web", "scale-up", json!({}))),
        ("scale-down", act("k", "web", "scale-down", json!({}))),
        ("rebalance", act("k", "web", "rebalance", json!({}))),
        ("drain a pod", act("k", "pod/a", "drain-pod", json!({}))),
        ("drain a node", act("k", "node/n1", "drain-pod", json!({}))),
        ("cordon", act("k", "node/n1", "custom", json!({"operation": "cordon"}))),
        ("uncordon", act("k", "node/ours", "custom", json!({"operation": "uncordon"}))),
        ("snapshot", act("k", "pvc/data", "snapshot", json!({}))),
    ]
}

/// An answer in one word.
fn word(answer: &Result<Outcome, RemediatorError>) -> String {
    match answer {
        Ok(Outcome::Succeeded { .. }) => "succeeded".to_owned(),
        Ok(Outcome::Rejected { reason }) => format!("rejected: {reason}"),
        Ok(Outcome::Failed { reason, retryable }) => format!("failed ({retryable}): {reason}"),
        Ok(Outcome::InProgress) => "in progress".to_owned(),
        Err(RemediatorError::Throttled { retry_after }) => format!("throttled {}", retry_after.as_secs()),
        Err(RemediatorError::Indeterminate(_)) => "indeterminate".to_owned(),
        Err(RemediatorError::Unavailable(_)) => "unavailable".to_owned(),
        Err(_) => "another error".to_owned(),
    }
}

fn evicts(word: &str) -> bool {
    matches!(word, "rebalance" | "drain a pod")
}

#[tokio::test]
async fn every_word_is_done_with_one_write() {
    for (name, job) in words() {
        let cluster = Cluster::start(&[]).await;
        assert_eq!(word(&cluster.run(&job).await), "succeeded", "{name}");
        let expected = if name == "drain a node" { 2 } else { 1 };
        assert_eq!(cluster.writes().len(), expected, "{name}: {:?}", cluster.writes());
    }
}

#[tokio::test]
async fn a_refusal_is_a_rejection_with_its_words() {
    for (name, job) in words() {
        let cluster = Cluster::start(&[Reply::Forbidden]).await;
        let answer = word(&cluster.run(&job).await);
        assert!(answer.starts_with("rejected: ") && answer.ends_with("vigil may not do that"), "{name}: {answer}");
        assert_eq!(cluster.writes().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_was_asked_nothing() {
    for reply in [Reply::Throttled, Reply::Busy] {
        for (name, job) in words() {
            let cluster = Cluster::start(&[reply]).await;
            assert_eq!(word(&cluster.run(&job).await), "throttled 7", "{name}, {reply:?}");
            assert_eq!(cluster.writes().len(), 1, "{name}, {reply:?}: it is not asked again before");
        }
    }
    // A wait that ends before the deadline is waited for.
    for (name, job) in words().into_iter().filter(|(name, _)| evicts(name)) {
        let cluster = Cluster::start(&[Reply::Soon]).await;
        let began = Instant::now();
        assert_eq!(word(&cluster.run_within(&job, PATIENCE).await), "succeeded", "{name}");
        assert!(began.elapsed() >= Duration::from_secs(1), "{name}");
        assert_eq!(cluster.writes().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn an_eviction_that_was_taken_is_not_asked_for_again() {
    for (name, job) in words().into_iter().filter(|(name, _)| evicts(name)) {
        let cluster = Cluster::start(&[]).await;
        cluster.script.lingers.store(4, SeqCst);
        assert_eq!(word(&cluster.run_within(&job, PATIENCE).await), "succeeded", "{name}");
        assert_eq!(cluster.writes().len(), 1, "{name}");
    }
}

/// Each failure of a read, before anything was done, while it is waited for, and when it is asked what became of it.
#[tokio::test]
async fn a_read_that_fails_says_nothing_of_the_thing() {
    for (reply, said) in [
        (Reply::Forbidden, "unavailable"),
        (Reply::Throttled, "throttled 7"),
        (Reply::Busy, "throttled 7"),
        (Reply::Broken, "unavailable"),
        (Reply::HangUp, "unavailable"),
    ] {
        for (name, job) in words() {
            let cluster = Cluster::start(&[]).await.reading(&[reply]);
            let prepared = cluster.executor.prepare(&job).await;
            match (reply, prepared) {
                (Reply::Forbidden, Ok(Prepared::Rejected(reason))) => {
                    assert_eq!(reason, "vigil may not do that", "{name}");
                }
                (_, prepared) => {
                    let prepared = prepared.map(|_| Outcome::InProgress);
                    assert_eq!(word(&prepared), said, "prepare {name}, {reply:?}");
                }
            }
            assert!(cluster.writes().is_empty());
            let before = ready(&cluster.executor, &job).await;
            let cluster = cluster.reading(&[reply]);
            let probe = cluster.executor.probe(&job, &before, PATIENCE).await.map(|_| Outcome::InProgress);
            assert_eq!(word(&probe), said, "probe {name}, {reply:?}");
        }
    }
    // What was written is waited for, though it cannot be looked at for a while.
    for reply in [Reply::Forbidden, Reply::Soon, Reply::Broken, Reply::HangUp] {
        let (cluster, job) = (Cluster::start(&[]).await, act("k", "web", "restart", json!({})));
        let before = ready(&cluster.executor, &job).await;
        let cluster = cluster.reading(&[reply]);
        let answer = cluster.executor.execute(&job, &before, Instant::now() + PATIENCE).await;
        assert_eq!((word(&answer).as_str(), cluster.writes().len()), ("succeeded", 1), "{reply:?}");
        let cluster = cluster.reading(&[reply; 99]);
        let answer = cluster.executor.execute(&job, &before, Instant::now() + Duration::from_millis(1500)).await;
        assert_eq!(word(&answer), "indeterminate", "{reply:?} for ever");
    }
}

#[tokio::test]
async fn a_rollout_that_keeps_pods_as_they_are_is_not_begun() {
    let cluster = Cluster::start(&[]).await;
    for object in ["statefulset/by-hand", "statefulset/in-parts"] {
        let reason = rejected(&cluster.executor, &act("k", object, "restart", json!({}))).await;
        assert!(reason.starts_with("its update strategy keeps pods as they are"), "{reason}");
        ready(&cluster.executor, &act("k", object, "scale-up", json!({}))).await;
    }
}

#[tokio::test]
async fn a_conflict_is_tried_over_where_that_is_safe() {
    for (name, job) in words() {
        let cluster = Cluster::start(&[Reply::Conflict, Reply::Conflict]).await;
        let expected = match name {
            // The node was changed by another: look again first.
            "drain a node" | "cordon" | "uncordon" => "throttled 3",
            // A snapshot of this key is there already; an eviction whose precondition fails means another pod.
            _ => "succeeded",
        };
        assert_eq!(word(&cluster.run(&job).await), expected, "{name}");
    }
    for name in ["restart", "scale-up", "scale-down"] {
        let cluster = Cluster::start(&[Reply::Conflict; 9]).await;
        assert_eq!(word(&cluster.run(&act("k", "web", name, json!({}))).await), "throttled 3", "{name}: for ever");
        assert_eq!(cluster.writes().len(), 5);
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_indeterminate() {
    for reply in [Reply::Broken, Reply::HangUp] {
        for (name, job) in words() {
            let cluster = Cluster::start(&[reply]).await;
            // An eviction names the pod's uid: asked for again it does no more.
            let expected = if evicts(name) { "succeeded" } else { "indeterminate" };
            assert_eq!(word(&cluster.run(&job).await), expected, "{name}, {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_budget_is_waited_for_until_the_deadline() {
    for (name, replies) in [("drain a pod", vec![Reply::Budget; 99]), ("rebalance", vec![Reply::Budget; 99])] {
        let job = words().into_iter().find(|(word, _)| *word == name).unwrap().1;
        let cluster = Cluster::start(&replies).await;
        let answer = word(&cluster.run(&job).await);
        assert!(
            answer.starts_with("failed (true): 0 of 1 pods evicted in time; 1 left: Cannot evict pod"),
            "{name}: {answer}"
        );
        assert_eq!(cluster.writes().len(), 1, "{name}: some seconds are left between two tries");
        let cluster = Cluster::start(&[Reply::Budget]).await;
        assert_eq!(word(&cluster.run_within(&job, PATIENCE).await), "succeeded", "{name}");
    }
    let job = words().into_iter().find(|(word, _)| *word == "drain a node").unwrap().1;
    let cluster = Cluster::start(&[&[Reply::Done][..], &[Reply::Budget; 99]].concat()).await;
    let answer = word(&cluster.run(&job).await);
    assert!(answer.starts_with("failed (true): cordoned; 0 of 1 pods evicted in time"), "{answer}");
}

#[tokio::test]
async fn what_is_written_is_no_more_than_is_meant() {
    let sent = async |object: &str, action: &str, params: Value| {
        let cluster = Cluster::start(&[]).await;
        cluster.run(&act("k", object, action, params)).await.unwrap();
        cluster.writes()
    };
    let web = "/apis/apps/v1/namespaces/shop/deployments/web";
    let annotations = json!({"annotations": {"vigil.io/idempotency-key": "k"}});
    assert_eq!(
        sent("web", "restart", json!({})).await,
        [(format!("PATCH {web}"), json!({"spec": {"template": {"metadata": annotations}}}))]
    );
    let scale = json!({"metadata": {"name": "web", "resourceVersion": "9"}, "spec": {"replicas": 5}});
    assert_eq!(sent("web", "scale-up", json!({"step": 2})).await, [(format!("PUT {web}/scale"), scale)]);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "shop"},
        "deleteOptions": {"preconditions": {"uid": "uid-a"}, "gracePeriodSeconds": 5}});
    assert_eq!(
        sent("pod/a", "drain-pod", json!({"grace_seconds": 5})).await,
        [("POST /api/v1/namespaces/shop/pods/a/eviction".to_owned(), eviction)]
    );
    let uncordon =
        json!({"metadata": {"annotations": {"vigil.io/cordoned-by": null}}, "spec": {"unschedulable": null}});
    assert_eq!(
        sent("node/ours", "custom", json!({"operation": "uncordon"})).await,
        [("PATCH /api/v1/nodes/ours".to_owned(), uncordon)]
    );
}

#[tokio::test]
async fn a_snapshot_is_named_after_the_key_and_found_by_it() {
    let cluster = Cluster::start(&[]).await;
    let job = act("Default-action-7-0f", "pvc/data", "snapshot", json!({"snapshot_class": "fast"}));
    let before = ready(&cluster.executor, &job).await;
    let said = cluster.run(&job).await.unwrap();
    let name = "data-default-action-7-0f";
    assert_eq!(said, Outcome::Succeeded { details: Some(format!("the VolumeSnapshot '{name}' is ready")) });
    let long = act("k", &format!("pvc/{}.b", "a".repeat(99)), "snapshot", json!({}));
    cluster.executor.execute(&long, &before, Instant::now() + PATIENCE).await.unwrap();
    let name_of_long = cluster.writes()[1].1["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name_of_long, format!("{}-k", "a".repeat(99)), "no part of it ends in a dot or a dash");
    let (path, body) = cluster.writes().remove(0);
    assert_eq!(path, "POST /apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots");
    assert_eq!(body["metadata"], json!({"name": name, "namespace": "shop"}));
    let spec = json!({"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "fast"});
    assert_eq!(body["spec"], spec);
    let probe = cluster.executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(probe, Probe::Done(Outcome::Succeeded { .. })), "{probe:?}");
}

#[tokio::test]
async fn a_rollout_whose_annotation_is_gone_is_not_repeated_unless_nothing_was_changed() {
    let cluster = Cluster::start(&[]).await;
    let job = act("k", "web", "restart", json!({}));
    let probe = async |generation: u32| {
        let before = json!({"generation": generation});
        cluster.executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap()
    };
    assert_eq!((probe(3).await, probe(2).await), (Probe::NotDone, Probe::Unknown));
}

#[tokio::test]
async fn the_number_of_replicas_is_left_to_the_field_manager_that_declares_it() {
    let cluster = Cluster::start(&[]).await;
    let reason = rejected(&cluster.executor, &act("k", "declared", "scale-up", json!({}))).await;
    let says = "owns the number of replicas: change it there, or say params.force: true";
    assert_eq!(reason, format!("the field manager 'argocd' {says}"));
    let reason = rejected(&cluster.executor, &act("k", "applied", "scale-up", json!({}))).await;
    assert_eq!(reason, format!("the manifest of 'kubectl apply' {says}"));
    for (object, params) in
        [("declared", json!({"force": true})), ("applied", json!({"force": true})), ("applied-without", json!({}))]
    {
        ready(&cluster.executor, &act("k", object, "scale-up", params)).await;
    }
    ready(&cluster.executor, &act("k", "declared", "restart", json!({}))).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_was_asked_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let executor = executor(&kubeconfig, "shop").await;
    for (name, job) in words() {
        let answer = executor
            .execute(
                &job,
                &json!({"from": 3, "to": 4, "pods": [["shop", "a", "uid-a"]]}),
                Instant::now() + Duration::from_secs(1),
            )
            .await;
        assert_eq!(word(&answer), "unavailable", "{name}");
    }
}
