//! `configs/policies.yaml`, as it is shipped.

use std::path::Path;

use vigil_core::policy::{ConditionRegistry, Policy, PolicySpec};
use vigil_core::tenant::TenantId;

/// The shipped policies; `None` outside the workspace, where the published crate has no such file.
fn shipped() -> Option<Vec<PolicySpec>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/policies.yaml");
    if !path.exists() {
        println!("skipped: {} is not part of this crate", path.display());
        return None;
    }
    let text = std::fs::read_to_string(&path).expect("the file can be read");
    let parsed = PolicySpec::parse_file(&text, "configs/policies.yaml", &ConditionRegistry::default());
    Some(parsed.unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn the_shipped_policies_compile() {
    let Some(policies) = shipped() else { return };
    assert!((6..=10).contains(&policies.len()), "{} policies", policies.len());
    for spec in &policies {
        let compiled = Policy::compile(TenantId::default(), spec, 1, &ConditionRegistry::default());
        assert!(compiled.is_ok(), "{}: {compiled:?}", spec.name);
    }
}

#[test]
fn no_shipped_policy_acts_on_its_own() {
    for spec in shipped().into_iter().flatten() {
        assert!(!spec.auto_remediate, "{} must not act before somebody has read it", spec.name);
    }
}

#[test]
fn every_shipped_policy_says_what_it_is_for() {
    for spec in shipped().into_iter().flatten() {
        assert!(!spec.description.is_empty(), "{} has no description", spec.name);
    }
}
