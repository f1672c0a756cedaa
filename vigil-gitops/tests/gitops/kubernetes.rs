//! Kubernetes manifests: a scripted API server for every answer, and a real control plane (`scripts/test-kubernetes`).

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vigil_gitops::kubernetes::{KubernetesConfig, KubernetesSource};
use vigil_gitops::{Comparison, Ignore, ItemKey, Pointer, Source, SourceError};

use crate::common::{patch, said, word, write};

mod real;
mod server;

use server::{Cluster, Reply, kubeconfig};

const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

async fn source(kubeconfig: &Path, ignored: Vec<Ignore>) -> KubernetesSource {
    let config = KubernetesConfig {
        kubeconfig: Some(kubeconfig.to_owned()),
        namespace: Some("shop".to_owned()),
        ..KubernetesConfig::default()
    };
    KubernetesSource::new(config, ignored).await.unwrap()
}

/// Manifests in a folder, and the cluster that they are for.
struct Bench {
    cluster: Cluster,
    folder: tempfile::TempDir,
    source: KubernetesSource,
}

impl Bench {
    async fn new(ignored: Vec<Ignore>) -> Self {
        let cluster = Cluster::start().await;
        let source = source(&cluster.kubeconfig, ignored).await;
        Self { cluster, folder: tempfile::tempdir().unwrap(), source }
    }

    async fn compare(&self) -> Comparison {
        self.source.compare(self.folder.path()).await.unwrap()
    }

    async fn said(&self) -> Vec<String> {
        said(&self.compare().await)
    }

    async fn heal(&self, key: &ItemKey) -> String {
        word(&self.source.heal(self.folder.path(), key).await)
    }

    fn declare(&self, file: &str, text: &str) {
        write(self.folder.path(), file, text);
    }
}

fn web() -> ItemKey {
    ItemKey::new("Deployment", "shop", "web")
}

/// A Deployment as people write it.
fn manifest(replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  template:\n    \
         spec:\n      containers: [{{name: main, image: '{image}'}}]\n"
    )
}

/// The same as it lives, with all that a server adds.
fn live(replicas: u32, image: &str) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"replicas": replicas, "revisionHistoryLimit": 10, "strategy": {"type": "RollingUpdate"}, "template": {
            "metadata": {"creationTimestamp": null},
            "spec": {"containers": [{"name": "main", "image": image, "imagePullPolicy": "Always"}], "restartPolicy": "Always"}}},
        "status": {"replicas": replicas},
    })
}

#[tokio::test]
async fn what_the_server_adds_is_no_difference() {
    let bench = Bench::new(vec![]).await;
    bench.declare("web.yaml", &manifest(3, "web:1"));
    bench.cluster.put(WEB, live(3, "web:1"));
    let comparison = bench.compare().await;
    assert_eq!(said(&comparison), ["Deployment/shop/web same"]);
    assert!(comparison.problems.is_empty());
    assert_eq!(comparison.items[0].origin.to_string(), "web.yaml:1");
    let asked = bench.cluster.writes();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, format!("PATCH {WEB}?dryRun=All&force=true&fieldManager=vigil-gitops"));
    assert_eq!(asked[0].content_type, "application/apply-patch+yaml");
    assert_eq!(bench.cluster.read(WEB).unwrap(), live(3, "web:1"), "a dry run keeps nothing");
}

#[tokio::test]
async fn what_differs_is_drift_with_the_exact_patch_and_is_healed() {
    let bench = Bench::new(vec![]).await;
    bench.declare("deep/web.yaml", &format!("# the shop\n---\n{}", manifest(3, "web:1")));
    bench.cluster.put(WEB, live(5, "web:2"));
    let comparison = bench.compare().await;
    assert_eq!(comparison.items[0].origin.to_string(), "deep/web.yaml:3");
    let mut operations: Vec<String> = comparison_operations(&comparison);
    operations.sort();
    assert_eq!(
        operations,
        [
            r#"{"op":"replace","path":"/spec/replicas","value":3}"#,
            r#"{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"web:1"}"#,
        ]
    );
    assert_eq!(bench.heal(&web()).await, "succeeded: Deployment/shop/web was applied as declared in deep/web.yaml:3");
    let now = bench.cluster.read(WEB).unwrap();
    assert_eq!((&now["spec"]["replicas"], &now["spec"]["revisionHistoryLimit"]), (&json!(3), &json!(10)));
    let sent = bench.cluster.writes().pop().unwrap();
    assert_eq!(sent.path, format!("PATCH {WEB}?force=true&fieldManager=vigil-gitops"));
    assert_eq!(bench.said().await, ["Deployment/shop/web same"]);
    // As after a crash: the same again is the same.
    assert!(bench.heal(&web()).await.starts_with("succeeded"));
}

