//! Against a real API server, its controllers and its scheduler.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError};
use vigil_remediator::Executor;
use vigil_remediator::kubernetes::KubernetesExecutor;

use super::{act, executor, ready, rejected};
use crate::bench::{PATIENCE, envelope, have, request, spawn, until};

/// A namespace of its own.
struct Namespace {
    kubeconfig: PathBuf,
    name: &'static str,
}

const LATE: Duration = Duration::from_secs(60);

impl Namespace {
    fn new(name: &'static str) -> Option<Self> {
        let folder = have("kubernetes", "VIGIL_TEST_KUBERNETES")?;
        let namespace = Self { kubeconfig: Path::new(&folder).join("kubeconfig"), name };
        namespace.kubectl(&["delete", "namespace", name, "--ignore-not-found"], "");
        namespace.kubectl(&["create", "namespace", name], "");
        Some(namespace)
    }

    fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new("kubectl")
            .args(["--kubeconfig", self.kubeconfig.to_str().unwrap(), "-n", self.name])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        self.try_kubectl(arguments, input).unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    fn apply(&self, manifest: &Value) {
        self.kubectl(&["apply", "-f", "-"], &manifest.to_string());
    }

    fn read(&self, what: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"], what].concat(), "")).unwrap()
    }

    /// A Deployment whose pods are whole.
    fn deployment(&self, name: &str, replicas: u32, pod: Value) {
        // Not applied: a manifest that was declares its replicas.
        self.kubectl(&["create", "-f", "-"], &deployment(name, replicas, pod).to_string());
        self.kubectl(&["rollout", "status", "deployment", name, "--timeout=60s"], "");
    }

    fn pods(&self) -> Vec<Value> {
        self.read(&["pods"])["items"].as_array().unwrap().clone()
    }

    async fn executor(&self) -> std::sync::Arc<KubernetesExecutor> {
        executor(&self.kubeconfig, self.name).await
    }
}

fn deployment(name: &str, replicas: u32, mut pod: Value) -> Value {
    pod["containers"] = json!([{"name": "main", "image": "none"}]);
    pod["terminationGracePeriodSeconds"] = json!(1);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name, "vigil.io/of": "test"}},
            "template": {"metadata": {"labels": {"app": name, "vigil.io/of": "test"}}, "spec": pod},
        },
    })
}

fn is_done(probe: &Probe) -> bool {
    matches!(probe, Probe::Done(Outcome::Succeeded { .. }))
}

fn details(outcome: Outcome) -> String {
    match outcome {
        Outcome::Succeeded { details } => details.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_deployment_is_rolled_out_once() {
    let Some(namespace) = Namespace::new("rollout") else { return };
    namespace.deployment("web", 2, json!({}));
    let envelope = envelope(namespace.executor().await);
    assert_eq!(details(envelope.remediate(&request("k", 1, "web", "restart")).await.unwrap()), "rolled out");
    let after = namespace.read(&["deployment", "web"]);
    let carry = |pod: &&Value| pod["metadata"]["annotations"]["vigil.io/idempotency-key"] == "k";
    assert_eq!(namespace.pods().iter().filter(carry).count(), 2);
    let template = &after["spec"]["template"]["metadata"]["annotations"]["vigil.io/idempotency-key"];
    assert_eq!(template, "k");
    for attempt in 1..4 {
        assert_eq!(details(envelope.remediate(&request("k", attempt, "web", "restart")).await.unwrap()), "rolled out");
    }
    let again = namespace.read(&["deployment", "web"]);
    assert_eq!(again["metadata"]["generation"], after["metadata"]["generation"]);
}

#[tokio::test]
async fn a_probe_tells_by_the_annotation_and_the_same_patch_changes_nothing() {
    let Some(namespace) = Namespace::new("probing") else { return };
    namespace.apply(&json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {"serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 1}}},
    }));
    namespace.kubectl(&["rollout", "status", "statefulset", "db", "--timeout=60s"], "");
    let (executor, job) = (namespace.executor().await, act("k", "statefulset/db", "restart", json!({})));
    let before = ready(&executor, &job).await;
    assert_eq!(executor.probe(&job, &before, Duration::ZERO).await.unwrap(), Probe::InProgress, "it may be on its way");
    assert_eq!(executor.probe(&job, &before, LATE).await.unwrap(), Probe::NotDone);
    assert_eq!(details(executor.execute(&job, &before, until() + PATIENCE * 3).await.unwrap()), "rolled out");
    assert!(is_done(&executor.probe(&job, &before, LATE).await.unwrap()));
    let generation = namespace.read(&["statefulset", "db"])["metadata"]["generation"].clone();
    assert_eq!(details(executor.execute(&job, &before, until() + PATIENCE * 3).await.unwrap()), "rolled out");
    assert_eq!(namespace.read(&["statefulset", "db"])["metadata"]["generation"], generation);
}

#[tokio::test]
async fn a_rollout_that_does_not_get_done_is_a_failure_and_a_paused_one_is_left_alone() {
    let Some(namespace) = Namespace::new("stuck") else { return };
    namespace.apply(&deployment("web", 2, json!({"nodeSelector": {"nowhere": "at-all"}})));
    let (executor, job) = (namespace.executor().await, act("k", "web", "restart", json!({})));
    let before = ready(&executor, &job).await;
    let outcome = executor.execute(&job, &before, Instant::now() + Duration::from_secs(2)).await.unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed { reason, retryable: false } if reason.starts_with("rolled out, and not done in time")),
        "{outcome:?}"
    );
    assert_eq!(executor.probe(&job, &before, LATE).await.unwrap(), Probe::InProgress);
    namespace.kubectl(&["rollout", "pause", "deployment", "web"], "");
    assert_eq!(rejected(&executor, &job).await, "its rollouts are paused: somebody is at it");
    assert_eq!(
        rejected(&executor, &act("k", "nowhere", "restart", json!({}))).await,
        "there is no Deployment 'nowhere'"
    );
}

