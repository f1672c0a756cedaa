//! A tenant sees and touches only its own: probed on every route with what another tenant has.

use std::time::Duration;

use serde_json::{Value, json};
use vigil_core::action::ActionId;
use vigil_core::key::Role;
use vigil_core::store::{ActionFilter, ActionIntent, AuditFilter, Store};
use vigil_core::testing::{ManualClock, intent, task, tenant};
use vigil_http::routes;

use crate::replica::{Replica, action, policy, sample};

/// What the victim has: an action, a policy, samples, a dead letter, and a key.
struct Victim {
    action: String,
    letter: String,
    key: String,
}

const MARK: &str = "xyzzy";

/// A task of a tenant that was given up on; its id.
async fn bury(replica: &Replica, of: &str, number: u64) -> String {
    let intent = ActionIntent { tenant: tenant(of), ..intent(&format!("{MARK}-letter")) };
    let task = task(&intent.into_action(ActionId(900 + number.cast_signed()), ManualClock::START), number);
    let queue = replica.vigil.queue();
    queue.enqueue(task.clone(), Duration::ZERO).await.unwrap();
    let claims = queue.claim(Duration::from_secs(60), Duration::ZERO, 1).await.unwrap();
    assert_eq!(claims[0].task, task);
    queue.dead_letter(&claims[0], "its worker was lost").await.unwrap();
    task.task_id
}

