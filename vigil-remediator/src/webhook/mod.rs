//! [`WebhookExecutor`]: a call to somebody else's service.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::clock::Clock;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};
use vigil_http::{Secret, client_tls};

use crate::executor::{Executor, Prepared, indeterminate, succeeded, unavailable};
use crate::job::Job;
use crate::seconds::Seconds;

mod guard;

use guard::{Guard, is_public};

/// Whom to call, and with what. Nothing of it comes from a request but the values in the template's texts.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where requests are posted to.
    pub url: String,
    /// Where a key is asked after: a segment of its path is `{key}`, and stands for it. Without it nobody knows what became of one.
    pub probe_url: Option<String>,
    /// What is posted. In its texts `{target}`, `{object}`, `{action}`, `{severity}`, `{tenant}`, `{policy}`, `{key}`,
    /// `{attempt}` and `{deadline}` stand for those of the request; a text that is just `{params}` becomes the parameters.
    #[serde(default = "whole_request")]
    pub body: Value,
    /// More headers, such as `Authorization`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The file with the secret that calls are signed with, as in Vigil's own protocol (`X-Vigil-Signature`).
    pub secret_file: Option<PathBuf>,
    /// Whether it may lead to this machine or a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// How long a call may take. 30.
    #[serde(default = "thirty_seconds")]
    pub timeout_seconds: Seconds,
}

fn thirty_seconds() -> Seconds {
    Seconds(Duration::from_secs(30))
}

fn whole_request() -> Value {
    serde_json::json!({
        "target": "{target}", "action": "{action}", "severity": "{severity}", "tenant": "{tenant}", "policy": "{policy}",
        "key": "{key}", "attempt": "{attempt}", "deadline": "{deadline}", "params": "{params}",
    })
}

/// Posts to one URL: 2xx is success unless its JSON says `failed` or `in_progress`, as in Vigil's own protocol; 4xx is a refusal,
/// 429 and 503 with `Retry-After` not taken, everything else unknown.
///
/// It follows no redirect, uses no proxy, and refuses addresses of private networks, also those that a name turns out to
/// have, unless they are allowed: a name somebody else controls must not lead to the metadata service of a cloud.
///
/// **Once per key.** The key is the header `Idempotency-Key`; keeping it is the other side's. The probe asks `probe_url`: 2xx is
/// done unless its JSON says `failed` or `in_progress`, 404 whose JSON says `never_seen` is not done, anything else unknown.
pub struct WebhookExecutor {
    url: Url,
    config: WebhookConfig,
    client: Client,
    headers: HeaderMap,
    secret: Option<Secret>,
    clock: Arc<dyn Clock>,
}

/// Why a webhook cannot be called as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The URL makes no sense, or leads where it may not.
    #[error("{field} {wrong}")]
    Url {
        /// Which of the two.
        field: &'static str,
        /// What is wrong with it.
        wrong: String,
    },
    /// A header cannot be sent.
    #[error("headers: '{0}' cannot be sent")]
    Header(String),
    /// The secret cannot be read.
    #[error("secret_file: {path} cannot be read")]
    Secret {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How much of an answer is kept.
const KEPT: usize = 500;

impl WebhookExecutor {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn new(config: WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, WebhookError> {
        let url = checked("url", &config.url, config.allow_private)?;
        if let Some(probe_url) = &config.probe_url {
            // A URL writes braces in another way.
            let probe_url = checked("probe_url", &probe_url.replace("{key}", KEY), config.allow_private)?;
            let is_key = |segment: &str| segment == KEY;
            let segments = probe_url.path_segments().map_or(0, |all| all.filter(|segment| is_key(segment)).count());
            if segments != 1 || probe_url.as_str().matches(KEY).count() != 1 {
                let wrong = "must have {key} once, as a whole segment of its path".to_owned();
                return Err(WebhookError::Url { field: "probe_url", wrong });
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, mut value) = header.ok_or_else(|| WebhookError::Header(name.clone()))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let secret = match &config.secret_file {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|source| WebhookError::Secret { path: path.clone(), source })?;
                Some(Secret::new(text.trim_end()))
            }
            None => None,
        };
        let tls = client_tls(&url).map_err(|error| WebhookError::Client(error.into()))?;
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .timeout(config.timeout_seconds.0)
            .user_agent(concat!("vigil-remediator/", env!("CARGO_PKG_VERSION")));
        if !config.allow_private {
            client = client.dns_resolver(Arc::new(Guard));
        }
        let client = client.build().map_err(|error| WebhookError::Client(error.without_url().into()))?;
        Ok(Self { url, config, client, headers, secret, clock })
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        job: &Job,
        body: Vec<u8>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = request.headers(self.headers.clone()).header("Idempotency-Key", &job.key.0);
        if let Some(secret) = &self.secret {
            request = request.header("X-Vigil-Signature", secret.sign(self.clock.now(), &body));
        }
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json").body(body);
        }
        request.send().await.map_err(reqwest::Error::without_url)
    }
}