#[tokio::test]
async fn a_deployment_is_scaled_within_its_bounds() {
    let Some(namespace) = Namespace::new("scaling") else { return };
    namespace.deployment("web", 2, json!({}));
    let executor = namespace.executor().await;
    let up = act("k", "web", "scale-up", json!({"step": 5, "max": 4}));
    let before = ready(&executor, &up).await;
    assert_eq!(before, json!({"from": 2, "to": 4}));
    assert_eq!(executor.probe(&up, &before, LATE).await.unwrap(), Probe::NotDone);
    for _ in 0..2 {
        assert_eq!(details(executor.execute(&up, &before, until()).await.unwrap()), "scaled from 2 to 4");
    }
    assert!(is_done(&executor.probe(&up, &before, LATE).await.unwrap()));
    assert_eq!(rejected(&executor, &up).await, "it has 4 replicas, and may have from 1 to 4");
    let down = act("k2", "web", "scale-down", json!({"step": 9, "min": 3}));
    let before = ready(&executor, &down).await;
    namespace.kubectl(&["scale", "deployment", "web", "--replicas=7"], "");
    let outcome = executor.execute(&down, &before, until()).await.unwrap();
    assert_eq!(outcome, Outcome::Rejected { reason: "somebody else has scaled it from 4 to 7 meanwhile".to_owned() });
    assert_eq!(executor.probe(&down, &before, LATE).await.unwrap(), Probe::Unknown);
    assert!(
        rejected(&executor, &act("k3", "web", "scale-up", json!({"max": "many"})))
            .await
            .starts_with("params.max must be")
    );
}

#[tokio::test]
async fn the_number_of_replicas_is_left_to_whoever_owns_it() {
    let Some(namespace) = Namespace::new("owned") else { return };
    namespace.deployment("scaled", 1, json!({}));
    namespace.kubectl(&["autoscale", "deployment", "scaled", "--min=1", "--max=3"], "");
    let manifest = deployment("declared", 1, json!({})).to_string();
    namespace.kubectl(&["apply", "--server-side", "--field-manager=argocd", "-f", "-"], &manifest);
    let executor = namespace.executor().await;
    let reason = rejected(&executor, &act("k", "scaled", "scale-up", json!({}))).await;
    assert_eq!(reason, "the HorizontalPodAutoscaler 'scaled' owns the number of replicas: change it there");
    let reason = rejected(&executor, &act("k", "declared", "scale-up", json!({}))).await;
    assert_eq!(
        reason,
        "the field manager 'argocd' owns the number of replicas: change it there, or say params.force: true"
    );
}

