use proptest::prelude::*;

use super::*;
use crate::policy::{ConditionRegistry, PolicySpec};
use crate::tenant::TenantId;

fn policy(at: usize, target: &str) -> Arc<Policy> {
    let spec = serde_json::json!({"name": format!("p{at:05}"), "target": target, "action": "restart",
        "condition": {"type": "metric_exceeds", "metric": "m", "threshold": 1}});
    let spec: PolicySpec = serde_json::from_value(spec).unwrap();
    Arc::new(Policy::compile(TenantId::default(), &spec, 1, &ConditionRegistry::default()).unwrap())
}

#[test]
fn no_number_of_patterns_is_too_large_to_compile() {
    let greedy = |at: usize| policy(at, &format!("{at:05}-{}", "?".repeat(249)));
    let index = TargetIndex::new((0..1400).map(greedy).collect());
    assert!(index.globs.len() > 1, "one set would be too large");
    let target = Target::new(&format!("00321-{}", "a".repeat(249))).unwrap();
    let found: Vec<_> = index.matching(&target).iter().map(|policy| policy.name.to_string()).collect();
    assert_eq!(found, ["p00321"]);
}

/// Patterns and names of few letters, so that they meet.
fn any_pattern() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a", "b", ".", "/", "..", "*", "**", "?", "[ab]", "[!a]", "{a,b.}", "*.a", "**/", "a*",
    ]);
    prop_oneof![
        Just("all".to_owned()),
        Just("*".to_owned()),
        prop::collection::vec(part, 1..5).prop_map(|parts| parts.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_index_finds_what_the_patterns_match(
        patterns in prop::collection::vec(any_pattern(), 1..12),
        names in prop::collection::vec("[ab./]{1,5}|all|unknown", 1..12),
    ) {
        let policies: Vec<_> = patterns.iter().enumerate().map(|(at, pattern)| policy(at, pattern)).collect();
        let index = TargetIndex::new(policies.clone());
        for target in names.iter().filter_map(|name| Target::new(name).ok()) {
            let found: Vec<_> = index.matching(&target).iter().map(|p| p.target.to_string()).collect();
            let expected: Vec<_> =
                policies.iter().filter(|p| p.target.matches(&target)).map(|p| p.target.to_string()).collect();
            prop_assert_eq!(found, expected, "on {}", target);
        }
    }
}
