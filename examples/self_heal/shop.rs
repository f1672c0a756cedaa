//! The service from outside: its port, and what it answers there.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::Fatal;

/// How long a request may take before the service counts as not answering.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a process may take to serve.
const START: Duration = Duration::from_secs(10);

/// A service on this machine, whoever runs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shop {
    pub(crate) port: u16,
}

impl Shop {
    /// One that will be started, on a free port.
    pub(crate) async fn on_a_free_port() -> std::io::Result<Self> {
        Ok(Self { port: TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port() })
    }

    /// Its process id; 0 while there is none.
    pub(crate) async fn pid(&self) -> u32 {
        let answer = timeout(PATIENCE, self.request("/pid")).await;
        let text = answer.ok().and_then(Result::ok).unwrap_or_default();
        text.rsplit("\r\n\r\n").next().and_then(|pid| pid.trim().parse().ok()).unwrap_or(0)
    }

    /// Does some work; the time that it took, or `None` if it did not answer in time.
    pub(crate) async fn work(&self) -> Option<Duration> {
        let asked = Instant::now();
        let answer = timeout(PATIENCE, self.request("/work")).await;
        matches!(answer, Ok(Ok(text)) if text.starts_with("HTTP/1.1 200")).then(|| asked.elapsed())
    }

    /// Breaks it: `hang` or `leak`.
    pub(crate) async fn break_it(&self, fault: &str) -> Result<(), Fatal> {
        self.request(&format!("/break/{fault}")).await?;
        Ok(())
    }

    /// Waits until it answers.
    pub(crate) async fn serves(&self) -> Result<(), Fatal> {
        let deadline = Instant::now() + START;
        while self.work().await.is_none() {
            if Instant::now() > deadline {
                return Err(format!("the service did not answer within {} s", START.as_secs()).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn request(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
