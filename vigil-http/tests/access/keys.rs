//! Keys: made, used, rotated, expired, revoked, and never shown again.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::json;
use tokio::sync::oneshot;
use tower::ServiceExt;
use vigil_core::clock::Clock;
use vigil_core::key::Role;
use vigil_core::store::{AuditFilter, Store};
use vigil_core::testing::eventually;
use vigil_http::HttpConfig;

use crate::replica::Replica;

const ACTIONS: &str = "/api/v1/actions";
const KEYS: &str = "/api/v1/keys";

#[tokio::test]
async fn a_key_that_was_made_over_the_api_opens_what_its_role_may() {
    let replica = Replica::new();
    let admin = replica.own_key(Role::Admin).await;
    let made = replica.call(&admin, "POST", KEYS, Some(json!({"name": "dashboard", "role": "viewer"}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("vgl_"));
    assert_eq!((&made["status"], &made["tenant"]), (&json!("live"), &json!("default")));
    assert_eq!(replica.get(key, ACTIONS).await.status, 200);

    let bearer = Request::get(ACTIONS).header(header::AUTHORIZATION, format!("Bearer {key}"));
    assert_eq!(replica.send(bearer.body(Body::empty()).unwrap()).await.status, 200);

    let listed = replica.get(&admin, KEYS).await;
    assert_eq!(listed.json()["count"], 2);
    let secret = key.rsplit_once('_').unwrap().1;
    assert!(!listed.text.contains(secret) && !listed.text.contains("digest"), "{}", listed.text);
}

#[tokio::test]
async fn without_a_valid_key_every_wrong_one_gets_the_same_answer() {
    let replica = Replica::new();
    let right = replica.own_key(Role::Admin).await;
    let id = right.split('_').nth(1).unwrap();
    let other = "s".repeat(64);
    let mut answers = Vec::new();
    for wrong in ["", "nonsense", "vgl_", &format!("vgl_{id}_{other}"), &format!("vgl_unknown_{other}"), &right[..40]] {
        let mut answer = replica.get(wrong, ACTIONS).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"vigil\""), "{wrong}");
        answer.headers.remove("x-request-id");
        let mut problem = answer.json();
        problem["request_id"] = json!("-");
        answers.push((problem, answer.headers.get("content-type").cloned()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let none = replica.send(Request::get(ACTIONS).body(Body::empty()).unwrap()).await;
    assert_eq!(none.status, 401);
}

#[tokio::test]
async fn what_needs_no_key_answers_without_one() {
    let replica = Replica::new();
    for path in ["/health", "/ready"] {
        assert_eq!(replica.get("", path).await.status, 200, "{path}");
    }
    assert_eq!(replica.get("", "/nowhere").await.status, 404);
    assert_eq!(replica.get("", "/metrics").await.status, 401);
    let public = Replica::with(HttpConfig { metrics_public: true, ..replica.config.clone() });
    assert_eq!(public.get("", "/metrics").await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_is_known_by_its_new_secret_alone() {
    let replica = Replica::new();
    let (admin, old) = (replica.own_key(Role::Admin).await, replica.own_key(Role::Viewer).await);
    let id = old.split('_').nth(1).unwrap();
    let rotated = replica.call(&admin, "POST", &format!("{KEYS}/{id}/rotate"), None).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let rotated = rotated.json();
    let new = rotated["key"].as_str().unwrap();
    assert!(new.starts_with(&format!("vgl_{id}_")) && new != old);
    assert_eq!((replica.get(&old, ACTIONS).await.status, replica.get(new, ACTIONS).await.status), (401, 200));
}

#[tokio::test]
async fn a_key_is_refused_from_the_moment_it_expires() {
    let replica = Replica::new();
    let admin = replica.own_key(Role::Admin).await;
    let end = replica.clock.now() + Duration::from_secs(60);
    let body = json!({"name": "for an hour", "role": "viewer", "expires_at": end});
    let key = replica.call(&admin, "POST", KEYS, Some(body)).await.json()["key"].as_str().unwrap().to_owned();
    replica.clock.advance(Duration::from_secs(59));
    assert_eq!(replica.get(&key, ACTIONS).await.status, 200);
    replica.clock.advance(Duration::from_secs(1));
    assert_eq!(replica.get(&key, ACTIONS).await.status, 401);
    let listed = replica.get(&admin, KEYS).await.json();
    let of = |name: &str| listed["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone();
    assert_eq!((&of("for an hour")["status"], &of("admin of default")["status"]), (&json!("expired"), &json!("live")));
    let past = json!({"name": "too late", "role": "viewer", "expires_at": end});
    assert_eq!(replica.call(&admin, "POST", KEYS, Some(past)).await.json()["errors"][0]["pointer"], "/expires_at");
}

#[tokio::test]
async fn a_key_that_one_replica_revokes_is_refused_by_the_others() {
    let here = Replica::new();
    let (key, admin) = (here.own_key(Role::Operator).await, here.own_key(Role::Admin).await);
    let there = here.another();
    let (stop, stopped) = oneshot::channel::<()>();
    let following = there.vigil.clone();
    let running = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        following.run(stopped).await
    });
    eventually("the other replica knows the key", async || {
        (there.get(&key, ACTIONS).await.status == 200).then_some(())
    })
    .await;
    let id = key.split('_').nth(1).unwrap();
    assert_eq!(here.call(&admin, "DELETE", &format!("{KEYS}/{id}"), None).await.status, 200);
    assert_eq!(here.get(&key, ACTIONS).await.status, 401, "here it is so at once");
    eventually("the other replica refuses it", async || (there.get(&key, ACTIONS).await.status == 401).then_some(()))
        .await;
    for again in [("DELETE", format!("{KEYS}/{id}")), ("POST", format!("{KEYS}/{id}/rotate"))] {
        assert_eq!(here.call(&admin, again.0, &again.1, None).await.status, 404, "{again:?}");
    }
    let _ = stop.send(());
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_a_pepper_there_are_no_keys_and_with_keys_nobody_passes_without_one() {
    let open = Replica::with(HttpConfig::default());
    assert_eq!(open.get("", ACTIONS).await.status, 200);
    let refused = open.call("", "POST", KEYS, Some(json!({"name": "a", "role": "admin"}))).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let keyed = Replica::over(open.store.clone(), open.clock.clone(), Replica::new().config);
    let key = keyed.own_key(Role::Admin).await;
    open.vigil.keys().refresh().await.unwrap();
    assert_eq!(open.get("", ACTIONS).await.status, 401, "a replica that cannot know keys lets nobody in");
    assert_eq!((open.get(&key, ACTIONS).await.status, keyed.get(&key, ACTIONS).await.status), (401, 200));
}

#[tokio::test]
async fn what_a_key_did_is_audited_under_its_id() {
    let replica = Replica::new();
    let key = replica.own_key(Role::Operator).await;
    let made = replica.call(&key, "POST", ACTIONS, Some(crate::replica::action("web-1"))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    replica.store.sequence_audit(100).await.unwrap();
    let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
    let audit = replica.store.audit(&vigil_core::tenant::TenantId::default(), &filter).await.unwrap();
    let actor = format!("key:{}", key.split('_').nth(1).unwrap());
    assert!(audit.iter().any(|entry| entry.kind == "action.admitted" && entry.actor.as_str() == actor), "{audit:?}");
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_the_live_views_that_were_opened_with_it() {
    let replica = Replica::new();
    let (admin, viewer) = (replica.own_key(Role::Admin).await, replica.own_key(Role::Viewer).await);
    let request = Request::get("/api/v1/events").header("x-api-key", &viewer).body(Body::empty()).unwrap();
    let view = replica.api.clone().oneshot(request).await.unwrap();
    assert_eq!(view.status(), 200);
    let id = viewer.split('_').nth(1).unwrap();
    assert_eq!(replica.call(&admin, "DELETE", &format!("/api/v1/keys/{id}"), None).await.status, 200);
    let patience = Duration::from_secs(20);
    let seen = tokio::time::timeout(patience, to_bytes(view.into_body(), usize::MAX)).await.expect("it ends").unwrap();
    assert!(seen.starts_with(b"event: ready"), "{seen:?}");
}
