//! Policies as code, through the whole loop: server, worker, daemon, and back.

use serde_json::{Value, json};
use vigil_core::ActionRequest;
use vigil_core::action::{ActionStatus, ActionType, Severity, Verification};
use vigil_core::store::Actor;
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_core::testing::eventually;

use crate::world::World;

const HOT: &str = "policies:
  - {name: hot, target: 'web-*', action: restart, severity: critical, auto_remediate: true,
     condition: {type: metric_exceeds, metric: cpu, threshold: 80}, params: {cooldown_seconds: 60}}
";
const FULL: &str = "policies:
  - {name: full, action: snapshot, for: 2m,
     condition: {type: metric_below, metric: disk_free_percent, threshold: 10}}
";

fn source(mode: &str, world: &World) -> String {
    let path = world.path("policies").display().to_string();
    format!("  - {{name: rules, mode: {mode}, path: {path}, cooldown_seconds: 0, policies: {{}}}}")
}

fn hot_by_hand(threshold: f64, owner: Option<&str>) -> Value {
    let params = owner.map_or_else(|| json!({}), |owner| json!({"cooldown_seconds": 60, "managed_by": owner}));
    json!({"name": "hot", "target": "web-*", "action": "restart", "severity": "critical", "auto_remediate": true,
        "condition": {"type": "metric_exceeds", "metric": "cpu", "threshold": threshold}, "params": params})
}

