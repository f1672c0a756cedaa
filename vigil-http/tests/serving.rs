//! The accept loop on a real socket: slow heads, graceful shutdown, bounds.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests spawn the server, and fail by panicking

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vigil_http::{HttpConfig, serve};

/// How long anything that should happen may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn server(config: HttpConfig) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let api = World::with_config(config.clone()).api;
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        serve(listener, api, &config, async {
            let _ = stopped.await;
        })
        .await;
    });
    Server { address, stop, ended }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the server closes").unwrap();
    String::from_utf8(text).unwrap()
}

/// Everything until `end` has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(end) {
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("the server answers").unwrap();
        assert!(n > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    text
}

/// A request whose body has begun to be read: the server has said that it may come.
async fn in_flight(server: &Server) -> TcpStream {
    let mut stream = connect(server).await;
    let head = "POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\
        expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    until(&mut stream, "100 Continue\r\n\r\n").await;
    stream
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_the_connection() {
    let server = server(HttpConfig { header_timeout: Duration::from_millis(100), ..HttpConfig::default() }).await;
    let mut silent = connect(&server).await;
    let mut slow = connect(&server).await;
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    assert!(!rest(&mut slow).await.contains("200 OK"));
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let server = server(HttpConfig::default()).await;
    let mut stream = connect(&server).await;
    stream
        .write_all(format!("GET /health HTTP/1.1\r\nhost: x\r\nx-huge: {}", "a".repeat(40_000)).as_bytes())
        .await
        .unwrap();
    until(&mut stream, "431").await;
}

#[tokio::test]
async fn requests_that_come_all_at_once_are_answered_in_order() {
    let server = server(HttpConfig::default()).await;
    let mut stream = connect(&server).await;
    let each = |number: usize| format!("GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: number-{number}\r\n\r\n");
    stream.write_all((0..100).map(each).collect::<String>().as_bytes()).await.unwrap();
    let text = until(&mut stream, "number-99").await;
    let places: Vec<usize> =
        (0..100).map(|number| text.find(&format!("number-{number}\r\n")).unwrap_or(usize::MAX)).collect();
    assert!(places.is_sorted() && places[98] < usize::MAX, "{text}");
}

#[tokio::test]
async fn shutdown_finishes_the_request_in_flight_and_closes_the_idle() {
    let server = server(HttpConfig::default()).await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut idle, "}").await;
    let mut busy = in_flight(&server).await;

    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "", "the idle connection is closed");
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing more is accepted");
    assert!(!server.ended.is_finished(), "the request in flight is waited for");
    busy.write_all(br#"{"name": "cpu", "value": 1}"#).await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    timeout(PATIENCE, server.ended).await.expect("then it ends").unwrap();
}

#[tokio::test]
async fn shutdown_cuts_off_what_does_not_end() {
    let server = server(HttpConfig { drain: Duration::from_millis(100), ..HttpConfig::default() }).await;
    let mut stuck = in_flight(&server).await;
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.ended).await.expect("it ends all the same").unwrap();
    assert_eq!(rest(&mut stuck).await, "");
}

#[tokio::test]
async fn who_only_sits_there_makes_room_for_the_next() {
    let server = server(HttpConfig { max_connections: 2, ..HttpConfig::default() }).await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut idle, "}").await;
    let mut silent = connect(&server).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut next = connect(&server).await;
        next.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        until(&mut next, "}").await;
        others.push(next);
    }
    assert_eq!(rest(&mut idle).await, "", "it was answered, and closed");
    assert_eq!(rest(&mut silent).await, "", "it never said a word");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_its_connection_makes_room() {
    let server = server(HttpConfig { max_connections: 1, ..HttpConfig::default() }).await;
    let mut busy = in_flight(&server).await;
    let mut next = connect(&server).await;
    next.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1];
    assert!(timeout(Duration::from_millis(200), next.peek(&mut buffer)).await.is_err(), "the first is still at it");
    busy.write_all(br#"{"name": "cpu", "value": 1}"#).await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    until(&mut next, "}").await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_still_reads_the_answer() {
    let server = server(HttpConfig::default()).await;
    let mut stream = connect(&server).await;
    let size = 10 * 1024 * 1024;
    let head = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; size]).await.unwrap();
    let answer = until(&mut stream, "too-large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_without_sending() {
    let server = server(HttpConfig::default()).await;
    let mut stream = connect(&server).await;
    let head = "POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 10000000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = until(&mut stream, "too-large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
