//! What holds of every spec and every text.

use proptest::prelude::*;

use super::*;

fn any_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 äß\u{1F600}'\"\\\\{}\\[\\]:#&*!|>%@`,.-]{1,20}".prop_filter("a name", |text| !text.trim().is_empty())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_map() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(any_text(), any_json(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn any_condition_spec() -> impl Strategy<Value = ConditionSpec> {
    let metric = || any_text().prop_map(|text| MetricName::new(&text).unwrap());
    let number = || prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let leaf = prop_oneof![
        (metric(), number()).prop_map(|(metric, threshold)| ConditionSpec::Exceeds { metric, threshold }),
        (metric(), number()).prop_map(|(metric, threshold)| ConditionSpec::Below { metric, threshold }),
        any_map().prop_map(|fields| ConditionSpec::Custom { kind: "ratio".into(), fields }),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![list().prop_map(ConditionSpec::All), list().prop_map(ConditionSpec::Any)]
    })
}

fn any_duration() -> impl Strategy<Value = Duration> {
    (0_u64..2_592_000, 0_u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

prop_compose! {
    fn any_spec()(
        name in any_text().prop_filter("no route", |text| PolicyName::new(text).is_ok()),
        description in any_text(),
        severity in prop::sample::select(Severity::ALL.to_vec()),
        target in prop::sample::select(vec!["all", "*", "web-1", "web-*", "{a,b}-?"]),
        (enabled, auto_remediate) in any::<(bool, bool)>(),
        condition in any_condition_spec(),
        action in prop::sample::select(ActionType::ALL.to_vec()),
        params in any_map(),
        (hold, keep_firing) in (any_duration(), any_duration()),
    ) -> PolicySpec {
        PolicySpec {
            name: PolicyName::new(&name).unwrap(),
            description, severity, target: target.to_owned(), enabled, auto_remediate, condition, action, params, hold, keep_firing,
        }
    }
}

proptest! {
    #[test]
    fn a_spec_survives_being_written_and_read(spec in any_spec()) {
        let text = serde_json::to_string(&spec).unwrap();
        let again: PolicySpec = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &spec, "as the Stores keep it");
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut registry = ConditionRegistry::default();
        registry.register("ratio", |_| Ok(metric_exceeds("m", 1.0)));
        prop_assert_eq!(&PolicySpec::of_json(&value, &registry).unwrap(), &spec, "as clients send it");
        prop_assert!(Policy::compile(TenantId::default(), &spec, 0, &registry).is_ok());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}|[-{}\\[\\]:,&*!|>'\"%@ \\n\\ta-c0-9.~<]{0,60}") {
        let _ = parse(&text).map_err(|error| error.to_string());
        let _ = parse(&format!("- name: x\n  condition: {text}\n")).map_err(|error| error.to_string());
    }

    #[test]
    fn no_json_makes_the_reader_panic(value in any_json(), field in prop::sample::select(vec!["name", "condition", "params", "for"])) {
        let _ = of_json(&value);
        let _ = of_json(&policy(&json!({ field: value })));
        let _ = of_json(&policy(&json!({"condition": {"type": "all", "conditions": value}})));
    }
}
