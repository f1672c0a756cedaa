//! [`Listener`]: tells whoever waits that what replicas follow (policies, keys) may have changed. A hint: they look themselves, and look without it too.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What writers of anything that replicas follow notify.
pub(crate) const CHANNEL: &str = "vigil_changes";

/// Listens on a connection of its own for as long as it lives.
#[derive(Debug)]
pub(crate) struct Listener {
    hints: watch::Sender<()>,
    _listening: Option<DropGuard>,
}

impl Listener {
    /// The wait before another try when the server cannot be reached.
    const RETRY: Duration = Duration::from_secs(1);
    /// How long the connection may say nothing before it is asked whether it is still there, and how long it has to answer.
    const SILENCE: Duration = Duration::from_secs(30);
    const ANSWER: Duration = Duration::from_secs(5);

    /// Without options it tells nothing.
    #[allow(clippy::disallowed_methods)] // the listening task belongs to the Store and ends with it
    pub(crate) fn start(connect: Option<PgConnectOptions>) -> Self {
        let hints = watch::Sender::new(());
        let listening = connect.map(|connect| {
            let (token, hints) = (CancellationToken::new(), hints.clone());
            let cancelled = token.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = cancelled.cancelled() => {}
                    () = listen(connect, &hints) => {}
                }
            });
            token.drop_guard()
        });
        Self { hints, _listening: listening }
    }

    /// Hints from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.hints.subscribe()
    }

    /// A change that this process made.
    pub(crate) fn hint(&self) {
        self.hints.send_replace(());
    }
}

async fn listen(connect: PgConnectOptions, hints: &watch::Sender<()>) {
    loop {
        if let Err(error) = listen_once(&connect, hints).await {
            tracing::debug!(%error, "changes are noticed by asking until the database is back");
        }
        sleep(Listener::RETRY).await;
    }
}

async fn listen_once(connect: &PgConnectOptions, hints: &watch::Sender<()>) -> Result<(), sqlx::Error> {
    // A pool of its own: a connection that went silent never gives back its place in it.
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect_lazy_with(connect.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        match timeout(Listener::SILENCE, listener.try_recv()).await {
            // None: the connection was lost and made again, and something may have been missed in between.
            Ok(heard) => _ = heard?,
            Err(_) => {
                let asked = timeout(Listener::ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await;
                asked.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))?;
                continue;
            }
        }
        hints.send_replace(());
    }
}
