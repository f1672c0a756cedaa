//! What is sent. Each attack ends by itself, or when it was watched for long enough.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Front;
use crate::process::PATIENCE;

/// What came of an attack.
pub(super) struct Outcome {
    pub(super) said: String,
    /// How many samples it was answered 201 for.
    pub(super) acknowledged: usize,
}

impl Outcome {
    fn said(said: impl Into<String>) -> Self {
        Self { said: said.into(), acknowledged: 0 }
    }
}

type Attack = fn(Front) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(super) fn all() -> Vec<(&'static str, Attack)> {
    vec![
        ("nothing", |front| Box::pin(nothing(front))),
        ("500 slow heads", |front| Box::pin(slow_heads(front))),
        ("500 half-sent bodies", |front| Box::pin(half_bodies(front))),
        ("10,000 idle connections", |front| Box::pin(idle(front))),
        ("1 GB uploads", |front| Box::pin(uploads(front))),
        ("gzip bombs", |front| Box::pin(bombs(front))),
        ("100,000 names and targets", |front| Box::pin(names(front))),
        ("100,000 names on one target", |front| Box::pin(names_on_one(front))),
        ("header floods", |front| Box::pin(headers(front))),
        ("pipelined requests", |front| Box::pin(pipelines(front))),
    ]
}

async fn connect(front: &Front) -> TcpStream {
    TcpStream::connect(&front.address).await.expect("the server listens")
}

/// Everything that comes until the server closes, or what came before the connection was reset.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = timeout(PATIENCE * 2, stream.read_to_end(&mut text)).await.expect("the server closes");
    String::from_utf8_lossy(&text).into_owned()
}