#[tokio::test]
async fn a_pod_is_evicted_once_its_budget_allows_it() {
    let Some(namespace) = Namespace::new("budget") else { return };
    namespace.deployment("web", 1, json!({}));
    namespace
        .apply(&json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}));
    let deadline = Instant::now() + PATIENCE;
    while namespace.read(&["pdb.v1beta1.policy", "web"])["status"]["currentHealthy"] != 1 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(100)).await;
    }
    let pod = namespace.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let executor = namespace.executor().await;
    let job = act("k", &format!("pod/{pod}"), "drain-pod", json!({"grace_seconds": 0}));
    let before = ready(&executor, &job).await;
    let blocked = executor.execute(&job, &before, Instant::now() + Duration::from_secs(2)).await.unwrap();
    assert!(
        matches!(&blocked, Outcome::Failed { reason, retryable: true } if reason.contains("disruption budget")),
        "{blocked:?}"
    );
    assert_eq!(executor.probe(&job, &before, LATE).await.unwrap(), Probe::NotDone);
    // The budget gives way while it waits.
    let waiting = {
        let (executor, job, before) = (executor.clone(), job.clone(), before.clone());
        spawn(async move { executor.execute(&job, &before, until()).await })
    };
    sleep(Duration::from_millis(500)).await;
    namespace.kubectl(&["delete", "pdb.v1beta1.policy", "web"], "");
    assert_eq!(details(waiting.await.unwrap().unwrap()), "1 pods evicted");
    assert!(is_done(&executor.probe(&job, &before, LATE).await.unwrap()));
    assert_eq!(
        details(executor.execute(&job, &before, until()).await.unwrap()),
        "1 pods evicted",
        "its successor is not touched"
    );
    namespace.kubectl(&["run", "lonely", "--image=none"], "");
    let reason = rejected(&executor, &act("k", "pod/lonely", "drain-pod", json!({}))).await;
    assert_eq!(reason, "no controller would bring the pod back; params.force: true evicts it anyway");
}

