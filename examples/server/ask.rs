//! [`ask`]: one GET of a server that runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, Url};
use vigil_http::client_tls;

use crate::Fatal;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the server with this configuration is to be found from its own machine.
pub(crate) fn own_url(address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// The status and the text of `path` at `base`.
///
/// # Errors
/// One sentence when nothing answers.
pub(crate) async fn ask(base: &str, path: &str, key: Option<&str>) -> Result<(u16, String), Fatal> {
    let url =
        Url::parse(base).and_then(|base| base.join(path)).map_err(|error| format!("'{base}' is no URL: {error}"))?;
    let client = Client::builder().tls_backend_preconfigured(client_tls(&url)?).no_proxy().timeout(PATIENCE).build()?;
    let mut request = client.get(url);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
