//! An API server that keeps objects in memory, applies as a real one does where it matters here, and says what a test says.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What the next write is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Conflict,
    Forbidden,
    Invalid,
    Throttled,
    Busy,
    Broken,
    Misfit,
    HangUp,
    Silence,
}

/// A write as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// Method, path and query.
    pub(super) path: String,
    pub(super) content_type: String,
    pub(super) body: Value,
}

#[derive(Default)]
struct Script {
    objects: Mutex<BTreeMap<String, Value>>,
    replies: Mutex<VecDeque<Reply>>,
    reads: Mutex<Vec<String>>,
    writes: Mutex<Vec<Write>>,
    silent: Notify,
}

/// A scripted API server.
pub(super) struct Cluster {
    script: Arc<Script>,
    pub(super) kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script::default());
        let router = Router::new().fallback(answer).with_state(script.clone());
        serve(listener, router);
        let folder = tempfile::tempdir().unwrap();
        Self { script, kubeconfig: kubeconfig(folder.path(), &address), _folder: folder }
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.script.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    pub(super) fn read(&self, path: &str) -> Option<Value> {
        self.script.objects.lock().unwrap().get(path).cloned()
    }

    /// What the next writes are answered, dry runs too.
    pub(super) fn script(&self, replies: &[Reply]) {
        self.script.replies.lock().unwrap().extend(replies);
    }

    pub(super) fn reads(&self) -> Vec<String> {
        self.script.reads.lock().unwrap().clone()
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.script.writes.lock().unwrap().clone()
    }

    /// Waits for the write that is not answered.
    pub(super) async fn silent(&self) {
        self.script.silent.notified().await;
    }
}

/// Ends with the runtime of its test.
#[expect(clippy::disallowed_methods)]
fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
}

/// A kubeconfig for a server that asks for nothing.
pub(super) fn kubeconfig(folder: &Path, server: &str) -> PathBuf {
    let path = folder.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    path
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let content_type = request.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    if method == Method::GET {
        script.reads.lock().unwrap().push(uri.path().to_owned());
        let found = discovery(uri.path()).or_else(|| script.objects.lock().unwrap().get(uri.path()).cloned());
        return found
            .map_or_else(|| status(StatusCode::NOT_FOUND, "not found"), |found| axum::Json(found).into_response());
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let path = format!("{method} {uri}");
    let write = Write { path, content_type: content_type.unwrap_or_default(), body: body.clone() };
    script.writes.lock().unwrap().push(write);
    let reply = script.replies.lock().unwrap().pop_front();
    let wait = [("Retry-After", "7")];
    match reply {
        None => apply(&script, uri.path(), uri.query().unwrap_or_default().contains("dryRun=All"), &body),
        Some(Reply::Conflict) => status(StatusCode::CONFLICT, "quoted: somebody else was faster"),
        Some(Reply::Forbidden) => status(StatusCode::FORBIDDEN, "quoted: you may not do that"),
        Some(Reply::Invalid) => status(StatusCode::UNPROCESSABLE_ENTITY, "quoted: a field is immutable"),
        Some(Reply::Throttled) => (wait, status(StatusCode::TOO_MANY_REQUESTS, "slow down")).into_response(),
        Some(Reply::Busy) => (wait, status(StatusCode::SERVICE_UNAVAILABLE, "starting")).into_response(),
        Some(Reply::Broken) => status(StatusCode::INTERNAL_SERVER_ERROR, "quoted: etcd leader changed"),
        Some(Reply::Misfit) => status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "quoted: failed to create typed patch object: .spec.ports: element 0",
        ),
        Some(Reply::HangUp) => panic!("hangs up, as scripted"),
        Some(Reply::Silence) => {
            script.silent.notify_one();
            std::future::pending().await
        }
    }
}

fn status(code: StatusCode, message: &str) -> Response {
    (code, axum::Json(json!({"kind": "Status", "message": message, "code": code.as_u16()}))).into_response()
}

fn discovery(path: &str) -> Option<Value> {
    let resources = match path {
        "/version" => return Some(json!({"major": "1"})),
        "/api/v1" => json!([
            {"name": "configmaps", "kind": "ConfigMap", "namespaced": true},
            {"name": "secrets", "kind": "Secret", "namespaced": true},
            {"name": "namespaces", "kind": "Namespace", "namespaced": false},
            {"name": "namespaces/status", "kind": "Namespace", "namespaced": false},
        ]),
        "/apis/apps/v1" => json!([
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true},
            {"name": "deployments", "kind": "Deployment", "namespaced": true},
        ]),
        _ => return None,
    };
    Some(json!({"kind": "APIResourceList", "resources": resources}))
}

/// What is declared laid over what lives, with what a server writes.
fn apply(script: &Script, path: &str, is_dry: bool, declared: &Value) -> Response {
    let mut objects = script.objects.lock().unwrap();
    let mut object = objects.get(path).cloned().unwrap_or_else(|| json!({"spec": {"revisionHistoryLimit": 10}}));
    lay(&mut object, declared);
    object["metadata"]["managedFields"] = json!([{"manager": "vigil-gitops", "operation": "Apply"}]);
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
    if !is_dry {
        objects.insert(path.to_owned(), object.clone());
    }
    axum::Json(object).into_response()
}

fn lay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                lay(under.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        // Lists of what has a name are merged by it.
        (Value::Array(under), Value::Array(over)) if over.iter().all(|item| item["name"].is_string()) => {
            for item in over {
                match under.iter_mut().find(|found| found["name"] == item["name"]) {
                    Some(found) => lay(found, item),
                    None => under.push(item.clone()),
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}
