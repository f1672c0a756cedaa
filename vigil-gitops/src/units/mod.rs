//! [`UnitsSource`]: lists of systemd units and processes, and what runs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_program::chain;
use vigil_remediator::Executor;
use vigil_remediator::systemd::{SystemdConfig, SystemdExecutor};

use crate::declaration::{Comparison, Item, ItemKey, ItemState, Origin, Problem};
use crate::diff::{diff, missing};
use crate::pointer::Ignore;
use crate::source::{Source, SourceError};

mod list;
mod process;

use list::{Declared, Unit};

/// Which lists.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitsConfig {
    /// The files with the lists. `units.yaml`.
    #[serde(default = "units_yaml", deserialize_with = "within")]
    pub files: Vec<PathBuf>,
    /// The bus of systemd, such as `unix:path=/run/dbus/system_bus_socket`; the system's without it.
    pub address: Option<String>,
}

impl Default for UnitsConfig {
    fn default() -> Self {
        Self { files: units_yaml(), address: None }
    }
}

fn units_yaml() -> Vec<PathBuf> {
    vec![PathBuf::from("units.yaml")]
}

fn within<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    let files = Vec::<PathBuf>::deserialize(deserializer)?;
    let is_within = |file: &&PathBuf| {
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        !file.as_os_str().is_empty() && file.components().all(is_plain)
    };
    match files.iter().find(|file| !is_within(file)) {
        Some(file) => Err(de::Error::custom(format!("'{}' is no file within the source", file.display()))),
        None => Ok(files),
    }
}

/// Compares lists of units and processes with systemd and `/proc`, and starts what should run, or stops what should not.
///
/// ```yaml
/// units:
/// - unit: shop.service
///   active: true       # the default
///   enabled: true      # or false; left alone without it
/// processes:
/// - name: nginx        # as in /proc/PID/comm
///   count: 1           # the fewest; the default
///   start: [/usr/sbin/nginx]
/// ```
///
/// A process is started from this list alone, without a shell, in a session of its own. What a unit is just becoming is not judged.
#[derive(Debug)]
pub struct UnitsSource {
    config: UnitsConfig,
    systemd: SystemdExecutor,
    /// Whether units were declared when it was looked at last.
    has_units: AtomicBool,
    ignored: Vec<Ignore>,
}

/// What its items are called.
const UNIT: &str = "unit";
const PROCESS: &str = "process";
/// How long a unit may take to start or stop.
const JOB: Duration = Duration::from_secs(90);

impl UnitsSource {
    /// One that connects when it is needed, and takes no notice of what is `ignored`.
    pub fn new(config: UnitsConfig, ignored: Vec<Ignore>) -> Self {
        let systemd = SystemdExecutor::new(SystemdConfig { address: config.address.clone() });
        Self { config, systemd, has_units: AtomicBool::new(false), ignored }
    }

    fn read(&self, root: &Path) -> Result<(Declared, Vec<Problem>), SourceError> {
        let wrong = |source| SourceError::Read { root: root.to_owned(), source };
        if std::fs::metadata(root).map_err(wrong)?.is_file() {
            let file = PathBuf::from(root.file_name().unwrap_or_default());
            return list::read(root.parent().unwrap_or(Path::new("")), &[file]).map_err(wrong);
        }
        list::read(root, &self.config.files).map_err(wrong)
    }

    async fn state(&self, wanted: &Unit) -> Result<ItemState, RemediatorError> {
        let found = self.systemd.unit(&wanted.unit).await?;
        let mut declared = json!({ "active": wanted.active });
        if let Some(enabled) = wanted.enabled {
            declared["enabled"] = json!(enabled);
        }
        let Some(unit) = found else {
            let is_wanted = wanted.active || wanted.enabled == Some(true);
            return Ok(if is_wanted { ItemState::Drifted(missing(&declared)) } else { ItemState::Same });
        };
        // One that is started over and over is not on its way anywhere.
        let is_on_its_way = matches!(&*unit.active, "activating" | "deactivating") && unit.sub != "auto-restart";
        if is_on_its_way {
            return Ok(ItemState::Unknown(format!("it is {} ({})", unit.active, unit.sub)));
        }
        let mut live = json!({ "active": matches!(&*unit.active, "active" | "reloading" | "refreshing") });
        if let Some(wanted) = wanted.enabled {
            // `static`, `generated` and others are neither, and cannot be made so.
            live["enabled"] = match &*unit.file {
                "enabled" | "enabled-runtime" => json!(true),
                "disabled" | "masked" | "masked-runtime" => json!(false),
                _ => json!(wanted),
            };
        }
        let pointers = Ignore::pointers_of(&self.ignored, &ItemKey::new(UNIT, "", &wanted.unit));
        let Some(mut drift) = diff(&declared, &live, &pointers) else { return Ok(ItemState::Same) };
        let word = |yes: bool, one: &'static str, other: &'static str| if yes { one } else { other };
        let mut is = format!("{} ({})", unit.active, unit.sub);
        let mut should = word(wanted.active, "active", "inactive").to_owned();
        if let Some(enabled) = wanted.enabled {
            is = format!("{is} and {}", unit.file);
            should = format!("{should} and {}", word(enabled, "enabled", "disabled"));
        }
        drift.summary = format!("it is {is}, declared {should}");
        Ok(ItemState::Drifted(drift))
    }

