//! [`KeyRows`]: the stored API keys of all tenants and their generation.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::key::{ApiKey, KeyId, KeyTable, KeyWrite};
use crate::store::StoreError;
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct KeyRows {
    generation: i64,
    rows: BTreeMap<KeyId, ApiKey>,
}

impl KeyRows {
    pub(super) fn generation(&self) -> i64 {
        self.generation
    }

    pub(super) fn table(&self) -> KeyTable {
        KeyTable { generation: self.generation, keys: self.rows.values().cloned().collect() }
    }

    pub(super) fn write(&mut self, tenant: &TenantId, write: &KeyWrite, now: Timestamp) -> Result<ApiKey, StoreError> {
        let key = write.apply(tenant, self.rows.get(write.id()), now)?;
        self.rows.insert(key.id.clone(), key.clone());
        self.generation += 1;
        Ok(key)
    }
}