fn comparison_operations(comparison: &Comparison) -> Vec<String> {
    let patch: Vec<serde_json::Value> = serde_json::from_str(&patch(comparison, &web())).unwrap();
    patch.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_is_missing_is_created() {
    let bench = Bench::new(vec![]).await;
    // Exported ones hold what only the server may write.
    bench.declare("web.json", &live(2, "web:1").to_string());
    let comparison = bench.compare().await;
    assert_eq!(said(&comparison), ["Deployment/shop/web drifted: it is missing"]);
    assert!(patch(&comparison, &web()).starts_with(r#"[{"op":"add","path":"","value":{"#));
    assert!(bench.cluster.writes().is_empty());
    assert!(bench.heal(&web()).await.starts_with("succeeded: Deployment/shop/web was created"));
    let sent = bench.cluster.writes().pop().unwrap().body;
    assert_eq!(sent["metadata"], json!({"name": "web", "namespace": "shop"}), "no version: it would conflict");
    assert_eq!(bench.said().await, ["Deployment/shop/web same"]);
}

#[tokio::test]
async fn what_is_ignored_is_no_drift_and_is_applied_as_it_lives() {
    let rule = Ignore {
        kind: Some("Deployment".to_owned()),
        namespace: None,
        name: None,
        pointers: vec![Pointer::parse("/spec/replicas").unwrap()],
    };
    let bench = Bench::new(vec![rule]).await;
    bench.declare("web.yaml", &manifest(3, "web:1"));
    bench.cluster.put(WEB, live(5, "web:1"));
    assert_eq!(bench.said().await, ["Deployment/shop/web same"], "an autoscaler owns the number");
    bench.cluster.put(WEB, live(5, "web:2"));
    let comparison = bench.compare().await;
    assert_eq!(comparison_operations(&comparison).len(), 1);
    assert!(bench.heal(&web()).await.starts_with("succeeded"));
    let now = bench.cluster.read(WEB).unwrap();
    assert_eq!(now["spec"]["replicas"], 5, "what is healed beside it leaves the number alone");
    assert_eq!(now["spec"]["template"]["spec"]["containers"][0]["image"], "web:1");
}

#[tokio::test]
async fn an_object_that_asks_to_be_left_alone_is() {
    let suspended = json!({"vigil.io/reconcile": "disabled"});
    let bench = Bench::new(vec![]).await;
    bench.declare("web.yaml", &manifest(3, "web:1"));
    let mut object = live(5, "web:1");
    object["metadata"]["annotations"] = suspended.clone();
    bench.cluster.put(WEB, object);
    let why = "the live object has the annotation vigil.io/reconcile: disabled";
    assert_eq!(bench.said().await, [format!("Deployment/shop/web suspended: {why}")]);
    assert_eq!(bench.heal(&web()).await, "rejected: the annotation of Deployment/shop/web asks to leave it alone");
    bench.cluster.put(WEB, live(5, "web:1"));
    let declared = manifest(3, "web:1").replace("{name: web}", &format!("{{name: web, annotations: {suspended}}}"));
    bench.declare("web.yaml", &declared);
    assert!(bench.said().await[0].starts_with("Deployment/shop/web suspended: the declared"));
    assert!(bench.heal(&web()).await.starts_with("rejected"));
    assert!(bench.cluster.writes().is_empty(), "nothing was even tried");
}

#[tokio::test]
async fn values_of_a_secret_are_never_told() {
    let path = "/api/v1/namespaces/shop/secrets/db";
    let key = ItemKey::new("Secret", "shop", "db");
    let bench = Bench::new(vec![]).await;
    bench.declare(
        "db.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {password: ZGVjbGFyZWQ=, user: c2hvcA==}\n",
    );
    let missing = bench.compare().await;
    assert!(!format!("{missing:?}").contains("ZGVjbGFyZWQ="), "{missing:?}");
    bench.cluster.put(
        path,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "annotations":
            {"kubectl.kubernetes.io/last-applied-configuration": "{password: bGl2ZQ==}"}},
            "data": {"password": "bGl2ZQ==", "user": "c2hvcA=="}, "type": "Opaque"}),
    );
    let comparison = bench.compare().await;
    assert_eq!(patch(&comparison, &key), r#"[{"op":"replace","path":"/data/password","value":"***"}]"#);
    for value in ["ZGVjbGFyZWQ=", "bGl2ZQ==", "c2hvcA=="] {
        assert!(!format!("{comparison:?}").contains(value), "{comparison:?}");
    }
    for reply in [Reply::Invalid, Reply::Forbidden, Reply::Broken, Reply::Misfit] {
        bench.cluster.script(&[reply, reply]);
        let comparison = format!("{:?}", bench.compare().await);
        let healed = bench.source.heal(bench.folder.path(), &key).await;
        let all = format!("{comparison} {healed:?}");
        assert!(!all.contains("quoted") && comparison.contains("Unknown"), "{all}");
    }
    assert!(bench.heal(&key).await.starts_with("succeeded"));
    assert_eq!(bench.cluster.read(path).unwrap()["data"]["password"], "ZGVjbGFyZWQ=");
}

#[tokio::test]
async fn every_answer_to_a_heal_means_one_thing() {
    for (reply, expected) in [
        (Reply::Conflict, "rejected: the API server answered 409 Conflict: quoted: somebody else was faster"),
        (Reply::Forbidden, "rejected: the API server answered 403 Forbidden: quoted: you may not do that"),
        (Reply::Invalid, "rejected: the API server answered 422 Unprocessable Entity: quoted: a field is immutable"),
        (Reply::Throttled, "throttled: 7"),
        (Reply::Busy, "throttled: 7"),
        (Reply::Broken, "indeterminate"),
        // Older servers say so of a manifest that they do not understand.
        (
            Reply::Misfit,
            "rejected: the API server answered 500 Internal Server Error: quoted: failed to create typed patch object: .spec.ports: element 0",
        ),
        (Reply::HangUp, "indeterminate"),
    ] {
        let bench = Bench::new(vec![]).await;
        bench.declare("web.yaml", &manifest(3, "web:1"));
        bench.cluster.put(WEB, live(5, "web:1"));
        bench.cluster.script(&[reply]);
        assert_eq!(bench.heal(&web()).await, expected, "{reply:?}");
        assert_eq!(bench.cluster.writes().len(), 1, "{reply:?}: it is not sent twice");
    }
}

#[tokio::test]
async fn a_heal_that_is_not_answered_in_time_is_indeterminate() {
    let bench = Bench::new(vec![]).await;
    bench.declare("web.yaml", &manifest(3, "web:1"));
    bench.cluster.put(WEB, live(5, "web:1"));
    bench.cluster.script(&[Reply::Silence]);
    let key = web();
    let healing = bench.heal(&key);
    let late = async {
        bench.cluster.silent().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(11)).await;
    };
    let (answer, ()) = tokio::join!(healing, late);
    assert_eq!(answer, "indeterminate");
}

