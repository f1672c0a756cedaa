//! How much a key, a peer and a tenant may do.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use vigil_core::clock::Clock;
use vigil_core::key::Role;
use vigil_core::testing::tenant;
use vigil_core::{ActionLimits, Settings};
use vigil_http::{HttpConfig, Limits, Peer, Rate, TenantLimits};

use crate::replica::{Replica, action, policy, sample};

const ACTIONS: &str = "/api/v1/actions";

fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// So many at once, and then one in a second, which no test waits for.
fn bursts(burst: u32) -> HttpConfig {
    HttpConfig { rate: Some(Rate { per_second: some(1), burst: some(burst) }), ..Replica::new().config }
}

#[tokio::test]
async fn a_key_that_calls_too_often_is_told_when_to_come_back_and_others_are_not() {
    let replica = Replica::with(bursts(5));
    let (busy, quiet) = (replica.own_key(Role::Viewer).await, replica.own_key(Role::Viewer).await);
    let mut last = replica.get(&busy, ACTIONS).await;
    for _ in 0..20 {
        last = replica.get(&busy, ACTIONS).await;
        if last.status == 429 {
            break;
        }
    }
    assert_eq!(last.status, 429, "{}", last.text);
    assert_eq!(last.header("content-type"), "application/problem+json");
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(replica.get(&quiet, ACTIONS).await.status, 200);
    assert_eq!(replica.get("", "/health").await.status, 200, "health is never refused");
}

#[tokio::test]
async fn without_a_key_the_connection_counts_and_not_what_the_client_claims() {
    let replica = Replica::with(HttpConfig { pepper: None, ..bursts(3) });
    let from = |address: &str, claimed: u32| {
        let mut request = Request::get(ACTIONS).header("x-forwarded-for", format!("1.2.3.{claimed}"));
        request.extensions_mut().unwrap().insert(Peer(address.parse().unwrap()));
        request.body(Body::empty()).unwrap()
    };
    let mut refused = 0;
    for n in 0..20 {
        refused += u32::from(replica.send(from("10.0.0.1:1000", n)).await.status == 429);
    }
    assert!(refused >= 10, "only {refused} of 20 were refused");
    assert_eq!(replica.send(from("10.0.0.2:1000", 1)).await.status, 200, "another peer");
}

#[tokio::test]
async fn a_tenant_has_its_own_limits_or_the_default_ones() {
    let default = TenantLimits { policies: Some(1), samples_per_second: Some(some(1)), series: None };
    let tenants = [(tenant("large"), TenantLimits::default())].into_iter().collect();
    let replica = Replica::with(HttpConfig { limits: Limits { default, tenants }, ..Replica::new().config });
    let (small, large) = (replica.key("small", Role::Admin).await, replica.key("large", Role::Admin).await);

    let policies = async |key: &str, n: u32| {
        replica.call(key, "POST", "/api/v1/policies", Some(policy(&format!("p{n}")))).await.status
    };
    assert_eq!((policies(&small, 1).await, policies(&small, 2).await), (201, 409));
    assert_eq!((policies(&large, 1).await, policies(&large, 2).await), (201, 201));
}

/// A tenant that may have two actions in a minute, and one that may have as many as it likes.
fn few_actions() -> Settings {
    let tenants = [(tenant("large"), None)].into_iter().collect();
    Settings { actions_per_minute: ActionLimits { default: Some(some(2)), tenants }, ..Settings::default() }
}

#[tokio::test]
async fn actions_beyond_a_tenants_minute_are_refused_on_every_replica_until_it_is_over() {
    let replica = Replica::new().with_settings(few_actions());
    let other = replica.another();
    let (small, large) = (replica.key("small", Role::Operator).await, replica.key("large", Role::Operator).await);
    let ask = async |replica: &Replica, key: &str, body| replica.call(key, "POST", ACTIONS, Some(body)).await;
    for n in 0..4 {
        assert_eq!(ask(&replica, &large, action(&format!("web-{n}"))).await.status, 201);
    }
    assert_eq!(ask(&replica, &small, action("web-1")).await.status, 201);
    replica.clock.advance(Duration::from_secs(20));
    assert_eq!(ask(&other, &small, action("web-2")).await.status, 201);
    for replica in [&replica, &other, &replica] {
        let refused = ask(replica, &small, action("web-3")).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "41"), "{}", refused.text);
        let record = json!({"target": "web-3", "action": "restart", "status": "completed"});
        assert_eq!(ask(replica, &small, record).await.status, 201, "what was done elsewhere is written down");
    }
    replica.clock.advance(Duration::from_secs(40));
    assert_eq!(ask(&replica, &small, action("web-3")).await.status, 201);
    assert_eq!(ask(&other, &small, action("web-4")).await.status, 429, "the second is not a minute old");
}

