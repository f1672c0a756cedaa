//! [`serve`]: the accept loop, with the bounds that a server on a real network needs.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::AddExtension;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Layer;

use crate::config::HttpConfig;
use crate::guard::Peer;
use crate::live::Closing;
use crate::tls::Tls;

/// Serves a router until `shutdown` completes. Then it accepts nothing more, closes idle connections, finishes the requests
/// in flight, and after [`HttpConfig::drain`] cuts off those that are left.
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
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let closing = Closing::default();
    let router = router.layer(Extension(closing.clone()));
    // HTTP/1 only: the reading of the version that tells HTTP/2 apart has no timeout.
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(config.header_timeout);

    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (permit, stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await; // out of file handles, say: others must end first
                continue;
            }
        };
        let service = TowerToHyperService::new(Extension(Peer(address)).layer(router.clone()));
        let (watcher, http) = (graceful.watcher(), http.clone());
        let (acceptor, patience) = (config.tls.as_ref().map(Tls::acceptor), config.header_timeout);
        connections.spawn(async move {
            match acceptor {
                None => attend(&http, stream, service, watcher).await,
                // In the connection's own task: a handshake that takes long delays nobody else.
                Some(acceptor) => match tokio::time::timeout(patience, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => attend(&http, stream, service, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a client does not speak TLS as it must"),
                    Err(_) => tracing::debug!("a client takes too long to speak TLS"),
                },
            }
            drop(permit);
        });
    }

    drop(listener);
    closing.0.cancel();
    tracing::info!(connections = graceful.count(), "finishing what is in flight");
    if tokio::time::timeout(config.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut off what was still in flight");
    }
    connections.shutdown().await;
}

/// Serves one connection to its end.
async fn attend<I>(
    http: &Builder<TokioExecutor>,
    stream: I,
    service: TowerToHyperService<AddExtension<Router, Peer>>,
    watcher: Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = watcher.watch(http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
    if let Err(error) = connection.await {
        tracing::debug!(error, "a connection broke off");
    }
}

/// The next connection, once one more may be served.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without it small answers wait for the client's acknowledgement; refused only by a dead socket.
                let _ = stream.set_nodelay(true);
                return Ok((permit, stream, address));
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
