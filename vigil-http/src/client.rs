//! [`ApiClient`]: how a program beside the server calls its API.

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Url};

use crate::client_tls;

/// Calls the API of a server under one key. It follows no redirect and takes no proxy from the environment. `Debug` hides the key.
#[derive(Debug, Clone)]
pub struct ApiClient {
    client: Client,
    base: Url,
    api_key: Option<HeaderValue>,
}

impl ApiClient {
    /// Sets it up; nothing is sent yet. `timeout` is for a whole request; `agent` is what it calls itself.
    ///
    /// # Errors
    /// A sentence that names the key of the configuration, `server` or `api_key_file`.
    pub fn new(server: &str, api_key_file: Option<&Path>, timeout: Duration, agent: &str) -> Result<Self, String> {
        let base = Url::parse(server).map_err(|error| format!("server cannot be read: {error}"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("server must begin with http:// or https://".to_owned());
        }
        let tls = client_tls(&base).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(timeout)
            .user_agent(agent);
        let client =
            client.build().map_err(|error| format!("the HTTP client cannot be set up: {}", error.without_url()))?;
        Ok(Self { client, base, api_key: api_key_file.map(key).transpose()? })
    }

    /// A request to a path below the server's URL, in its parts: each is escaped.
    pub fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("http and https URLs have a path").pop_if_empty().extend(path);
        let request = self.client.request(method, url);
        match &self.api_key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        }
    }
}

/// The key that a file holds.
fn key(file: &Path) -> Result<HeaderValue, String> {
    let key = std::fs::read_to_string(file).map_err(|error| format!("api_key_file: {}: {error}", file.display()))?;
    let mut key = HeaderValue::from_str(key.trim()).map_err(|_| "api_key_file holds no key".to_owned())?;
    key.set_sensitive(true);
    Ok(key)
}
