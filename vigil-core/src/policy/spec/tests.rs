use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::metric::MetricName;
use crate::policy::{Condition, Policy, metric_exceeds};
use crate::tenant::TenantId;

mod hostile;
mod properties;

const DOCUMENTED: &str = r#"{
  "name": "high-cpu-alert",
  "description": "Alert when CPU exceeds 80%",
  "severity": "warning",
  "target": "web-*",
  "enabled": true,
  "auto_remediate": false,
  "condition": { "type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80 },
  "action": "restart",
  "params": { "cooldown_seconds": 300 }
}"#;

fn registry() -> ConditionRegistry {
    let mut registry = ConditionRegistry::default();
    registry.register("over", |fields| match fields.get("limit").and_then(Value::as_f64) {
        Some(limit) => Ok(metric_exceeds("cpu", limit)),
        None => Err("limit must be a number".into()),
    });
    registry.register("panics", |_| panic!("no such sensor"));
    registry.register("blind", |_| Ok(crate::policy::all_conditions([Arc::new(Blind) as Arc<dyn Condition>])));
    registry
}

/// A condition that reads nothing, and would never be judged.
#[derive(Debug)]
struct Blind;

impl Condition for Blind {
    fn evaluate(&self, _: &crate::metric::Snapshot) -> crate::policy::Verdict {
        crate::policy::Verdict::Met
    }

    fn reads(&self) -> &[MetricName] {
        &[]
    }
}

fn of_json(value: &Value) -> Result<PolicySpec, Vec<FieldError>> {
    PolicySpec::of_json(value, &registry())
}

fn parse(text: &str) -> Result<Vec<PolicySpec>, PolicyError> {
    PolicySpec::parse_file(text, "policies.yaml", &registry())
}

/// A policy that is right, but for `changes`; null removes a field.
fn policy(changes: &Value) -> Value {
    let mut policy: Value = serde_json::from_str(DOCUMENTED).unwrap();
    let map = policy.as_object_mut().unwrap();
    for (field, value) in changes.as_object().unwrap() {
        if value.is_null() { drop(map.remove(field)) } else { drop(map.insert(field.clone(), value.clone())) }
    }
    policy
}

/// The one error of a document, as pointer and detail.
fn only_error(value: &Value) -> (String, String) {
    let errors = of_json(value).expect_err("it must be refused");
    assert_eq!(errors.len(), 1, "{errors:?}");
    (errors[0].pointer.clone(), errors[0].detail.clone())
}

/// Every error of a file: pointer, line, column.
fn places(text: &str) -> Vec<(String, u64, u64)> {
    match parse(text) {
        Err(PolicyError::Invalid { file, errors }) => {
            assert_eq!(file.as_deref(), Some("policies.yaml"));
            let place = |e: FieldError| e.place.map(|(line, column)| (e.pointer, line, column));
            errors.into_iter().map(|e| place(e).expect("YAML has places")).collect()
        }
        other => panic!("not refused field by field: {other:?}"),
    }
}

fn one(pointer: &str, line: u64, column: u64) -> Vec<(String, u64, u64)> {
    vec![(pointer.to_owned(), line, column)]
}

/// A condition nested `depth` deep.
fn nested(depth: usize) -> Value {
    let leaf = json!({"type": "metric_below", "metric": "disk_free_percent", "threshold": 5});
    (1..depth).fold(leaf, |inner, _| json!({"type": "any", "conditions": [inner]}))
}

#[test]
fn the_documented_json_is_read() {
    let spec = of_json(&serde_json::from_str(DOCUMENTED).unwrap()).unwrap();
    assert_eq!((spec.name.as_str(), spec.description.as_str()), ("high-cpu-alert", "Alert when CPU exceeds 80%"));
    assert_eq!((spec.severity, spec.target.as_str()), (Severity::Warning, "web-*"));
    assert_eq!((spec.enabled, spec.auto_remediate), (true, false));
    assert_eq!(spec.action, ActionType::RestartService);
    assert_eq!(spec.cooldown(), Duration::from_secs(300));
    let metric = MetricName::new("cpu_percent").unwrap();
    assert_eq!(spec.condition, ConditionSpec::Exceeds { metric, threshold: 80.0 });
}

