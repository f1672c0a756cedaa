//! Kubernetes: a real control plane (`scripts/test-kubernetes`), and a scripted API server for every failure of every word.

mod real;
mod scripted;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use vigil_remediator::kubernetes::{KubernetesConfig, KubernetesExecutor};
use vigil_remediator::{Executor, Job, Prepared};

use crate::bench::{job, request, with_params};

async fn executor(kubeconfig: &Path, namespace: &str) -> Arc<KubernetesExecutor> {
    let config = KubernetesConfig {
        kubeconfig: Some(kubeconfig.to_owned()),
        context: None,
        namespace: Some(namespace.to_owned()),
    };
    Arc::new(KubernetesExecutor::new(config).await.unwrap())
}

fn act(key: &str, object: &str, action: &str, params: Value) -> Job {
    job(&with_params(request(key, 1, object, action), params), object)
}

async fn ready(executor: &KubernetesExecutor, job: &Job) -> Value {
    match executor.prepare(job).await.unwrap() {
        Prepared::Ready(before) => before,
        Prepared::Rejected(reason) => panic!("{reason}"),
    }
}

async fn rejected(executor: &KubernetesExecutor, job: &Job) -> String {
    match executor.prepare(job).await.unwrap() {
        Prepared::Ready(before) => panic!("{before}"),
        Prepared::Rejected(reason) => reason,
    }
}
