//! [`Place`]: a server that runs, to be asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use vigil_http::client_tls;

use crate::Fatal;
use crate::config::Config;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a server is.
pub(crate) struct Place {
    /// Its URL.
    pub(crate) url: String,
    /// Whether it is the one of this configuration, on this very machine.
    is_own: bool,
}

impl Place {
    /// Somewhere else.
    pub(crate) fn at(url: String) -> Self {
        Self { url, is_own: false }
    }

    /// Where the server with this configuration is to be found from its own machine.
    pub(crate) fn own(config: &Config) -> Self {
        let (ip, port) = (config.address.ip(), config.address.port());
        let ip = if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        Self { url: format!("{scheme}://{}", SocketAddr::new(ip, port)), is_own: true }
    }

    /// The status and the text of `path`.
    ///
    /// # Errors
    /// One sentence when nothing answers.
    pub(crate) async fn get(&self, path: &str, key: Option<&str>) -> Result<(u16, String), Fatal> {
        let url = Url::parse(&self.url).and_then(|base| base.join(path));
        let url = url.map_err(|error| format!("'{}' is no URL: {error}", self.url))?;
        let tls = if self.is_own { own_tls()? } else { client_tls(&url)? };
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE).build()?;
        let mut request = client.get(url);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

/// For the server of this machine at its own address: its certificate is for the name that others call it by.
fn own_tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(provider))).with_no_client_auth())
}

/// Takes the certificate that it is shown, whosoever it is; that its key is there is proven all the same.
#[derive(Debug)]
struct AnyName(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