#[tokio::test]
async fn an_answer_that_is_no_comparison_leaves_one_object_unknown() {
    for reply in [Reply::Conflict, Reply::Forbidden, Reply::Throttled, Reply::Busy, Reply::Broken, Reply::HangUp] {
        let bench = Bench::new(vec![]).await;
        bench.declare("web.yaml", &manifest(3, "web:1"));
        bench.cluster.put(WEB, live(5, "web:1"));
        bench.cluster.script(&[reply]);
        let comparison = bench.compare().await;
        assert!(said(&comparison)[0].starts_with("Deployment/shop/web unknown: "), "{reply:?}: {comparison:?}");
        assert!(comparison.problems.is_empty());
        assert_eq!(bench.cluster.read(WEB).unwrap()["spec"]["replicas"], 5);
    }
}

#[tokio::test]
async fn a_broken_manifest_names_file_and_line_and_the_rest_is_healed() {
    let bench = Bench::new(vec![]).await;
    bench.declare("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n   namespace: [\n");
    bench.declare("b.yaml", &format!("kind: [}}\n---\n{}", manifest(3, "web:1")));
    bench.declare("c.json", "{\n \"kind\": \n}");
    bench.declare("d.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n");
    bench.declare("e.yaml", &manifest(4, "web:1"));
    bench.declare("notes.md", "kind: nothing");
    bench.cluster.put(WEB, live(5, "web:1"));
    let comparison = bench.compare().await;
    let mut places: Vec<_> = comparison.problems.iter().map(|one| (one.file.display().to_string(), one.line)).collect();
    places.sort();
    let place = |file: &str, line| (file.to_owned(), Some(line));
    assert_eq!(places.len(), 4, "{comparison:?}");
    assert_eq!(places[0].0, "a.yaml");
    assert!(matches!(places[0].1, Some(4 | 5)), "{places:?}");
    assert_eq!(places[1..], [place("b.yaml", 1), place("c.json", 3), place("e.yaml", 1)]);
    let twice = comparison.problems.iter().find(|problem| problem.file == Path::new("e.yaml")).unwrap();
    assert_eq!(twice.message, "Deployment/shop/web is declared in b.yaml:3 already");
    assert_eq!(
        said(&comparison),
        [
            "Deployment/shop/web drifted: /spec/replicas is 5, declared 3",
            "Widget/w unknown: the cluster has no Widget of example.com/v1",
        ]
    );
    assert!(bench.heal(&web()).await.starts_with("succeeded"));
    assert_eq!(bench.cluster.read(WEB).unwrap()["spec"]["replicas"], 3);
    let gone = ItemKey::new("Deployment", "shop", "gone");
    assert_eq!(bench.heal(&gone).await, "rejected: Deployment/shop/gone is not declared any more");
}

