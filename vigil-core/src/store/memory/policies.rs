//! Policies: all writes of a call, or none.

use serde_json::json;

use super::{Actor, AuditEntry, PolicyName, PolicyWrite, State, StoreError, StoredPolicy, TenantId, Timestamp};
use crate::store::Expect;

impl State {
    pub(super) fn write_policies(
        &mut self,
        tenant: &TenantId,
        writes: Vec<PolicyWrite>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut policies = self.policies.clone();
        let mut entries = Vec::new();
        let generation = self.generation + 1;
        for write in writes {
            match write {
                PolicyWrite::Put { spec, source, enabled_override, expect } => {
                    let key = (tenant.clone(), spec.name.clone());
                    expected(&spec.name, policies.get(&key), expect)?;
                    let detail = json!({"spec": &*spec, "source": source, "revision": generation, "enabled_override": enabled_override});
                    entries.push(AuditEntry::policy(tenant, &spec.name, "policy.put", detail, actor, now));
                    let (tenant, spec) = (tenant.clone(), (*spec).clone());
                    policies.insert(
                        key,
                        StoredPolicy { tenant, spec, source, enabled_override, revision: generation, updated_at: now },
                    );
                }
                PolicyWrite::Remove { name, expect } => {
                    let key = (tenant.clone(), name.clone());
                    expected(&name, policies.get(&key), expect)?;
                    policies.remove(&key).ok_or_else(|| StoreError::NotFound(format!("the policy '{name}'")))?;
                    entries.push(AuditEntry::policy(tenant, &name, "policy.removed", json!({}), actor, now));
                }
            }
        }
        self.policies = policies;
        self.audit.extend(entries);
        self.generation = generation;
        Ok(generation)
    }
}

fn expected(name: &PolicyName, known: Option<&StoredPolicy>, expect: Expect) -> Result<(), StoreError> {
    match (expect, known) {
        (Expect::Absent, Some(_)) => Err(StoreError::Duplicate(format!("the policy '{name}'"))),
        (Expect::Revision(_), None) => Err(StoreError::NotFound(format!("the policy '{name}'"))),
        (Expect::Revision(revision), Some(known)) if known.revision != revision => {
            Err(StoreError::Conflict(format!("the policy '{name}'")))
        }
        _ => Ok(()),
    }
}
