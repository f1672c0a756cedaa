//! [`PolicyCatalog`]: the policies of all tenants. The Store has the truth, this the compiled set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::policy::{ConditionRegistry, Policy, PolicyError, PolicyName, PolicySet, PolicySpec};
use crate::store::{Actor, Expect, Followed, PolicySource, PolicyWrite, Store, StoreError, StoredPolicy};
use crate::tenant::TenantId;

/// The policies of all tenants: changes go to the Store, and the compiled set follows the Store's generation.
#[derive(Debug)]
pub struct PolicyCatalog {
    store: Arc<dyn Store>,
    registry: ConditionRegistry,
    /// `None`: it was given none, and others' are not its business.
    files: Option<Vec<PathBuf>>,
    set: ArcSwap<PolicySet>,
    /// One refresh at a time, so that an older table never replaces a newer one.
    refreshing: Mutex<()>,
}

/// What cannot be done to a policy, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// There is none of that name.
    #[error("the policy '{0}' does not exist")]
    NotFound(PolicyName),
    /// There is one of that name already.
    #[error("the policy '{0}' exists already")]
    Duplicate(PolicyName),
    /// It was changed since it was read: read it again.
    #[error("the policy '{name}' has revision {revision} by now")]
    Stale {
        /// Which.
        name: PolicyName,
        /// Its revision.
        revision: i64,
    },
    /// A file declares it: change the file.
    #[error("the policy '{name}' is declared in {path}: change it there and reload")]
    OwnedByFile {
        /// Which.
        name: PolicyName,
        /// The file.
        path: String,
    },
    /// It is wrong in itself.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The Store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PolicyCatalog {
    /// How often a reload starts over because another replica was faster.
    const RACES: usize = 10;

    pub(crate) fn new(store: Arc<dyn Store>, registry: ConditionRegistry, files: Option<Vec<PathBuf>>) -> Self {
        let set = ArcSwap::from_pointee(PolicySet::default());
        Self { store, registry, files, set, refreshing: Mutex::new(()) }
    }

    /// The compiled set. It is immutable: keep it for one piece of work, not for longer.
    pub fn set(&self) -> Arc<PolicySet> {
        self.set.load_full()
    }

    /// The conditions that policies may use.
    pub fn registry(&self) -> &ConditionRegistry {
        &self.registry
    }

    /// Adds a policy.
    ///
    /// # Errors
    /// [`CatalogError::Duplicate`], [`CatalogError::Policy`] if it does not compile, [`CatalogError::Store`].
    pub async fn create(
        &self,
        tenant: &TenantId,
        spec: PolicySpec,
        actor: &Actor,
    ) -> Result<Arc<StoredPolicy>, CatalogError> {
        let name = spec.name.clone();
        self.put(tenant, spec, PolicySource::Api, None, Expect::Absent, actor).await?;
        self.stored(tenant, &name)
    }

    /// Replaces a policy; with `if_match` only if that is its revision.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::Stale`], [`CatalogError::OwnedByFile`], [`CatalogError::Policy`],
    /// [`CatalogError::Store`].
    pub async fn update(
        &self,
        tenant: &TenantId,
        spec: PolicySpec,
        if_match: Option<i64>,
        actor: &Actor,
    ) -> Result<Arc<StoredPolicy>, CatalogError> {
        self.refresh().await?;
        let name = spec.name.clone();
        let known = self.owned_by_api(tenant, &name)?;
        if if_match.is_some_and(|revision| revision != known.revision) {
            return Err(CatalogError::Stale { name, revision: known.revision });
        }
        self.put(tenant, spec, PolicySource::Api, None, Expect::Revision(known.revision), actor).await?;
        self.stored(tenant, &name)
    }

    /// Removes a policy.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::OwnedByFile`], [`CatalogError::Store`].
    pub async fn remove(&self, tenant: &TenantId, name: &PolicyName, actor: &Actor) -> Result<(), CatalogError> {
        self.refresh().await?;
        let known = self.owned_by_api(tenant, name)?;
        let write = PolicyWrite::Remove { name: name.clone(), expect: Expect::Revision(known.revision) };
        self.write(tenant, vec![write], actor).await
    }

    /// Puts a policy in force or out of it. For one from a file this is an override that survives a reload.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::Store`].
    pub async fn set_enabled(
        &self,
        tenant: &TenantId,
        name: &PolicyName,
        enabled: bool,
        actor: &Actor,
    ) -> Result<Arc<StoredPolicy>, CatalogError> {
        self.refresh().await?;
        let known = self.stored(tenant, name)?;
        let mut spec = known.spec.clone();
        let enabled_override = match known.source {
            PolicySource::Api => {
                spec.enabled = enabled;
                None
            }
            PolicySource::File { .. } => Some(enabled),
        };
        self.put(tenant, spec, known.source.clone(), enabled_override, Expect::Revision(known.revision), actor).await?;
        self.stored(tenant, name)
    }

    /// Reads the files again and makes their policies the stored ones, all or none; answers how many policies there are then.
    /// A process that was given no files leaves those of others alone.
    ///
    /// # Errors
    /// [`CatalogError::Policy`] with file, line and reason for anything wrong in any file: then nothing has changed.
    pub async fn reload(&self, actor: &Actor) -> Result<usize, CatalogError> {
        if let Some(files) = &self.files {
            let declared = self.read(files)?;
            let mut races = 0;
            loop {
                match self.declare(&declared, actor).await {
                    // Another replica declares the same at the same time: look at what it wrote.
                    Err(CatalogError::Store(
                        StoreError::Duplicate(_) | StoreError::Conflict(_) | StoreError::NotFound(_),
                    )) if races < Self::RACES => races += 1,
                    other => break other?,
                }
            }
        }
        self.refresh().await?;
        Ok(self.set().all_stored(&TenantId::default()).len())
    }

    /// Makes what the files declare the stored policies that come from files.
    async fn declare(
        &self,
        declared: &BTreeMap<PolicyName, (PolicySpec, String)>,
        actor: &Actor,
    ) -> Result<(), CatalogError> {
        let tenant = TenantId::default();
        self.refresh().await?;
        let set = self.set();
        let mut writes = Vec::new();
        for (name, (spec, path)) in declared {
            let source = PolicySource::File { path: path.clone() };
            let (enabled_override, expect) = match set.stored(&tenant, name) {
                None => (None, Expect::Absent),
                Some(known) if known.source == PolicySource::Api => {
                    let (name, file) = (name.clone(), path.clone());
                    return Err(PolicyError::Duplicate { name, file, other: "the API".to_owned() }.into());
                }
                Some(known) if known.spec == *spec && known.source == source => continue,
                Some(known) => (known.enabled_override, Expect::Revision(known.revision)),
            };
            writes.push(PolicyWrite::Put { spec: Arc::new(spec.clone()), source, enabled_override, expect });
        }
        for known in set.all_stored(&tenant) {
            let from_file = matches!(known.source, PolicySource::File { .. });
            if from_file && !declared.contains_key(&known.spec.name) {
                writes.push(PolicyWrite::Remove {
                    name: known.spec.name.clone(),
                    expect: Expect::Revision(known.revision),
                });
            }
        }
        if writes.is_empty() { Ok(()) } else { self.write(&tenant, writes, actor).await }
    }

    /// Writes the policies that the embedding program brings, replacing stored ones of the same names.
    pub(crate) async fn provide(&self, specs: &[PolicySpec], actor: &Actor) -> Result<(), CatalogError> {
        let tenant = TenantId::default();
        self.refresh().await?;
        let set = self.set();
        let mut writes = Vec::new();
        for spec in specs {
            self.compiles(&tenant, spec)?;
            if set.stored(&tenant, &spec.name).is_none_or(|known| known.spec != *spec) {
                let (spec, source) = (Arc::new(spec.clone()), PolicySource::Api);
                writes.push(PolicyWrite::Put { spec, source, enabled_override: None, expect: Expect::Any });
            }
        }
        if writes.is_empty() { Ok(()) } else { self.write(&tenant, writes, actor).await }
    }

    /// Takes over what other replicas wrote; cheap when nothing changed.
    ///
    /// # Errors
    /// [`StoreError`] if the Store cannot be read: the set stays as it is.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        // Asked before the lock: a Store that does not answer must not make callers wait one after the other.
        let newest = self.store.generation(Followed::Policies).await?;
        if newest == self.set.load().generation() {
            return Ok(());
        }
        let _one = self.refreshing.lock().await;
        // Whoever had the lock may have taken it over.
        if newest == self.set.load().generation() {
            return Ok(());
        }
        let (set, refused) = PolicySet::compile(self.store.policies().await?, &self.registry);
        for (policy, error) in refused {
            tracing::error!(%policy, %error, "a stored policy does not compile and is not in force");
        }
        tracing::info!(generation = set.generation(), policies = set.len(), "policies are in force");
        self.set.store(Arc::new(set));
        Ok(())
    }

    async fn put(
        &self,
        tenant: &TenantId,
        spec: PolicySpec,
        source: PolicySource,
        enabled_override: Option<bool>,
        expect: Expect,
        actor: &Actor,
    ) -> Result<(), CatalogError> {
        self.compiles(tenant, &spec)?;
        let name = spec.name.clone();
        let write = PolicyWrite::Put { spec: Arc::new(spec), source, enabled_override, expect };
        self.write(tenant, vec![write], actor).await.map_err(|error| match error {
            CatalogError::Store(StoreError::Duplicate(_)) => CatalogError::Duplicate(name),
            other => other,
        })
    }

    async fn write(&self, tenant: &TenantId, writes: Vec<PolicyWrite>, actor: &Actor) -> Result<(), CatalogError> {
        self.store.write_policies(tenant, writes, actor).await?;
        Ok(self.refresh().await?)
    }

    fn compiles(&self, tenant: &TenantId, spec: &PolicySpec) -> Result<(), PolicyError> {
        Policy::compile(tenant.clone(), spec, 0, &self.registry).map(drop)
    }

    fn stored(&self, tenant: &TenantId, name: &PolicyName) -> Result<Arc<StoredPolicy>, CatalogError> {
        self.set().stored(tenant, name).cloned().ok_or_else(|| CatalogError::NotFound(name.clone()))
    }

    fn owned_by_api(&self, tenant: &TenantId, name: &PolicyName) -> Result<Arc<StoredPolicy>, CatalogError> {
        let known = self.stored(tenant, name)?;
        match &known.source {
            PolicySource::Api => Ok(known),
            PolicySource::File { path } => Err(CatalogError::OwnedByFile { name: name.clone(), path: path.clone() }),
        }
    }

    fn read(&self, files: &[PathBuf]) -> Result<BTreeMap<PolicyName, (PolicySpec, String)>, PolicyError> {
        let mut declared: BTreeMap<PolicyName, (PolicySpec, String)> = BTreeMap::new();
        for path in files {
            let file = path.display().to_string();
            let unreadable = |e: std::io::Error| PolicyError::Unreadable { file: file.clone(), detail: e.to_string() };
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            for spec in PolicySpec::parse_file(&text, &file, &self.registry)? {
                self.compiles(&TenantId::default(), &spec).map_err(|error| match error {
                    PolicyError::Invalid { errors, .. } => PolicyError::Invalid { file: Some(file.clone()), errors },
                    other => other,
                })?;
                if let Some((_, other)) = declared.get(&spec.name) {
                    return Err(PolicyError::Duplicate { name: spec.name, file, other: other.clone() });
                }
                declared.insert(spec.name.clone(), (spec, file.clone()));
            }
        }
        Ok(declared)
    }
}