#[tokio::test]
async fn a_manifest_that_the_server_refuses_is_a_problem_of_its_file() {
    let bench = Bench::new(vec![]).await;
    bench.declare("web.yaml", &manifest(3, "web:1"));
    bench.cluster.put(WEB, live(5, "web:1"));
    bench.cluster.script(&[Reply::Invalid]);
    let comparison = bench.compare().await;
    let problem = "web.yaml:1: Deployment/shop/web: the API server answered 422 Unprocessable Entity: quoted: a field is immutable";
    assert_eq!(comparison.problems[0].to_string(), problem);
    assert!(said(&comparison)[0].starts_with("Deployment/shop/web unknown"));
}

#[tokio::test]
async fn kinds_are_asked_for_once_and_have_their_places() {
    let bench = Bench::new(vec![]).await;
    bench.declare(
        "all.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}}\n\
         ---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, namespace: x}}\n",
    );
    for _ in 0..3 {
        let expected = [
            "Namespace/shop drifted: it is missing",
            "ConfigMap/shop/a drifted: it is missing",
            "ConfigMap/b/a drifted: it is missing",
        ];
        assert_eq!(bench.said().await, expected, "namespaces first");
    }
    assert_eq!(bench.cluster.reads().iter().filter(|path| *path == "/api/v1").count(), 1);
    assert!(bench.cluster.reads().contains(&"/api/v1/namespaces/shop".to_owned()));
}

#[tokio::test]
async fn a_server_that_is_away_was_asked_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(&kubeconfig(folder.path(), "http://127.0.0.1:1"), vec![]).await;
    let manifests = tempfile::tempdir().unwrap();
    write(manifests.path(), "web.yaml", &manifest(3, "web:1"));
    assert!(matches!(source.compare(manifests.path()).await, Err(SourceError::Away { .. })));
    assert!(source.ping().await.is_err());
    assert_eq!(word(&source.heal(manifests.path(), &web()).await), "unavailable");
    let bench = Bench::new(vec![]).await;
    bench.source.ping().await.unwrap();
    let nowhere = bench.source.compare(Path::new("/nowhere")).await;
    assert!(matches!(nowhere, Err(SourceError::Read { .. })), "{nowhere:?}");
}
