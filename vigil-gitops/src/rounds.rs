//! [`Rounds`]: everything is compared, and the server is told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use vigil_core::clock::Clock;
use vigil_program::chain;
use vigil_remediator::Envelope;

use crate::config::Mode;
use crate::declaration::{Comparison, Item, ItemState};
use crate::series::{Round, target_of};
use crate::server::Server;
use crate::standing;
use crate::state::Memory;
use crate::telemetry::Telemetry;
use crate::watched::Watched;

/// What compares and tells.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) sources: Vec<Arc<Watched>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) envelope: Arc<Envelope>,
    server: Server,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
    complaints: Mutex<BTreeSet<String>>,
}

/// What came of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many items have drifted.
    pub drifted: usize,
    /// What is wrong: sources, items and files that could not be compared, and what could not be told, a line each.
    pub wrong: Vec<String>,
}

impl Report {
    /// 0: everything is as it is declared. 1: something could not be compared or told. 2: something has drifted.
    pub fn exit_code(&self) -> u8 {
        match (self.wrong.is_empty(), self.drifted) {
            (false, _) => 1,
            (true, 0) => 0,
            (true, _) => 2,
        }
    }

    /// Adds what a comparison said of a source.
    pub fn add(&mut self, source: &str, comparison: &Comparison) {
        self.wrong.extend(comparison.problems.iter().map(|problem| format!("{source}: {problem}")));
        for item in &comparison.items {
            match &item.state {
                ItemState::Drifted(_) => self.drifted += 1,
                ItemState::Unknown(why) => self.wrong.push(format!("{}: {why}", target_of(source, &item.key()))),
                ItemState::Same | ItemState::Suspended(_) => {}
            }
        }
    }
}

impl Rounds {
    pub(crate) fn new(
        sources: Vec<Arc<Watched>>,
        server: Server,
        memory: Arc<Memory>,
        telemetry: Arc<Telemetry>,
        envelope: Arc<Envelope>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { sources, telemetry, envelope, server, memory, clock, complaints: Mutex::default() }
    }

    /// Compares what is due, or everything, and tells the server. `begun` is when it was asked for.
    pub(crate) async fn round(&self, begun: Instant, everything: bool) -> Report {
        let mut report = Report::default();
        let looks = self.sources.iter().filter(|source| source.config().mode != Mode::Off).map(async |source| {
            if source.is_busy() || !(everything || source.is_due()) {
                return (source, None);
            }
            let (kind, name) = (source.config().kind.word(), source.name());
            let compared = source.compare().await;
            match &compared {
                Ok(comparison) => {
                    self.telemetry.compared(kind, name, comparison, begun.elapsed(), self.clock.now());
                }
                Err(_) => self.telemetry.failed(kind, name, begun.elapsed()),
            }
            (source, Some(compared))
        });
        let mut compared = Vec::new();
        for (source, looked) in join_all(looks).await {
            let comparison = match looked {
                Some(Ok(comparison)) => {
                    report.add(source.name(), &comparison);
                    Some(comparison)
                }
                Some(Err(error)) => {
                    report.wrong.push(format!("{}: {}", source.name(), chain(&error)));
                    None
                }
                None => None,
            };
            compared.push((source.name(), comparison));
        }
        let mut unkept = self.keep_policies().await;
        unkept.extend(self.tell(&compared).await);
        self.complain(&unkept);
        report.wrong.extend(unkept);
        report
    }

    /// Sends what was compared, and takes back what is over. What is written down before it is sent is taken back by the next run if
    /// this one dies.
    async fn tell(&self, compared: &[(&str, Option<Arc<Comparison>>)]) -> Vec<String> {
        let compared: Vec<_> = compared.iter().map(|(source, comparison)| (*source, comparison.as_deref())).collect();
        let round = Round::new(&compared, &self.memory.kept(), self.clock.now());
        let healed: BTreeSet<_> = compared
            .iter()
            .flat_map(|(source, comparison)| {
                comparison.iter().flat_map(move |c| &c.items).map(move |item| (source, item))
            })
            .filter(|(_, item)| item.state == ItemState::Same)
            .map(|(source, item)| target_of(source, &item.key()))
            .collect();
        self.memory.change(|kept| {
            kept.open.extend(round.open.iter().cloned());
            kept.failed.retain(|target, _| !healed.contains(target));
        });
        let mut wrong = round.unsayable;
        if round.samples.is_empty() {
            return wrong;
        }
        match self.server.send(&round.samples).await {
            Ok(()) => {
                self.telemetry.sent(round.samples.len());
                self.memory.change(|kept| (kept.open, kept.closing) = (round.open, round.closing));
            }
            Err(error) => {
                self.telemetry.unsent();
                wrong.push(format!("the samples were not taken: {}", chain(&error)));
            }
        }
        wrong
    }

