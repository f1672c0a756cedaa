//! What is not sent at all, and what it takes to be reached.

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

async fn assert_not_sent(url: &str) {
    let answer = client(url).remediate(&request(1)).await;
    assert!(matches!(answer, Err(RemediatorError::Unavailable(_))), "{url}: {answer:?}");
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    assert_not_sent(&refusing_url().await).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_not_sent() {
    assert_not_sent("http://remediator.invalid/").await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_was_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let _listener = socket.listen(1).unwrap(); // never accepts: the third connection waits for ever
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    assert_not_sent(&format!("http://{address}/")).await;
}

#[tokio::test]
async fn a_tls_handshake_that_fails_or_hangs_was_not_sent() {
    let fake = FakeRemediator::start().await;
    assert_not_sent(&fake.url().replace("http://", "https://")).await;
    assert!(fake.calls().is_empty());
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    assert_not_sent(&format!("https://{}/", silent.local_addr().unwrap())).await;
}

#[tokio::test]
async fn no_process_wide_provider_is_needed_or_installed() {
    let fake = FakeRemediator::start().await;
    client(&fake.url()).remediate(&request(1)).await.unwrap();
    assert_not_sent(&refusing_url().await.replace("http://", "https://")).await;
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn whatever_accepts_connections_is_reachable() {
    let fake = FakeRemediator::start().await;
    client(&fake.url()).ping().await.unwrap();
    assert!(fake.calls().is_empty() && fake.probes().is_empty(), "nothing is sent");
    assert!(matches!(client(&refusing_url().await).ping().await, Err(RemediatorError::Unavailable(_))));
}

#[tokio::test]
async fn an_ipv6_address_is_reachable_too() {
    let Ok(listener) = TcpListener::bind(("::1", 0)).await else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    client(&format!("http://{}/", listener.local_addr().unwrap())).ping().await.unwrap();
}

#[tokio::test]
async fn a_url_that_cannot_be_called_is_refused_with_one_sentence() {
    let refused = |url| HttpRemediator::new(url, noon(), options()).unwrap_err().to_string();
    assert_eq!(refused("localhost:9000"), "the remediator's URL must begin with http:// or https://");
    assert_eq!(refused("/remediate"), "the remediator's URL cannot be read: relative URL without a base");
    assert_eq!(refused("http://"), "the remediator's URL cannot be read: empty host");
}
