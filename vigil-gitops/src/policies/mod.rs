//! [`PoliciesSource`]: Vigil's policies as code.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use vigil_core::policy::PolicySpec;
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_program::chain;

use crate::declaration::{Comparison, Item, ItemKey, ItemState, Origin};
use crate::diff::{diff, missing, surplus};
use crate::pointer::Ignore;
use crate::server::{LivePolicy, Server, ServerError};
use crate::source::{Source, SourceError};

mod files;

use files::Declared;

/// How policies are kept. There is nothing to choose yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoliciesConfig {}

/// Compares policy files with the policies in force.
///
/// What it creates carries `params.managed_by: vigil-gitops/<source>`. Only that is ever changed or removed: a policy of the same name
/// that people made, or that the server reads from a file of its own, is left alone and said to be unknown.
#[derive(Debug)]
pub struct PoliciesSource {
    server: Server,
    owner: String,
    ignore: Vec<Ignore>,
}

/// The kind of its items.
const KIND: &str = "policy";
/// What the names of the daemon's own policies begin with.
pub(crate) const OWN: &str = "gitops-";

/// What is declared and what lives of one name.
enum Pair<'a> {
    Missing(&'a Declared),
    Both(&'a Declared, &'a LivePolicy),
    Surplus,
}

/// Who keeps what a source declares, as policies say it.
pub(crate) fn owner_of(source: &str) -> String {
    format!("vigil-gitops/{source}")
}

impl PoliciesSource {
    pub(crate) fn new(server: Server, source: &str, ignore: Vec<Ignore>) -> Self {
        Self { server, owner: owner_of(source), ignore }
    }

    async fn live(&self) -> Result<BTreeMap<String, LivePolicy>, SourceError> {
        self.server.policies().await.map_err(|error| SourceError::away("Vigil", error))
    }

    /// How one name is declared and lives; `None` if it does neither, or is somebody else's and not declared.
    fn pair<'a>(
        &self,
        name: &str,
        declared: &'a BTreeMap<String, Declared>,
        live: &'a BTreeMap<String, LivePolicy>,
    ) -> Option<Pair<'a>> {
        match (declared.get(name), live.get(name)) {
            (Some(declared), None) => Some(Pair::Missing(declared)),
            (Some(declared), Some(live)) => Some(Pair::Both(declared, live)),
            // The daemon's own policy of this source has the same owner, and is declared nowhere.
            (None, Some(live)) if self.owns(live) && !name.starts_with(OWN) => Some(Pair::Surplus),
            (None, _) => None,
        }
    }

    fn owns(&self, live: &LivePolicy) -> bool {
        live.managed_by() == Some(&self.owner)
    }

    /// `all_read`: whether every file could be read, so that what is declared in none of them is declared no more.
    fn state(&self, name: &str, pair: &Pair<'_>, all_read: bool) -> ItemState {
        match pair {
            Pair::Missing(declared) => ItemState::Drifted(missing(&declared.json)),
            Pair::Surplus if all_read => ItemState::Drifted(surplus()),
            Pair::Surplus => ItemState::Unknown("not declared in the files that can be read; others cannot".to_owned()),
            Pair::Both(_, live) if !self.owns(live) => ItemState::Unknown(self.foreign(live)),
            Pair::Both(declared, live) => match canonical(&live.json) {
                Ok(live) => {
                    let ignored = Ignore::pointers_of(&self.ignore, &key(name));
                    diff(&declared.json, &live, &ignored).map_or(ItemState::Same, ItemState::Drifted)
                }
                Err(error) => ItemState::Unknown(format!("the policy in force cannot be read: {error}")),
            },
        }
    }

    fn foreign(&self, live: &LivePolicy) -> String {
        match (live.managed_by(), live.json["source"]["path"].as_str()) {
            (Some(other), _) => format!("a policy of this name is kept by {other}: it is left alone"),
            (None, Some(path)) => {
                format!("a policy of this name comes from the server's file {path}: it is left alone")
            }
            (None, None) => "a policy of this name was made by hand: it is left alone".to_owned(),
        }
    }

    /// What is put in force: the declaration, with what is ignored as it lives.
    fn healed(&self, name: &str, declared: &Declared, live: &LivePolicy) -> Value {
        let mut json = declared.json.clone();
        // They are left out when they are zero, and what is not there is not copied.
        for field in ["for", "keep_firing_for"] {
            if json.get(field).is_none() {
                json[field] = 0.into();
            }
        }
        if let Ok(live) = canonical(&live.json) {
            Ignore::pointers_of(&self.ignore, &key(name)).iter().for_each(|pointer| pointer.copy(&live, &mut json));
        }
        json
    }
}

