//! [`Keys`]: every key of a queue. They share the tag in braces, and with it one slot of a cluster.

use vigil_core::tenant::TenantId;

#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// The list of the default tenant's waiting tasks, oldest first.
    pub(crate) list: String,
    /// What all others begin with.
    prefix: String,
    /// The fixed keys of every script, in the order in which the scripts name them.
    fixed: Vec<String>,
}

impl Keys {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("{{{name}}}:");
        let mut fixed = vec![name.to_owned()];
        fixed.extend(
            [
                "tasks",
                "leases",
                "scheduled",
                "stats",
                "seq",
                "waiting",
                "heads",
                "dead",
                "turns",
                "tenants",
                "held",
                "due",
            ]
            .map(|part| format!("{prefix}{part}")),
        );
        Self { list: name.to_owned(), prefix, fixed }
    }

    pub(crate) fn fixed(&self) -> &[String] {
        &self.fixed
    }

    /// What the lists of the other tenants begin with.
    pub(crate) fn tenant_prefix(&self) -> String {
        format!("{}tenant:", self.prefix)
    }
}

/// How scripts call a tenant: the default one, whose list is the documented one, by nothing.
pub(crate) fn tenant_word(tenant: &TenantId) -> &str {
    if *tenant == TenantId::default() { "" } else { tenant.as_str() }
}
