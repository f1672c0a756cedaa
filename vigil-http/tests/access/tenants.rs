//! A tenant sees and touches only its own: probed on every route with what another tenant has.

use serde_json::{Value, json};
use vigil_core::key::Role;
use vigil_core::store::{ActionFilter, AuditFilter, Store};
use vigil_core::testing::tenant;
use vigil_http::routes;

use crate::replica::{Replica, action, policy, sample};

/// What the victim has: an action, a policy, samples, and a key.
struct Victim {
    action: String,
    key: String,
}

const MARK: &str = "xyzzy";

async fn victim(replica: &Replica) -> Victim {
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
    Victim { action: id, key: key.split('_').nth(1).unwrap().to_owned() }
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
    format!("{actions:?} {policies:?} {audit:?} {keys:?}")
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
        let path = path.replace("{task_id}", &victim.action);
        let bodies: [Option<Value>; 3] = [
            None,
            Some(json!({"enabled": false})),
            Some(
                json!({"status": "cancelled", "reason": "mine now", "tenant": "victim", "name": "a", "role": "admin"}),
            ),
        ];
        let queries = ["", "?tenant=victim"];
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
