//! [`Enqueuer`]: tasks of admitted actions on their way to the queue. Whoever admits hands them over and goes on: a queue that
//! does not answer holds up nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::action::Action;
use crate::context::Context;

/// A bounded line in front of the queue. What finds no room is brought by the reconciler, as after a crash.
#[derive(Debug)]
pub(crate) struct Enqueuer {
    sender: mpsc::Sender<Action>,
    receiver: Mutex<mpsc::Receiver<Action>>,
    drivers: AtomicUsize,
}

impl Enqueuer {
    /// How many actions may wait.
    const ROOM: usize = 1024;

    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(Self::ROOM);
        Self { sender, receiver: Mutex::new(receiver), drivers: AtomicUsize::new(0) }
    }

    /// Says that what is offered will be taken, for as long as the result lives. To be said before the first who may offer
    /// starts: one that admits a moment before the first [`drive`](Self::drive) must not wait for the queue either.
    pub(crate) fn driving(&self) -> Driving<'_> {
        self.drivers.fetch_add(1, Ordering::SeqCst);
        Driving(&self.drivers)
    }

    /// Whether anybody takes what is offered. Where nobody does, because the loop does not run, callers wait for the queue
    /// themselves.
    pub(crate) fn is_driven(&self) -> bool {
        self.drivers.load(Ordering::SeqCst) > 0
    }

    /// Hands an action on; whether there was room. Never waits.
    pub(crate) fn offer(&self, action: Action) -> bool {
        self.sender.try_send(action).is_ok()
    }

    /// Puts what is offered into the queue until the token is cancelled, and then what is left, if the queue takes it.
    pub(crate) async fn drive(&self, context: &Context, token: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                Some(action) = async { self.receiver.lock().await.recv().await } => {
                    context.put(&action).await;
                }
            }
        }
        loop {
            let Ok(action) = self.receiver.lock().await.try_recv() else { return };
            if !context.put(&action).await {
                return;
            }
        }
    }
}

/// Whoever drives, from its start until its shutdown.
pub(crate) struct Driving<'a>(&'a AtomicUsize);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Drives the line of a context.
pub(crate) async fn enqueue(context: Arc<Context>, token: CancellationToken) {
    context.enqueuer.drive(&context, token).await;
}
