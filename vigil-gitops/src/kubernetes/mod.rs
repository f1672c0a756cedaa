//! [`KubernetesSource`]: manifests, and the objects of a cluster.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_program::chain;
use vigil_remediator::kubernetes::{APPLY, Api, KubernetesError, Refusal};

use crate::declaration::{Comparison, Item, ItemKey, ItemState, Origin, Problem};
use crate::diff::{diff, missing};
use crate::pointer::{Ignore, Pointer};
use crate::source::{Source, SourceError};

mod manifest;
mod resource;
mod shape;

use manifest::Manifest;
use resource::{Resource, Resources};

/// Which cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// A kubeconfig file; without it the service account of the pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the file.
    pub context: Option<String>,
    /// The namespace of objects that name none; that of the context without it.
    pub namespace: Option<String>,
    /// Who the API server writes down as the owner of what is declared. `vigil-gitops`.
    #[serde(default = "field_manager", deserialize_with = "manager")]
    pub field_manager: String,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, namespace: None, field_manager: field_manager() }
    }
}

fn field_manager() -> String {
    "vigil-gitops".to_owned()
}

/// It becomes part of a query.
fn manager<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(is_plain) {
        return Err(de::Error::custom("a field manager has 1 to 128 letters, digits, - . _"));
    }
    Ok(text)
}

/// Compares manifests with a cluster by what a server-side apply would change, and heals by that apply.
///
/// The API server is asked to apply each object without keeping the result (`dryRun=All`); what then differs from what lives is
/// drift. So defaults, fields that other controllers own and the order of lists are no difference. What is declared no more is left alone:
/// nothing is ever deleted. An object with the annotation `vigil.io/reconcile: disabled`, declared or live, is left alone too. What
/// is ignored is applied as it lives. Values of Secrets are never told.
///
/// It needs the rights to get and to patch what is declared; a dry run needs that of the run.
#[derive(Debug)]
pub struct KubernetesSource {
    api: Api,
    namespace: String,
    ignored: Vec<Ignore>,
    resources: Resources,
}

/// How many objects are compared at once.
const AT_ONCE: usize = 8;

impl KubernetesSource {
    /// One that connects when it is needed, and takes no notice of what is `ignored`.
    ///
    /// # Errors
    /// [`KubernetesError`] if the configuration cannot be read or makes no sense.
    pub async fn new(config: KubernetesConfig, ignored: Vec<Ignore>) -> Result<Self, KubernetesError> {
        let KubernetesConfig { kubeconfig, context, namespace, field_manager } = config;
        let cluster = vigil_remediator::kubernetes::KubernetesConfig { kubeconfig, context, namespace };
        let (api, namespace) = Api::connect(cluster, field_manager).await?;
        Ok(Self { api, namespace, ignored, resources: Resources::default() })
    }

    /// What a manifest declares, and where that lives. `Err` says why nobody can tell.
    async fn place(&self, manifest: &Manifest) -> (ItemKey, Result<Resource, String>) {
        let Manifest { api_version, kind, .. } = manifest;
        let found = self.resources.find(&self.api, api_version, kind).await;
        let found = match found {
            Ok(Some(resource)) => Ok(resource),
            Ok(None) => Err(format!("the cluster has no {kind} of {api_version}")),
            Err(error) => Err(chain(&error)),
        };
        let namespace = match (&found, &manifest.namespace) {
            (Ok(resource), _) if !resource.is_namespaced => "",
            (Ok(_), None) => &self.namespace,
            (_, written) => written.as_deref().unwrap_or_default(),
        };
        (ItemKey::new(kind, namespace, &manifest.name), found)
    }

    async fn item(&self, one: &Declared) -> (Item, Option<Problem>) {
        let (state, problem) = match &one.resource {
            Ok(resource) => self.compare_one(&one.manifest, &one.key, resource).await,
            Err(why) => (ItemState::Unknown(why.clone()), None),
        };
        let ItemKey { kind, namespace, name } = one.key.clone();
        (Item { kind, namespace, name, origin: one.manifest.origin.clone(), state }, problem)
    }

