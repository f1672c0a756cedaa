//! [`HttpRemediator`]: the client of the remediator protocol. What answers mean is in `answer.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use vigil_core::action::{ActionId, ActionType, IdempotencyKey, Severity};
use vigil_core::clock::{Clock, Timestamp};
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

mod answer;
mod secret;
mod tls;

use answer::Answer;
pub use answer::retry_after;
pub use secret::Secret;
pub use tls::client_tls;

/// Sends remediations to a remediator service, or to any webhook, over HTTP.
///
/// Speaks the whole protocol: one idempotency key for all attempts, the attempt as a fencing number, a signature, and a
/// probe that asks what became of a key. A webhook that knows none of this works too: its 2xx counts as succeeded,
/// marked unconfirmed, and since it has no probe it is never sent a key twice.
///
/// It follows no redirect, uses no proxy, retries nothing, and opens a connection for every call: on a kept one that
/// the other side just closed nobody could tell whether a request was taken.
///
/// Nothing global is needed or installed: it brings its own TLS (rustls with ring, certificates judged as the
/// platform does), so an embedding program need not choose a process-wide provider.
pub struct HttpRemediator {
    url: Url,
    client: Client,
    clock: Arc<dyn Clock>,
    options: HttpRemediatorOptions,
}

/// How an [`HttpRemediator`] calls.
#[derive(Debug, Clone)]
pub struct HttpRemediatorOptions {
    /// Signs every call, when set.
    pub secret: Option<Secret>,
    /// Whether the remediator answers probes. If not, what became of a key is never asked, always unknown.
    pub probe: bool,
    /// How long a call may take as a whole. 30 s.
    pub timeout: Duration,
    /// How long a connection may take to come about, TLS included. 5 s.
    pub connect_timeout: Duration,
}

impl Default for HttpRemediatorOptions {
    fn default() -> Self {
        Self { secret: None, probe: true, timeout: Duration::from_secs(30), connect_timeout: Duration::from_secs(5) }
    }
}

/// Why an [`HttpRemediator`] cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpRemediatorError {
    /// The URL cannot be called. It is not shown: it may hold a password.
    #[error("the remediator's URL {0}")]
    Url(String),
    /// This machine cannot judge certificates, for example because it has none.
    #[error("TLS cannot be set up for the remediator's URL")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client of the remediator cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// What is sent, in the documented order.
#[derive(Serialize)]
struct Body<'a> {
    task_id: &'a str,
    action_id: ActionId,
    target: &'a Target,
    action: ActionType,
    severity: Severity,
    params: &'a Map<String, Value>,
    policy_name: Option<&'a str>,
    attempt: u32,
    tenant: &'a TenantId,
    deadline: Timestamp,
}

impl HttpRemediator {
    /// Calls `url` exactly as given, query included. `clock` dates signatures and reads `Retry-After`.
    ///
    /// # Errors
    /// [`HttpRemediatorError`] if `url` is not an absolute `http` or `https` URL, or TLS cannot be set up.
    pub fn new(url: &str, clock: Arc<dyn Clock>, options: HttpRemediatorOptions) -> Result<Self, HttpRemediatorError> {
        let url = Url::parse(url).map_err(|error| HttpRemediatorError::Url(format!("cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpRemediatorError::Url("must begin with http:// or https://".to_owned()));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(client_tls(&url).map_err(HttpRemediatorError::Tls)?)
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .user_agent(concat!("vigil/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| HttpRemediatorError::Client(error.without_url()))?;
        Ok(Self { url, client, clock, options })
    }

    /// Where a key is asked after: the path of the URL, then the key, then the query of the URL.
    fn probe_url(&self, key: &IdempotencyKey) -> Url {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("http and https URLs have a path").pop_if_empty().push(&key.0);
        url
    }

    /// Sends a call, signed if there is a secret, and reads the answer.
    async fn call(&self, request: RequestBuilder, body: Vec<u8>) -> Result<Answer, reqwest::Error> {
        let mut request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(secret) = &self.options.secret {
            request = request.header("X-Vigil-Signature", secret.sign(self.clock.now(), &body));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        }
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        Ok(Answer::read(response, self.clock.now()).await)
    }
}

#[async_trait]
impl Remediator for HttpRemediator {
    async fn remediate(&self, request: &RemediationRequest) -> Result<Outcome, RemediatorError> {
        let body = Body {
            task_id: &request.task_id,
            action_id: request.action_id,
            target: &request.target,
            action: request.action,
            severity: request.severity,
            params: &request.params,
            policy_name: request.policy_name.as_deref(),
            attempt: request.attempt,
            tenant: &request.tenant,
            deadline: request.deadline,
        };
        let body = serde_json::to_vec(&body).map_err(|error| RemediatorError::Unavailable(error.into()))?;
        let post = self
            .client
            .post(self.url.clone())
            .header("Idempotency-Key", &request.key.0)
            .header("X-Vigil-Attempt", request.attempt)
            .header("X-Request-Id", &request.request_id);
        match self.call(post, body).await {
            Ok(answer) => answer.outcome(),
            Err(error) if was_not_sent(&error) => Err(RemediatorError::Unavailable(error.into())),
            Err(error) => Err(RemediatorError::Indeterminate(error.into())),
        }
    }

    /// A probe that timed out is [`Probe::Unknown`], as is every answer that is not of the protocol. One that did not
    /// get through, or met a proxy whose remediator is away (502, 503, 504), or was throttled, may be asked again.
    async fn probe(&self, key: &IdempotencyKey) -> Result<Probe, RemediatorError> {
        if !self.options.probe {
            return Ok(Probe::Unknown);
        }
        match self.call(self.client.get(self.probe_url(key)), Vec::new()).await {
            Ok(answer) => answer.probe(),
            Err(error) if error.is_timeout() && !was_not_sent(&error) => Ok(Probe::Unknown),
            Err(error) => Err(RemediatorError::Unavailable(error.into())),
        }
    }

    /// Whether something accepts connections there; nothing is sent.
    async fn ping(&self) -> Result<(), RemediatorError> {
        let host = self.url.host_str().expect("http and https URLs have a host").trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().expect("http and https have one");
        let connected = tokio::time::timeout(self.options.connect_timeout, TcpStream::connect((host, port))).await;
        match connected {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(RemediatorError::Unavailable(error.into())),
            Err(elapsed) => Err(RemediatorError::Unavailable(elapsed.into())),
        }
    }
}

/// Shows neither the secret nor more of the URL than where it leads: its path, query and user may be secrets too.
impl fmt::Debug for HttpRemediator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.url.origin().ascii_serialization();
        f.debug_struct("HttpRemediator")
            .field("origin", &origin)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Whether the request cannot have reached the other side: it could not be built, or no connection came about.
fn was_not_sent(error: &reqwest::Error) -> bool {
    error.is_builder() || error.is_connect()
}
