//! [`FakeRemediator`]: a remediator that keeps the protocol to the letter, on a real port, and misbehaves on demand.
//!
//! It knows nothing of Vigil's types: it is the other side of the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod server;
mod step;

pub use step::Step;

/// A compliant remediator service: it remembers keys across [`FakeRemediator::restart`], does each once, and refuses
/// older attempts. [`FakeRemediator::then`] makes it do something else for one request.
pub struct FakeRemediator {
    address: SocketAddr,
    state: Arc<State>,
    server: Mutex<Option<JoinHandle<()>>>,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, to the byte.
    pub body: String,
}

impl Call {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The idempotency key.
    #[must_use]
    pub fn key(&self) -> String {
        self.headers.get("idempotency-key").cloned().unwrap_or_default()
    }

    /// The fencing number; 0 if there is none.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.headers.get("x-vigil-attempt").and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The target in the body.
    #[must_use]
    pub fn target(&self) -> String {
        self.json()["target"].as_str().unwrap_or_default().to_owned()
    }
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Done,
    Failed { retryable: bool },
    InProgress,
}

type Hook = Arc<dyn Fn(&Call) + Send + Sync>;

/// What survives a restart.
#[derive(Default)]
struct State {
    book: Mutex<Book>,
    hook: Mutex<Option<Hook>>,
    calls: watch::Sender<usize>,
}

#[derive(Default)]
struct Book {
    calls: Vec<Call>,
    probes: Vec<Call>,
    steps: Vec<Step>,
    probe_steps: Vec<Step>,
    known: BTreeMap<String, Known>,
    newest: BTreeMap<String, u64>,
    effects: BTreeMap<String, u32>,
    in_flight: BTreeMap<String, BTreeSet<String>>,
    most_in_flight: BTreeMap<String, usize>,
}

impl FakeRemediator {
    /// Starts one on a free port of the loopback.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let (address, server) = server::start(SocketAddr::from(([127, 0, 0, 1], 0)), state.clone()).await;
        Self { address, state, server: Mutex::new(Some(server)) }
    }

    /// Where remediations are posted.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/remediate", self.address)
    }

    /// What the next POST without a step of its own meets. Afterwards it complies again.
    pub fn then(&self, step: Step) -> &Self {
        self.state.book().steps.push(step);
        self
    }

    /// What the next probe without a step of its own meets.
    pub fn then_probe(&self, step: Step) -> &Self {
        self.state.book().probe_steps.push(step);
        self
    }

    /// Runs with every effect, before it is answered: the place to heal what is being remediated.
    pub fn on_effect(&self, heal: impl Fn(&Call) + Send + Sync + 'static) {
        *self.state.hook.lock().expect("no hook panics") = Some(Arc::new(heal));
    }

    /// Ends what was answered with [`Step::in_progress`].
    pub fn finish(&self, key: &str, succeeded: bool) {
        let mut book = self.state.book();
        let known = if succeeded { Known::Done } else { Known::Failed { retryable: false } };
        book.known.insert(key.to_owned(), known);
        book.in_flight.values_mut().for_each(|keys| _ = keys.remove(key));
    }

    /// Every POST, in the order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.book().calls.clone()
    }

    /// Every probe, in the order of arrival.
    #[must_use]
    pub fn probes(&self) -> Vec<Call> {
        self.state.book().probes.clone()
    }

    /// Waits until there were so many POSTs.
    ///
    /// # Panics
    /// After 30 s.
    pub async fn called(&self, times: usize) -> Vec<Call> {
        let mut calls = self.state.calls.subscribe();
        let reached = tokio::time::timeout(Duration::from_secs(30), calls.wait_for(|seen| *seen >= times)).await;
        assert!(reached.is_ok(), "waited for {times} calls, there were {}", self.calls().len());
        self.calls()
    }

    /// How often something was really done, per key. More than 1 is the other side's fault.
    #[must_use]
    pub fn effects(&self) -> BTreeMap<String, u32> {
        self.state.book().effects.clone()
    }

    /// The most keys that were in flight at one moment, per target. More than 1 is the other side's fault.
    #[must_use]
    pub fn most_in_flight(&self) -> BTreeMap<String, usize> {
        self.state.book().most_in_flight.clone()
    }

    /// Closes the port and every connection.
    pub async fn stop(&self) {
        let server = self.server.lock().expect("nothing panics under it").take();
        if let Some(server) = server {
            server.abort();
            _ = server.await; // ended by the abort
        }
    }

    /// Opens the same port again; what is known is still known.
    pub async fn restart(&self) {
        self.stop().await;
        let (_, server) = server::start(self.address, self.state.clone()).await;
        *self.server.lock().expect("nothing panics under it") = Some(server);
    }
}

impl Drop for FakeRemediator {
    fn drop(&mut self) {
        if let Ok(mut server) = self.server.lock()
            && let Some(server) = server.take()
        {
            server.abort();
        }
    }
}

impl State {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics under it")
    }

    fn run_hook(&self, call: &Call) {
        let hook = self.hook.lock().expect("no hook panics").clone();
        if let Some(heal) = hook {
            heal(call);
        }
    }
}

impl Book {
    fn enter(&mut self, call: &Call) {
        let keys = self.in_flight.entry(call.target()).or_default();
        keys.insert(call.key());
        let most = self.most_in_flight.entry(call.target()).or_default();
        *most = keys.len().max(*most);
    }

    fn leave(&mut self, call: &Call) {
        if self.known.get(&call.key()) != Some(&Known::InProgress)
            && let Some(keys) = self.in_flight.get_mut(&call.target())
        {
            keys.remove(&call.key());
        }
    }
}
