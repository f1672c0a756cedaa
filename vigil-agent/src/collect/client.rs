//! [`Clients`]: what asks over HTTP, shared by all checks and scrapes.

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use vigil_http::client_tls;

/// One client for `http`, and one for `https`, which holds the certificates that are trusted.
#[derive(Default)]
pub(super) struct Clients {
    http: Option<Client>,
    https: Option<Client>,
}

impl Clients {
    /// The client for a URL. It follows no redirect, so that what answers is what was asked, and keeps no connection: one that
    /// is still open says nothing of a service that takes no more.
    pub(super) fn of(&mut self, url: &Url) -> Result<Client, String> {
        let kept = if url.scheme() == "https" { &mut self.https } else { &mut self.http };
        if let Some(client) = kept {
            return Ok(client.clone());
        }
        let tls = client_tls(url).map_err(|error| format!("needs TLS, which cannot be set up: {error}"))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("vigil-agent/", env!("CARGO_PKG_VERSION")));
        let client = client.build().map_err(|error| format!("cannot be asked: {}", error.without_url()))?;
        Ok(kept.insert(client).clone())
    }
}
