//! [`KubernetesExecutor`]: workloads, pods, nodes and volumes of a cluster.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use vigil_core::action::ActionType;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

use crate::executor::{Executor, Prepared};
use crate::job::Job;

mod api;
mod node;
mod object;
mod pods;
mod snapshot;
mod workload;

pub use api::{APPLY, Api, JSON, MERGE, Refusal, Unread};

use object::{Kind, Object};

/// Which cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// A kubeconfig file; without it the service account of the pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the file.
    pub context: Option<String>,
    /// The namespace of objects that name none; that of the context without it.
    pub namespace: Option<String>,
}

/// Acts through the API server, as a good citizen: pods are evicted, so that PodDisruptionBudgets and grace periods hold;
/// what an autoscaler or another field manager owns is left to it; only nodes that it cordoned itself are uncordoned.
///
/// **Once per key.** A rollout carries the key in an annotation of the pod template, so that the same patch again changes
/// nothing; a scale sets the number that was decided before; a snapshot is named after the key; pods are evicted by the uids
/// that were chosen before. The probe reads the same things.
pub struct KubernetesExecutor {
    api: Api,
    namespace: String,
}

/// Why the cluster cannot be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's configuration cannot be used")]
pub struct KubernetesError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// How often it looks at what it waits for.
const LOOK: Duration = Duration::from_millis(300);
/// How long a call that was sent may still arrive after the program died.
const IN_TRANSIT: Duration = Duration::from_secs(3);

impl KubernetesExecutor {
    /// One that connects when it is needed.
    ///
    /// # Errors
    /// [`KubernetesError`] if the configuration cannot be read or makes no sense.
    pub async fn new(config: KubernetesConfig) -> Result<Self, KubernetesError> {
        let (api, namespace) = Api::connect(config, api::FIELD_MANAGER).await?;
        Ok(Self { api, namespace })
    }

    fn object(&self, text: &str) -> Result<Object, String> {
        Object::parse(text, &self.namespace)
    }

    async fn look(&self, job: &Job) -> Result<Prepared, Unread> {
        let object = match self.object(&job.object) {
            Ok(object) => object,
            Err(wrong) => return Ok(Prepared::Rejected(wrong)),
        };
        let Some(now) = self.api.read(&object.path()).await? else {
            return Ok(Prepared::Rejected(format!("there is no {} '{}'", object.kind_name(), object.name)));
        };
        match (object.kind, job.action) {
            (Kind::Claim, _) => snapshot::prepare(&self.api, &object).await,
            (Kind::Node, ActionType::Custom) => Ok(node::prepare_custom(job, &now)),
            (Kind::Node, _) => node::prepare_drain(&self.api, &object, job).await,
            (Kind::Pod, _) => Ok(pods::prepare_evict(job, &now)),
            (kind, ActionType::RestartService) => Ok(workload::prepare_restart(kind, &now)),
            (_, ActionType::Rebalance) => pods::prepare_rebalance(&self.api, &object, job, &now).await,
            _ => workload::prepare_scale(&self.api, &object, job, &now).await,
        }
    }

    /// The object of a job that was prepared before.
    fn prepared(&self, job: &Job) -> Result<Object, RemediatorError> {
        self.object(&job.object).map_err(crate::executor::unavailable)
    }
}

#[async_trait]
impl Executor for KubernetesExecutor {
    fn kind(&self) -> &'static str {
        "Kubernetes object"
    }

    fn words(&self, object: &str) -> Vec<ActionType> {
        self.object(object).map(|object| object.words()).unwrap_or_default()
    }

    fn name(&self, object: &str) -> String {
        self.object(object).map_or_else(|_| object.to_owned(), |object| object.path())
    }

    async fn prepare(&self, job: &Job) -> Result<Prepared, RemediatorError> {
        match self.look(job).await {
            Err(Unread::Forbidden(message)) => Ok(Prepared::Rejected(message)),
            looked => Ok(looked?),
        }
    }

    async fn execute(&self, job: &Job, before: &Value, until: Instant) -> Result<Outcome, RemediatorError> {
        let object = self.prepared(job)?;
        // What is waited for is judged a little before nobody listens any more.
        let until = until - LOOK.min(until.saturating_duration_since(Instant::now()) / 2);
        match (object.kind, job.action) {
            (Kind::Claim, _) => snapshot::execute(&self.api, &object, job, until).await,
            (Kind::Node, ActionType::Custom) => node::execute_custom(&self.api, &object, job).await,
            (Kind::Node, _) => node::drain(&self.api, &object, job, until).await,
            (Kind::Pod, _) => pods::execute_evict(&self.api, job, before, until).await,
            (_, ActionType::RestartService) => workload::restart(&self.api, &object, job, until).await,
            (_, ActionType::Rebalance) => pods::rebalance(&self.api, &object, job, before, until).await,
            _ => workload::scale(&self.api, &object, before, until).await,
        }
    }

    async fn probe(&self, job: &Job, before: &Value, since: Duration) -> Result<Probe, RemediatorError> {
        if since < IN_TRANSIT {
            return Ok(Probe::InProgress);
        }
        let object = self.prepared(job)?;
        match (object.kind, job.action) {
            (Kind::Claim, _) => snapshot::probe(&self.api, &object, job).await,
            (Kind::Node, ActionType::Custom) => node::probe_custom(&self.api, &object, job).await,
            (Kind::Node, _) => node::probe_drain(&self.api, &object).await,
            (Kind::Pod, _) | (_, ActionType::Rebalance) => pods::probe(&self.api, before).await,
            (_, ActionType::RestartService) => workload::probe_restart(&self.api, &object, job, before).await,
            _ => workload::probe_scale(&self.api, &object, before).await,
        }
    }

    async fn ping(&self) -> Result<(), RemediatorError> {
        self.api.read("/version").await?;
        Ok(())
    }
}

/// Says no more than the default namespace: the client holds credentials.
impl fmt::Debug for KubernetesExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesExecutor").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
