//! [`Watched`]: one source while the daemon runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use vigil_core::clock::{Clock, Timestamp};
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_program::chain;

use crate::backoff::Backoff;
use crate::config::{Config, ConfigError, KindConfig, Mode, Place, SourceConfig};
use crate::declaration::{Comparison, Item, ItemKey};
use crate::git::Repository;
use crate::policies::PoliciesSource;
use crate::series::target_of;
use crate::server::Server;
use crate::source::{Source, SourceError};

/// How long a comparison may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A source with what is known of it. One at a time fetches, compares or heals it.
#[derive(Debug)]
pub struct Watched {
    config: SourceConfig,
    source: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
    /// How long it waits after a failure, at first.
    first_wait: Duration,
    turn: Mutex<Option<Repository>>,
    known: StdMutex<Known>,
}

/// What was seen last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// What the last comparison that succeeded said, and when.
    pub(crate) compared: Option<(Timestamp, Arc<Comparison>)>,
    /// The commit it was of.
    pub(crate) commit: Option<String>,
    /// Why the last one failed.
    pub(crate) error: Option<String>,
    backoff: Option<Backoff>,
}

impl Watched {
    /// Watches a source of your own, or one of those that are here. Working copies are below `state`.
    pub fn new(
        config: SourceConfig,
        source: Arc<dyn Source>,
        interval: Duration,
        state: &Path,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let repository = match &config.place {
            Place::Git(git) => Some(Repository::new(git.clone(), state.join("git").join(&config.name))),
            Place::Path(_) => None,
        };
        let (turn, known) = (Mutex::new(repository), StdMutex::default());
        Self { config, source, clock, first_wait: interval, turn, known }
    }

    /// Sets up all sources of a configuration; nothing is fetched or compared yet.
    ///
    /// # Errors
    /// [`ConfigError::Source`], naming the source.
    pub async fn all(config: &Config, clock: &Arc<dyn Clock>) -> Result<Vec<Arc<Self>>, ConfigError> {
        let mut all = Vec::new();
        for one in &config.sources {
            let source = source_of(config, one).await;
            let source = source.map_err(|source| ConfigError::Source { name: one.name.clone(), source })?;
            all.push(Arc::new(Self::new(one.clone(), source, config.interval, &config.state, clock.clone())));
        }
        Ok(all)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How it is configured.
    pub fn config(&self) -> &SourceConfig {
        &self.config
    }

    /// The folder or file that is watched for changes.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.config.place {
            Place::Path(path) if self.config.mode != Mode::Off => Some(path),
            _ => None,
        }
    }

    /// Whether drift may be healed now; otherwise why not.
    pub(crate) fn may_heal(&self) -> Result<(), String> {
        let (name, mode) = (&self.config.name, self.config.mode);
        if mode != Mode::Enforce {
            return Err(format!("the source '{name}' is in mode {}: nothing is healed", mode.word()));
        }
        if self.is_suspended() {
            return Err(format!("the source '{name}' is suspended at this time"));
        }
        Ok(())
    }

    /// Whether one of its windows is open.
    pub(crate) fn is_suspended(&self) -> bool {
        let now = self.clock.now();
        self.config.suspend.iter().any(|window| window.contains(now))
    }

    /// Whether the last failure was long enough ago.
    pub(crate) fn is_due(&self) -> bool {
        self.known().backoff.and_then(|backoff| backoff.left(self.clock.now())).is_none()
    }

    /// Whether it is being compared or healed: the others need not wait for that, and after a heal there is another round.
    pub(crate) fn is_busy(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Fetches and compares.
    ///
    /// # Errors
    /// [`SourceError`]; then it is not due for a while.
    pub async fn compare(&self) -> Result<Arc<Comparison>, SourceError> {
        let mut turn = self.turn.lock().await;
        let compared = async {
            if let Some(repository) = turn.as_mut() {
                repository.pull().await?;
            }
            self.source.compare(&self.root(turn.as_ref())).await
        };
        let elapsed = |error| SourceError::away("what is compared", error);
        let compared = timeout(LIMIT, compared).await.map_err(elapsed).and_then(|compared| compared);
        let commit = turn.as_ref().and_then(|repository| repository.commit().map(str::to_owned));
        self.learn(compared, commit)
    }

    /// Compares one item; `None` if it is neither declared nor there.
    pub(crate) async fn compare_one(&self, target: &str) -> Result<Option<Item>, SourceError> {
        let turn = self.turn.lock().await;
        let comparison = self.source.compare(&self.root(turn.as_ref())).await?;
        Ok(comparison.items.into_iter().find(|item| target_of(self.name(), &item.key()) == target))
    }

    /// Makes one item as it is declared.
    pub(crate) async fn heal(&self, item: &ItemKey) -> Result<Outcome, RemediatorError> {
        let turn = self.turn.lock().await;
        self.source.heal(&self.root(turn.as_ref()), item).await
    }

    /// Whether what lives can be reached.
    pub(crate) async fn ping(&self) -> Result<(), SourceError> {
        self.source.ping().await
    }

    /// What was seen last.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }

    fn root(&self, repository: Option<&Repository>) -> PathBuf {
        match (&self.config.place, repository) {
            (Place::Path(path), _) => path.clone(),
            (Place::Git(_), Some(repository)) => repository.root(),
            (Place::Git(git), None) => git.path.clone(),
        }
    }

    fn learn(
        &self,
        compared: Result<Comparison, SourceError>,
        commit: Option<String>,
    ) -> Result<Arc<Comparison>, SourceError> {
        let (name, now) = (&self.config.name, self.clock.now());
        let mut known = self.known();
        known.commit = commit;
        match compared {
            Ok(comparison) => {
                if known.error.take().is_some() {
                    tracing::info!(source = name, "can be compared again");
                }
                let before = known.compared.take().map(|(_, before)| before);
                report(name, before.as_deref(), &comparison);
                known.backoff = None;
                let comparison = Arc::new(comparison);
                known.compared = Some((now, comparison.clone()));
                Ok(comparison)
            }
            Err(error) => {
                let why = chain(&error);
                if known.error.as_ref() != Some(&why) {
                    tracing::error!(
                        source = name,
                        error = why,
                        "cannot be compared: it is tried again, later and later"
                    );
                }
                known.backoff = Some(Backoff::after(known.backoff, self.first_wait, now));
                known.error = Some(why);
                Err(error)
            }
        }
    }
}

