//! A network in between: a TCP proxy that can be cut, slowed, and made to swallow everything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Everything arrives.
    Whole,
    /// Everything arrives, each piece so much later.
    Slow(Duration),
    /// Connections stay, and nothing arrives any more.
    Swallows,
    /// Connections are reset, and new ones too.
    Cut,
}

/// A proxy on a port of the loopback. It ends when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    accepting: tokio::task::JoinHandle<()>,
}

impl FaultProxy {
    /// Starts one in front of `upstream`, such as `127.0.0.1:5432`.
    ///
    /// # Panics
    /// If no port is free.
    #[allow(clippy::disallowed_methods)] // it ends with the proxy
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (network, upstream) = (watch::Sender::new(Network::Whole), upstream.to_owned());
        let of_connections = network.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, network) = (upstream.clone(), of_connections.subscribe());
                if *network.borrow() != Network::Cut {
                    tokio::spawn(connect(client, upstream, network));
                }
            }
        });
        Self { address, network, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the network does from now on, to connections that are there as well.
    pub fn becomes(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.network.send_replace(Network::Cut);
    }
}

async fn connect(client: TcpStream, upstream: String, network: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = carry(from_client, to_server, network.clone()) => {}
        () = carry(from_server, to_client, network) => {}
    }
}

/// Carries bytes one way until an end hangs up or the network is cut.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            cut = network.wait_for(|network| *network == Network::Cut) => { drop(cut); return }
            read = from.read(&mut piece) => read,
        };
        let Ok(length @ 1..) = read else { return };
        loop {
            let now = *network.borrow_and_update();
            match now {
                Network::Whole => break,
                Network::Slow(by) => {
                    sleep(by).await;
                    break;
                }
                Network::Cut => return,
                Network::Swallows => {
                    if network.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
