//! The second act's remediator: the service `vigil-remediator` as a process of its own, reached over HTTP. It supervises the
//! shop, and is killed while it restarts it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use vigil_core::clock::SystemClock;
use vigil_http::{HttpRemediator, HttpRemediatorOptions};
use vigil_remediator::service::{Config, Service};

use super::Fatal;
use super::shop::Shop;

/// How long it may take to serve.
const START: Duration = Duration::from_secs(10);

/// The remediator process and what it supervises.
#[derive(Debug)]
pub(crate) struct Remote {
    shop: Shop,
    port: u16,
    child: Child,
    config: PathBuf,
    _folder: TempDir,
}

impl Remote {
    /// Starts the remediator, which starts the shop.
    pub(crate) async fn start() -> Result<Self, Fatal> {
        let folder = tempfile::tempdir()?;
        let shop = Shop::on_a_free_port().await?;
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let config = folder.path().join("remediator.yaml");
        // A restart counts as done when the new process has run for two seconds: time to kill the remediator in between.
        let text = format!(
            "
listen: 127.0.0.1:{port}
ledger: {folder}/keys.redb
executors:
  host:
    process:
      folder: {folder}/processes
      services:
        shop: {{ command: [{program}, --victim, '{shop}', --parent, '{parent}'], start_seconds: 2 }}
routes: [{{ target: shop, actions: [restart], executor: host }}]
",
            folder = folder.path().display(),
            program = std::env::current_exe()?.display(),
            shop = shop.port,
            parent = std::process::id(),
        );
        std::fs::write(&config, text)?;
        let remote = Self { shop, port, child: spawn(&config)?, config, _folder: folder };
        remote.serves().await?;
        shop.serves().await?;
        Ok(remote)
    }

    pub(crate) fn shop(&self) -> Shop {
        self.shop
    }

    /// What Vigil calls.
    pub(crate) fn client(&self) -> Result<HttpRemediator, Fatal> {
        let url = format!("http://127.0.0.1:{}/remediate", self.port);
        Ok(HttpRemediator::new(&url, Arc::new(SystemClock), HttpRemediatorOptions::default())?)
    }

    /// Waits until the shop is another process, kills the remediator before it can say so, and starts it again.
    pub(crate) async fn kill_in_mid_restart(&mut self) -> Result<(u32, u32), Fatal> {
        let old = self.shop.pid().await;
        let new = loop {
            let pid = self.shop.pid().await;
            if pid != old && pid != 0 {
                break pid;
            }
            sleep(Duration::from_millis(10)).await;
        };
        self.child.kill().await?;
        self.child = spawn(&self.config)?;
        self.serves().await?;
        Ok((old, new))
    }

    async fn serves(&self) -> Result<(), Fatal> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if Instant::now() > deadline {
                return Err(format!("the remediator did not serve within {} s", START.as_secs()).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// This very program as the remediator; it dies with us.
fn spawn(config: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--remediator").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
}

/// Is the remediator, until it is killed.
pub(crate) async fn serve(config: &Path) -> Result<(), Fatal> {
    let config = Config::read(config)?;
    let service = Service::open(&config, None, Arc::new(SystemClock)).await?;
    let listener = service.listen(&config).await?;
    service.serve(listener, std::future::pending()).await;
    Ok(())
}
