//! [`PolicySet`]: all compiled policies at one generation, immutable and swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::index::TargetIndex;
use super::{ConditionRegistry, Policy, PolicyError, PolicyName};
use crate::metric::MetricName;
use crate::store::{PolicySource, PolicyTable, Scope, StoredPolicy};
use crate::target::Target;
use crate::tenant::TenantId;

/// All policies at one generation, with the indexes that find those of a target.
#[derive(Debug, Default)]
pub struct PolicySet {
    generation: i64,
    tenants: HashMap<TenantId, TenantPolicies>,
}

#[derive(Debug, Default)]
struct TenantPolicies {
    by_name: HashMap<PolicyName, Entry>,
    index: TargetIndex,
    /// The metrics that policies in force read.
    reads: HashSet<MetricName>,
}

#[derive(Debug)]
struct Entry {
    policy: Arc<Policy>,
    stored: Arc<StoredPolicy>,
}

impl PolicySet {
    /// Compiles a table. A policy that does not compile (its custom condition is no longer registered, say) is left out and
    /// returned beside the set: the others must not suffer.
    pub fn compile(table: PolicyTable, registry: &ConditionRegistry) -> (Self, Vec<(PolicyName, PolicyError)>) {
        let mut set = Self { generation: table.generation, tenants: HashMap::new() };
        let mut refused = Vec::new();
        for stored in table.policies {
            match Policy::compile(stored.tenant.clone(), &stored.spec, stored.revision, registry) {
                Ok(mut policy) => {
                    policy.enabled = stored.is_enabled();
                    let tenant = set.tenants.entry(stored.tenant.clone()).or_default();
                    let entry = Entry { policy: Arc::new(policy), stored: Arc::new(stored) };
                    tenant.by_name.insert(entry.policy.name.clone(), entry);
                }
                Err(error) => refused.push((stored.spec.name, error)),
            }
        }
        for tenant in set.tenants.values_mut() {
            let mut enabled: Vec<_> = tenant.by_name.values().map(|e| e.policy.clone()).filter(|p| p.enabled).collect();
            enabled.sort_by(|a, b| a.name.cmp(&b.name));
            tenant.reads = enabled.iter().flat_map(|policy| policy.condition.reads()).cloned().collect();
            tenant.index = TargetIndex::new(enabled);
        }
        (set, refused)
    }

    /// The Store's generation that this is.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// One policy, in force or not.
    pub fn policy(&self, tenant: &TenantId, name: &PolicyName) -> Option<&Arc<Policy>> {
        self.tenants.get(tenant)?.by_name.get(name).map(|entry| &entry.policy)
    }

    /// One policy as it is stored.
    pub fn stored(&self, tenant: &TenantId, name: &PolicyName) -> Option<&Arc<StoredPolicy>> {
        self.tenants.get(tenant)?.by_name.get(name).map(|entry| &entry.stored)
    }

    /// All policies of a tenant as they are stored, by name.
    pub fn all_stored(&self, tenant: &TenantId) -> Vec<Arc<StoredPolicy>> {
        let mut all: Vec<_> =
            self.tenants.get(tenant).into_iter().flat_map(|t| t.by_name.values()).map(|e| e.stored.clone()).collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        all
    }

    /// The policies in force of a tenant, by name.
    pub fn enabled(&self, tenant: &TenantId) -> &[Arc<Policy>] {
        self.tenants.get(tenant).map_or(&[], |tenant| tenant.index.policies())
    }

    /// Whether a policy in force of the tenant reads this metric, on whatever target.
    pub fn reads(&self, tenant: &TenantId, metric: &MetricName) -> bool {
        self.tenants.get(tenant).is_some_and(|tenant| tenant.reads.contains(metric))
    }

    /// How many policies there are, in force or not, of any tenant.
    pub fn len(&self) -> usize {
        self.tenants.values().map(|tenant| tenant.by_name.len()).sum()
    }

    /// Whether there is no policy at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a tenant's policy comes from, if there is one of that name.
    pub fn source(&self, tenant: &TenantId, name: &PolicyName) -> Option<&PolicySource> {
        self.stored(tenant, name).map(|stored| &stored.source)
    }

    /// The policies in force that judge a scope's samples, each with the target it would act on.
    ///
    /// Samples of a target are judged by the policies that match it. Samples without a target are judged by every policy: one
    /// with an exact target acts on that, any other on [`Target::unknown`], which means not at all.
    pub fn judging(&self, scope: &Scope) -> Vec<(Arc<Policy>, Target)> {
        let Some(tenant) = self.tenants.get(&scope.tenant) else { return Vec::new() };
        match &scope.target {
            Some(target) => tenant.index.matching(target).into_iter().map(|policy| (policy, target.clone())).collect(),
            None => {
                let acting = |policy: &Arc<Policy>| policy.target.exact().cloned().unwrap_or_else(Target::unknown);
                tenant.index.policies().iter().map(|policy| (policy.clone(), acting(policy))).collect()
            }
        }
    }
}