#[async_trait]
impl Source for PoliciesSource {
    async fn compare(&self, root: &Path) -> Result<Comparison, SourceError> {
        let (declared, problems) = files::read(root, &self.owner)?;
        let live = self.live().await?;
        let names = declared.keys().chain(live.keys().filter(|name| !declared.contains_key(*name)));
        let items = names.filter_map(|name| {
            let pair = self.pair(name, &declared, &live)?;
            let origin = declared.get(name).map(|declared| declared.origin.clone()).unwrap_or_default();
            let state = self.state(name, &pair, problems.is_empty());
            Some(Item { kind: KIND.to_owned(), namespace: String::new(), name: name.clone(), origin, state })
        });
        Ok(Comparison { items: items.collect(), problems })
    }

    async fn heal(&self, root: &Path, item: &ItemKey) -> Result<Outcome, RemediatorError> {
        let unavailable = |error: SourceError| RemediatorError::Unavailable(error.into());
        let (declared, problems) = files::read(root, &self.owner).map_err(unavailable)?;
        let live = self.live().await.map_err(unavailable)?;
        let name = item.name.as_str();
        let Some(pair) = self.pair(name, &declared, &live) else {
            return Ok(Outcome::Succeeded { details: Some("it is neither declared nor in force".to_owned()) });
        };
        let done = match (self.state(name, &pair, problems.is_empty()), pair) {
            (ItemState::Drifted(_), Pair::Missing(declared)) => {
                self.server.create(&declared.json).await.map(|()| "created")
            }
            (ItemState::Drifted(_), Pair::Both(declared, live)) => {
                let healed = self.healed(name, declared, live);
                self.server.update(name, live, &healed).await.map(|()| "put back as it is declared")
            }
            (ItemState::Drifted(_), Pair::Surplus) => self.server.delete(name).await.map(|()| "removed"),
            (ItemState::Same, _) => Ok("as it is declared already"),
            (ItemState::Suspended(reason) | ItemState::Unknown(reason), _) => return Ok(Outcome::Rejected { reason }),
        };
        match done {
            Ok(words) => Ok(Outcome::Succeeded { details: Some(words.to_owned()) }),
            Err(error @ ServerError::Away(_)) => Err(RemediatorError::Unavailable(error.into())),
            Err(error @ ServerError::NoAnswer(_)) => Err(RemediatorError::Indeterminate(error.into())),
            Err(error) => Ok(Outcome::Failed { reason: chain(&error), retryable: true }),
        }
    }

    async fn ping(&self) -> Result<(), SourceError> {
        self.server.ping().await.map_err(|error| SourceError::away("Vigil", error))
    }
}

fn key(name: &str) -> ItemKey {
    ItemKey::new(KIND, "", name)
}

/// A policy in the one form in which two can be compared.
pub(crate) fn canonical(policy: &Value) -> Result<Value, serde_json::Error> {
    let spec: PolicySpec = serde_json::from_value(policy.clone())?;
    serde_json::to_value(spec)
}

impl Declared {
    fn new(spec: &PolicySpec, origin: Origin, owner: &str) -> Self {
        let mut json = serde_json::to_value(spec).expect("text, numbers, lists and maps are JSON");
        json["params"]["managed_by"] = owner.into();
        Self { json, origin }
    }
}
