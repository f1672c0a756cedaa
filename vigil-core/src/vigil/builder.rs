//! [`VigilBuilder`].

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Vigil;
use crate::catalog::PolicyCatalog;
use crate::clock::{Clock, StoreClock, SystemClock};
use crate::context::Context;
use crate::enqueuer::Enqueuer;
use crate::events::Events;
use crate::keyring::KeyRing;
use crate::lanes::Lanes;
use crate::policy::{Condition, ConditionRegistry, PolicySpec};
use crate::queue::{MemoryQueue, Queue};
use crate::random::{OsRandom, Random};
use crate::remediator::{DryRun, Remediator};
use crate::settings::Settings;
use crate::store::{MemoryStore, Store};
use crate::telemetry::Telemetry;

/// Assembles a [`Vigil`].
#[derive(Debug, Default)]
#[must_use]
pub struct VigilBuilder {
    store: Option<Arc<dyn Store>>,
    queue: Option<Arc<dyn Queue>>,
    remediator: Option<Arc<dyn Remediator>>,
    policies: Vec<PolicySpec>,
    policy_files: Option<Vec<PathBuf>>,
    registry: ConditionRegistry,
    settings: Settings,
    clock: Option<Arc<dyn Clock>>,
    store_clock: Option<Arc<StoreClock>>,
    random: Option<Arc<dyn Random>>,
}

impl VigilBuilder {
    /// Where the truth is kept. Default: in memory.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// What brings actions to workers. Default: in memory.
    pub fn queue(mut self, queue: Arc<dyn Queue>) -> Self {
        self.queue = Some(queue);
        self
    }

    /// What carries actions out. Default: a dry run.
    pub fn remediator(mut self, remediator: Arc<dyn Remediator>) -> Self {
        self.remediator = Some(remediator);
        self
    }

    /// Policies that the program brings; they replace stored ones of the same names.
    pub fn policies(mut self, policies: impl IntoIterator<Item = PolicySpec>) -> Self {
        self.policies.extend(policies);
        self
    }

    /// Files of policies, read at the start and at every reload: what they declare, and nothing else, are then the stored
    /// policies that come from files. Without this call those of other processes are left alone.
    pub fn policy_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.policy_files.get_or_insert_default().extend(files);
        self
    }

    /// Registers a custom condition under its `type`; see [`ConditionRegistry::register`].
    pub fn condition<F>(mut self, kind: &str, factory: F) -> Self
    where
        F: Fn(&Map<String, Value>) -> Result<Arc<dyn Condition>, String> + Send + Sync + 'static,
    {
        self.registry.register(kind, factory);
        self
    }

    /// The numbers to run with.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The clock. Default: the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The clock as it is set by the Store's, where something outside must read it too: a remediator that dates its
    /// signatures. Give this or [`clock`](Self::clock).
    pub fn store_clock(mut self, clock: Arc<StoreClock>) -> Self {
        self.store_clock = Some(clock);
        self
    }

    /// The randomness. Default: the operating system's.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = Some(random);
        self
    }

    /// Puts it together. Nothing runs yet.
    ///
    /// # Errors
    /// [`BuildError`] when settings contradict each other.
    pub fn build(self) -> Result<Vigil, BuildError> {
        self.settings.check().map_err(BuildError)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::with_clock(clock.clone())));
        let store_clock = self.store_clock.unwrap_or_else(|| Arc::new(StoreClock::new(clock)));
        let context = Context {
            queue: self.queue.unwrap_or_else(|| Arc::new(MemoryQueue::new())),
            remediator: self.remediator.unwrap_or_else(|| Arc::new(DryRun::new())),
            catalog: PolicyCatalog::new(store.clone(), self.registry, self.policy_files),
            keys: KeyRing::new(store.clone()),
            store,
            random: self.random.unwrap_or_else(|| Arc::new(OsRandom)),
            telemetry: Arc::new(Telemetry::new()),
            events: Events::new(),
            enqueuer: Enqueuer::new(),
            settings: self.settings,
            clock: store_clock.clone(),
            store_clock,
        };
        Ok(Vigil {
            lanes: Arc::new(Lanes::new(context.settings.lanes, context.settings.lane_capacity)),
            runner: Arc::default(),
            history: Arc::default(),
            workers: Arc::default(),
            provided: self.policies,
            context: Arc::new(context),
        })
    }
}

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("the settings are contradictory: {0}")]
pub struct BuildError(String);
