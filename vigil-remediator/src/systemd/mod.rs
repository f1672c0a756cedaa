//! [`SystemdExecutor`]: units of systemd, over D-Bus (`org.freedesktop.systemd1(5)`).

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};
use zbus::{Connection, OwnedObjectPath, Proxy, fdo};

use crate::executor::{Executor, Prepared, failed, indeterminate, succeeded, unavailable};
use crate::job::Job;

/// Where systemd is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemdConfig {
    /// Its bus, such as `unix:path=/run/dbus/system_bus_socket`; the system's without it.
    pub address: Option<String>,
}

/// Restarts, starts and stops units, and waits for the end of the job.
///
/// Needs root, or a polkit rule for `org.freedesktop.systemd1.manage-units`.
///
/// **Once per key.** Each time a unit becomes active systemd gives it a new `InvocationID`. It is read before and compared
/// by the probe; a job that is still queued is in progress.
#[derive(Debug)]
pub struct SystemdExecutor {
    config: SystemdConfig,
    /// Opened at the first call, and again after it broke.
    connection: Mutex<Option<Connection>>,
}

const DESTINATION: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// A unit as it was seen.
#[derive(Debug, PartialEq)]
pub struct Unit {
    /// `active`, `reloading`, `inactive`, `failed`, `activating` or `deactivating`.
    pub active: String,
    /// The same in the words of its kind, such as `auto-restart`.
    pub sub: String,
    /// Whether it starts with the machine: `enabled`, `disabled`, `static` and others; empty if it has no file.
    pub file: String,
    /// Number of its queued job; 0 if there is none.
    pub job: u32,
    invocation: String,
}

impl SystemdExecutor {
    /// One that connects when it is needed.
    pub fn new(config: SystemdConfig) -> Self {
        Self { config, connection: Mutex::default() }
    }

    /// The unit of this name as it is now; `None` if there is none.
    ///
    /// # Errors
    /// [`RemediatorError::Unavailable`].
    pub async fn unit(&self, name: &str) -> Result<Option<Unit>, RemediatorError> {
        self.look(&unit_name(name)).await.map_err(unavailable)
    }

    /// Restarts a unit, starts it (`scale-up`) or stops it (anything else), and waits for the end of the job until `until`.
    ///
    /// # Errors
    /// Those of [`Executor::execute`].
    pub async fn act(&self, name: &str, action: ActionType, until: Instant) -> Result<Outcome, RemediatorError> {
        let (name, method) = (unit_name(name), method(action));
        let connection = self.connection().await.map_err(unavailable)?;
        let manager = manager(&connection).await.map_err(unavailable)?;
        // Before the call: a job may have ended before its number is known here.
        let mut removed = manager.receive_signal("JobRemoved").await.map_err(unavailable)?;
        let subscribed: zbus::Result<()> = manager.call("Subscribe", &()).await;
        match subscribed {
            Err(zbus::Error::MethodError(..)) | Ok(()) => {} // this connection had subscribed already
            Err(error) => return Err(unavailable(error)),
        }
        // "replace": a job that waits, such as a start by a timer, gives way to this one.
        let queued: zbus::Result<OwnedObjectPath> = manager.call(method, &(name.as_str(), "replace")).await;
        let queued = match queued {
            Ok(path) => path,
            Err(error) if is_refusal(&error) => {
                return Ok(Outcome::Rejected { reason: format!("systemd refuses {method} {name}: {error}") });
            }
            Err(error) => return Err(indeterminate(error)),
        };
        let result = timeout_at(until, async {
            while let Some(signal) = removed.next().await {
                let (_, path, _, result): (u32, OwnedObjectPath, String, String) = signal.body().deserialize()?;
                if path == queued {
                    return Ok(Some(result));
                }
            }
            Ok::<_, zbus::Error>(None)
        });
        let result = match result.await {
            Ok(Ok(Some(result))) => result,
            Ok(Ok(None)) => return Err(indeterminate("the bus went away")),
            Ok(Err(error)) => return Err(indeterminate(error)),
            Err(elapsed) => return Err(indeterminate(elapsed)),
        };
        let unit = self.look(&name).await.map_err(indeterminate)?;
        let unit = unit.ok_or_else(|| indeterminate(format!("{name} vanished")))?;
        Ok(match result.as_str() {
            "done" => ended(action, &name, &unit),
            // canceled, timeout, failed, dependency, skipped, invalid, assert, unsupported (org.freedesktop.systemd1(5)).
            result => failed(format!(
                "the job of {method} {name} ended as '{result}', it is {} ({}): see journalctl -u {name}",
                unit.active, unit.sub
            )),
        })
    }

