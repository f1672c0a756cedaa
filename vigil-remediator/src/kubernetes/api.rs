//! [`Api`]: the calls to the API server, and what their answers mean.
//!
//! They are written as paths and JSON, not with the typed API: what is read are a few fields that have stayed the same since
//! apps/v1, and so one build serves clusters of any version.

use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::timeout;
use vigil_core::remediator::RemediatorError;

use super::LOOK;
use crate::executor::{indeterminate, unavailable};

/// Who the API server writes down as the author of a change.
pub(super) const FIELD_MANAGER: &str = "vigil-remediator";
/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// The wait when the API server names none.
const SOME_WAIT: Duration = Duration::from_secs(2);
/// A merge patch (RFC 7396).
pub(super) const MERGE: &str = "application/merge-patch+json";
/// Anything else that is written.
pub(super) const JSON: &str = "application/json";

pub(super) struct Api {
    client: Client,
}

/// What the API server says when it does not do something: a 4xx.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// Whether it is a PodDisruptionBudget that does not allow it now.
    pub(super) is_budget: bool,
}

/// Why something cannot be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The API server says that this program may not (403): asking again changes nothing.
    Forbidden(String),
    Other(RemediatorError),
}

impl From<Unread> for RemediatorError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Forbidden(message) => unavailable(message),
            Unread::Other(error) => error,
        }
    }
}

impl Api {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads; `None` if it is not there.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Value>, Unread> {
        let error = match self.call(Method::GET, path, JSON, None).await {
            Ok((status, _, body)) if status.is_success() => return Ok(Some(body)),
            Ok((StatusCode::NOT_FOUND, ..)) => return Ok(None),
            Ok((StatusCode::FORBIDDEN, _, body)) => return Err(Unread::Forbidden(message(&body))),
            Ok((status, headers, body)) => match (status.as_u16(), retry_after(&headers)) {
                (429, wait) => RemediatorError::Throttled { retry_after: wait.unwrap_or(SOME_WAIT) },
                (503, Some(retry_after)) => RemediatorError::Throttled { retry_after },
                _ => unavailable(format!("the API server answered {status}: {}", message(&body))),
            },
            Err(Broken::NotSent(error) | Broken::NoAnswer(error)) => RemediatorError::Unavailable(error),
        };
        Err(Unread::Other(error))
    }

    /// Reads what is waited for; an error says when to look again, and is written down as `state`.
    pub(super) async fn watch(&self, path: &str, state: &mut String) -> Result<Option<Value>, Duration> {
        self.read(path).await.map_err(|unread| {
            let error = RemediatorError::from(unread);
            *state = format!("the API server cannot be asked: {}", crate::envelope::chain(&error));
            match error {
                RemediatorError::Throttled { retry_after } => retry_after.max(LOOK),
                _ => LOOK,
            }
        })
    }

    /// Reads the items of a list.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Unread> {
        let list = self.read(path).await?.unwrap_or_default();
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Writes. The outer error says that nothing was done (`Unavailable`, `Throttled`) or that nobody knows (`Indeterminate`).
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Result<Value, Refusal>, RemediatorError> {
        let query = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{query}fieldManager={FIELD_MANAGER}");
        let (status, headers, body) = match self.call(method, &path, content_type, Some(body)).await {
            Ok(answer) => answer,
            Err(Broken::NotSent(error)) => return Err(RemediatorError::Unavailable(error)),
            Err(Broken::NoAnswer(error)) => return Err(RemediatorError::Indeterminate(error)),
        };
        let causes = body["details"]["causes"].as_array();
        let is_budget = causes.is_some_and(|causes| causes.iter().any(|cause| cause["reason"] == "DisruptionBudget"));
        match (status.as_u16(), retry_after(&headers)) {
            (200..=299, _) => Ok(Ok(body)),
            (429, wait) if !is_budget => Err(RemediatorError::Throttled { retry_after: wait.unwrap_or(SOME_WAIT) }),
            (503, Some(retry_after)) => Err(RemediatorError::Throttled { retry_after }),
            (300..=499, _) => Ok(Err(Refusal { status, message: message(&body), is_budget })),
            _ => Err(indeterminate(format!("the API server answered {status}: {}", message(&body)))),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, HeaderMap, Value), Broken> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("Content-Type", content_type);
        let request = request.body(Body::from(bytes)).map_err(|error| Broken::NotSent(error.into()))?;
        let answered = timeout(CALL, async {
            let response = self.client.send(request).await.map_err(Broken::of)?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| Broken::NoAnswer(error.into()))?.to_bytes();
            let body = serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).chars().take(200).collect()));
            Ok((head.status, head.headers, body))
        });
        answered.await.unwrap_or_else(|elapsed| Err(Broken::NoAnswer(elapsed.into())))
    }
}

/// Why there is no answer.
enum Broken {
    NotSent(Box<dyn std::error::Error + Send + Sync>),
    NoAnswer(Box<dyn std::error::Error + Send + Sync>),
}

impl Broken {
    /// Only a connection that was refused is known not to have carried a request.
    fn of(error: kube::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::ConnectionRefused
            {
                return Self::NotSent(error.into());
            }
            source = cause.source();
        }
        Self::NoAnswer(error.into())
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The words of a `Status`, or the beginning of whatever came.
fn message(body: &Value) -> String {
    body["message"].as_str().or(body.as_str()).unwrap_or("no reason given").to_owned()
}
