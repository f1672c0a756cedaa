//! Where the tests find Redis: a server that all share, and servers of their own, to be broken.
#![allow(clippy::disallowed_methods)] // the tests are told by the environment where the server is

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use deadpool_redis::redis::{self, Cmd, FromRedisValue};
use tempfile::TempDir;
use vigil_queue_redis::{RedisOptions, RedisQueue};

const URL: &str = "VIGIL_TEST_REDIS_URL";

/// Says that a test is skipped, or fails it where the backend is required.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
    assert!(!required.split(',').any(|backend| backend == "redis"), "Redis is required, but {why}");
    println!("skipped: {why}");
}

/// The shared server.
pub(crate) fn shared() -> Option<String> {
    let url = std::env::var(URL).ok();
    if url.is_none() {
        skip(&format!("{URL} is not set"));
    }
    url
}

/// A queue whose name nobody else has, and that name.
pub(crate) fn queue(url: &str) -> (Arc<RedisQueue>, String) {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let mut options = RedisOptions::of_url(url).unwrap();
    options.name = format!("t{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
    options.command_timeout = Duration::from_secs(1);
    (Arc::new(RedisQueue::new(&options).unwrap()), options.name)
}

/// What a foreign client says to a single server.
pub(crate) async fn say<T: FromRedisValue>(url: &str, command: &Cmd) -> T {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

/// Servers of one's own, by one of the scripts in `scripts/servers`.
pub(crate) struct Servers {
    script: String,
    folder: TempDir,
}

impl Servers {
    pub(crate) fn start(script: &str) -> Option<Self> {
        if !Path::new("/usr/bin/redis-server").exists() {
            skip("redis-server is not installed");
            return None;
        }
        let script = format!("{}/../scripts/servers/{script}", env!("CARGO_MANIFEST_DIR"));
        let servers = Self { script, folder: tempfile::Builder::new().prefix("vigil-rd-").tempdir_in("/tmp").unwrap() };
        servers.run("start");
        Some(servers)
    }

    pub(crate) fn run(&self, verb: &str) -> String {
        let done = Command::new(&self.script).arg(verb).arg(self.folder.path()).output().unwrap();
        assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.run("remove");
    }
}