const OURS: Option<&str> = Some("vigil-gitops/rules");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_changed_by_hand_is_shown_exactly_and_put_back_by_an_action() {
    let world = World::new().await;
    world.write("policies/hot.yaml", HOT);
    let daemon = world.start(&source("enforce", &world)).await;
    // It is not there yet: that is drift too, and the first heal makes it.
    eventually("the declared policy", async || world.policy("hot")).await;
    daemon.item("drift/rules/policy/hot", |item| item["state"] == "same").await;
    eventually("proof of the first heal", async || {
        world.actions().await.iter().all(|action| action.verification == Some(Verification::Verified)).then_some(())
    })
    .await;

    world.by_hand(hot_by_hand(95.0, OURS)).await;
    let patch = json!([{"op": "replace", "path": "/condition/threshold", "value": 80.0}]);
    eventually("the heal", async || (world.policy("hot")?["condition"]["threshold"] == 80.0).then_some(())).await;
    let healed = eventually("an action that is verified", async || {
        let actions = world.actions().await;
        let second = actions.get(1)?;
        (second.status == ActionStatus::Completed && second.verification == Some(Verification::Verified))
            .then(|| second.clone())
    })
    .await;
    assert_eq!(healed.target.as_str(), "drift/rules/policy/hot");
    assert_eq!(healed.policy.as_ref().map(ToString::to_string).as_deref(), Some("gitops-rules"));
    let evidence = world.evidence("drift/rules/policy/hot").await;
    assert!(evidence.contains(&patch.to_string()), "{evidence:?}");
    let samples = world.samples("drift/rules/policy/hot").await;
    let patch = patch.to_string();
    let of_patch = |value: f64| samples.iter().filter(|(v, p)| *v == value && *p == patch).count();
    assert!(of_patch(1.0) > 0 && of_patch(0.0) > 0, "told, and taken back: {samples:?}");

    let metrics = daemon.text("/metrics").await;
    for line in [
        r#"vigil_gitops_items{source="rules",state="same"} 1"#,
        r#"vigil_gitops_heals_total{result="succeeded",source="rules"} 2"#,
        r#"vigil_drift_detection_latency_seconds_bucket{manifest_type="policies",status="drifted",le="60"}"#,
        r#"vigil_drift_detection_latency_seconds_bucket{manifest_type="policies",status="same",le="0.01"}"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    daemon.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_warn_drift_is_told_with_its_patch_and_nothing_is_touched() {
    let world = World::new().await;
    world.by_hand(hot_by_hand(95.0, OURS)).await;
    world.write("policies/hot.yaml", HOT);
    let daemon = world.start(&source("warn", &world)).await;
    let item = daemon.item("drift/rules/policy/hot", |item| item["state"] == "drifted").await;
    assert_eq!(item["patch"], json!([{"op": "replace", "path": "/condition/threshold", "value": 80.0}]));
    assert_eq!(item["summary"], "/condition/threshold is 95.0, declared 80.0");
    assert_eq!(item["declared"], "hot.yaml:2");
    eventually("an episode with the patch", async || {
        world.evidence("drift/rules/policy/hot").await.iter().find(|patch| patch.contains("threshold")).map(drop)
    })
    .await;
    let standing = world.policy("gitops-rules").unwrap();
    assert_eq!((&standing["auto_remediate"], &standing["target"]), (&json!(false), &json!("drift/rules/*")));
    // By a person's hand it is not healed either.
    world.vigil.request_action(by_a_person("drift/rules/policy/hot")).await.unwrap();
    let refused = eventually("the refusal", async || {
        world.actions().await.into_iter().find(|action| action.status == ActionStatus::Failed)
    })
    .await;
    assert!(refused.error.unwrap().contains("mode warn"));
    assert_eq!(world.policy("hot").unwrap()["condition"]["threshold"], 95.0);
    daemon.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_made_by_hand_is_never_touched() {
    let world = World::new().await;
    world.by_hand(hot_by_hand(95.0, None)).await;
    world
        .by_hand(json!({"name": "mine", "action": "restart",
        "condition": {"type": "metric_exceeds", "metric": "x", "threshold": 1}}))
        .await;
    world.write("policies/hot.yaml", HOT);
    world.write("policies/full.yaml", FULL);
    let daemon = world.start(&source("enforce", &world)).await;
    eventually("what is not made by hand", async || world.policy("full")).await;
    let item = daemon.item("drift/rules/policy/hot", |_| true).await;
    assert_eq!(
        (&item["state"], &item["reason"]),
        (&json!("unknown"), &json!("a policy of this name was made by hand: it is left alone"))
    );
    assert!(daemon.text("/metrics").await.contains(r#"vigil_gitops_items{source="rules",state="unknown"} 1"#));
    assert!(world.samples("drift/rules/policy/hot").await.is_empty(), "nothing is said of it");
    assert_eq!(world.policy("hot").unwrap(), serde_json::to_value(spec(hot_by_hand(95.0, None))).unwrap());
    assert!(world.policy("mine").is_some());
    daemon.stop().await;
    world.stop().await;
}

fn by_a_person(target: &str) -> ActionRequest {
    ActionRequest {
        tenant: TenantId::default(),
        target: Target::new(target).unwrap(),
        action: ActionType::Custom,
        status: ActionStatus::Pending,
        details: None,
        severity: Severity::Warning,
        params: serde_json::Map::new(),
        idempotency: None,
        actor: Actor::new("a person"),
    }
}

fn spec(policy: Value) -> vigil_core::policy::PolicySpec {
    serde_json::from_value(policy).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owned_policy_goes_with_its_file_but_not_while_a_file_cannot_be_read() {
    let world = World::new().await;
    world.write("policies/hot.yaml", HOT);
    world.write("policies/full.yaml", FULL);
    let daemon = world.start(&source("enforce", &world)).await;
    eventually("both", async || world.policy("hot").zip(world.policy("full"))).await;
    daemon.item("drift/rules/policy/hot", |item| item["state"] == "same").await;

    world.write("policies/hot.yaml", "policies:\n  - {name: hot, action: restart}\n");
    let item = daemon.item("drift/rules/policy/hot", |item| item["state"] == "unknown").await;
    assert!(item["reason"].as_str().unwrap().contains("can be read"), "{item}");
    let drift: Value = serde_json::from_str(&daemon.text("/drift").await).unwrap();
    let problem = &drift["sources"][0]["problems"][0];
    assert_eq!((&problem["file"], &problem["line"]), (&json!("hot.yaml"), &json!(2)));
    assert!(problem["message"].as_str().unwrap().contains("condition is required"), "{problem}");

    std::fs::remove_file(world.path("policies/hot.yaml")).unwrap();
    eventually("its end", async || world.policy("hot").is_none().then_some(())).await;
    assert!(world.policy("full").is_some() && world.policy("gitops-rules").is_some());
    daemon.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_former_run_told_is_taken_back_by_the_next_and_a_source_that_is_off_loses_its_policy() {
    let world = World::new().await;
    world.by_hand(hot_by_hand(95.0, OURS)).await;
    world.write("policies/hot.yaml", HOT);
    let daemon = world.start(&source("warn", &world)).await;
    let target = "drift/rules/policy/hot";
    let patch = eventually("drift that is told", async || {
        world.samples(target).await.into_iter().find(|(value, _)| *value == 1.0).map(|(_, patch)| patch)
    })
    .await;
    daemon.stop().await;
    // Mended while nobody looked.
    world.by_hand(hot_by_hand(80.0, OURS)).await;
    let daemon = world.start(&source("warn", &world)).await;
    eventually("the same series, taken back", async || {
        world.samples(target).await.into_iter().find(|(value, of)| *value == 0.0 && *of == patch)
    })
    .await;
    daemon.stop().await;
    assert!(world.policy("gitops-rules").is_some());
    let daemon = world.start(&source("'off'", &world)).await;
    eventually("the end of the source's policy", async || world.policy("gitops-rules").is_none().then_some(())).await;
    assert!(world.policy("hot").is_some());
    daemon.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sources_own_policy_is_corrected_and_one_made_by_hand_is_not() {
    let world = World::new().await;
    world.write("policies/hot.yaml", HOT);
    let daemon = world.start(&source("warn", &world)).await;
    let mut standing = eventually("the source's policy", async || world.policy("gitops-rules")).await;
    standing["auto_remediate"] = true.into();
    world.by_hand(standing.clone()).await;
    eventually("its correction", async || (world.policy("gitops-rules")?["auto_remediate"] == false).then_some(()))
        .await;
    standing["params"]["managed_by"] = "me".into();
    world.by_hand(standing).await;
    let rounds = |text: String| text.matches("_count{manifest_type=\"policies\"").count();
    assert!(rounds(daemon.text("/metrics").await) > 0);
    let seen = world.samples("drift/rules/policy/hot").await.len();
    eventually("three more rounds", async || {
        (world.samples("drift/rules/policy/hot").await.len() > seen + 3).then_some(())
    })
    .await;
    assert_eq!(world.policy("gitops-rules").unwrap()["auto_remediate"], true, "it is somebody else's now");
    daemon.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ignored_is_no_drift_and_stays_when_the_rest_is_healed() {
    let world = World::new().await;
    let mut live = hot_by_hand(95.0, OURS);
    live["for"] = 60.into();
    world.by_hand(live.clone()).await;
    world.write("policies/hot.yaml", HOT);
    let ignore = ", ignore: [{kind: policy, pointers: [/condition/threshold, /for]}]}";
    let source = source("enforce", &world).replace("policies: {}}", &format!("policies: {{}}{ignore}"));
    let daemon = world.start(&source).await;
    daemon.item("drift/rules/policy/hot", |item| item["state"] == "same").await;
    live["severity"] = "info".into();
    world.by_hand(live).await;
    let healed =
        eventually("the heal", async || world.policy("hot").filter(|policy| policy["severity"] == "critical")).await;
    assert_eq!((&healed["condition"]["threshold"], &healed["for"]), (&json!(95.0), &json!(60)));
    daemon.stop().await;
    world.stop().await;
}