    /// Has the server hold a policy for each source that is not off, and none for the others.
    async fn keep_policies(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let former = self.memory.kept().policies;
        let mut held = BTreeSet::new();
        for source in &self.sources {
            let name = source.name();
            if source.config().mode == Mode::Off {
                if former.contains(name) && !settle(&mut wrong, standing::remove(&self.server, name).await) {
                    held.insert(name.to_owned());
                }
            } else {
                settle(&mut wrong, standing::keep(&self.server, source).await);
                held.insert(name.to_owned());
            }
        }
        let is_known = |name: &String| self.sources.iter().any(|source| source.name() == name);
        for gone in former.iter().filter(|name| !is_known(name)) {
            if !settle(&mut wrong, standing::remove(&self.server, gone).await) {
                held.insert(gone.clone());
            }
        }
        self.memory.change(|kept| kept.policies = held);
        wrong
    }

    /// Says what is wrong once, and when it is well again.
    fn complain(&self, wrong: &[String]) {
        let wrong: BTreeSet<_> = wrong.iter().cloned().collect();
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        for why in wrong.difference(&complaints) {
            tracing::error!(why, "the server was not told");
        }
        if wrong.is_empty() && !complaints.is_empty() {
            tracing::info!("the server is told again");
        }
        *complaints = wrong;
    }

    /// The files and folders that are watched.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.sources.iter().filter_map(|source| source.path().map(PathBuf::from)).collect()
    }

    /// Whether the server can be told.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        self.server.ping().await.map_err(|error| chain(&error))
    }

    /// Every item as it was seen last.
    pub(crate) fn picture(&self) -> Value {
        let kept = self.memory.kept();
        let sources = self.sources.iter().map(|source| {
            let (config, known) = (source.config(), source.known().clone());
            let comparison = known.compared.as_ref().map(|(_, comparison)| comparison.clone()).unwrap_or_default();
            let items = comparison.items.iter().map(|item| {
                let target = target_of(source.name(), &item.key());
                let backoff = kept.failed.get(&target);
                let (failures, until) = (backoff.map(|b| b.failures()), backoff.map(|b| b.until()));
                ShownItem { failures, backing_off_until: until, ..ShownItem::of(source.name(), item) }
            });
            json!({
                "name": config.name,
                "kind": config.kind.word(),
                "mode": config.mode.word(),
                "suspended": source.is_suspended(),
                "compared_at": known.compared.as_ref().map(|(at, _)| *at),
                "commit": known.commit,
                "error": known.error,
                "items": items.collect::<Vec<_>>(),
                "problems": comparison.problems,
            })
        });
        json!({ "sources": sources.collect::<Vec<_>>() })
    }
}

/// An item as it is shown at `/drift` and by `--dry-run`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownItem {
    target: String,
    kind: String,
    namespace: String,
    name: String,
    declared: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_off_until: Option<vigil_core::clock::Timestamp>,
}

impl ShownItem {
    /// An item of a source.
    pub fn of(source: &str, item: &Item) -> Self {
        let (summary, patch, reason) = match &item.state {
            ItemState::Same => (None, None, None),
            ItemState::Drifted(drift) => (Some(drift.summary.clone()), Some(drift.patch.clone()), None),
            ItemState::Suspended(reason) | ItemState::Unknown(reason) => (None, None, Some(reason.clone())),
        };
        Self {
            target: target_of(source, &item.key()),
            kind: item.kind.clone(),
            namespace: item.namespace.clone(),
            name: item.name.clone(),
            declared: item.origin.to_string(),
            state: item.state.word(),
            summary,
            patch,
            reason,
            failures: None,
            backing_off_until: None,
        }
    }
}

/// Whether it went well; what did not is kept.
fn settle(wrong: &mut Vec<String>, result: Result<(), String>) -> bool {
    match result {
        Ok(()) => true,
        Err(why) => {
            wrong.push(why);
            false
        }
    }
}