    async fn compare_one(
        &self,
        manifest: &Manifest,
        key: &ItemKey,
        resource: &Resource,
    ) -> (ItemState, Option<Problem>) {
        let about = |error: RemediatorError| (ItemState::Unknown(told(&error, &manifest.body)), None);
        // What the server does not take is a problem of the file too, if the file is why.
        let unfit = |message: String, is_its_own: bool| {
            let Origin { file, line } = manifest.origin.clone();
            let problem = is_its_own.then(|| Problem { file, line, message: format!("{key}: {message}") });
            (ItemState::Unknown(message), problem)
        };
        if shape::is_suspended(&manifest.body) {
            return (suspended("declared"), None);
        }
        let path = resource.path(&key.namespace, &key.name);
        let live = match self.api.read(&path).await {
            Ok(Some(live)) => live,
            Ok(None) => {
                let mut declared = shape::essence(&manifest.body);
                shape::hide(&mut declared, None);
                return (ItemState::Drifted(missing(&declared)), None);
            }
            Err(error) => return about(error.into()),
        };
        if shape::is_suspended(&live) {
            return (suspended("live"), None);
        }
        let pointers = Ignore::pointers_of(&self.ignored, key);
        let body = body(manifest, Some(&live), &pointers);
        let applied = match self.api.write(Method::PATCH, &format!("{path}?dryRun=All&force=true"), APPLY, &body).await
        {
            Ok(Ok(applied)) => applied,
            Ok(Err(refusal)) => {
                let message = refused(&refusal, &manifest.body);
                let is_its_own = matches!(refusal.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
                return unfit(message, is_its_own);
            }
            Err(error) => {
                return match misfit(&error, &manifest.body) {
                    Some(message) => unfit(message, true),
                    None => about(error),
                };
            }
        };
        let (mut applied, mut live) = (shape::essence(&applied), shape::essence(&live));
        shape::hide(&mut applied, Some(&mut live));
        let state = diff(&applied, &live, &pointers).map_or(ItemState::Same, ItemState::Drifted);
        (state, None)
    }

    /// Everything that is declared, each once, with where it lives; namespaces and custom kinds first, which others need.
    async fn declared(&self, root: &Path, problems: &mut Vec<Problem>) -> Result<Vec<Declared>, std::io::Error> {
        let root = root.to_owned();
        let read = tokio::task::spawn_blocking(move || manifest::read(&root)).await;
        let (mut manifests, wrong) = read.map_err(std::io::Error::other)??;
        problems.extend(wrong);
        manifests.sort_by_key(|manifest| !matches!(&*manifest.kind, "Namespace" | "CustomResourceDefinition"));
        let mut seen = HashMap::new();
        let mut declared = Vec::new();
        for manifest in manifests {
            let (key, resource) = self.place(&manifest).await;
            if let Some(first) = seen.get(&key) {
                let message = format!("{key} is declared in {first} already");
                let Manifest { origin, .. } = manifest;
                problems.push(Problem { file: origin.file, line: origin.line, message });
                continue;
            }
            seen.insert(key.clone(), manifest.origin.clone());
            declared.push(Declared { key, resource, manifest });
        }
        Ok(declared)
    }
}

/// A manifest, and where what it declares lives.
struct Declared {
    key: ItemKey,
    resource: Result<Resource, String>,
    manifest: Manifest,
}

#[async_trait]
impl Source for KubernetesSource {
    async fn compare(&self, root: &Path) -> Result<Comparison, SourceError> {
        self.ping().await?;
        let mut problems = Vec::new();
        let declared = self.declared(root, &mut problems).await;
        let declared = declared.map_err(|source| SourceError::Read { root: root.to_owned(), source })?;
        // Each future by itself first: a stream that makes them cannot be sent between threads.
        let comparing: Vec<_> = declared.iter().map(|one| self.item(one)).collect();
        let compared: Vec<_> = stream::iter(comparing).buffered(AT_ONCE).collect().await;
        let mut items = Vec::new();
        for (item, problem) in compared {
            items.push(item);
            problems.extend(problem);
        }
        Ok(Comparison { items, problems })
    }