    /// Has a unit start with the machine, or not any more.
    ///
    /// # Errors
    /// Those of [`Executor::execute`].
    pub async fn enable(&self, name: &str, enabled: bool) -> Result<Outcome, RemediatorError> {
        let name = unit_name(name);
        let connection = self.connection().await.map_err(unavailable)?;
        let manager = manager(&connection).await.map_err(unavailable)?;
        // For good, not until the next boot; links that lead elsewhere are left alone.
        let names = vec![name.as_str()]; // an array would go out as a structure
        let changed = if enabled {
            manager.call_method("EnableUnitFiles", &(names, false, false)).await
        } else {
            manager.call_method("DisableUnitFiles", &(names, false)).await
        };
        let word = if enabled { "enabled" } else { "disabled" };
        match changed {
            Ok(_) => {}
            Err(error) if is_refusal(&error) => {
                return Ok(Outcome::Rejected { reason: format!("systemd does not have {name} {word}: {error}") });
            }
            Err(error) => return Err(indeterminate(error)),
        }
        manager.call_method("Reload", &()).await.map_err(indeterminate)?;
        Ok(succeeded(format!("{name} is {word}")))
    }

    async fn connection(&self) -> zbus::Result<Connection> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = &*connection {
            // One that broke says so at the next call; this one costs less than what follows.
            if manager(open).await?.get_property::<String>("Version").await.is_ok() {
                return Ok(open.clone());
            }
        }
        let builder = match &self.config.address {
            Some(address) => zbus::connection::Builder::address(address.as_str()),
            None => zbus::connection::Builder::system(),
        };
        let open = builder.build().await?;
        *connection = Some(open.clone());
        Ok(open)
    }

    /// `None` if there is no such unit.
    async fn look(&self, name: &str) -> zbus::Result<Option<Unit>> {
        let connection = self.connection().await?;
        let path: OwnedObjectPath = match manager(&connection).await?.call("LoadUnit", &(name,)).await {
            Ok(path) => path,
            Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::InvalidArgs(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A property read from a cache would be one from before the job.
        let unit = zbus::proxy::Builder::<Proxy<'_>>::new(&connection)
            .destination(DESTINATION)
            .path(path)
            .interface(UNIT)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        if unit.get_property::<String>("LoadState").await? == "not-found" {
            return Ok(None);
        }
        let invocation: Vec<u8> = unit.get_property("InvocationID").await?;
        let (job, _): (u32, OwnedObjectPath) = unit.get_property("Job").await?;
        Ok(Some(Unit {
            active: unit.get_property("ActiveState").await?,
            sub: unit.get_property("SubState").await?,
            file: unit.get_property("UnitFileState").await?,
            invocation: invocation.iter().map(|byte| format!("{byte:02x}")).collect(),
            job,
        }))
    }
}

#[async_trait]
impl Executor for SystemdExecutor {
    fn kind(&self) -> &'static str {
        "systemd unit"
    }

    fn words(&self, _object: &str) -> Vec<ActionType> {
        vec![ActionType::RestartService, ActionType::ScaleUp, ActionType::ScaleDown, ActionType::DrainPod]
    }

    fn name(&self, object: &str) -> String {
        unit_name(object)
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, RemediatorError> {
        let name = unit_name(&job.object);
        Ok(match self.look(&name).await.map_err(unavailable)? {
            None => Prepared::Rejected(format!("there is no unit '{name}'")),
            Some(unit) if unit.job != 0 => {
                return Err(RemediatorError::Throttled { retry_after: Duration::from_secs(2) });
            }
            Some(unit) => Prepared::Ready(json!({ "active": unit.active, "invocation": unit.invocation })),
        })
    }

    async fn execute(&self, job: &Job, _before: &Value, until: Instant) -> Result<Outcome, RemediatorError> {
        self.act(&job.object, job.action, until).await
    }

    async fn probe(&self, job: &Job, before: &Value, _since: Duration) -> Result<Probe, RemediatorError> {
        let name = unit_name(&job.object);
        let Some(unit) = self.look(&name).await.map_err(unavailable)? else { return Ok(Probe::Unknown) };
        let is_on_its_way = matches!(unit.active.as_str(), "activating" | "deactivating" | "reloading");
        if unit.job != 0 || is_on_its_way {
            return Ok(Probe::InProgress);
        }
        let was_started = before["invocation"].as_str() != Some(unit.invocation.as_str());
        Ok(match (wants_active(job.action), unit.active.as_str()) {
            (true, _) if was_started => Probe::Done(ended(job.action, &name, &unit)),
            (false, "inactive" | "failed") => Probe::Done(ended(job.action, &name, &unit)),
            _ => Probe::NotDone,
        })
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        self.connection().await.map(|_| ()).map_err(unavailable)
    }
}

async fn manager(connection: &Connection) -> zbus::Result<Proxy<'_>> {
    zbus::proxy::Builder::new(connection)
        .destination(DESTINATION)
        .path("/org/freedesktop/systemd1")
        .interface(MANAGER)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
}

