//! Real processes, endpoints and files; nothing is invented.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vigil_agent::{Agent, Config, Sample};
use vigil_core::clock::SystemClock;
use vigil_core::testing::eventually;

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
    let ended = measure(&yaml).await;
    assert_eq!(value(&ended, "up", "process", "shop"), Some(0.0), "it is dead, though nobody has asked after its end");
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

/// What a program says, by white space.
fn said(program: &str, arguments: &[&str]) -> Vec<Vec<String>> {
    let output = std::process::Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// `scripts/test-agent` does the same for a minute, with processors.
#[tokio::test]
async fn memory_and_disk_are_what_free_and_df_say() {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let free = || {
        let memory = said("free", &["-b"]).remove(1);
        100.0 - number(&memory[6]) / number(&memory[1]) * 100.0
    };
    let disk = || {
        let disk = said("df", &["--output=used,avail", "/"]).remove(1);
        number(&disk[1]) / (number(&disk[0]) + number(&disk[1])) * 100.0
    };
    // Others use this machine at the same time: it was so before, or is afterwards.
    for (name, look) in [("memory_percent", &free as &dyn Fn() -> f64), ("disk_free_percent", &disk)] {
        let before = look();
        let samples = measure("host: { disks: [/], networks: [] }").await;
        let (ours, after) = (samples.iter().find(|sample| sample.name == name).unwrap().value, look());
        let (least, most) = (before.min(after) - 2.0, before.max(after) + 2.0);
        assert!((least..=most).contains(&ours), "{name}: {ours}, and another tool says {before} and then {after}");
    }
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_killed_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child").display().to_string();
    let script = format!("sleep 600 & echo $! > {child}; wait");
    let yaml =
        format!("{NO_HOST}\nchecks: [{{ name: slow, command: [/bin/sh, -c, '{script}'], timeout_seconds: 0.5 }}]");
    let samples = measure(&yaml).await;
    assert_eq!(value(&samples, "up", "check", "slow"), Some(0.0));
    let child = std::fs::read_to_string(&child).unwrap();
    eventually("the child is gone", async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_check_over_http_makes_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicU32::new(0));
    let counted = connections.clone();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                while connection.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    connection.write_all(answer).await.unwrap();
                }
            });
        }
    });
    let samples = measure(&format!("{NO_HOST}\nchecks: [{{ name: page, http: 'http://{address}' }}]")).await;
    assert_eq!(value(&samples, "up", "check", "page"), Some(1.0));
    assert_eq!(connections.load(Ordering::SeqCst), 2, "two rounds");
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
        ("scrape: [{ url: 'http://x', include: [], timeout_seconds: 0 }]", "timeout_seconds"),
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
