//! [`Faults`]: what goes wrong at which call.

use std::future::{Future, pending};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers `Unavailable`.
    Fail,
    /// It never completes; other calls do.
    Hang,
    /// It never completes, nor does any call after it: the process is dead, and the test drops it.
    Crash,
    /// It waits until [`Faults::resume`], before or after its effect, and then answers as it should.
    Stall,
}

/// On which side of the call's effect a [`Fault`] happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Before: the call does nothing.
    Missing,
    /// After: the call has its whole effect, and nobody hears of it.
    Done,
}

/// The faults of one faulty Store or Queue, and the calls it has seen.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
    struck: Notify,
    resumed: Notify,
}

#[derive(Debug, Default)]
struct State {
    planned: Vec<Planned>,
    calls: Vec<&'static str>,
    strikes: usize,
    crashed: bool,
    down: bool,
}

#[derive(Debug)]
struct Planned {
    method: Option<&'static str>,
    calls_left: usize,
    fault: Fault,
    effect: Effect,
}

impl Faults {
    /// Plans a fault at the `nth` call from now on, counted from 1; of any method, or of the one named.
    pub fn plan(&self, method: impl Into<Option<&'static str>>, nth: usize, fault: Fault, effect: Effect) {
        assert!(nth > 0, "calls are counted from 1");
        self.lock().planned.push(Planned { method: method.into(), calls_left: nth, fault, effect });
    }

    /// From now on every call fails without an effect, until [`up`](Faults::up).
    pub fn down(&self) {
        self.lock().down = true;
    }

    /// Lets one stalled call go on, or the next one that stalls.
    pub fn resume(&self) {
        self.resumed.notify_one();
    }

    /// Ends an outage.
    pub fn up(&self) {
        self.lock().down = false;
    }

    /// Forgets every planned fault that has not struck.
    pub fn clear(&self) {
        self.lock().planned.clear();
    }

    /// The method of every call so far, in their order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    /// How many planned faults have struck.
    pub fn strikes(&self) -> usize {
        self.lock().strikes
    }

    /// Waits until `count` planned faults have struck.
    pub async fn struck(&self, count: usize) {
        loop {
            let struck = self.struck.notified();
            if self.strikes() >= count {
                return;
            }
            struck.await;
        }
    }

    /// Makes one call, and lets go wrong what is planned for it.
    pub(super) async fn around<T, E>(
        &self,
        method: &'static str,
        unavailable: fn(Box<dyn std::error::Error + Send + Sync>) -> E,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let fault = self.begin(method);
        if let Some((Fault::Stall, effect)) = fault {
            self.struck.notify_waiters();
            return match effect {
                Effect::Missing => {
                    self.resumed.notified().await;
                    call.await
                }
                Effect::Done => {
                    let answer = call.await;
                    self.resumed.notified().await;
                    answer
                }
            };
        }
        if let Some((_, Effect::Done)) = fault {
            // The effect alone: whether the call succeeded is what nobody hears of.
            drop(call.await);
        } else if fault.is_none() {
            return call.await;
        }
        self.struck.notify_waiters();
        match fault {
            Some((Fault::Hang | Fault::Crash, _)) => pending().await,
            _ => Err(unavailable(format!("injected fault at {method}").into())),
        }
    }

    fn begin(&self, method: &'static str) -> Option<(Fault, Effect)> {
        let mut state = self.lock();
        state.calls.push(method);
        if state.crashed {
            return Some((Fault::Crash, Effect::Missing));
        }
        for planned in state.planned.iter_mut().filter(|p| p.method.is_none_or(|of| of == method)) {
            planned.calls_left = planned.calls_left.saturating_sub(1);
        }
        if let Some(due) = state.planned.iter().position(|planned| planned.calls_left == 0) {
            let Planned { fault, effect, .. } = state.planned.remove(due);
            state.strikes += 1;
            state.crashed = fault == Fault::Crash;
            return Some((fault, effect));
        }
        state.down.then_some((Fault::Fail, Effect::Missing))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panics while it holds the lock")
    }
}
