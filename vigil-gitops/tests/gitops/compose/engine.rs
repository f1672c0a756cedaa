//! An engine that tells of the containers and images that a test puts there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::UnixListener;

#[derive(Default)]
struct Script {
    containers: Mutex<Vec<Value>>,
    images: Mutex<BTreeMap<String, String>>,
    filters: Mutex<Vec<String>>,
}

/// A scripted engine behind a socket.
pub(super) struct Engine {
    pub(super) socket: PathBuf,
    script: Arc<Script>,
    _folder: tempfile::TempDir,
}

impl Engine {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let script = Arc::new(Script::default());
        serve(UnixListener::bind(&socket).unwrap(), Router::new().fallback(answer).with_state(script.clone()));
        Self { socket, script, _folder: folder }
    }

    pub(super) fn image(&self, name: &str, id: &str) {
        self.script.images.lock().unwrap().insert(name.to_owned(), id.to_owned());
    }

    pub(super) fn forget_images(&self) {
        self.script.images.lock().unwrap().clear();
    }

    pub(super) fn container(&self, service: &str, number: u32, image: &str, image_id: &str, state: &str) {
        self.put(service, number, image, image_id, state, &json!({}));
    }

    /// What `docker compose run` started.
    pub(super) fn one_off(&self, service: &str) {
        self.put(service, 9, "any", "sha256:any", "exited", &json!({"com.docker.compose.oneoff": "True"}));
    }

    /// One whose label asks to be left alone.
    pub(super) fn suspended(&self, service: &str, number: u32, image: &str) {
        self.put(service, number, image, "sha256:any", "running", &json!({"vigil.io/reconcile": "disabled"}));
    }

    /// The filters of every list that was asked for.
    pub(super) fn filters(&self) -> Vec<String> {
        self.script.filters.lock().unwrap().clone()
    }

    fn put(&self, service: &str, number: u32, image: &str, image_id: &str, state: &str, more: &Value) {
        let mut labels = json!({"com.docker.compose.project": "shop", "com.docker.compose.service": service,
            "com.docker.compose.container-number": number.to_string()});
        for (name, value) in more.as_object().unwrap() {
            labels[name] = value.clone();
        }
        let name = format!("/shop-{service}-{number}");
        let container =
            json!({"Id": name, "Names": [name], "Image": image, "ImageID": image_id, "State": state, "Labels": labels});
        self.script.containers.lock().unwrap().push(container);
    }
}

/// Ends with the runtime of its test.
#[expect(clippy::disallowed_methods)]
fn serve(listener: UnixListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default().replace("%3D", "=");
    // What comes after the version.
    let what = path.split_once("/v1.").and_then(|(_, rest)| rest.split_once('/')).map_or(path, |(_, rest)| rest);
    let what = what.trim_start_matches('/');
    if what == "version" {
        return axum::Json(json!({"ApiVersion": "1.41"})).into_response();
    }
    if what == "_ping" {
        return "OK".into_response();
    }
    if what == "containers/json" {
        script.filters.lock().unwrap().push(query);
        return axum::Json(script.containers.lock().unwrap().clone()).into_response();
    }
    let name = what.strip_prefix("images/").and_then(|rest| rest.strip_suffix("/json")).unwrap_or_default();
    let name = name.replace("%3A", ":");
    match script.images.lock().unwrap().get(&name) {
        Some(id) => axum::Json(json!({ "Id": id })).into_response(),
        None => (StatusCode::NOT_FOUND, axum::Json(json!({"message": "no such image"}))).into_response(),
    }
}
