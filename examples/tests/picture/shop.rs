//! [`Shop`]: the service that is broken and healed, a process of its own under a name of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use vigil_tests::http::request;

use crate::program::{built, signal, until};

/// The service seen from outside.
pub(crate) struct Shop {
    pub(crate) program: PathBuf,
    pub(crate) port: u16,
}

/// Every answer that comes, comes within it.
const ANSWER: Duration = Duration::from_secs(5);

impl Shop {
    /// Nothing is started: that is the remediator's business.
    pub(crate) fn new(folder: &Path) -> Self {
        let program = folder.join(Self::name());
        std::os::unix::fs::symlink(built("examples/self_heal"), &program).unwrap();
        Self { program, port: free_port(20_000) }
    }

    /// What `ps -o comm` calls it: others of the kind may run on the machine.
    pub(crate) fn name() -> String {
        format!("shop-{}", std::process::id())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Breaks it.
    pub(crate) async fn does(&self, what: &str) {
        let answer = request(&self.address(), "GET", what, &[], None).await.unwrap();
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    }

    /// Waits until it does its work, and answers which process does.
    pub(crate) async fn works(&self) -> u32 {
        let pid = until(async || {
            self.answer("/work").await?;
            self.answer("/pid").await?.parse().ok()
        });
        pid.await.expect("the shop works")
    }

    pub(crate) async fn kill(&self) {
        signal(self.works().await, "KILL").await;
    }

    async fn answer(&self, path: &str) -> Option<String> {
        let address = self.address();
        let asked = timeout(ANSWER, request(&address, "GET", path, &[], None)).await.ok()?.ok()?;
        (asked.status == 200).then_some(asked.text)
    }
}

/// The idempotency key for which a process was started.
pub(crate) fn key_of(pid: u32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    variables.find_map(|variable| variable.strip_prefix("VIGIL_IDEMPOTENCY_KEY=").map(str::to_owned))
}

/// What a process takes, in MB.
pub(crate) fn rss_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// A port that nobody listens on, at `from` or above; below those that outgoing connections are given: it must be free again and again.
pub(crate) fn free_port(from: u16) -> u16 {
    let first = from + u16::try_from(std::process::id() % 5_000).unwrap();
    (first..from + 6_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}
