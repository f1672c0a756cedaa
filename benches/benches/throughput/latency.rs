//! From a violating sample posted to the remediator called, over HTTP, PostgreSQL and Redis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::{interval, sleep};
use vigil_core::clock::SystemClock;
use vigil_core::store::{Actor, Expect, PolicySource, PolicyWrite};
use vigil_core::tenant::TenantId;
use vigil_http::{HttpRemediator, HttpRemediatorOptions};
use vigil_tests::fake_remediator::FakeRemediator;

use crate::client::Client;
use crate::program::Private;
use crate::service::Service;

/// When each target's remediator was called.
type Called = Arc<Mutex<HashMap<String, Instant>>>;

pub(crate) async fn measure(postgres: &Private, redis: &Private, most: f64, span: Duration) {
    println!("\nPostgreSQL and Redis, sample posted to remediator called");
    let (fake, called) = (FakeRemediator::start().await, Called::default());
    let seen = called.clone();
    fake.on_effect(move |call| _ = seen.lock().unwrap().insert(call.target(), Instant::now()));
    let remediator = HttpRemediator::new(&fake.url(), Arc::new(SystemClock), HttpRemediatorOptions::default()).unwrap();
    let service = Service::on_postgres(&postgres.run("url"), Some(&redis.run("url")), Some(Arc::new(remediator))).await;
    let spec =
        vigil_core::policy::PolicySpec::parse_file(POLICY, "bench", &vigil_core::policy::ConditionRegistry::default());
    let writes = spec.unwrap().into_iter().map(|spec| PolicyWrite::Put {
        spec: Arc::new(spec),
        source: PolicySource::Api,
        enabled_override: None,
        expect: Expect::Any,
    });
    let (tenant, actor) = (TenantId::default(), Actor::new("bench"));
    service.vigil.store().write_policies(&tenant, writes.collect(), &actor).await.unwrap();
    service.vigil.catalog().refresh().await.unwrap();
    let count = if span > Duration::from_secs(1) { 400 } else { 10 };
    violate(&service, &called, "warm", count / 4).await;
    print("idle system", &violate(&service, &called, "idle", count).await);

    let load = most / 2.0;
    let loading = tokio::spawn(load_with(service.address, load));
    sleep(span / 4).await;
    print(&format!("at {load:.0} samples/s (half the most)"), &violate(&service, &called, "load", count).await);
    loading.abort();
}

const POLICY: &str = "
policies:
  - name: busy
    action: restart
    auto_remediate: true
    condition: {type: metric_exceeds, metric: busy, threshold: 80}
";

/// One violation after the other, each on a target of its own; answers how long each took, sorted.
async fn violate(service: &Service, called: &Called, name: &str, count: usize) -> Vec<Duration> {
    let mut client = Client::connect(service.address).await;
    let mut took = Vec::new();
    for number in 0..count {
        let target = format!("{name}-{number}");
        let posted = Instant::now();
        let body = format!(r#"{{"name":"busy","value":95,"tags":{{"host":"{target}"}}}}"#);
        client.post("/api/v1/ingest", &body).await;
        let at = loop {
            if let Some(at) = called.lock().unwrap().get(&target) {
                break *at;
            }
            assert!(posted.elapsed() < Duration::from_secs(30), "the remediator was never called for {target}");
            sleep(Duration::from_millis(1)).await;
        };
        took.push(at - posted);
        sleep(Duration::from_millis(20)).await;
    }
    took.sort();
    took
}

/// Harmless samples at a steady rate over 16 connections.
async fn load_with(address: std::net::SocketAddr, rate: f64) {
    const CONNECTIONS: usize = 16;
    let mut clients = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut beat = interval(Duration::from_secs_f64(CONNECTIONS as f64 / rate));
            loop {
                beat.tick().await;
                let body = format!(r#"{{"name":"cpu_percent","value":1,"tags":{{"host":"load-{connection}"}}}}"#);
                client.post("/api/v1/ingest", &body).await;
            }
        });
    }
    clients.join_all().await;
}

fn print(what: &str, took: &[Duration]) {
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("  {what:<44} p50 {:.1} ms   p90 {:.1} ms   p99 {:.1} ms", at(0.5), at(0.9), at(0.99));
}