async fn victim(replica: &Replica) -> Victim {
    let letter = bury(replica, "victim", 1).await;
    let key = replica.key("victim", Role::Admin).await;
    let made = replica.call(&key, "POST", "/api/v1/actions", Some(action(&format!("{MARK}-target")))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["action_id"].to_string();
    for (path, body) in
        [("/api/v1/policies", policy(&format!("{MARK}-policy"))), ("/api/v1/ingest", sample(&format!("{MARK}-host")))]
    {
        let done = replica.call(&key, "POST", path, Some(body)).await;
        assert_eq!(done.status, 201, "{}", done.text);
    }
    Victim { action: id, letter, key: key.split('_').nth(1).unwrap().to_owned() }
}

/// All that is the victim's, as the store has it.
async fn belongings(replica: &Replica) -> String {
    let victim = tenant("victim");
    replica.store.sequence_audit(1000).await.unwrap();
    let actions =
        replica.store.actions(&victim, &ActionFilter { limit: 100, ..ActionFilter::default() }).await.unwrap();
    let audit = replica.store.audit(&victim, &AuditFilter { limit: 1000, ..AuditFilter::default() }).await.unwrap();
    let mut policies = replica.store.policies().await.unwrap().policies;
    policies.retain(|policy| policy.tenant == victim);
    let keys = replica.vigil.keys().of(&victim);
    let queue = replica.vigil.queue();
    let (letters, depth) = (queue.dead(&victim, 0, 100).await.unwrap(), queue.depth(&victim).await.unwrap());
    assert!(!letters.is_empty(), "there is something to take");
    format!("{actions:?} {policies:?} {audit:?} {keys:?} {letters:?} {depth:?}")
}

#[tokio::test]
async fn no_route_shows_or_changes_anything_of_another_tenant() {
    let replica = Replica::new();
    let victim = victim(&replica).await;
    let thief = replica.key("thief", Role::Admin).await;
    let before = belongings(&replica).await;
    let mut probed = 0;
    for route in routes(replica.vigil.clone(), replica.config.clone()) {
        if route.access.is_none() {
            continue;
        }
        let id = if route.path.contains("/keys/") { &victim.key } else { &victim.action };
        let path = route.path.replace("{id}", id).replace("{name}", &format!("{MARK}-policy"));
        let path = path.replace("{severity}", "warning").replace("{status}", "pending");
        let path = path.replace("{task_id}", &victim.letter);
        let bodies: [Option<Value>; 3] = [
            None,
            Some(json!({"enabled": false})),
            Some(
                json!({"status": "cancelled", "reason": "mine now", "tenant": "victim", "name": "a", "role": "admin"}),
            ),
        ];
        let queries = ["", "?tenant=victim", "?older_than_seconds=0"];
        for body in bodies {
            for query in queries {
                let answer = replica.call(&thief, &route.method, &format!("{path}{query}"), body.clone()).await;
                // What the client itself named may be said back to it, in an error.
                let leaked = answer.status < 300 && (answer.text.contains(MARK) || answer.text.contains(&victim.key));
                assert!(!leaked, "{} {path}{query}: {}", route.method, answer.text);
                assert!(answer.status < 500, "{} {path}{query}: {}", route.method, answer.text);
                if route.path.contains("{id}") || route.path.contains("{name}") || route.path.contains("{task_id}") {
                    let refused = [400, 403, 404, 415, 422].contains(&answer.status);
                    assert!(refused, "{} {path}{query} {body:?}: {}", route.method, answer.text);
                }
                probed += 1;
            }
        }
    }
    assert!(probed > 100, "only {probed} probes");
    assert_eq!(belongings(&replica).await, before, "nothing of the victim has changed");
}

#[tokio::test]
async fn a_tenant_sees_and_touches_its_own_part_of_the_queue_alone() {
    const DEAD: &str = "/api/v1/queue/dead";
    let replica = Replica::new();
    let (one, other) = (replica.key("one", Role::Operator).await, replica.key("other", Role::Operator).await);
    let (mine, gone) = (bury(&replica, "one", 1).await, bury(&replica, "one", 2).await);
    let theirs = bury(&replica, "other", 3).await;
    let figures = async |key: &str| {
        let answer = replica.get(key, "/api/v1/queue").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let figures = answer.json();
        (figures["tenant"].as_str().unwrap().to_owned(), figures["queue_depth"].clone(), figures["dead"].clone())
    };
    let letters = async |key: &str| {
        let listed = replica.get(key, DEAD).await.json();
        listed["dead"].as_array().unwrap().iter().map(|letter| letter["task_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(figures(&one).await, ("one".to_owned(), json!(0), json!(2)));
    assert_eq!((letters(&one).await, letters(&other).await), (vec![json!(mine), json!(gone)], vec![json!(theirs)]));
    let call = async |method, path: String| replica.call(&one, method, &path, None).await.status;
    assert_eq!(call("POST", format!("{DEAD}/{theirs}/retry")).await, 404);
    assert_eq!(call("DELETE", format!("{DEAD}/{theirs}")).await, 404);
    assert_eq!(call("POST", format!("{DEAD}/{mine}/retry")).await, 200);
    assert_eq!(call("DELETE", format!("{DEAD}/{gone}")).await, 200);
    assert_eq!(figures(&one).await, ("one".to_owned(), json!(1), json!(0)));
    bury_all(&replica).await;
    assert_eq!(replica.call(&one, "DELETE", &format!("{DEAD}?older_than_seconds=0"), None).await.json()["purged"], 1);
    assert_eq!((letters(&one).await, letters(&other).await), (vec![], vec![json!(theirs)]));
    assert_eq!(figures(&other).await, ("other".to_owned(), json!(0), json!(1)));
    assert_eq!(replica.get(&one, "/api/v1/ui/queue/stats").await.status, 403, "those are of all tenants");
}

/// Gives up on whatever waits.
async fn bury_all(replica: &Replica) {
    let queue = replica.vigil.queue();
    for claim in queue.claim(Duration::from_secs(60), Duration::ZERO, 100).await.unwrap() {
        queue.dead_letter(&claim, "its worker was lost").await.unwrap();
    }
}

#[tokio::test]
async fn two_tenants_may_use_the_same_names_and_each_sees_its_own() {
    let replica = Replica::new();
    let (one, other) = (replica.key("one", Role::Admin).await, replica.key("other", Role::Admin).await);
    for key in [&one, &other] {
        assert_eq!(replica.call(key, "POST", "/api/v1/policies", Some(policy("same"))).await.status, 201);
        assert_eq!(replica.call(key, "POST", "/api/v1/actions", Some(action("web-1"))).await.status, 201);
    }
    assert_eq!(replica.call(&one, "DELETE", "/api/v1/policies/same", None).await.status, 200);
    assert_eq!(replica.get(&other, "/api/v1/policies/same").await.status, 200);
    for key in [&one, &other] {
        assert_eq!(replica.get(key, "/api/v1/actions").await.json()["count"], 1);
    }
}

#[tokio::test]
async fn a_cursor_of_another_tenant_shows_nothing_of_it() {
    let replica = Replica::new();
    let (one, other) = (replica.key("one", Role::Viewer).await, replica.key("other", Role::Operator).await);
    for n in 0..3 {
        replica.call(&other, "POST", "/api/v1/actions", Some(action(&format!("{MARK}-{n}")))).await;
    }
    let cursor =
        replica.get(&other, "/api/v1/actions?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    let page = replica.get(&one, &format!("/api/v1/actions?cursor={cursor}")).await;
    assert_eq!((page.status, page.json()["count"].as_i64()), (200, Some(0)));
}

#[tokio::test]
async fn an_idempotency_key_of_another_tenant_is_another_key() {
    let replica = Replica::new();
    let mut ids = Vec::new();
    for of in ["one", "other"] {
        let key = replica.key(of, Role::Ingest).await;
        let request =
            axum::http::Request::post("/api/v1/ingest").header("x-api-key", key).header("idempotency-key", "k");
        let request = request.header("content-type", "application/json");
        let answer = replica.send(request.body(sample("web").to_string().into()).unwrap()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        ids.push(answer.json()["metric_id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_admin_hands_out_keys_of_its_own_tenant_and_one_of_default_those_of_all() {
    let replica = Replica::new();
    let (all, own) = (replica.own_key(Role::Admin).await, replica.key("one", Role::Admin).await);
    let wanted = |tenant: &str| Some(json!({"name": "a", "role": "viewer", "tenant": tenant}));
    let made = replica.call(&all, "POST", "/api/v1/keys", wanted("one")).await.json();
    assert_eq!(made["tenant"], "one");
    assert_eq!(replica.get(&all, "/api/v1/keys?tenant=one").await.json()["count"], 2);
    assert_eq!(replica.call(&own, "POST", "/api/v1/keys", wanted("one")).await.json()["tenant"], "one");
    assert_eq!(replica.call(&own, "POST", "/api/v1/keys", wanted("default")).await.status, 403);
    assert_eq!(replica.get(&own, "/api/v1/keys?tenant=default").await.status, 403);
    let foreign = all.split('_').nth(1).unwrap();
    assert_eq!(replica.call(&own, "DELETE", &format!("/api/v1/keys/{foreign}"), None).await.status, 404);
    let theirs = made["id"].as_str().unwrap();
    assert_eq!(replica.call(&all, "DELETE", &format!("/api/v1/keys/{theirs}"), None).await.status, 404);
    assert_eq!(replica.call(&all, "DELETE", &format!("/api/v1/keys/{theirs}?tenant=one"), None).await.status, 200);
}
