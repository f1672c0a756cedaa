//! Against a real API server and its controllers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use vigil_core::testing::eventually;
use vigil_gitops::kubernetes::{KubernetesConfig, KubernetesSource};
use vigil_gitops::{Comparison, Ignore, ItemKey, Pointer, Source};

use crate::common::{have, patch, said, word, write};

/// A namespace of its own, and manifests for it.
struct Namespace {
    kubeconfig: PathBuf,
    name: &'static str,
    folder: tempfile::TempDir,
    source: KubernetesSource,
}

impl Namespace {
    async fn new(name: &'static str, ignored: Vec<Ignore>) -> Option<Self> {
        let folder = have("kubernetes", "VIGIL_TEST_KUBERNETES")?;
        let kubeconfig = Path::new(&folder).join("kubeconfig");
        let config = KubernetesConfig {
            kubeconfig: Some(kubeconfig.clone()),
            namespace: Some(name.to_owned()),
            ..KubernetesConfig::default()
        };
        let source = KubernetesSource::new(config, ignored).await.unwrap();
        let namespace = Self { kubeconfig, name, folder: tempfile::tempdir().unwrap(), source };
        namespace.kubectl(&["delete", "namespace", name, "--ignore-not-found"], "");
        Some(namespace)
    }

    fn create(&self) {
        self.kubectl(&["create", "namespace", self.name], "");
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
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
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn read(&self, what: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json", "--show-managed-fields"], what].concat(), ""))
            .unwrap()
    }

    fn declare(&self, file: &str, text: &str) {
        write(self.folder.path(), file, text);
    }

    async fn compare(&self) -> Comparison {
        self.source.compare(self.folder.path()).await.unwrap()
    }

    async fn said(&self) -> Vec<String> {
        said(&self.compare().await)
    }

    async fn heal(&self, kind: &str, name: &str) -> String {
        word(&self.source.heal(self.folder.path(), &self.key(kind, name)).await)
    }

    fn key(&self, kind: &str, name: &str) -> ItemKey {
        ItemKey::new(kind, self.name, name)
    }
}

/// As people write them: short names of quantities, numbers in octal, and nothing that has a default.
fn shop(image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{color: blue}}
---
apiVersion: v1
kind: Secret
metadata: {{name: db}}
stringData: {{password: hunter2}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, protocol: TCP}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: main
        image: {image}
        resources: {{limits: {{cpu: 500m, memory: 1024Mi}}}}
        volumeMounts: [{{name: settings, mountPath: /etc/shop}}]
      volumes:
      - {{name: settings, configMap: {{name: settings, defaultMode: 0640}}}}
"
    )
}