#[test]
fn the_documented_conditions_are_read_and_written_alike() {
    for condition in [
        json!({"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80.0}),
        json!({"type": "metric_below", "metric": "disk_free_percent", "threshold": 10.0}),
        json!({"type": "all", "conditions": [
            {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80.0},
            {"type": "metric_exceeds", "metric": "memory_percent", "threshold": 90.0}]}),
        json!({"type": "any", "conditions": [
            {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 95.0},
            {"type": "metric_below", "metric": "disk_free_percent", "threshold": 5.0}]}),
        json!({"type": "over", "limit": 3, "note": {"why": [null, true]}}),
    ] {
        let spec = of_json(&policy(&json!({ "condition": condition }))).unwrap();
        assert_eq!(spec.condition.to_json(), condition);
    }
}

#[test]
fn yaml_and_json_files_say_the_same() {
    let yaml = "
# what watches the web
policies:
  - name: high-cpu-alert
    description: Alert when CPU exceeds 80%
    severity: warning
    target: web-*
    enabled: true
    auto_remediate: false
    condition: {type: metric_exceeds, metric: cpu_percent, threshold: 80}
    action: restart
    params:
      cooldown_seconds: 300
";
    let expected = vec![of_json(&serde_json::from_str(DOCUMENTED).unwrap()).unwrap()];
    assert_eq!(parse(yaml).unwrap(), expected);
    assert_eq!(parse(&format!("{{\"policies\": [{DOCUMENTED}]}}")).unwrap(), expected);
    assert_eq!(parse(&format!("[{DOCUMENTED}]")).unwrap(), expected, "a bare list");
    assert_eq!(parse(&format!("\u{feff}[{DOCUMENTED}]")).unwrap(), expected, "an editor's byte order mark");
}

#[test]
fn a_file_may_hold_no_policy() {
    for text in ["", "\n \n", "# none yet\n", "---\n", "policies:\n", "policies: []\n", "[]"] {
        assert_eq!(parse(text), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let least = json!({"name": "x", "action": "snapshot",
        "condition": {"type": "metric_exceeds", "metric": "m", "threshold": 1}});
    let spec = of_json(&least).unwrap();
    assert_eq!((spec.severity, spec.target.as_str(), spec.description.as_str()), (Severity::Warning, "all", ""));
    assert_eq!((spec.enabled, spec.auto_remediate, spec.params.len()), (true, false, 0));
    assert_eq!(
        (spec.hold, spec.keep_firing, spec.cooldown()),
        (Duration::ZERO, Duration::ZERO, Duration::from_secs(300))
    );
    assert_eq!(serde_json::from_value::<PolicySpec>(least).unwrap(), spec, "stored without them, the same");
}

#[test]
fn fields_that_answers_add_may_come_back() {
    let spec = of_json(&policy(&json!({"revision": 3, "source": {"kind": "api"}, "updated_at": "x", "ok": true})));
    assert_eq!(spec, of_json(&policy(&json!({}))));
}

#[test]
fn for_and_keep_firing_for_take_seconds_and_words() {
    for (written, seconds) in [
        (json!(90), 90.0),
        (json!(0), 0.0),
        (json!(0.5), 0.5),
        (json!("90"), 90.0),
        (json!("90s"), 90.0),
        (json!("250ms"), 0.25),
        (json!("5m"), 300.0),
        (json!("1h"), 3600.0),
        (json!("1.5 h"), 5400.0),
        (json!("30d"), 2_592_000.0),
    ] {
        let spec = of_json(&policy(&json!({"for": written, "keep_firing_for": written}))).unwrap();
        let expected = Duration::from_secs_f64(seconds);
        assert_eq!((spec.hold, spec.keep_firing), (expected, expected), "{written}");
    }
    for written in [json!(-1), json!("31d"), json!("1w"), json!("m"), json!(""), json!(true), json!([1]), json!("inf")]
    {
        for field in ["for", "keep_firing_for"] {
            assert_eq!(only_error(&policy(&json!({ field: written }))).0, format!("/{field}"), "{written}");
        }
    }
}

#[test]
fn every_error_of_a_policy_is_told_at_once() {
    let errors = of_json(&json!({
        "description": 7, "severity": "fatal", "target": "web-[", "enabled": "yes", "auto_remediate": 1, "action": "reboot",
        "condition": {"type": "all", "conditions": [
            {"type": "metric_exceeds", "metric": "", "threshold": "80"}, {"metric": "m"}, 5]},
        "params": [], "for": "soon", "colour": "red",
    }))
    .unwrap_err();
    let mut pointers: Vec<_> = errors.iter().map(|e| e.pointer.as_str()).collect();
    pointers.sort_unstable();
    let expected = [
        "/action",
        "/auto_remediate",
        "/colour",
        "/condition/conditions/0/metric",
        "/condition/conditions/0/threshold",
        "/condition/conditions/1/type",
        "/condition/conditions/2",
        "/description",
        "/enabled",
        "/for",
        "/name",
        "/params",
        "/severity",
        "/target",
    ];
    assert_eq!(pointers, expected);
    assert!(errors.iter().all(|e| e.place.is_none()), "JSON has pointers, not places");
}

#[test]
fn required_fields_are_required() {
    for field in ["name", "condition", "action"] {
        let (pointer, detail) = only_error(&policy(&json!({ field: null })));
        assert_eq!((pointer, detail.as_str()), (format!("/{field}"), "is required"));
    }
    for (missing, condition) in [
        ("type", json!({"metric": "m", "threshold": 1})),
        ("metric", json!({"type": "metric_below", "threshold": 1})),
        ("threshold", json!({"type": "metric_below", "metric": "m"})),
        ("conditions", json!({"type": "all"})),
    ] {
        assert_eq!(only_error(&policy(&json!({ "condition": condition }))).0, format!("/condition/{missing}"));
    }
}

#[test]
fn a_misspelt_field_is_refused_where_it_stands() {
    let (pointer, detail) = only_error(&policy(&json!({"auto_remediat": true})));
    assert_eq!(pointer, "/auto_remediat");
    assert!(detail.contains("auto_remediate"), "{detail}");
    let misspelt = json!({"type": "metric_below", "metric": "m", "threshold": 1, "treshold": 2});
    assert_eq!(only_error(&policy(&json!({ "condition": misspelt }))).0, "/condition/treshold");
    assert_eq!(only_error(&policy(&json!({"a/b~c": 1}))).0, "/a~1b~0c", "a pointer escapes what it must");
}

#[test]
fn words_that_are_none_name_those_that_are() {
    let (pointer, detail) = only_error(&policy(&json!({"action": "reboot"})));
    assert_eq!(pointer, "/action");
    assert_eq!(detail, "must be one of restart, scale-up, scale-down, drain-pod, rebalance, snapshot, custom");
    let (pointer, detail) = only_error(&policy(&json!({"severity": "fatal"})));
    assert_eq!((pointer.as_str(), detail.as_str()), ("/severity", "must be one of info, warning, critical"));
}

#[test]
fn a_pattern_that_does_not_compile_is_refused_at_the_target() {
    for target in ["web-[", "{a", "[z-a]", ""] {
        assert_eq!(only_error(&policy(&json!({"target": target}))).0, "/target", "{target}");
    }
}

#[test]
fn names_that_are_routes_or_could_not_be_one_are_refused() {
    for name in [".", "..", "evaluate", "reload", "runner", "severity", "", "  ", "a/b", "a\u{7}b", "a\0"] {
        assert_eq!(only_error(&policy(&json!({"name": name}))).0, "/name", "{name:?}");
    }
    for name in ["Evaluate", "runner2", "a.b", "größe", " trimmed "] {
        assert_eq!(of_json(&policy(&json!({"name": name}))).unwrap().name.as_str(), name.trim());
    }
    assert!(of_json(&policy(&json!({"name": "ä".repeat(255)}))).is_ok(), "characters count, not bytes");
    assert_eq!(only_error(&policy(&json!({"name": "a".repeat(256)}))).0, "/name");
}

#[test]
fn cooldowns_are_whole_seconds_up_to_thirty_days() {
    for seconds in [0_u64, 1, 2_592_000] {
        let spec = of_json(&policy(&json!({"params": {"cooldown_seconds": seconds}}))).unwrap();
        assert_eq!(spec.cooldown(), Duration::from_secs(seconds));
    }
    for cooldown in [json!(-1), json!(2_592_001), json!(1.5), json!("300"), json!(null), json!(true)] {
        assert_eq!(
            only_error(&policy(&json!({"params": {"cooldown_seconds": cooldown}}))).0,
            "/params/cooldown_seconds"
        );
    }
    let written_as_float = of_json(&policy(&json!({"params": {"cooldown_seconds": 649.0}}))).unwrap();
    assert_eq!(written_as_float.cooldown(), Duration::from_secs(649));
    let free = json!({"cooldown_seconds": 5, "image": "v2", "nested": {"list": [1, null]}});
    assert_eq!(Value::Object(of_json(&policy(&json!({ "params": free }))).unwrap().params), free);
}

#[test]
fn conditions_may_be_16_deep_and_not_17() {
    assert!(of_json(&policy(&json!({"condition": nested(16)}))).is_ok());
    let (pointer, detail) = only_error(&policy(&json!({"condition": nested(17)})));
    assert_eq!(pointer, format!("/condition{}", "/conditions/0".repeat(16)));
    assert_eq!(detail, "must be nested at most 16 deep");
    let file = |depth| format!("policies: [{}]", policy(&json!({"condition": nested(depth)})));
    assert!(parse(&file(16)).is_ok());
    assert_eq!(places(&file(17))[0].0, format!("/policies/0/condition{}", "/conditions/0".repeat(16)));
}

#[test]
fn a_policy_may_have_256_conditions_and_not_257() {
    let leaf = json!({"type": "metric_exceeds", "metric": "m", "threshold": 1});
    let wide = |leaves: usize| json!({"type": "any", "conditions": vec![leaf.clone(); leaves]});
    assert!(of_json(&policy(&json!({"condition": wide(255)}))).is_ok(), "the compound counts too");
    let (pointer, detail) = only_error(&policy(&json!({"condition": wide(256)})));
    assert_eq!((pointer.as_str(), detail.as_str()), ("/condition/conditions/255", "must have at most 256 conditions"));
    assert_eq!(of_json(&policy(&json!({"condition": wide(100_000)}))).unwrap_err().len(), 1);
}

#[test]
fn errors_in_a_file_have_line_and_column() {
    let head = "policies:\n  - name: x\n    action: restart\n    condition:\n      type: all\n      conditions:\n";
    let bad = format!("{head}        - type: metric_below\n          metric: m\n          threshold: high\n");
    assert_eq!(places(&bad), one("/policies/0/condition/conditions/0/threshold", 9, 22));
    let error = parse(&bad).unwrap_err().to_string();
    assert_eq!(
        error,
        "policies.yaml: line 9 column 22: policies.0.condition.conditions.0.threshold must be a finite number"
    );
    let empty = "policies:\n  - name: x\n    action: restart\n    condition: {type: all, conditions: []}\n";
    assert_eq!(places(empty), one("/policies/0/condition/conditions", 4, 40));
    let word = "policies:\n  - name: x\n    action: reboot\n    condition: {type: over, limit: 5}\n";
    assert_eq!(places(word), one("/policies/0/action", 3, 13));
    let missing = "- name: x\n  action: restart\n";
    assert_eq!(places(missing), one("/0/condition", 1, 3));
    let several = "- name: x\n  action: reboot\n- 5\n";
    let pointers: Vec<_> = places(several).into_iter().map(|(pointer, ..)| pointer).collect();
    assert_eq!(pointers, ["/0/condition", "/0/action", "/1"]);
}

#[test]
fn a_number_that_is_not_finite_is_refused_where_it_stands() {
    for number in [".inf", "-.inf", ".nan", "1e400", "\"80\"", "true", "null", "[1]"] {
        let text = format!(
            "- name: x\n  action: restart\n  condition: {{type: metric_below, metric: m, threshold: {number}}}\n"
        );
        assert_eq!(places(&text), one("/0/condition/threshold", 3, 57), "{number}");
    }
    let params = "- name: x\n  action: restart\n  condition: {type: over, limit: 5}\n  params: {a: [1, .nan]}\n";
    assert_eq!(places(params), one("/0/params/a/1", 4, 19));
    let custom = "- name: x\n  action: restart\n  condition: {type: over, limit: 5, a/b: .inf}\n";
    assert_eq!(places(custom), one("/0/condition/a~1b", 3, 42));
}

#[test]
fn a_name_may_stand_once_in_a_file() {
    let text = "- &x {name: x, action: restart, condition: {type: over, limit: 5}}\n- {name: z, action: restart, condition: {type: over, limit: 5}}\n- *x\n- name: x\n  action: restart\n  condition: {type: over, limit: 5}\n";
    let places = places(text);
    assert_eq!(places[0].0, "/2/name");
    assert_eq!(places[1], ("/3/name".to_owned(), 4, 9));
    let error = parse(text).unwrap_err().to_string();
    assert!(error.contains("'x' is the name of policy 0 already"), "{error}");
}

#[test]
fn a_key_may_stand_once_in_a_map() {
    let text = "- name: x\n  action: restart\n  name: y\n";
    let Err(PolicyError::Syntax { place, detail, file }) = parse(text) else { panic!("it must be refused") };
    assert_eq!((place, file.as_str()), (Some((3, 3)), "policies.yaml"));
    assert!(detail.contains("name"), "{detail}");
    let json = serde_json::from_str::<Node>(r#"{"a": 1, "a": 2}"#).unwrap_err();
    assert!(json.to_string().contains("the key 'a' stands here twice"), "{json}");
}

#[test]
fn a_file_of_another_form_is_refused_with_what_it_should_be() {
    assert_eq!(places("policies: 5\n"), one("/policies", 1, 11));
    assert_eq!(places("5\n"), one("", 1, 1));
    assert_eq!(places("{}\n"), one("/policies", 1, 1));
    assert_eq!(places("policies: []\npolices: []\n"), one("/polices", 2, 10));
    assert_eq!(
        parse("5").unwrap_err().to_string(),
        "policies.yaml: line 1 column 1: the document must be a list of policies"
    );
}

#[test]
fn custom_conditions_are_looked_up_when_they_are_read() {
    assert!(of_json(&policy(&json!({"condition": {"type": "over", "limit": 90}}))).is_ok());
    let (pointer, detail) = only_error(&policy(&json!({"condition": {"type": "over"}})));
    assert_eq!((pointer.as_str(), detail.as_str()), ("/condition", "limit must be a number"));
    let unknown = json!({"type": "any", "conditions": [{"type": "metric_exeeds", "metric": "m"}]});
    let (pointer, detail) = only_error(&policy(&json!({ "condition": unknown })));
    assert_eq!(pointer, "/condition/conditions/0/type");
    assert_eq!(detail, "'metric_exeeds' is not one of metric_exceeds, metric_below, all, any, blind, over, panics");
}

#[test]
fn a_custom_condition_that_cannot_be_made_or_judged_is_refused() {
    let (pointer, detail) = only_error(&policy(&json!({"condition": {"type": "panics"}})));
    assert_eq!((pointer.as_str(), detail.as_str()), ("/condition", "cannot be made: no such sensor"));
    let (_, detail) = only_error(&policy(&json!({"condition": {"type": "blind"}})));
    assert_eq!(detail, "reads no metric");
}

#[test]
fn a_spec_made_in_code_keeps_the_same_rules() {
    let right = of_json(&policy(&json!({}))).unwrap();
    let leaf = right.condition.clone();
    let (nan, metric) = (f64::NAN, MetricName::new("m").unwrap());
    let pointer = |change: &dyn Fn(&mut PolicySpec)| {
        let mut spec = right.clone();
        change(&mut spec);
        match Policy::compile(TenantId::default(), &spec, 0, &registry()) {
            Err(PolicyError::Invalid { errors, .. }) => errors[0].pointer.clone(),
            other => panic!("it must be refused: {other:?}"),
        }
    };
    assert_eq!(pointer(&|s| s.target = "[".into()), "/target");
    assert_eq!(pointer(&|s| s.hold = Duration::from_secs(40 * 86_400)), "/for");
    assert_eq!(pointer(&|s| s.keep_firing = Duration::MAX), "/keep_firing_for");
    assert_eq!(pointer(&|s| _ = s.params.insert("cooldown_seconds".into(), json!(-1))), "/params/cooldown_seconds");
    assert_eq!(pointer(&|s| s.condition = ConditionSpec::All(vec![])), "/condition/conditions");
    assert_eq!(
        pointer(&|s| {
            let wrong = ConditionSpec::Exceeds { metric: metric.clone(), threshold: nan };
            s.condition = ConditionSpec::Any(vec![leaf.clone(), ConditionSpec::All(vec![wrong])]);
        }),
        "/condition/conditions/1/conditions/0/threshold"
    );
    let deep = |s: &mut PolicySpec| s.condition = (0..16).fold(leaf.clone(), |c, _| ConditionSpec::All(vec![c]));
    assert_eq!(pointer(&deep), format!("/condition{}", "/conditions/0".repeat(16)));
    assert_eq!(pointer(&|s| s.condition = ConditionSpec::Any(vec![leaf.clone(); 256])), "/condition/conditions/255");
    let unknown = ConditionSpec::Custom { kind: "gone".into(), fields: Map::new() };
    assert_eq!(pointer(&|s| s.condition = ConditionSpec::All(vec![unknown.clone()])), "/condition/conditions/0/type");
}

/// LESSONS 7: an unknown condition type is an error, `all` of nothing is an error.
#[test]
fn lesson_7_nothing_that_would_always_be_true_is_taken() {
    assert!(of_json(&policy(&json!({"condition": {"type": "cpu_high"}}))).is_err());
    for kind in ["all", "any"] {
        let (pointer, _) = only_error(&policy(&json!({"condition": {"type": kind, "conditions": []}})));
        assert_eq!(pointer, "/condition/conditions");
    }
}

/// LESSONS 18: numeric strings, booleans, NaN and NUL are not values or names.
#[test]
fn lesson_18_only_finite_numbers_are_thresholds_and_only_names_are_names() {
    for threshold in [json!("80"), json!(true), json!(null), json!([80])] {
        let condition = json!({"type": "metric_exceeds", "metric": "m", "threshold": threshold});
        assert_eq!(only_error(&policy(&json!({ "condition": condition }))).0, "/condition/threshold");
    }
    for metric in [json!(""), json!("a\0"), json!(5), json!("m".repeat(256))] {
        let condition = json!({"type": "metric_exceeds", "metric": metric, "threshold": 1});
        assert_eq!(only_error(&policy(&json!({ "condition": condition }))).0, "/condition/metric");
    }
    for name in ["", "a/b"] {
        assert_eq!(only_error(&policy(&json!({"name": name}))).0, "/name");
    }
}
