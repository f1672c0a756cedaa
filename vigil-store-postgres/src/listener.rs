//! [`Listener`]: tells whoever waits that policies may have changed. A hint: they look themselves, and look without it too.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What writers of policies notify.
pub(crate) const CHANNEL: &str = "vigil_policies";

/// Listens on a connection of its own for as long as it lives.
#[derive(Debug)]
pub(crate) struct Listener {
    hints: watch::Sender<()>,
    _listening: Option<DropGuard>,
}

impl Listener {
    /// The wait before another try when the server cannot be reached.
    const RETRY: Duration = Duration::from_secs(1);

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
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect_lazy_with(connect);
    loop {
        if let Err(error) = listen_once(&pool, hints).await {
            tracing::debug!(%error, "changes of policies are noticed by asking until the database is back");
        }
        sleep(Listener::RETRY).await;
    }
}

async fn listen_once(pool: &sqlx::PgPool, hints: &watch::Sender<()>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // None: the connection was lost and made again, and something may have been missed in between.
        let _ = listener.try_recv().await?;
        hints.send_replace(());
    }
}