#[tokio::test]
async fn why_says_when_a_limited_tenants_policy_may_act_next() {
    let replica = Replica::new().with_settings(few_actions());
    let key = replica.key("small", Role::Admin).await;
    let mut acts = policy("p");
    acts["auto_remediate"] = true.into();
    assert_eq!(replica.call(&key, "POST", "/api/v1/policies", Some(acts)).await.status, 201);
    assert_eq!(replica.call(&key, "POST", "/api/v1/ingest", Some(sample("web-9"))).await.status, 201);
    let why = async || replica.get(&key, "/api/v1/why?policy=p&target=web-9").await.json();
    assert_eq!(why().await["decision"], "act");
    for n in 0..2 {
        assert_eq!(replica.call(&key, "POST", ACTIONS, Some(action(&format!("web-{n}")))).await.status, 201);
    }
    let said = why().await;
    assert_eq!((&said["decision"], &said["reason"]), (&json!("blocked"), &json!("rate_limited")), "{said}");
    let gate = said["gates"].as_array().unwrap().iter().find(|gate| gate["gate"] == "rate").unwrap().clone();
    let next = (replica.clock.now() + Duration::from_secs(60)).to_string();
    assert_eq!((&gate["state"], &gate["next_at"]), (&json!("blocked"), &json!(next)), "{gate}");
}

#[tokio::test]
async fn samples_beyond_a_tenants_rate_are_refused_all_or_none() {
    let default = TenantLimits { samples_per_second: Some(some(1)), ..TenantLimits::default() };
    let limits = Limits { default, ..Limits::default() };
    let replica = Replica::with(HttpConfig { limits, ..Replica::new().config });
    let key = replica.key("small", Role::Ingest).await;
    let batch = |n: usize| Some(Value::Array((0..n).map(|n| sample(&format!("web-{n}"))).collect()));
    let send = async |n| replica.call(&key, "POST", "/api/v1/ingest/agent/metrics", batch(n)).await;
    assert_eq!(send(100).await.status, 413, "more than may ever come at once");
    assert_eq!(send(10).await.status, 201);
    let refused = send(10).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    let other = replica.key("other", Role::Ingest).await;
    assert_eq!(replica.call(&other, "POST", "/api/v1/ingest", Some(sample("web"))).await.status, 201);
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_sent_away_at_once() {
    let replica = Replica::with(HttpConfig { max_in_flight: 0, ..HttpConfig::default() });
    let refused = replica.get("", ACTIONS).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(replica.get("", "/health").await.status, 200);
}

#[tokio::test]
async fn a_tenant_with_all_its_series_may_go_on_with_those_and_begin_no_others() {
    let default = TenantLimits { series: Some(3), ..TenantLimits::default() };
    let config = HttpConfig { limits: Limits { default, ..Limits::default() }, ..Replica::new().config };
    let replica = Replica::with(config);
    let key = replica.key("small", Role::Ingest).await;
    let send = async |replica: &Replica, on: &str| replica.call(&key, "POST", "/api/v1/ingest", Some(sample(on))).await;
    for on in ["web-1", "web-2", "web-3", "web-1"] {
        assert_eq!(send(&replica, on).await.status, 201, "{on}");
    }
    let refused = send(&replica, "web-4").await;
    assert_eq!((refused.status, refused.header("content-type")), (409, "application/problem+json"), "{}", refused.text);
    let started_anew = replica.another();
    assert_eq!(send(&started_anew, "web-4").await.status, 409);
    assert_eq!(send(&started_anew, "web-2").await.status, 201, "what is there is known again");
    let other = replica.key("other", Role::Ingest).await;
    assert_eq!(replica.call(&other, "POST", "/api/v1/ingest", Some(sample("web-4"))).await.status, 201);
}