/// Logs what has changed: drift and problems once, not every interval.
fn report(source: &str, before: Option<&Comparison>, now: &Comparison) {
    let empty = Comparison::default();
    let before = before.unwrap_or(&empty);
    let states: BTreeMap<ItemKey, &crate::ItemState> =
        before.items.iter().map(|item| (item.key(), &item.state)).collect();
    for item in &now.items {
        let key = item.key();
        if states.get(&key).is_some_and(|before| **before == item.state) {
            continue;
        }
        let target = target_of(source, &key);
        match &item.state {
            crate::ItemState::Drifted(drift) => {
                tracing::warn!(target, declared = %item.origin, summary = drift.summary, patch = %drift.patch, "drifted");
            }
            crate::ItemState::Unknown(reason) => {
                tracing::warn!(target, declared = %item.origin, reason, "cannot be compared: nothing is said of it");
            }
            crate::ItemState::Suspended(reason) => tracing::info!(target, reason, "asks to be left alone"),
            crate::ItemState::Same if states.contains_key(&key) => tracing::info!(target, "is as it is declared"),
            crate::ItemState::Same => {}
        }
    }
    for problem in now.problems.iter().filter(|problem| !before.problems.contains(problem)) {
        let (file, line, message) = (problem.file.display(), problem.line, &problem.message);
        tracing::error!(source, %file, line, problem = message, "a declaration cannot be used: the others are");
    }
}

async fn source_of(
    config: &Config,
    one: &SourceConfig,
) -> Result<Arc<dyn Source>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match one.kind.clone() {
        #[cfg(feature = "kubernetes")]
        KindConfig::Kubernetes(kind) => {
            Arc::new(crate::kubernetes::KubernetesSource::new(kind, one.ignore.clone()).await?)
        }
        #[cfg(feature = "compose")]
        KindConfig::Compose(kind) => Arc::new(crate::compose::ComposeSource::new(kind, one.ignore.clone())),
        #[cfg(feature = "units")]
        KindConfig::Units(kind) => Arc::new(crate::units::UnitsSource::new(kind, one.ignore.clone())),
        KindConfig::Policies(_) => {
            let server = Server::new(&config.server, config.api_key_file.as_deref())?;
            Arc::new(PoliciesSource::new(server, &one.name, one.ignore.clone()))
        }
        KindConfig::Own(word) => return Err(format!("'{word}' is no kind of this program").into()),
    })
}
