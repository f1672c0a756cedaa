use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// One sample line: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

fn with_everything() -> Telemetry {
    let telemetry = Telemetry::new();
    telemetry.request("POST", "/api/v1/actions/{id}/cancel", 409, Duration::from_millis(7));
    telemetry.ingested("cpu_percent", 3);
    telemetry.stale_samples(2);
    telemetry.evaluated("high-cpu", Verdict::Met, false);
    telemetry.evaluated("high-cpu", Verdict::Met, true);
    telemetry.violated("high-cpu");
    telemetry.decided("blocked", "cooldown");
    telemetry.action("web-1", ActionType::RestartService, ActionStatus::Completed);
    telemetry.worker_task("completed");
    telemetry.queue_operation("enqueue");
    telemetry.queue_length(4);
    telemetry.dead_letters(2);
    telemetry.backend_up("store", false);
    telemetry.worker_active(true);
    telemetry.brakes_stopped(2);
    telemetry.remediation(Duration::from_millis(300));
    telemetry.remediator_answered("unknown");
    telemetry.verified(Verification::Ineffective, Duration::from_secs(75));
    telemetry.loop_latency(Duration::from_millis(40));
    telemetry
}

#[test]
fn every_documented_name_has_the_documented_labels() {
    let text = with_everything().encode();
    let value = |name: &str, labels: &[(&str, &str)]| value_of(&text, name, labels);
    let cancel = ("endpoint", "/api/v1/actions/{id}/cancel");
    assert_eq!(value("vigil_requests_total", &[("method", "POST"), cancel, ("status", "409")]), Some(1.0));
    assert_eq!(value("vigil_request_latency_seconds_count", &[cancel]), Some(1.0));
    assert_eq!(value("vigil_request_latency_seconds_bucket", &[cancel, ("le", "0.005")]), Some(0.0));
    assert_eq!(value("vigil_request_latency_seconds_bucket", &[cancel, ("le", "10")]), Some(1.0));
    assert_eq!(value("vigil_ingest_total", &[("metric_name", "cpu_percent")]), Some(3.0));
    assert_eq!(value("vigil_stale_samples_total", &[]), Some(2.0));
    let evaluation =
        |result| value("vigil_policy_evaluation_total", &[("policy_name", "high-cpu"), ("result", result)]);
    assert_eq!((evaluation("violated"), evaluation("error")), (Some(1.0), Some(1.0)));
    assert_eq!(value("vigil_policy_violations_total", &[("policy_name", "high-cpu")]), Some(1.0));
    assert_eq!(value("vigil_decisions_total", &[("decision", "blocked"), ("reason", "cooldown")]), Some(1.0));
    let action = [("target", "web-1"), ("action", "restart"), ("status", "completed")];
    assert_eq!(value("vigil_actions_total", &action), Some(1.0));
    assert_eq!(value("vigil_action_count", &action), Some(1.0));
    assert_eq!(value("vigil_worker_tasks_total", &[("status", "completed")]), Some(1.0));
    assert_eq!(value("vigil_queue_operations_total", &[("operation", "enqueue")]), Some(1.0));
    assert_eq!(value("vigil_queue_length", &[]), Some(4.0));
    assert_eq!(value("vigil_worker_active", &[]), Some(1.0));
    assert_eq!(value("vigil_brake_stopped", &[]), Some(2.0));
    assert_eq!(value("vigil_queue_dead_letters", &[]), Some(2.0));
    assert_eq!(value("vigil_backend_up", &[("backend", "store")]), Some(0.0));
    assert_eq!(value("vigil_remediator_answers_total", &[("answer", "unknown")]), Some(1.0));
    let ineffective = ("verification", "ineffective");
    assert_eq!(value("vigil_verification_latency_seconds_bucket", &[ineffective, ("le", "60")]), Some(0.0));
    assert_eq!(value("vigil_verification_latency_seconds_bucket", &[ineffective, ("le", "90")]), Some(1.0));
    assert_eq!(value("vigil_remediation_duration_seconds_count", &[]), Some(1.0));
    assert_eq!(value("vigil_loop_latency_seconds_count", &[]), Some(1.0));
    assert_eq!(value("vigil_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
}

#[test]
fn the_text_is_strictly_valid_before_and_after_anything_is_counted() {
    let fresh = types_and_samples(&Telemetry::new().encode()).0;
    let used = types_and_samples(&with_everything().encode()).0;
    assert_eq!(fresh, used, "every name is there from the start");
    assert_eq!(fresh["vigil_action_count"], "untyped");
    assert_eq!(fresh["vigil_request_latency_seconds"], "histogram");
    assert_eq!(fresh.len(), 21);
}

#[test]
fn what_is_counted_under_closed_words_begins_at_zero() {
    let text = Telemetry::new().encode();
    let value = |name, label| value_of(&text, name, &[label]);
    assert_eq!(value("vigil_remediator_answers_total", ("answer", "unknown")), Some(0.0));
    assert_eq!(value("vigil_worker_tasks_total", ("status", "dead")), Some(0.0));
    assert_eq!(value("vigil_queue_operations_total", ("operation", "dequeue")), Some(0.0));
    assert_eq!(value("vigil_verification_latency_seconds_count", ("verification", "inconclusive")), Some(0.0));
}

#[test]
fn promtool_finds_nothing() {
    if let Some(findings) = promtool(&with_everything().encode()) {
        assert_eq!(findings, "");
    }
}

#[test]
fn label_sets_that_only_concatenate_alike_are_not_merged() {
    let tally = Tally::<&'static str>::new("t_total", "t", &["a", "b"], |b| vec![(*b).to_owned()]);
    tally.add("ab", "c", 1);
    tally.add("a", "bc", 2);
    let text = write(&tally.family());
    assert_eq!(value_of(&text, "t_total", &[("a", "ab"), ("b", "c")]), Some(1.0));
    assert_eq!(value_of(&text, "t_total", &[("a", "a"), ("b", "bc")]), Some(2.0));
}

#[test]
fn values_beyond_the_cap_are_counted_as_other_with_their_closed_labels() {
    let telemetry = Telemetry::new();
    for i in 0..1100 {
        telemetry.action(&format!("t{i}"), ActionType::ScaleUp, ActionStatus::Failed);
    }
    telemetry.action("t0", ActionType::ScaleUp, ActionStatus::Failed);
    let text = telemetry.encode();
    let of = |target| {
        value_of(&text, "vigil_actions_total", &[("target", target), ("action", "scale-up"), ("status", "failed")])
    };
    assert_eq!((of("t0"), of("t999"), of("t1000"), of("other")), (Some(2.0), Some(1.0), None, Some(100.0)));
}

#[test]
fn endpoints_beyond_the_cap_share_one_histogram() {
    let telemetry = Telemetry::new();
    for i in 0..1100 {
        telemetry.request("GET", &format!("/{i}"), 404, Duration::ZERO);
    }
    let text = telemetry.encode();
    assert_eq!(value_of(&text, "vigil_request_latency_seconds_count", &[("endpoint", "other")]), Some(100.0));
}

#[test]
fn a_method_that_a_client_made_up_is_other() {
    let telemetry = Telemetry::new();
    telemetry.request("BREW", "/", 405, Duration::ZERO);
    let labels = [("method", "other"), ("endpoint", "/"), ("status", "405")];
    assert_eq!(value_of(&telemetry.encode(), "vigil_requests_total", &labels), Some(1.0));
}

#[test]
fn label_values_are_escaped() {
    let telemetry = Telemetry::new();
    let evil = "a\"} 1\n# TYPE vigil_action_count counter\\";
    telemetry.action(evil, ActionType::Custom, ActionStatus::Pending);
    telemetry.ingested(evil, 1);
    let text = telemetry.encode();
    let labels = [("target", evil), ("action", "custom"), ("status", "pending")];
    assert_eq!(value_of(&text, "vigil_action_count", &labels), Some(1.0));
    assert_eq!(value_of(&text, "vigil_ingest_total", &[("metric_name", evil)]), Some(1.0));
    if let Some(findings) = promtool(&text) {
        assert_eq!(findings, "");
    }
}

fn value_of(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: BTreeMap<_, _> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    types_and_samples(text).1.into_iter().find(|(n, l, _)| n == name && *l == labels).map(|(_, _, value)| value)
}

/// A strict reader of the text format: panics on anything that a scraper might refuse.
fn types_and_samples(text: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let (mut types, mut samples, mut seen) = (BTreeMap::new(), Vec::new(), HashSet::new());
    let mut helped = None;
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = Some(rest.split_once(' ').expect("a help text").0.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(helped.take().as_deref(), Some(name), "HELP comes right before TYPE");
            assert!(["counter", "gauge", "histogram", "untyped"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            current = name.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = bare.filter(|_| types[&current] == "histogram").unwrap_or(&name);
            assert_eq!(family, current, "samples follow their TYPE");
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            samples.push((name, labels, value));
        }
    }
    (types, samples)
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
    let mut labels = BTreeMap::new();
    if rest.starts_with('{') {
        loop {
            let (label, after) = rest[1..].split_once("=\"").expect("a label");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let closed = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("an escaped character").1 {
                        'n' => value.push('\n'),
                        escaped @ ('\\' | '"') => value.push(escaped),
                        other => panic!("\\{other} in {line}"),
                    },
                    (_, plain) => value.push(plain),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice in {line}");
            rest = &after[closed + 1..];
            if !rest.starts_with(',') {
                break;
            }
        }
        rest = rest.strip_prefix('}').expect("a closing brace");
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').expect("one space").parse().expect("a number"))
}

/// What `promtool check metrics` finds; `None`, said aloud, where it is neither installed nor required.
#[allow(clippy::disallowed_methods)] // a test may ask what it has to run with
fn promtool(text: &str) -> Option<String> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
        assert!(!required.contains("promtool"), "promtool is required and not installed");
        eprintln!("skipped: promtool is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
