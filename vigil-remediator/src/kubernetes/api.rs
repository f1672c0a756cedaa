//! [`Api`]: the calls to the API server, and what their answers mean.
//!
//! They are written as paths and JSON, not with the typed API: what is read are a few fields that have stayed the same since
//! apps/v1, and so one build serves clusters of any version.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::timeout;
use vigil_core::remediator::RemediatorError;

use super::{KubernetesConfig, KubernetesError, LOOK};
use crate::executor::{indeterminate, unavailable};

/// Who the API server writes down as the author of what this crate's executor changes.
pub(super) const FIELD_MANAGER: &str = "vigil-remediator";
/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// The wait when the API server names none.
const SOME_WAIT: Duration = Duration::from_secs(2);
/// A merge patch (RFC 7396).
pub const MERGE: &str = "application/merge-patch+json";
/// A server-side apply; JSON is YAML.
pub const APPLY: &str = "application/apply-patch+yaml";
/// Anything else that is written.
pub const JSON: &str = "application/json";

/// Calls to the API server of one cluster, by path.
pub struct Api {
    client: Client,
    field_manager: String,
}

/// What the API server says when it does not do something: a 4xx.
#[derive(Debug)]
pub struct Refusal {
    /// As it answered.
    pub status: StatusCode,
    /// Its words.
    pub message: String,
    /// Whether it is a PodDisruptionBudget that does not allow it now.
    pub is_budget: bool,
}

/// Why something cannot be read.
#[derive(Debug)]
pub enum Unread {
    /// The API server says that this program may not (403): asking again changes nothing.
    Forbidden(String),
    /// [`RemediatorError::Throttled`] or [`RemediatorError::Unavailable`].
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
    /// Calls that connect when they are made, and the namespace of objects that name none. `field_manager` is who the API server writes
    /// down as the author of a change; it goes into a query as it is.
    ///
    /// # Errors
    /// [`KubernetesError`] if the configuration cannot be read or makes no sense.
    pub async fn connect(
        config: KubernetesConfig,
        field_manager: impl Into<String>,
    ) -> Result<(Self, String), KubernetesError> {
        let mut cluster = match &config.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| KubernetesError(error.into()))?;
                let options = KubeConfigOptions { context: config.context, ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| KubernetesError(error.into()))?
            }
            None => Config::incluster().map_err(|error| KubernetesError(error.into()))?,
        };
        // It would send a write again after an answer that says nothing of the first.
        cluster.default_retry = false;
        let namespace = config.namespace.unwrap_or_else(|| cluster.default_namespace.clone());
        let client = Client::try_from(cluster).map_err(|error| KubernetesError(error.into()))?;
        Ok((Self { client, field_manager: field_manager.into() }, namespace))
    }

    /// Reads; `None` if it is not there.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn read(&self, path: &str) -> Result<Option<Value>, Unread> {
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
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Unread> {
        let list = self.read(path).await?.unwrap_or_default();
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Writes.
    ///
    /// # Errors
    /// The outer one says that nothing was done (`Unavailable`, `Throttled`) or that nobody knows (`Indeterminate`).
    pub async fn write(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Result<Value, Refusal>, RemediatorError> {
        let query = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{query}fieldManager={}", self.field_manager);
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

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("field_manager", &self.field_manager).finish_non_exhaustive()
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