/// The two nodes that are kept apart for this.
#[tokio::test]
async fn nodes_are_cordoned_drained_uncordoned_and_filled_again() {
    let Some(namespace) = Namespace::new("nodes") else { return };
    for node in ["hollow-2", "hollow-3"] {
        namespace.kubectl(&["uncordon", node], "");
        let _ = namespace.try_kubectl(&["annotate", "node", node, "vigil.io/cordoned-by-"], "");
    }
    let executor = namespace.executor().await;
    let apart = json!({
        "nodeSelector": {"pool": "apart"}, "tolerations": [{"key": "pool", "operator": "Exists"}],
    });
    // All on hollow-2, because hollow-3 is cordoned by somebody else.
    namespace.kubectl(&["cordon", "hollow-3"], "");
    let node = |action: &str, name: &str, params: Value| {
        act(
            &format!("k-{action}-{name}-{params}").replace(['"', '{', '}', ':'], ""),
            &format!("node/{name}"),
            action,
            params,
        )
    };
    let foreign = rejected(&executor, &node("custom", "hollow-3", json!({"operation": "uncordon"}))).await;
    assert_eq!(foreign, "somebody else cordoned it, and has a reason: uncordon it by hand");
    let unclear = rejected(&executor, &node("custom", "hollow-3", json!({}))).await;
    assert_eq!(unclear, "custom on a node needs params.operation: cordon or uncordon");
    namespace.deployment("web", 4, apart.clone());
    namespace.kubectl(&["uncordon", "hollow-3"], "");
    let on = |name: &str| {
        let is_there = |pod: &&Value| pod["spec"]["nodeName"] == name && pod["metadata"]["deletionTimestamp"].is_null();
        namespace.pods().iter().filter(is_there).count()
    };
    assert_eq!((on("hollow-2"), on("hollow-3")), (4, 0));

    let spread = act("k-spread", "deployment/web", "rebalance", json!({"max_evictions": 2}));
    let before = ready(&executor, &spread).await;
    assert_eq!(before["pods"].as_array().unwrap().len(), 2);
    assert_eq!(executor.probe(&spread, &before, LATE).await.unwrap(), Probe::NotDone);
    assert_eq!(
        details(executor.execute(&spread, &before, until() + PATIENCE * 3).await.unwrap()),
        "2 pods evicted from the fullest nodes"
    );
    assert!(is_done(&executor.probe(&spread, &before, LATE).await.unwrap()));
    println!("kubernetes: rebalanced from (4, 0) to ({}, {})", on("hollow-2"), on("hollow-3"));
    assert!(on("hollow-3") > 0);

    let drain = node("drain-pod", "hollow-3", json!({"grace_seconds": 0}));
    let before = ready(&executor, &drain).await;
    assert_eq!(executor.probe(&drain, &before, LATE).await.unwrap(), Probe::NotDone);
    for _ in 0..2 {
        assert!(
            details(executor.execute(&drain, &before, until() + PATIENCE * 3).await.unwrap())
                .starts_with("cordoned and drained")
        );
    }
    assert!(is_done(&executor.probe(&drain, &before, LATE).await.unwrap()));
    namespace.kubectl(&["rollout", "status", "deployment", "web", "--timeout=60s"], "");
    assert_eq!((on("hollow-2"), on("hollow-3")), (4, 0));
    let uncordon = node("custom", "hollow-3", json!({"operation": "uncordon"}));
    let before = ready(&executor, &uncordon).await;
    assert_eq!(executor.probe(&uncordon, &before, LATE).await.unwrap(), Probe::NotDone);
    assert_eq!(details(executor.execute(&uncordon, &before, until() + PATIENCE * 3).await.unwrap()), "uncordoned");
    assert!(is_done(&executor.probe(&uncordon, &before, LATE).await.unwrap()));
    assert_eq!(rejected(&executor, &uncordon).await, "it is not cordoned");

    // What nobody would bring back, or what is only on this node, is not thrown away unasked.
    let bare = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
        "spec": {"nodeName": "hollow-3", "containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 0}});
    namespace.apply(&bare);
    let refused = rejected(&executor, &drain).await;
    assert_eq!(refused, "no controller would bring bare back; params.force: true evicts them anyway");
    namespace.kubectl(&["delete", "pod", "bare", "--grace-period=0", "--force"], "");
    let mut local = apart;
    local["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    local["nodeName"] = json!("hollow-3");
    namespace.deployment("local", 1, local);
    let refused = rejected(&executor, &drain).await;
    assert!(refused.contains("keep data on the node; params.delete_emptydir_data: true deletes it"), "{refused}");
    namespace.kubectl(&["delete", "deployment", "local"], "");
}

/// Taking one needs a custom resource, which this server crashes on: the scripted one stands in for that.
#[tokio::test]
async fn a_cluster_without_volume_snapshots_says_so() {
    let Some(namespace) = Namespace::new("snapshots") else { return };
    namespace.apply(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    let job = act("k", "pvc/data", "snapshot", json!({}));
    let reason = rejected(&*namespace.executor().await, &job).await;
    assert_eq!(reason, "the cluster has no VolumeSnapshots (snapshot.storage.k8s.io/v1)");
}

/// Runs alone: it kills the API server of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_dies_during_a_rollout_is_waited_for() {
    let Some(namespace) = Namespace::new("killed") else { return };
    let folder = std::env::var("VIGIL_TEST_KUBERNETES").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers/kubernetes");
    let server =
        |verb: &str| assert!(Command::new(&script).args([verb, &folder]).status().unwrap().success(), "{verb}");
    namespace.deployment("web", 3, json!({}));
    let (executor, job) = (namespace.executor().await, act("k", "web", "restart", json!({})));
    let before = ready(&executor, &job).await;
    let watching = {
        let (executor, job, before) = (executor.clone(), job.clone(), before.clone());
        spawn(async move { executor.execute(&job, &before, until() + PATIENCE).await })
    };
    let deadline = Instant::now() + PATIENCE;
    while namespace.read(&["deployment", "web"])["spec"]["template"]["metadata"]["annotations"].is_null() {
        assert!(Instant::now() < deadline);
    }
    server("kill");
    let other = act("k2", "web", "restart", json!({}));
    let away = executor.prepare(&other).await;
    assert!(matches!(away, Err(RemediatorError::Unavailable(_))), "{away:?}");
    server("start");
    assert_eq!(details(watching.await.unwrap().unwrap()), "rolled out");
    assert!(is_done(&executor.probe(&job, &before, LATE).await.unwrap()));
}
