//! [`Viewer`]: reads server-sent events as a browser does.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

/// How long anything that should come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Viewer {
    body: Body,
    text: String,
}

/// One event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) id: Option<i64>,
    pub(crate) data: Value,
}

impl Viewer {
    pub(crate) async fn open(api: &Router, query: &str, last: Option<i64>) -> Self {
        let mut request = Request::get(format!("/api/v1/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event; `None` when the server ends the stream.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        timeout(PATIENCE, self.event()).await.expect("something comes")
    }

    /// The next event of a kind.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Told {
        loop {
            let told = self.next().await.expect("the stream goes on");
            if told.kind == kind {
                return told;
            }
        }
    }

    async fn event(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let told = field("event:").map(|kind| Told {
                    kind: kind.to_owned(),
                    id: field("id:").map(|id| id.parse().unwrap()),
                    data: serde_json::from_str(field("data:").unwrap()).unwrap(),
                });
                self.text = rest.to_owned();
                match told {
                    Some(told) => return Some(told),
                    None => continue, // a comment that keeps the connection
                }
            }
            let frame = self.body.frame().await?.unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

pub(crate) async fn send(api: &Router, method: &str, path: &str, body: Value) -> Value {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let answer = api.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
}