/// Whether systemd answered, and did nothing.
fn is_refusal(error: &zbus::Error) -> bool {
    use fdo::Error::{
        AccessDenied, AuthFailed, InteractiveAuthorizationRequired, InvalidArgs, LimitsExceeded, NotSupported,
    };
    match error {
        zbus::Error::MethodError(..) => true,
        zbus::Error::FDO(error) => matches!(
            **error,
            AccessDenied(_)
                | AuthFailed(_)
                | InteractiveAuthorizationRequired(_)
                | InvalidArgs(_)
                | LimitsExceeded(_)
                | NotSupported(_)
        ),
        _ => false,
    }
}

/// `nginx` is `nginx.service`, as systemctl takes it.
pub fn unit_name(object: &str) -> String {
    const KINDS: [&str; 11] =
        ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];
    match object.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => object.to_owned(),
        _ => format!("{object}.service"),
    }
}

fn method(action: ActionType) -> &'static str {
    match action {
        ActionType::RestartService => "RestartUnit",
        ActionType::ScaleUp => "StartUnit",
        _ => "StopUnit",
    }
}

fn wants_active(action: ActionType) -> bool {
    matches!(action, ActionType::RestartService | ActionType::ScaleUp)
}

/// What a unit without a job says of the job that ended. A oneshot service that did its work is inactive, and well.
fn ended(action: ActionType, name: &str, unit: &Unit) -> Outcome {
    let (method, state) = (method(action), format!("{} ({})", unit.active, unit.sub));
    if unit.active == "failed" && wants_active(action) {
        return failed(format!("after {method} {name} is {state}: see journalctl -u {name}"));
    }
    succeeded(format!("{method} {name}: {state}, invocation {}", unit.invocation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_kind_is_a_service() {
        for (object, name) in
            [("nginx", "nginx.service"), ("web@1.service", "web@1.service"), ("db-5.7", "db-5.7.service")]
        {
            assert_eq!(unit_name(object), name);
        }
    }

    #[test]
    fn a_job_that_ended_is_judged_by_the_unit() {
        let unit = |active: &str| Unit {
            active: active.into(),
            sub: "x".into(),
            file: String::new(),
            invocation: "1".into(),
            job: 0,
        };
        let failed = |action, active| matches!(ended(action, "a.service", &unit(active)), Outcome::Failed { .. });
        assert!(failed(ActionType::RestartService, "failed"));
        assert!(!failed(ActionType::RestartService, "active"));
        assert!(!failed(ActionType::RestartService, "inactive"), "a oneshot service that is done");
        assert!(!failed(ActionType::DrainPod, "failed"), "it was to be stopped, and is");
    }
}