    async fn heal(&self, root: &Path, item: &ItemKey) -> Result<Outcome, RemediatorError> {
        let declared = self.declared(root, &mut Vec::new()).await;
        let declared = declared.map_err(|error| RemediatorError::Unavailable(error.into()))?;
        // Whose kind nobody knows now, its namespace cannot be told either.
        let is_unclear =
            |one: &Declared| one.resource.is_err() && (&one.key.kind, &one.key.name) == (&item.kind, &item.name);
        let known = declared.iter().position(|one| one.key == *item);
        let found = known.or_else(|| declared.iter().position(is_unclear));
        let Some(found) = found.and_then(|index| declared.into_iter().nth(index)) else {
            return Ok(Outcome::Rejected { reason: format!("{item} is not declared any more") });
        };
        let resource = found.resource.map_err(|why| RemediatorError::Unavailable(why.into()))?;
        let manifest = found.manifest;
        let path = resource.path(&item.namespace, &item.name);
        let live = self.api.read(&path).await?;
        if shape::is_suspended(&manifest.body) || live.as_ref().is_some_and(shape::is_suspended) {
            return Ok(Outcome::Rejected { reason: format!("the annotation of {item} asks to leave it alone") });
        }
        let body = body(&manifest, live.as_ref(), &Ignore::pointers_of(&self.ignored, item));
        let what = if live.is_some() { "applied" } else { "created" };
        match self.api.write(Method::PATCH, &format!("{path}?force=true"), APPLY, &body).await {
            Ok(Ok(_)) => Ok(Outcome::Succeeded {
                details: Some(format!("{item} was {what} as declared in {}", manifest.origin)),
            }),
            Ok(Err(refusal)) => Ok(Outcome::Rejected { reason: refused(&refusal, &manifest.body) }),
            Err(error) => match misfit(&error, &manifest.body) {
                Some(reason) => Ok(Outcome::Rejected { reason }),
                None if shape::is_secret(&manifest.body) && matches!(error, RemediatorError::Indeterminate(_)) => {
                    let hidden = "the answer is not shown, as it may hold values of the Secret";
                    Err(RemediatorError::Indeterminate(hidden.into()))
                }
                None => Err(error),
            },
        }
    }

    async fn ping(&self) -> Result<(), SourceError> {
        let version = self.api.read("/version").await;
        version.map(|_| ()).map_err(|error| SourceError::away("the Kubernetes API", RemediatorError::from(error)))
    }
}

/// What is sent: the declaration, without what only the server may write, and with what is ignored as it lives.
fn body(manifest: &Manifest, live: Option<&Value>, ignored: &[Pointer]) -> Value {
    let mut body = shape::essence(&manifest.body);
    if let Some(live) = live {
        for pointer in ignored {
            pointer.copy(live, &mut body);
        }
    }
    body
}

fn suspended(which: &str) -> ItemState {
    ItemState::Suspended(format!("the {which} object has the annotation {}: disabled", shape::RECONCILE))
}

/// An error in words; without them if they may hold what must not be told.
fn told(error: &RemediatorError, object: &Value) -> String {
    if shape::is_secret(object) { error.to_string() } else { chain(error) }
}

/// What the API server says of a manifest that it does not understand, and with which it so did nothing: older ones (1.20) answer 500 then,
/// as where a port names no `protocol`, or a quantity is a number.
fn misfit(error: &RemediatorError, object: &Value) -> Option<String> {
    let RemediatorError::Indeterminate(why) = error else { return None };
    let why = why.to_string();
    let beginnings = ["failed to create typed patch object", "failed to convert new object"];
    let is_misfit = beginnings.iter().any(|beginning| why.contains(beginning));
    is_misfit.then(|| match shape::is_secret(object) {
        true => "the API server does not understand it; its words are not shown, as they may hold values of the Secret"
            .to_owned(),
        false => why,
    })
}

fn refused(refusal: &Refusal, object: &Value) -> String {
    let Refusal { status, message, .. } = refusal;
    if shape::is_secret(object) {
        return format!(
            "the API server answered {status}; its words are not shown, as they may hold values of the Secret"
        );
    }
    format!("the API server answered {status}: {message}")
}
