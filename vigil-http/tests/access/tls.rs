//! TLS, with certificates made on the spot.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use vigil_http::{HttpConfig, Tls, serve};

use crate::replica::Replica;

/// How long anything that should happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes a new certificate for `localhost` and its key.
fn certificate(folder: &Path) {
    // Without what an installation's own configuration would add.
    let bare = folder.join("openssl.cnf");
    std::fs::write(&bare, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .arg("-config")
        .arg(&bare)
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A client that trusts the certificate that is in the folder now.
fn client(folder: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

async fn health(address: std::net::SocketAddr, client: &TlsConnector) -> std::io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::test]
async fn tls_is_spoken_and_a_new_certificate_is_taken_without_a_restart() {
    if Command::new("openssl").arg("version").output().is_err() {
        return println!("skipped: openssl is not installed");
    }
    let folder = TempDir::new().unwrap();
    certificate(folder.path());
    let first = client(folder.path());
    let tls = Tls::load(folder.path().join("cert.pem"), folder.path().join("key.pem")).unwrap();
    let config = HttpConfig { tls: Some(tls.clone()), ..HttpConfig::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let api = Replica::with(config.clone()).api;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        serve(listener, api, &config, async {
            let _ = stopped.await;
        })
        .await;
    });

    // Somebody who never says hello holds up nobody.
    let silent = TcpStream::connect(address).await.unwrap();
    let answer = timeout(PATIENCE, health(address, &first)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    certificate(folder.path());
    let second = client(folder.path());
    assert!(health(address, &second).await.is_err(), "the new one is not in use yet");
    tls.reload().unwrap();
    let answer = timeout(PATIENCE, health(address, &second)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(health(address, &first).await.is_err(), "the old one is not in use any more");

    std::fs::write(folder.path().join("cert.pem"), "not a certificate").unwrap();
    let refused = tls.reload().unwrap_err().to_string();
    assert!(refused.contains("cert.pem"), "{refused}");
    assert!(health(address, &second).await.is_ok(), "what was read before stays in use");

    drop(silent);
    stop.send(()).unwrap();
    timeout(PATIENCE, serving).await.expect("it ends").unwrap();
}
