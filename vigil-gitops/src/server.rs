//! [`Server`]: what the daemon asks of Vigil's API.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderValue, IF_MATCH};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vigil_core::clock::Timestamp;
use vigil_http::ApiClient;

/// Vigil, as seen from here.
#[derive(Debug, Clone)]
pub(crate) struct Server(ApiClient);

/// A policy as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LivePolicy {
    /// Every field of the answer.
    pub(crate) json: Value,
    /// What a change must name.
    revision: i64,
}

/// One sample as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) timestamp: Timestamp,
}

/// Why the server did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// It cannot be reached: nothing happened.
    #[error("Vigil cannot be reached")]
    Away(#[source] reqwest::Error),
    /// It took the request and gave no answer.
    #[error("Vigil gave no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// It answered, and not what was hoped for.
    #[error("Vigil answered {status}: {detail}")]
    Refused {
        /// With what.
        status: StatusCode,
        /// In its words.
        detail: String,
    },
}

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How many samples are sent at a time.
const BATCH: usize = 1000;
/// How many characters of an answer are told.
const TOLD: usize = 300;

impl Server {
    /// Sets up the client; nothing is sent yet.
    ///
    /// # Errors
    /// A sentence that names the key of the configuration.
    pub(crate) fn new(url: &str, api_key_file: Option<&Path>) -> Result<Self, String> {
        let agent = concat!("vigil-gitopsd/", env!("CARGO_PKG_VERSION"));
        Ok(Self(ApiClient::new(url, api_key_file, TIMEOUT, agent)?))
    }

    /// All policies by name.
    pub(crate) async fn policies(&self) -> Result<BTreeMap<String, LivePolicy>, ServerError> {
        #[derive(Deserialize)]
        struct List {
            policies: BTreeMap<String, Value>,
        }
        let answer = self.call(self.request(Method::GET, &["policies"])).await?;
        let list: List = answer.json().await.map_err(no_answer)?;
        Ok(list.policies.into_iter().map(|(name, json)| (name, LivePolicy::new(json))).collect())
    }

    /// One policy, if there is one of this name.
    pub(crate) async fn policy(&self, name: &str) -> Result<Option<LivePolicy>, ServerError> {
        match self.call(self.request(Method::GET, &["policies", name])).await {
            Ok(answer) => {
                // The revision is in the body too; the header is what the contract names.
                let revision = answer.headers().get(ETAG).and_then(revision_of);
                let mut live = LivePolicy::new(answer.json().await.map_err(no_answer)?);
                live.revision = revision.unwrap_or(live.revision);
                Ok(Some(live))
            }
            Err(ServerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a policy.
    pub(crate) async fn create(&self, policy: &Value) -> Result<(), ServerError> {
        self.call(self.request(Method::POST, &["policies"]).json(policy)).await.map(drop)
    }

    /// Puts every field of a policy in the place of what is there, unless somebody else changed it since it was read.
    pub(crate) async fn update(&self, name: &str, read: &LivePolicy, policy: &Value) -> Result<(), ServerError> {
        let mut body = policy.clone();
        // What a policy leaves out keeps its value; these two are left out when they are zero.
        for field in ["for", "keep_firing_for"] {
            if body.get(field).is_none() {
                body[field] = 0.into();
            }
        }
        let request = self.request(Method::PUT, &["policies", name]).json(&body);
        self.call(request.header(IF_MATCH, format!("\"{}\"", read.revision))).await.map(drop)
    }

    /// Removes a policy; one that is gone already is removed.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), ServerError> {
        match self.call(self.request(Method::DELETE, &["policies", name])).await {
            Ok(_) | Err(ServerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells samples; all were taken, or an error.
    pub(crate) async fn send(&self, samples: &[Sample]) -> Result<(), ServerError> {
        for batch in samples.chunks(BATCH) {
            let request = self.request(Method::POST, &["ingest", "agent", "metrics"]);
            self.call(request.json(&json!({ "metrics": batch }))).await?;
        }
        Ok(())
    }

    /// Whether it answers.
    pub(crate) async fn ping(&self) -> Result<(), ServerError> {
        self.call(self.0.request(Method::GET, &["health"])).await.map(drop)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.0.request(method, &[&["api", "v1"], path].concat())
    }

    async fn call(&self, request: RequestBuilder) -> Result<reqwest::Response, ServerError> {
        let answer = request.send().await.map_err(|error| {
            let error = error.without_url();
            if error.is_connect() || error.is_builder() {
                ServerError::Away(error)
            } else {
                ServerError::NoAnswer(error)
            }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer.text().await.unwrap_or_default().chars().take(TOLD).collect();
        Err(ServerError::Refused { status, detail })
    }
}

impl LivePolicy {
    fn new(json: Value) -> Self {
        let revision = json["revision"].as_i64().unwrap_or_default();
        Self { json, revision }
    }

    /// Who keeps it, if something does: `vigil-gitops/<source>`.
    pub(crate) fn managed_by(&self) -> Option<&str> {
        self.json["params"]["managed_by"].as_str()
    }
}

fn revision_of(tag: &HeaderValue) -> Option<i64> {
    tag.to_str().ok()?.trim_matches('"').parse().ok()
}

fn no_answer(error: reqwest::Error) -> ServerError {
    ServerError::NoAnswer(error.without_url())
}
