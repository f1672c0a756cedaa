//! [`Supervisor`]: the only place that spawns. Its loops end with it; one that panics is started again.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

type Loop = Arc<dyn Fn(CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Runs named loops until it is told to stop. Dropping it ends them at once.
pub(crate) struct Supervisor {
    token: CancellationToken,
    tasks: JoinSet<()>,
    loops: HashMap<Id, (String, Loop)>,
}

impl Supervisor {
    /// The wait before a loop that panicked is started again.
    const RESTART: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self { token: CancellationToken::new(), tasks: JoinSet::new(), loops: HashMap::new() }
    }

    /// Starts a loop. It must end soon after its token is cancelled.
    pub(crate) fn spawn<F, Fut>(&mut self, name: impl Into<String>, run: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), Arc::new(move |token| Box::pin(run(token))), Duration::ZERO);
    }

    /// Keeps the loops running until `shutdown`, then gives them `grace` to finish what they have in hand.
    pub(crate) async fn run(mut self, shutdown: impl Future<Output = ()>, grace: Duration) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = self.tasks.join_next_with_id() => self.restart(ended),
            }
        }
        self.token.cancel();
        let drained = timeout(grace, async { while self.tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(left = self.tasks.len(), "work in flight did not end in time; its leases will run out");
        }
    }

    fn restart(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some((name, run)) = self.loops.remove(&id) else { return };
        tracing::error!(name, panicked, "a loop ended; it is started again");
        self.start(name, run, Self::RESTART);
    }

    fn start(&mut self, name: String, run: Loop, after: Duration) {
        let token = self.token.clone();
        let body = run.clone();
        let handle = self.tasks.spawn(async move {
            tokio::time::sleep(after).await;
            body(token).await;
        });
        self.loops.insert(handle.id(), (name, run));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_started_again_and_ends_with_the_shutdown() {
        let (starts, twice) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let mut supervisor = Supervisor::new();
        let (counted, seen) = (starts.clone(), twice.clone());
        supervisor.spawn("test", move |token| {
            let (counted, seen) = (counted.clone(), seen.clone());
            async move {
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    panic!("the first time");
                }
                seen.notify_one();
                token.cancelled().await;
            }
        });
        supervisor.run(async { twice.notified().await }, Duration::from_secs(5)).await;
        assert_eq!(starts.load(Ordering::SeqCst), 2);
    }
}