#[async_trait]
impl Executor for WebhookExecutor {
    fn kind(&self) -> &'static str {
        "webhook for"
    }

    fn words(&self, _object: &str) -> Vec<ActionType> {
        ActionType::ALL.to_vec()
    }

    fn name(&self, object: &str) -> String {
        object.to_owned()
    }

    async fn prepare(&self, _job: &Job) -> Result<Prepared, RemediatorError> {
        Ok(Prepared::Ready(Value::Null))
    }

    async fn execute(&self, job: &Job, _before: &Value, until: Instant) -> Result<Outcome, RemediatorError> {
        let body = fill(&self.config.body, job).to_string().into_bytes();
        let post = self.client.post(self.url.clone()).header("X-Vigil-Attempt", job.attempt);
        let limit = until.saturating_duration_since(Instant::now()).min(self.config.timeout_seconds.0);
        let response = match self.send(post.timeout(limit), job, body).await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Err(unavailable(error)),
            Err(error) => return Err(indeterminate(error)),
        };
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = wait.map(Duration::from_secs);
        let body = beginning(response).await;
        let said = format!("the webhook answered {status}: {body}");
        match (status.as_u16(), wait) {
            (200..=299, _) => Ok(success(&body, said)),
            (429, wait) => Err(RemediatorError::Throttled { retry_after: wait.unwrap_or(Duration::from_secs(1)) }),
            (503, Some(retry_after)) => Err(RemediatorError::Throttled { retry_after }),
            (408 | 425, _) => Err(indeterminate(said)),
            (300..=499, _) => Ok(Outcome::Rejected { reason: said }),
            _ => Err(indeterminate(said)),
        }
    }

    async fn probe(&self, job: &Job, _before: &Value, _since: Duration) -> Result<Probe, RemediatorError> {
        let Some(template) = &self.config.probe_url else { return Ok(Probe::Unknown) };
        let mut url = Url::parse(&template.replace("{key}", KEY)).map_err(unavailable)?;
        // As a segment it is encoded, whatever it holds.
        let segments: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments.iter().map(|segment| if segment == KEY { &job.key.0 } else { segment }));
        }
        let response = self.send(self.client.get(url), job, Vec::new()).await.map_err(unavailable)?;
        let status = response.status().as_u16();
        let body = beginning(response).await;
        Ok(match (status, word(&body).as_deref()) {
            (200..=299, _) => match success(&body, format!("by its probe: {body}")) {
                Outcome::InProgress => Probe::InProgress,
                outcome => Probe::Done(outcome),
            },
            (404, Some("never_seen" | "unknown")) => Probe::NotDone,
            _ => Probe::Unknown,
        })
    }

    /// Nothing is sent: a webhook has no address for that.
    async fn ping(&self) -> Result<(), RemediatorError> {
        Ok(())
    }
}

impl fmt::Debug for WebhookExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookExecutor")
            .field("origin", &self.url.origin().ascii_serialization())
            .finish_non_exhaustive()
    }
}

/// Its URL, headers and body may hold secrets.
impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

fn checked(field: &'static str, url: &str, allow_private: bool) -> Result<Url, WebhookError> {
    let wrong = |wrong: String| WebhookError::Url { field, wrong };
    let url = Url::parse(url).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with http:// or https://".to_owned()));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if let Ok(address) = host.parse()
        && !allow_private
        && !is_public(address)
    {
        return Err(wrong(format!("leads to {address}, which is not public; allow_private: true permits that")));
    }
    Ok(url)
}

/// The template with the request's values in its texts. What a value holds stays a value: it cannot become structure.
fn fill(template: &Value, job: &Job) -> Value {
    match template {
        Value::String(text) if text == "{params}" => Value::Object(job.params.clone()),
        Value::String(text) => Value::String(fill_text(text, job)),
        Value::Array(items) => items.iter().map(|item| fill(item, job)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), fill(value, job))).collect())
        }
        other => other.clone(),
    }
}

/// Each placeholder once, from left to right: a value that looks like one is not filled again.
fn fill_text(mut text: &str, job: &Job) -> String {
    let mut filled = String::new();
    while let Some(begin) = text.find('{') {
        filled.push_str(&text[..begin]);
        let rest = &text[begin..];
        let known = rest.find('}').and_then(|end| Some((value(&rest[1..end], job)?, end)));
        match known {
            Some((value, end)) => {
                filled.push_str(&value);
                text = &rest[end + 1..];
            }
            None => {
                filled.push('{');
                text = &rest[1..];
            }
        }
    }
    filled.push_str(text);
    filled
}

fn value(name: &str, job: &Job) -> Option<String> {
    Some(match name {
        "target" => job.target.to_string(),
        "object" => job.object.clone(),
        "action" => job.action.to_string(),
        "severity" => job.severity.to_string(),
        "tenant" => job.tenant.to_string(),
        "policy" => job.policy_name.clone().unwrap_or_default(),
        "key" => job.key.to_string(),
        "attempt" => job.attempt.to_string(),
        "deadline" => job.deadline.to_string(),
        _ => return None,
    })
}

/// Stands for the key until there is one: a text that no URL has by chance.
const KEY: &str = "vigil-key-ec1d4c20";

/// What a 2xx means by its body: success, unless it says otherwise in the words of Vigil's own protocol.
fn success(body: &str, said: String) -> Outcome {
    let retryable = serde_json::from_str::<Value>(body).is_ok_and(|json| json["retryable"] == true);
    match word(body).as_deref() {
        Some("in_progress") => Outcome::InProgress,
        Some("failed") => Outcome::Failed { reason: said, retryable },
        _ => succeeded(said),
    }
}

/// The `status` of a JSON object.
fn word(body: &str) -> Option<String> {
    serde_json::from_str::<Map<String, Value>>(body).ok()?.get("status")?.as_str().map(str::to_owned)
}

/// The beginning of an answer's body.
async fn beginning(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < KEPT
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&body).chars().take(KEPT).collect()
}
