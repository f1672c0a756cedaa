//! [`HttpConfig`]: what the API allows, with its documented defaults.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use serde_json::{Map, Value};
use vigil_core::invalid::InvalidValue;

use crate::guard::{Limits, Pepper, Rate};
use crate::simulator::Simulator;
use crate::tls::Tls;

/// What the API allows. Change what you must with struct update syntax:
/// `HttpConfig { metrics_enabled: false, ..HttpConfig::default() }`.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Which browser pages may call the API.
    pub origins: Origins,
    /// Whether `/metrics` is there; if not, it is 404.
    pub metrics_enabled: bool,
    /// How many bytes a request's body may have.
    pub body_limit: usize,
    /// How many bytes a batch of samples may have.
    pub batch_limit: usize,
    /// How many bytes the large bodies of all requests together may have; what would be more is 503. Of each body 64 KiB
    /// are not counted.
    pub body_memory: usize,
    /// How long a body may take to arrive; then 408.
    pub body_timeout: Duration,
    /// How long a request may take in all; then 504.
    pub request_timeout: Duration,
    /// How long a backend may take to answer a health check; then it counts as down.
    pub ping_timeout: Duration,
    /// How long a connection may take to send a request's head, and how long it may idle between two requests.
    pub header_timeout: Duration,
    /// How many connections are served at a time. Beyond that the oldest are asked to end after the request that they are at.
    pub max_connections: usize,
    /// How many live views, each on a connection of its own, may be open; further ones are 503.
    pub max_streams: usize,
    /// What puts a load on this server when it is asked to, if anything may; whoever gives one also runs it.
    pub simulator: Option<Arc<Simulator>>,
    /// How many requests are worked on at a time; further ones are answered 503 at once. Health and metrics always are.
    pub max_in_flight: usize,
    /// Speak TLS; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// With it every request needs an API key; without, no key can be made, and all requests are of the tenant `default`.
    pub pepper: Option<Pepper>,
    /// Whether `/metrics` needs no key where others do.
    pub metrics_public: bool,
    /// How many requests a key, or a peer that has none, may make; `None` for as many as it likes.
    pub rate: Option<Rate>,
    /// How many proxies stand between clients and this server: so many hops of `X-Forwarded-For`, from the right, are true.
    pub trusted_proxies: usize,
    /// What each tenant may have and do.
    pub limits: Limits,
    /// How long requests in flight may take after shutdown was asked for.
    pub drain: Duration,
    /// What the program adds to `GET /api/v1/settings`: what it runs with beside this. It must leave out what is secret.
    pub shown: Map<String, Value>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            metrics_enabled: true,
            body_limit: 1024 * 1024,
            batch_limit: 8 * 1024 * 1024,
            body_memory: 32 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(1),
            header_timeout: Duration::from_secs(10),
            max_connections: 2048,
            max_streams: 1024,
            simulator: None,
            max_in_flight: 512,
            tls: None,
            pepper: None,
            metrics_public: false,
            rate: None,
            trusted_proxies: 0,
            limits: Limits::default(),
            drain: Duration::from_secs(30),
            shown: Map::new(),
        }
    }
}

/// The origins whose pages may call the API from a browser: a list, or any.
///
/// Those of a list may send credentials; any origin may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Allowed);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Any,
    Listed(Vec<HeaderValue>),
}

impl Origins {
    /// Takes a list of origins such as `https://ops.example.com:8443`, or the single one `*` for any.
    ///
    /// # Errors
    /// [`InvalidValue`] on `cors_origins` for what is not an origin as browsers send it: scheme, host and, unless it
    /// is the scheme's own, port; nothing behind.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidValue> {
        let origins: Vec<&str> = origins.into_iter().map(str::trim).collect();
        if origins == ["*"] {
            return Ok(Self(Allowed::Any));
        }
        origins.into_iter().map(origin).collect::<Result<_, _>>().map(Allowed::Listed).map(Self)
    }

    /// The list, or `None` for any.
    pub(crate) fn listed(&self) -> Option<&[HeaderValue]> {
        match &self.0 {
            Allowed::Any => None,
            Allowed::Listed(origins) => Some(origins),
        }
    }
}

/// The four that development servers use.
impl Default for Origins {
    fn default() -> Self {
        Self(Allowed::Listed(
            ["http://localhost:3000", "http://localhost:5173", "http://127.0.0.1:3000", "http://127.0.0.1:5173"]
                .map(HeaderValue::from_static)
                .to_vec(),
        ))
    }
}

fn origin(text: &str) -> Result<HeaderValue, InvalidValue> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let sane = |host: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        !host.is_empty() && host.chars().all(plain) && !host.chars().any(|c| c.is_ascii_uppercase())
    };
    host.filter(sane).and_then(|_| HeaderValue::from_str(text).ok()).ok_or_else(|| {
        let problem = format!("must be origins such as https://ops.example.com, or * alone, not '{text}'");
        InvalidValue::new("cors_origins", problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        assert!(Origins::new(["https://ops.example.com", " http://[::1]:8080 "]).is_ok());
        assert_eq!(Origins::new(["*"]).unwrap().listed(), None);
        for wrong in ["ops.example.com", "https://", "https://a/b", "https://a/", "HTTPS://a", "https://A", "null", ""]
        {
            assert!(Origins::new([wrong]).is_err(), "{wrong}");
        }
        assert!(Origins::new(["*", "https://a"]).is_err(), "any and a list contradict each other");
    }
}
