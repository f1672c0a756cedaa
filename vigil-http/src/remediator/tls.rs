//! TLS of the remediator's client, from parts of its own: reqwest would take the process-wide provider, and panics
//! where none is installed, even for `http`.

use std::sync::Arc;

use reqwest::Url;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// The TLS configuration of a client that calls `url`: rustls with ring, certificates judged as the platform does, and nothing
/// global. One for `http` trusts nobody, so that a machine without certificates can use it.
///
/// # Errors
/// What rustls says if this machine cannot judge certificates.
pub fn client_tls(url: &Url) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match url.scheme() {
        "https" => builder.with_platform_verifier()?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}
