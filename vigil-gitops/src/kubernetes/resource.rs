//! [`Resources`]: where the API server keeps which kind of object.

use std::collections::HashMap;

use serde_json::Value;
use tokio::sync::Mutex;
use vigil_core::remediator::RemediatorError;
use vigil_remediator::kubernetes::Api;

/// What the API server says of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    /// The folder of its group and version.
    group: String,
    /// The plural of its kind.
    plural: String,
    pub(super) is_namespaced: bool,
}

/// The kinds of a cluster, asked for once by group and version.
#[derive(Debug, Default)]
pub(super) struct Resources {
    known: Mutex<HashMap<String, HashMap<String, Resource>>>,
}

impl Resource {
    /// The path of an object; its namespace is empty if the kind has none.
    pub(super) fn path(&self, namespace: &str, name: &str) -> String {
        let Self { group, plural, .. } = self;
        match namespace {
            "" => format!("{group}/{plural}/{name}"),
            _ => format!("{group}/namespaces/{namespace}/{plural}/{name}"),
        }
    }
}

impl Resources {
    /// `None` if the cluster serves no such kind. It is asked again next time: the kind may be a custom one that is just being declared.
    pub(super) async fn find(
        &self,
        api: &Api,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Resource>, RemediatorError> {
        let mut known = self.known.lock().await;
        if let Some(found) = known.get(api_version).and_then(|kinds| kinds.get(kind)) {
            return Ok(Some(found.clone()));
        }
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        let group = format!("{root}/{api_version}");
        let Some(list) = api.read(&group).await? else { return Ok(None) };
        let kinds = kinds(&group, &list);
        let found = kinds.get(kind).cloned();
        known.insert(api_version.to_owned(), kinds);
        Ok(found)
    }
}

fn kinds(group: &str, list: &Value) -> HashMap<String, Resource> {
    let resources = list["resources"].as_array().cloned().unwrap_or_default();
    let kind = |resource: &Value| {
        let plural = resource["name"].as_str()?;
        // `pods/eviction` is a part of one.
        let is_whole = !plural.contains('/');
        let is_namespaced = resource["namespaced"] == true;
        let found = Resource { group: group.to_owned(), plural: plural.to_owned(), is_namespaced };
        is_whole.then_some((resource["kind"].as_str()?.to_owned(), found))
    };
    resources.iter().filter_map(kind).collect()
}
