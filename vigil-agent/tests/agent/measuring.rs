//! Real processes, endpoints and files; nothing is invented.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use vigil_agent::{Agent, Config, Sample};
use vigil_core::clock::SystemClock;

async fn measure(yaml: &str) -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("tags: {{ host: h }}\nbuffer: {}\n{yaml}", folder.path().display());
    let config = Config::parse(&text, Path::new("test.yaml")).unwrap();
    Agent::new(&config, Arc::new(SystemClock)).unwrap().once().await
}

const NO_HOST: &str = "host: { cpu: false, memory: false, load: false, disks: [], networks: [] }";

fn value(samples: &[Sample], name: &str, tag: &str, of: &str) -> Option<f64> {
    let mut found =
        samples.iter().filter(|sample| sample.name == name && sample.tags.get(tag).is_some_and(|tag| tag == of));
    found.next().map(|sample| sample.value)
}

#[tokio::test]
async fn the_host_is_measured_in_the_names_of_the_shipped_policies() {
    let samples = measure("host: { disks: [/, /nowhere], networks: [nothing] }").await;
    let percents = ["cpu_percent", "memory_percent"].map(|name| value(&samples, name, "host", "h").unwrap());
    assert!(percents.iter().all(|percent| (0.0..=100.0).contains(percent)), "{percents:?}");
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = loads.split(' ').next().unwrap().parse().unwrap();
    assert!((value(&samples, "load1", "host", "h").unwrap() - load).abs() < 2.0);
    assert!((0.0..=100.0).contains(&value(&samples, "disk_free_percent", "mount", "/").unwrap()));
    assert_eq!(value(&samples, "disk_free_percent", "mount", "/nowhere"), None, "what is not there has no number");
    assert!(!samples.iter().any(|sample| sample.name.starts_with("network")));
    assert_eq!(value(&samples, "up", "host", "h"), Some(1.0));
}

#[tokio::test]
async fn a_process_is_found_by_its_name_and_missed_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("vgl-measured");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut child = std::process::Command::new(&program).arg("600").spawn().unwrap();
    let yaml = format!("{NO_HOST}\nprocesses: [{{ name: shop, command: vgl-measured, tags: {{ service: shop }} }}]");
    let samples = measure(&yaml).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let of = |name| value(&samples, name, "process", "shop");
    assert_eq!((of("up"), of("process_count"), of("process_restarts")), (Some(1.0), Some(1.0), Some(0.0)));
    assert!(of("process_rss_mb").unwrap() > 0.1 && of("process_cpu_percent").is_some());
    assert!(of("process_uptime_seconds").unwrap() < 600.0);
    assert_eq!(value(&samples, "up", "service", "shop"), Some(1.0));
    let gone = measure(&yaml).await;
    let of = |name| value(&gone, name, "process", "shop");
    assert_eq!((of("up"), of("process_count"), of("process_rss_mb")), (Some(0.0), Some(0.0), None));
}

#[tokio::test]
async fn checks_count_their_failures_in_a_row() {
    let router = Router::new()
        .route("/well", get(async || "ok"))
        .route("/ill", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/hangs", get(async || std::future::pending::<()>().await));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let yaml = format!(
        "{NO_HOST}
checks:
  - {{ name: well, http: 'http://{address}/well' }}
  - {{ name: ill, http: 'http://{address}/ill' }}
  - {{ name: hangs, http: 'http://{address}/hangs', timeout_seconds: 0.2 }}
  - {{ name: open, tcp: '{address}' }}
  - {{ name: closed, tcp: '127.0.0.1:1' }}
  - {{ name: good, command: [/bin/true] }}
  - {{ name: bad, command: [/bin/false] }}
  - {{ name: missing, command: [/nowhere] }}
"
    );
    let samples = measure(&yaml).await;
    for (check, is_well) in [
        ("well", true),
        ("ill", false),
        ("hangs", false),
        ("open", true),
        ("closed", false),
        ("good", true),
        ("bad", false),
        ("missing", false),
    ] {
        let of = |name| value(&samples, name, "check", check);
        // Two rounds were asked, as once() does.
        let expected = if is_well { (Some(1.0), Some(0.0)) } else { (Some(0.0), Some(2.0)) };
        assert_eq!((of("up"), of("health_check_failures")), expected, "{check}");
        assert_eq!(of("health_check_latency_ms").is_some(), is_well, "{check}");
    }
}

#[tokio::test]
async fn what_others_expose_is_sent_on_as_far_as_it_is_wanted() {
    let text =
        "# HELP a x\na{b=\"c\",host=\"other\"} 1\na_nan NaN\nnode_load1 0.5\nnode_secret 7\nb 2\nbad name\n0digit 3\n";
    let router = Router::new().route("/metrics", get(async move || text));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let yaml = format!(
        "{NO_HOST}
scrape:
  - {{ url: 'http://{address}/metrics', include: [a, 'node_*', a_nan, 'bad', '0*'], exclude: [node_secret], tags: {{ job: x }} }}
  - {{ url: 'http://127.0.0.1:1/metrics', include: ['*'] }}
"
    );
    let samples = measure(&yaml).await;
    let mut found: Vec<_> = samples
        .iter()
        .filter(|sample| sample.tags.contains_key("job"))
        .map(|sample| (sample.name.as_str(), sample.value))
        .collect();
    found.retain(|(name, _)| !name.starts_with('0'));
    assert_eq!(found, [("a", 1.0), ("node_load1", 0.5)]);
    assert_eq!(value(&samples, "a", "host", "other"), Some(1.0), "its own labels win");
    assert_eq!(value(&samples, "a", "b", "c"), Some(1.0));
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for (yaml, says) in [
        ("serverr: x", "line 1"),
        ("interval_seconds: 0", "interval_seconds must be from 0.1"),
        ("server: 'ftp://x'", "server must begin with http"),
        ("checks: [{ name: a }]", "the check 'a' needs exactly one of http, tcp and command"),
        ("checks: [{ name: a, http: 'http://x', tcp: 'x:1' }]", "needs exactly one"),
        ("checks: [{ name: a, tcp: 'x:1', timeout_seconds: 0 }]", "timeout_seconds"),
        ("scrape: [{ url: 'x', include: [] }]", "the scrape of x has no URL"),
        ("api_key_file: /nowhere", "api_key_file: /nowhere"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{yaml}\nbuffer: {}", folder.path().display());
        let error = match Config::parse(&text, Path::new("agent.yaml")) {
            Err(error) => error.to_string(),
            Ok(config) => Agent::new(&config, Arc::new(SystemClock)).err().expect(yaml).to_string(),
        };
        assert!(error.contains(says), "{yaml}: {error}");
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/agent.yaml");
    Config::read(&shipped).unwrap().check().unwrap();
    assert_eq!(Config::parse("# nothing", Path::new("x")).unwrap().interval_seconds, 10.0);
}
