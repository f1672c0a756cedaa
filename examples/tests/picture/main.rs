//! The whole of Vigil at once: agent, server, worker, remediator and drift daemon as processes heal a real service.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests run processes, and spawn what reads their logs

mod picture;
mod program;
mod shop;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::SystemClock;
use vigil_core::remediator::{Outcome, Probe, Remediator};
use vigil_http::{HttpRemediator, HttpRemediatorOptions, Secret};
use vigil_tests::private::can_be_started;

use picture::{DECLARED, Picture, SECRET};
use shop::{key_of, rss_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_leaks_hangs_and_whose_policy_drifts_is_healed_four_times() {
    if !can_be_started() {
        return;
    }
    let picture = Picture::start().await;
    let mut pid = picture.shop.works().await;
    assert_eq!(key_of(pid), None, "it was started with the remediator, for no action");
    // The policies are only declared: the drift daemon has them put in force, by an action each.
    let made = picture.healed(DECLARED).await;
    assert!(made.iter().all(|action| action["policy_name"] == "gitops-rules"), "{made:#?}");
    let mut keys = BTreeSet::new();

    picture.shop.kill().await;
    pid = restarted(&picture, "shop-killed", DECLARED + 1, pid, &mut keys).await;

    picture.shop.does("/break/leak").await;
    pid = restarted(&picture, "shop-leaking", DECLARED + 2, pid, &mut keys).await;
    assert!(rss_of(pid) < 100, "the memory is given back: {} MB", rss_of(pid));

    // Somebody has the shop's hanging count for nothing.
    let by_hand = json!({"enabled": false});
    assert_eq!(picture.ask("PUT", "/api/v1/policies/shop-hung", Some(&by_hand)).await.status, 200);
    let action = picture.healed(DECLARED + 3).await.swap_remove(0);
    one_episode(&picture, &action, "gitops-rules", "drift/rules/policy/shop-hung").await;
    assert_eq!(action["action"], "custom");
    let episode = picture.get(&format!("/api/v1/episodes/{}", action["episode_id"])).await;
    let patch = episode["evidence"][0]["tags"]["patch"].as_str().unwrap_or_default();
    let patch: Value = serde_json::from_str(patch).unwrap_or_else(|_| panic!("the patch is in {episode:#}"));
    assert_eq!(patch, json!([{"op": "replace", "path": "/enabled", "value": true}]), "the exact difference");
    assert_eq!(picture.get("/api/v1/policies/shop-hung").await["enabled"], true);
    assert_eq!(picture.shop.works().await, pid, "the shop itself was left alone");

    picture.shop.does("/break/hang").await;
    restarted(&picture, "shop-hung", DECLARED + 4, pid, &mut keys).await;

    each_key_had_its_effect_once(&picture, &keys).await;
    picture.stop().await;
}

/// Waits until the newest of `count` actions, of this policy, has restarted the shop; answers its new process.
async fn restarted(picture: &Picture, policy: &str, count: usize, before: u32, keys: &mut BTreeSet<String>) -> u32 {
    let action = picture.healed(count).await.swap_remove(0);
    one_episode(picture, &action, policy, "shop").await;
    assert_eq!(action["action"], "restart");
    let pid = picture.shop.works().await;
    assert_ne!(pid, before, "another process works");
    let key = key_of(pid).expect("it was started for an action");
    assert!(key.contains(&format!("-action-{}-", action["id"])), "for this one: {key}");
    assert!(keys.insert(key), "a key of its own");
    pid
}

/// The action was the first try, and the only one of its episode, which it ended.
async fn one_episode(picture: &Picture, action: &Value, policy: &str, target: &str) {
    assert_eq!((&action["policy_name"], &action["target"]), (&json!(policy), &json!(target)), "{action:#}");
    assert_eq!(action["attempt"], 1, "{action:#}");
    let episode = picture.get(&format!("/api/v1/episodes/{}", action["episode_id"])).await;
    assert_eq!((&episode["actions"], &episode["state"]), (&json!(1), &json!("resolved")), "{episode:#}");
    assert_eq!((&episode["policy_name"], &episode["target"]), (&json!(policy), &json!(target)), "{episode:#}");
}

/// By those who had the effects: the ledger, the processes, the counters.
async fn each_key_had_its_effect_once(picture: &Picture, keys: &BTreeSet<String>) {
    assert_eq!(keys.len(), 3);
    let options = HttpRemediatorOptions { secret: Some(Secret::new(SECRET)), ..HttpRemediatorOptions::default() };
    let url = format!("http://{}/remediate", picture.remediator.address);
    let ledger = HttpRemediator::new(&url, Arc::new(SystemClock), options).unwrap();
    for key in keys {
        let known = ledger.probe(&IdempotencyKey(key.clone())).await.unwrap();
        assert!(matches!(known, Probe::Done(Outcome::Succeeded { .. })), "{key}: {known:?}");
    }
    let starts = picture.remediator.said("\"started\"");
    assert_eq!(starts.len(), 1 + keys.len(), "once with the remediator, once for each key: {starts:#?}");
    let done = "vigil_remediator_requests_total{action=\"restart\",answer=\"succeeded\",executor=\"host\"}";
    assert_eq!(picture.remediator.metric(done).await, 3.0);
    let healed = "vigil_gitops_heals_total{result=\"succeeded\",source=\"rules\"}";
    assert_eq!(picture.gitopsd.metric(healed).await, 4.0, "{DECLARED} policies made, one put back");
}
