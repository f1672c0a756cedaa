//! [`serve`]: the accept loop, with the bounds that a server on a real network needs.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::middleware::AddExtension;
use axum::{Extension, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::config::HttpConfig;
use crate::crowd::{Crowd, Leave};
use crate::guard::Peer;
use crate::live::Closing;
use crate::tls::Tls;

/// How many bytes the head of a request may have, which a connection keeps until it is whole; then 431. hyper's own bound is
/// 400 KiB: with as many connections as may be, a gigabyte.
const HEAD: usize = 32 * 1024;
/// How long the oldest connection is given to make room before the next one is asked as well.
const ROOM: Duration = Duration::from_millis(2);
/// How long a connection that was asked to end may finish what it has begun to send before it began any request.
const FAREWELL: Duration = Duration::from_millis(50);

/// A router, and what each of its requests is handed.
type Routes = AddExtension<AddExtension<Router, Peer>, Closing>;

/// Serves a router until `shutdown` completes. Then it accepts nothing more, closes idle connections, finishes the requests
/// in flight, and after [`HttpConfig::drain`] cuts off those that are left.
///
/// When as many connections are there as may be, the oldest are asked to end after the request that they are at, so that those
/// who only sit there do not keep others out.
///
/// The accept loop is our own because `axum::serve` gives hyper no timer, so that a client that sends its head byte by byte
/// would hold its connection for ever. The connections are tasks of a set that lives in this future: dropping it
/// drops them, none is detached.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = pin!(shutdown);
    let closing = Closing::default();
    // HTTP/1 only: the reading of the version that tells HTTP/2 apart has no timeout.
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).max_buf_size(HEAD);
    let (mut crowd, mut connections) = (Crowd::default(), JoinSet::new());
    let mut next: Option<(TcpStream, SocketAddr)> = None;

    loop {
        let Some((stream, address)) = next.take() else {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => next = Some(accepted),
                Err(error) => {
                    tracing::error!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_millis(200)).await; // out of file handles, say: others must end first
                }
            }
            continue;
        };
        if connections.len() >= config.max_connections {
            next = Some((stream, address));
            crowd.ask_the_oldest();
            tokio::select! {
                () = &mut shutdown => break,
                _ = connections.join_next() => {}
                () = sleep(ROOM) => {}
            }
            continue;
        }
        let (http, leave) = (http.clone(), crowd.enter());
        let routes = (Extension(closing.clone()), Extension(Peer(address))).layer(router.clone());
        let (acceptor, patience) = (config.tls.as_ref().map(Tls::acceptor), config.header_timeout);
        connections.spawn(async move {
            match acceptor {
                None => attend(&http, stream, routes, &leave).await,
                // In the connection's own task: a handshake that takes long delays nobody else.
                Some(acceptor) => match timeout(patience, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => attend(&http, stream, routes, &leave).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a client does not speak TLS as it must"),
                    Err(_) => tracing::debug!("a client takes too long to speak TLS"),
                },
            }
        });
    }

    drop(listener);
    closing.0.cancel();
    crowd.ask_all();
    tracing::info!(connections = connections.len(), "finishing what is in flight");
    let drained = timeout(config.drain, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "cut off what was still in flight");
    }
    connections.shutdown().await;
}

/// Serves one connection to its end, or until it is asked to leave: then to the end of its request.
async fn attend<I>(http: &Builder, stream: I, routes: Routes, leave: &Leave)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let turn = Arc::new(AtomicBool::new(false));
    let (seen, taken) = (begun.clone(), turn.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        let others_first = taken.swap(true, Ordering::Relaxed);
        let routes = routes.clone();
        async move {
            if others_first {
                yield_now().await;
            }
            routes.oneshot(request).await
        }
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    let ended = tokio::select! {
        ended = in_turns(connection.as_mut(), &turn) => ended,
        () = leave.asked() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = in_turns(connection.as_mut(), &turn) => ended,
                // hyper would wait for a head that may never come.
                () = sleep(FAREWELL), if !begun.load(Ordering::Relaxed) => {
                    if !begun.load(Ordering::Relaxed) {
                        return;
                    }
                    in_turns(connection, &turn).await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Drives a connection so that one of its requests is answered in a turn: hyper goes on with those that have come already, sixteen
/// times, and clients that send as many as they can at once would have all others wait for that.
async fn in_turns<C: Future>(mut connection: Pin<&mut C>, taken: &AtomicBool) -> C::Output {
    poll_fn(|context| {
        taken.store(false, Ordering::Relaxed);
        connection.as_mut().poll(context)
    })
    .await
}

/// The next connection.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without it small answers wait for the client's acknowledgement; refused only by a dead socket.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the client gave up before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
