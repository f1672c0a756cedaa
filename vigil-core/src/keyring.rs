//! [`KeyRing`]: the API keys of all tenants. The Store has the truth, this a copy that follows it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::key::{ApiKey, KeyId, KeyWrite};
use crate::store::{Actor, Followed, Store, StoreError};
use crate::tenant::TenantId;

/// The API keys of all tenants: changes go to the Store, and the copy follows the Store's generation.
#[derive(Debug)]
pub struct KeyRing {
    store: Arc<dyn Store>,
    copy: ArcSwap<Copy>,
    /// One refresh at a time, so that an older table never replaces a newer one.
    refreshing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Copy {
    /// `None` until the Store was read for the first time.
    generation: Option<i64>,
    by_id: HashMap<KeyId, Arc<ApiKey>>,
}

impl KeyRing {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, copy: ArcSwap::default(), refreshing: Mutex::new(()) }
    }

    /// Whether the Store was ever read. Until then no key is known, which says nothing about what there is.
    pub fn is_loaded(&self) -> bool {
        self.copy.load().generation.is_some()
    }

    /// Whether there never was a key.
    pub fn is_empty(&self) -> bool {
        self.copy.load().by_id.is_empty()
    }

    /// One key, revoked or expired ones included.
    pub fn find(&self, id: &KeyId) -> Option<Arc<ApiKey>> {
        self.copy.load().by_id.get(id).cloned()
    }

    /// All keys of a tenant, the oldest first.
    pub fn of(&self, tenant: &TenantId) -> Vec<Arc<ApiKey>> {
        self.sorted(|key| key.tenant == *tenant)
    }

    /// All keys of all tenants, the oldest first.
    pub fn all(&self) -> Vec<Arc<ApiKey>> {
        self.sorted(|_| true)
    }

    fn sorted(&self, wanted: impl Fn(&ApiKey) -> bool) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = self.copy.load().by_id.values().filter(|key| wanted(key)).cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        keys
    }

    /// Makes, rotates or revokes a key; it is so in this process when this returns, and on every replica shortly after.
    ///
    /// # Errors
    /// See [`Store::write_key`].
    pub async fn write(&self, tenant: &TenantId, write: KeyWrite, actor: &Actor) -> Result<ApiKey, StoreError> {
        let key = self.store.write_key(tenant, write, actor).await?;
        self.refresh().await?;
        Ok(key)
    }

    /// Takes over what other replicas wrote; cheap when nothing changed.
    ///
    /// # Errors
    /// [`StoreError`] if the Store cannot be read: the copy stays as it is.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one = self.refreshing.lock().await;
        let known = self.copy.load().generation;
        if known.is_some() && known == Some(self.store.generation(Followed::Keys).await?) {
            return Ok(());
        }
        let table = self.store.keys().await?;
        let by_id = table.keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
        self.copy.store(Arc::new(Copy { generation: Some(table.generation), by_id }));
        Ok(())
    }

    /// The Store's generation that the copy is of; one that no Store has, until it was read.
    pub(crate) fn generation(&self) -> i64 {
        self.copy.load().generation.unwrap_or(i64::MIN)
    }
}