#[tokio::test]
async fn what_is_declared_is_created_found_the_same_and_healed() {
    let Some(namespace) = Namespace::new("gitops", vec![]).await else { return };
    namespace.declare("a/shop.yaml", &shop("web:1", 2));
    namespace.declare("z/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: gitops}\n");
    let all = [
        ("Namespace", "gitops"),
        ("ConfigMap", "settings"),
        ("Secret", "db"),
        ("Service", "web"),
        ("Deployment", "web"),
    ];
    let line = |(kind, name): (&str, &str), what: &str| match kind {
        "Namespace" => format!("{kind}/{name} {what}"),
        _ => format!("{kind}/gitops/{name} {what}"),
    };
    assert_eq!(namespace.said().await, all.map(|item| line(item, "drifted: it is missing")));
    assert!(
        namespace.heal("ConfigMap", "settings").await.starts_with("rejected: the API server answered 404"),
        "no namespace yet"
    );
    let place = word(&namespace.source.heal(namespace.folder.path(), &ItemKey::new("Namespace", "", "gitops")).await);
    assert!(place.starts_with("succeeded: Namespace/gitops was created"), "{place}");
    for (kind, name) in &all[1..] {
        let answer = namespace.heal(kind, name).await;
        assert!(answer.starts_with(&format!("succeeded: {kind}/gitops/{name} was created")), "{answer}");
    }
    // Controllers fill in what they own: none of it is drift.
    namespace.kubectl(&["rollout", "status", "deployment", "web", "--timeout=60s"], "");
    assert_eq!(namespace.said().await, all.map(|item| line(item, "same")));

    namespace.kubectl(&["scale", "deployment", "web", "--replicas=5"], "");
    namespace.kubectl(&["set", "image", "deployment/web", "main=web:9"], "");
    namespace.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"color":"red"}}"#], "");
    namespace.kubectl(&["patch", "secret", "db", "--type=merge", "-p", r#"{"stringData":{"password":"s3cret"}}"#], "");
    namespace.kubectl(&["delete", "service", "web"], "");
    let comparison = namespace.compare().await;
    let mut operations: Vec<Value> =
        serde_json::from_str(&patch(&comparison, &namespace.key("Deployment", "web"))).unwrap();
    operations.sort_by_key(ToString::to_string);
    assert_eq!(
        Value::from(operations),
        serde_json::json!([
            {"op": "replace", "path": "/spec/replicas", "value": 2},
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:1"},
        ])
    );
    let color = patch(&comparison, &namespace.key("ConfigMap", "settings"));
    assert_eq!(color, r#"[{"op":"replace","path":"/data/color","value":"blue"}]"#);
    let password = patch(&comparison, &namespace.key("Secret", "db"));
    assert_eq!(password, r#"[{"op":"replace","path":"/data/password","value":"***"}]"#);
    for (kind, name) in &all[1..] {
        assert!(namespace.heal(kind, name).await.starts_with("succeeded"));
    }
    assert_eq!(namespace.said().await, all.map(|item| line(item, "same")));
    let deployment = namespace.read(&["deployment", "web"]);
    assert_eq!(deployment["spec"]["replicas"], 2);
    let managers = deployment["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|one| one["manager"] == "vigil-gitops" && one["operation"] == "Apply"), "{managers:?}");
    // What is declared no more is put back to what it is without.
    namespace.declare("a/shop.yaml", &shop("web:1", 2).replace("data: {color: blue}", "data: {size: large}"));
    let comparison = namespace.compare().await;
    let changed = patch(&comparison, &namespace.key("ConfigMap", "settings"));
    assert!(changed.contains(r#""path":"/data/color""#) && changed.contains("large"), "{changed}");
}

#[tokio::test]
async fn what_is_ignored_or_asks_to_be_left_alone_is() {
    let rule = Ignore {
        kind: Some("Deployment".to_owned()),
        namespace: None,
        name: None,
        pointers: vec![Pointer::parse("/spec/replicas").unwrap()],
    };
    let Some(namespace) = Namespace::new("gitops-ignoring", vec![rule]).await else { return };
    namespace.create();
    namespace.declare("shop.yaml", &shop("web:1", 1));
    for (kind, name) in [("ConfigMap", "settings"), ("Secret", "db"), ("Service", "web"), ("Deployment", "web")] {
        assert!(namespace.heal(kind, name).await.starts_with("succeeded"));
    }
    namespace.kubectl(&["scale", "deployment", "web", "--replicas=3"], "");
    assert!(namespace.said().await.iter().all(|line| line.ends_with(" same")));
    namespace.kubectl(&["set", "image", "deployment/web", "main=web:9"], "");
    assert!(namespace.heal("Deployment", "web").await.starts_with("succeeded"));
    assert_eq!(namespace.read(&["deployment", "web"])["spec"]["replicas"], 3, "an autoscaler may have set it");
    namespace.kubectl(&["annotate", "configmap", "settings", "vigil.io/reconcile=disabled"], "");
    namespace.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"color":"red"}}"#], "");
    assert!(namespace.said().await[0].starts_with("ConfigMap/gitops-ignoring/settings suspended"));
    assert!(namespace.heal("ConfigMap", "settings").await.starts_with("rejected"));
}

#[tokio::test]
async fn a_broken_manifest_and_one_that_is_refused_are_named_and_the_rest_is_healed() {
    let Some(namespace) = Namespace::new("gitops-broken", vec![]).await else { return };
    namespace.create();
    namespace.declare("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\n");
    namespace.declare("shop.yaml", &shop("web:1", 1));
    for (kind, name) in [("ConfigMap", "settings"), ("Secret", "db"), ("Service", "web"), ("Deployment", "web")] {
        assert!(namespace.heal(kind, name).await.starts_with("succeeded"));
    }
    // A selector cannot be changed.
    namespace.declare("shop.yaml", &shop("web:1", 1).replace("app: web", "app: other"));
    namespace.kubectl(&["delete", "configmap", "settings"], "");
    let comparison = namespace.compare().await;
    let problems: Vec<_> = comparison.problems.iter().map(ToString::to_string).collect();
    assert!(problems[0].starts_with("a.yaml:"), "{problems:?}");
    assert!(
        problems[1].starts_with("shop.yaml:16: Deployment/gitops-broken/web: the API server answered 422"),
        "{problems:?}"
    );
    let all = said(&comparison);
    assert_eq!(all[0], "ConfigMap/gitops-broken/settings drifted: it is missing");
    assert!(all[3].starts_with("Deployment/gitops-broken/web unknown: the API server answered 422"), "{all:?}");
    assert!(namespace.heal("Deployment", "web").await.starts_with("rejected: the API server answered 422"));
    let quoted = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {password: 'no base64: hunter2'}\n";
    namespace.declare("shop.yaml", quoted);
    let comparison = format!("{:?} {}", namespace.compare().await, namespace.heal("Secret", "db").await);
    assert!(
        comparison.contains("Unknown") && comparison.contains("rejected") && !comparison.contains("hunter2"),
        "{comparison}"
    );
    namespace.declare("shop.yaml", &shop("web:1", 1));
    assert!(namespace.heal("ConfigMap", "settings").await.starts_with("succeeded"));
    eventually("everything as declared", async || {
        namespace.said().await.iter().all(|line| line.ends_with(" same")).then_some(())
    })
    .await;
}