/// The status of the answer, 0 if there is none.
fn status(answer: &str) -> u16 {
    answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// How often each status came, in words.
fn tally(statuses: impl IntoIterator<Item = u16>) -> String {
    let mut counts = std::collections::BTreeMap::<u16, usize>::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    let word = |(status, count)| if status == 0 { format!("{count} cut off") } else { format!("{count} x {status}") };
    counts.into_iter().map(word).collect::<Vec<_>>().join(", ")
}

async fn nothing(_: Front) -> Outcome {
    Outcome::said("")
}

/// Slowloris: a byte now and then, the head never ends.
async fn slow_heads(front: Front) -> Outcome {
    let mut clients = JoinSet::new();
    for _ in 0..front.scale.of(500) {
        let front = front.clone();
        clients.spawn(async move {
            let (mut reads, mut writes) = connect(&front).await.into_split();
            let drip = async {
                writes.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ").await?;
                loop {
                    writes.write_all(b"a").await?;
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let mut text = Vec::new();
            let closed =
                async { timeout(PATIENCE, reads.read_to_end(&mut text)).await.expect("the server cuts it off") };
            tokio::select! {
                ended = drip => { let _: std::io::Result<()> = ended; }
                _ = closed => {}
            }
            status(&String::from_utf8_lossy(&text))
        });
    }
    Outcome::said(tally(clients.join_all().await))
}

/// Half of the largest body that is taken, and then nothing more.
async fn half_bodies(front: Front) -> Outcome {
    let half = Arc::new(vec![b' '; 4 * 1024 * 1024]);
    let mut clients = JoinSet::new();
    for number in 0..front.scale.of(500) {
        let (front, half) = (front.clone(), half.clone());
        clients.spawn(async move {
            let mut stream = connect(&front).await;
            let (path, length) = if number % 2 == 0 {
                ("/api/v1/ingest/agent/metrics", half.len() * 2)
            } else {
                ("/api/v1/ingest", 1024 * 1024)
            };
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = timeout(PATIENCE, stream.write_all(&half[..length / 2])).await;
            if front.scale.is_full() {
                return status(&rest(&mut stream).await);
            }
            front.watched().await; // the suite has no time for the body's timeout
            0
        });
    }
    Outcome::said(tally(clients.join_all().await))
}

/// Connections that were answered once and then sit there.
pub(super) async fn sit(front: &Front, connections: usize) -> Vec<TcpStream> {
    let at_once = Arc::new(Semaphore::new(64));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (front, at_once) = (front.clone(), at_once.clone());
        clients.spawn(async move {
            let _turn = at_once.acquire().await;
            let mut stream = connect(&front).await;
            stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.ok()?;
            let mut answer = [0; 1024];
            let got = timeout(PATIENCE, stream.read(&mut answer)).await.expect("it is answered").ok()?;
            (status(&String::from_utf8_lossy(&answer[..got])) == 200).then_some(stream)
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

async fn idle(front: Front) -> Outcome {
    let held = sit(&front, front.scale.of(10_000)).await;
    front.watched().await;
    let open = held.iter().filter(|stream| !matches!(stream.try_read(&mut [0; 1]), Ok(0))).count();
    Outcome::said(format!("{} answered, {open} still open", held.len()))
}

/// A gigabyte, announced and in chunks.
async fn uploads(front: Front) -> Outcome {
    let total = front.scale.of(1024) * 1024 * 1024;
    let mut clients = JoinSet::new();
    for number in 0..4 {
        let front = front.clone();
        clients.spawn(async move {
            let (mut reads, mut writes) = connect(&front).await.into_split();
            let path = if number < 2 { "/api/v1/ingest" } else { "/api/v1/ingest/agent/metrics" };
            let chunked = number % 2 == 0;
            let length =
                if chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {total}") };
            let send = async {
                let head =
                    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{length}\r\n\r\n");
                writes.write_all(head.as_bytes()).await?;
                let piece = vec![b' '; 64 * 1024];
                for _ in 0..total / piece.len() {
                    if chunked {
                        writes.write_all(b"10000\r\n").await?;
                    }
                    writes.write_all(&piece).await?;
                    if chunked {
                        writes.write_all(b"\r\n").await?;
                    }
                }
                writes.write_all(if chunked { b"0\r\n\r\n" } else { b"" }).await
            };
            let mut text = Vec::new();
            let _ = tokio::join!(send, timeout(PATIENCE * 2, reads.read_to_end(&mut text)));
            status(&String::from_utf8_lossy(&text))
        });
    }
    let statuses = clients.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, 0 | 413)), "{statuses:?}");
    Outcome::said(tally(statuses))
}

/// `piece` over and over between two ends, as gzip: a thousandth of what it unfolds to.
fn bomb(start: &str, piece: &str, end: &str, size: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(start.as_bytes()).unwrap();
    let many = piece.repeat(64 * 1024 / piece.len());
    for _ in 0..size / many.len() {
        gzip.write_all(many.as_bytes()).unwrap();
    }
    gzip.write_all(end.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// A gigabyte of nothing, and what is just small enough to be unfolded but weighs most as JSON.
async fn bombs(front: Front) -> Outcome {
    let (batch, single) = (8_300_000, 1_000_000);
    let bombs = Arc::new([
        ("/api/v1/ingest", bomb("", " ", "", front.scale.of(1024) * 1024 * 1024)),
        ("/api/v1/ingest/agent/metrics", bomb("", " ", "", front.scale.of(1024) * 1024 * 1024)),
        ("/api/v1/ingest/agent/metrics", bomb("[", "0,", "0]", batch)),
        ("/api/v1/ingest/agent/metrics", bomb("[", "[],", "0]", batch)),
        ("/api/v1/ingest/agent/metrics", bomb("[", "{\"\":0},", "0]", batch)),
        ("/api/v1/ingest/agent/metrics", bomb("{\"name\":\"a\",\"value\":1,\"x\":[", "{\"\":0},", "0]}", batch)),
        ("/api/v1/ingest", bomb("{\"name\":\"a\",\"value\":1,\"x\":[", "{\"\":0},", "0]}", single)),
        ("/api/v1/policies", bomb("{\"name\":\"a\",\"condition\":[", "{\"\":0},", "0]}", single)),
    ]);
    let mut clients = JoinSet::new();
    for _ in 0..if front.scale.is_full() { 8 } else { 2 } {
        let (front, bombs) = (front.clone(), bombs.clone());
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for (path, bomb) in &*bombs {
                let mut stream = connect(&front).await;
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                     content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                    bomb.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(bomb).await;
                statuses.push(status(&rest(&mut stream).await));
            }
            statuses
        });
    }
    let statuses = clients.join_all().await.concat();
    assert!(statuses.iter().all(|status| *status != 500), "{statuses:?}");
    Outcome::said(tally(statuses))
}

/// As many series as can be thought of, each of a name and a target of its own.
async fn names(front: Front) -> Outcome {
    flood(front, |number| format!(r#"{{"name":"flood-{number}","value":1,"tags":{{"host":"target-{number}"}}}}"#)).await
}

/// The same on one target.
async fn names_on_one(front: Front) -> Outcome {
    flood(front, |number| format!(r#"{{"name":"flood-{number}","value":1,"tags":{{"host":"one"}}}}"#)).await
}

async fn flood(front: Front, sample: fn(usize) -> String) -> Outcome {
    let (total, batch, connections) = (front.scale.of(100_000), 500, 4);
    let mut clients = JoinSet::new();
    for first in 0..connections {
        let front = front.clone();
        clients.spawn(async move {
            let (mut acknowledged, mut refused) = (0, 0);
            for from in (first * batch..total).step_by(connections * batch) {
                let samples: Vec<String> = (from..(from + batch).min(total)).map(sample).collect();
                let body = format!("[{}]", samples.join(","));
                let mut stream = connect(&front).await;
                let head = format!(
                    "POST /api/v1/ingest/agent/metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
                match status(&rest(&mut stream).await) {
                    201 => acknowledged += samples.len(),
                    _ => refused += samples.len(),
                }
            }
            (acknowledged, refused)
        });
    }
    let counts = clients.join_all().await;
    let (acknowledged, refused) = counts.iter().fold((0, 0), |(a, r), (acked, ref_)| (a + acked, r + ref_));
    Outcome { said: format!("{acknowledged} acknowledged, {refused} refused"), acknowledged }
}

/// Many headers, a huge one, and a line without end.
async fn headers(front: Front) -> Outcome {
    let mut clients = JoinSet::new();
    for number in 0..front.scale.of(500) {
        let front = front.clone();
        clients.spawn(async move {
            let (mut reads, mut writes) = connect(&front).await.into_split();
            let send = async {
                writes.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n").await?;
                match number % 3 {
                    0 => {
                        for header in 0..10_000 {
                            writes.write_all(format!("x-{header}: {header}\r\n").as_bytes()).await?;
                        }
                        writes.write_all(b"\r\n").await?;
                    }
                    1 => {
                        writes.write_all(b"x-huge: ").await?;
                        writes.write_all(&vec![b'a'; 1024 * 1024]).await?;
                        writes.write_all(b"\r\n\r\n").await?;
                    }
                    // Never the whole of what would be too much: as much as is kept, and then a little now and then.
                    _ => {
                        writes.write_all(b"x-endless: ").await?;
                        for _ in 0.. {
                            writes.write_all(&[b'a'; 1024]).await?;
                            sleep(Duration::from_millis(10)).await;
                        }
                    }
                }
                std::io::Result::Ok(())
            };
            let mut text = Vec::new();
            let closed = timeout(PATIENCE, reads.read_to_end(&mut text));
            tokio::select! {
                closed = closed => { let _ = closed.expect("the server cuts it off"); }
                Err(_) = send => {}
            }
            status(&String::from_utf8_lossy(&text))
        });
    }
    let statuses = clients.join_all().await;
    assert!(statuses.iter().all(|status| *status != 200), "{}", tally(statuses));
    Outcome::said(tally(statuses))
}

/// Requests upon requests on one connection, of which no answer is read.
async fn pipelines(front: Front) -> Outcome {
    let many = Arc::new("GET /api/v1/policies HTTP/1.1\r\nhost: x\r\n\r\n".repeat(front.scale.of(10_000)));
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let (front, many) = (front.clone(), many.clone());
        clients.spawn(async move {
            let mut stream = connect(&front).await;
            let sent = tokio::select! {
                sent = stream.write_all(many.as_bytes()) => sent.is_ok(),
                () = front.watched() => false,
            };
            front.watched().await;
            sent
        });
    }
    let taken = clients.join_all().await.into_iter().filter(|sent| *sent).count();
    Outcome::said(format!("{taken} of 64 taken whole"))
}
