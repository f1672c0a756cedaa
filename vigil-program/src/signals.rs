//! [`Signals`]: how a program is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// SIGINT and SIGTERM, caught from the moment this exists.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they do not end the program by themselves.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Asks everything to stop at the first signal, by `stop`; a second one ends the program before `stopped` is reached.
    pub async fn stop(mut self, stop: &CancellationToken, stopped: &CancellationToken) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        tracing::info!("stopping: what is in flight is finished first, a second signal ends them");
        stop.cancel();
        tokio::select! {
            () = stopped.cancelled() => {}
            _ = self.interrupt.recv() => std::process::exit(130),
            _ = self.terminate.recv() => std::process::exit(143),
        }
    }
}