    async fn heal_unit(&self, wanted: &Unit) -> Result<Outcome, RemediatorError> {
        // Only what differs: a start of what runs would be harmless, and say that something was done.
        let drift = match self.state(wanted).await? {
            ItemState::Drifted(drift) => drift,
            state => {
                return Ok(Outcome::Succeeded {
                    details: Some(format!("{} is {} already", wanted.unit, state.word())),
                });
            }
        };
        let differs = |field: &str| drift.patch.as_array().is_some_and(|all| all.iter().any(|one| touches(one, field)));
        let mut said = Vec::new();
        if let Some(enabled) = wanted.enabled.filter(|_| differs("enabled")) {
            match self.systemd.enable(&wanted.unit, enabled).await? {
                Outcome::Succeeded { details } => said.extend(details),
                other => return Ok(other),
            }
        }
        if differs("active") {
            let action = if wanted.active { ActionType::ScaleUp } else { ActionType::ScaleDown };
            let outcome = self.systemd.act(&wanted.unit, action, Instant::now() + JOB).await;
            match outcome {
                Ok(Outcome::Succeeded { details }) => said.extend(details),
                // What was enabled above is, whatever became of the rest.
                Err(error) if !said.is_empty() => return Err(RemediatorError::Indeterminate(error.into())),
                other => return other,
            }
        }
        Ok(Outcome::Succeeded { details: Some(said.join("; ")) })
    }
}

/// Whether an operation of a patch is about a field, or about the whole.
fn touches(operation: &Value, field: &str) -> bool {
    let path = operation["path"].as_str().unwrap_or_default();
    path.is_empty() || path.strip_prefix('/') == Some(field)
}

#[async_trait]
impl Source for UnitsSource {
    async fn compare(&self, root: &Path) -> Result<Comparison, SourceError> {
        let (Declared { units, processes }, problems) = self.read(root)?;
        self.has_units.store(!units.is_empty(), Ordering::Relaxed);
        let item = |kind: &str, name: String, origin: Origin, state| Item {
            kind: kind.to_owned(),
            namespace: String::new(),
            name,
            origin,
            state,
        };
        let mut items = Vec::new();
        for (origin, unit) in units {
            let state = match self.state(&unit).await {
                Ok(state) => state,
                Err(error) if processes.is_empty() && items.is_empty() => {
                    return Err(SourceError::away("systemd", error));
                }
                Err(error) => ItemState::Unknown(chain(&error)),
            };
            items.push(item(UNIT, unit.unit, origin, state));
        }
        items.extend(processes.into_iter().map(|(origin, process)| {
            let state = process::compare(&process);
            item(PROCESS, process.name, origin, state)
        }));
        Ok(Comparison { items, problems })
    }

    async fn heal(&self, root: &Path, item: &ItemKey) -> Result<Outcome, RemediatorError> {
        let (declared, _) = self.read(root).map_err(|error| RemediatorError::Unavailable(error.into()))?;
        let ItemKey { kind, name, .. } = item;
        if let Some((_, unit)) = declared.units.iter().find(|(_, unit)| kind == UNIT && unit.unit == *name) {
            return self.heal_unit(unit).await;
        }
        match declared.processes.iter().find(|(_, process)| kind == PROCESS && process.name == *name) {
            Some((_, process)) => process::heal(process).await,
            None => Ok(Outcome::Rejected { reason: format!("{item} is not declared any more") }),
        }
    }

    /// Whether systemd can be reached. A list without units needs none.
    async fn ping(&self) -> Result<(), SourceError> {
        if !self.has_units.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.systemd.ping().await.map_err(|error| SourceError::away("systemd", error))
    }
}
