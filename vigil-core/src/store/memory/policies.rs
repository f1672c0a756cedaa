//! [`PolicyRows`]: the stored policies of all tenants and their generation.

use std::collections::BTreeMap;

use serde_json::json;

use crate::clock::Timestamp;
use crate::policy::PolicyName;
use crate::store::{Actor, AuditEntry, PolicyTable, PolicyWrite, StoreError, StoredPolicy};
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct PolicyRows {
    generation: i64,
    rows: BTreeMap<(TenantId, PolicyName), StoredPolicy>,
}

impl PolicyRows {
    pub(super) fn generation(&self) -> i64 {
        self.generation
    }

    pub(super) fn table(&self) -> PolicyTable {
        PolicyTable { generation: self.generation, policies: self.rows.values().cloned().collect() }
    }

    pub(super) fn find(&self, tenant: &TenantId, name: &PolicyName) -> Option<&StoredPolicy> {
        self.rows.get(&(tenant.clone(), name.clone()))
    }

    /// Applies all writes in their order, or none; answers their audit.
    pub(super) fn write(
        &mut self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = self.rows.clone(); // thrown away when a write is refused
        let revision = self.generation + 1;
        let mut audit = Vec::with_capacity(writes.len());
        for write in writes {
            match write {
                PolicyWrite::Put { spec, source, enabled_override, expect } => {
                    let name = spec.name.clone();
                    let key = (tenant.clone(), name.clone());
                    expect.check(&name, rows.get(&key))?;
                    let spec = (*spec).clone();
                    let stored = StoredPolicy {
                        tenant: tenant.clone(),
                        spec,
                        source,
                        enabled_override,
                        revision,
                        updated_at: now,
                    };
                    let detail = json!({"spec": stored.spec, "source": stored.source, "revision": revision,
                        "enabled_override": enabled_override});
                    audit.push(AuditEntry::policy(tenant, &name, "policy.put", detail, actor, now));
                    rows.insert(key, stored);
                }
                PolicyWrite::Remove { name, expect } => {
                    let key = (tenant.clone(), name.clone());
                    let known = expect.check_removal(&name, rows.get(&key))?;
                    let detail = json!({"source": known.source, "revision": known.revision});
                    audit.push(AuditEntry::policy(tenant, &name, "policy.removed", detail, actor, now));
                    rows.remove(&key);
                }
            }
        }
        (self.rows, self.generation) = (rows, revision);
        Ok(audit)
    }
}
