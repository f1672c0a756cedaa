//! Coming back: after a restart, to another replica, and when the server ends.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vigil_core::store::{MemoryStore, Store};
use vigil_http::HttpConfig;

use crate::viewer::PATIENCE;
use crate::{Server, Viewer};

#[tokio::test]
async fn a_viewer_that_comes_back_after_a_restart_misses_nothing_and_sees_nothing_twice() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (mut acted, mut seen, mut last) = (Vec::new(), Vec::new(), None);
    for round in 0..4 {
        let server = Server::start(store.clone(), HttpConfig::default());
        let mut viewer = Viewer::open(&server.api, "?kinds=action", last).await;
        for number in 0..10 {
            acted.push(server.act(&format!("web-{round}-{number}")).await);
        }
        // It leaves in the middle, wherever it stands.
        while seen.len() < acted.len() - 3 {
            let told = viewer.next().await.unwrap();
            last = told.id.or(last);
            if told.kind == "action" {
                seen.push(told.data["action_id"].as_i64().unwrap());
            }
        }
        server.stop().await;
    }
    let server = Server::start(store, HttpConfig::default());
    let mut viewer = Viewer::open(&server.api, "?kinds=action", last).await;
    while seen.len() < acted.len() {
        seen.push(viewer.next_of("action").await.data["action_id"].as_i64().unwrap());
    }
    assert_eq!(seen, acted);
    server.stop().await;
}

#[tokio::test]
async fn what_happens_on_one_replica_is_told_on_another() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let one = Server::start(store.clone(), HttpConfig::default());
    let other = Server::start(store, HttpConfig::default());
    let mut viewer = other.view("?kinds=action").await;
    for number in 0..20 {
        let by = if number % 2 == 0 { &one } else { &other };
        let id = by.act(&format!("web-{number}")).await;
        assert_eq!(viewer.next_of("action").await.data["action_id"], id);
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_views_at_once() {
    let server = Server::new();
    let served = server.serve().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains("event: ready") {
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    let serving = served.stop();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the view ends").unwrap();
    timeout(PATIENCE, serving).await.expect("and nothing is waited for").unwrap();
    server.stop().await;
}
