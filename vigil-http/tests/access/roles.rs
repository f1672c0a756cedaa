//! Every role on every route: the routes come from the router itself, so that a new one cannot escape.

use vigil_core::key::{Access, Role};
use vigil_http::routes;

use crate::replica::Replica;

/// A path that names something that is not there, so that nothing is changed by asking.
pub(crate) fn filled(path: &str) -> String {
    path.replace("{id}", "987654321")
        .replace("{name}", "missing")
        .replace("{task_id}", "missing")
        .replace("{severity}", "critical")
        .replace("{status}", "pending")
}

#[tokio::test]
async fn every_role_may_do_what_it_is_there_for_on_every_route() {
    let replica = Replica::new();
    let mut checked = 0;
    for route in routes(replica.vigil.clone(), replica.config.clone()) {
        let path = filled(&route.path);
        let Some(access) = route.access else {
            assert!(["/health", "/ready", "/openapi.json"].contains(&route.path.as_str()), "{route:?} needs no key");
            continue;
        };
        assert_eq!(replica.call("", &route.method, &path, None).await.status, 401, "{route:?}");
        for role in Role::ALL {
            let key = replica.own_key(role).await;
            let answer = replica.call(&key, &route.method, &path, None).await;
            assert_eq!(answer.status != 403, role.permits(access), "{role} on {route:?}: {}", answer.text);
            assert_ne!(answer.status, 401, "{role} on {route:?}");
            assert!(answer.status < 500, "{role} on {route:?}: {}", answer.text);
            checked += 1;
        }
    }
    assert!(checked >= 100, "only {checked} were checked");
}

#[tokio::test]
async fn what_is_about_the_whole_installation_is_for_the_tenant_default_alone() {
    let replica = Replica::new();
    let (own, foreign) = (replica.own_key(Role::Admin).await, replica.key("other", Role::Admin).await);
    let whole: Vec<_> =
        routes(replica.vigil.clone(), replica.config.clone()).into_iter().filter(|route| route.installation).collect();
    assert!(whole.iter().any(|route| route.path == "/metrics"));
    for route in whole {
        assert_eq!(replica.call(&foreign, &route.method, &route.path, None).await.status, 403, "{route:?}");
        let status = replica.call(&own, &route.method, &route.path, None).await.status;
        assert!(status < 500 && ![401, 403, 404].contains(&status), "{route:?}: {status}");
    }
}

#[tokio::test]
async fn the_list_of_routes_says_what_each_needs() {
    let replica = Replica::new();
    let listed = routes(replica.vigil.clone(), replica.config.clone());
    let access = |method: &str, path: &str| {
        let found = listed.iter().find(|route| route.method == method && route.path == path);
        found.unwrap_or_else(|| panic!("{method} {path} is not listed")).access
    };
    assert_eq!(access("GET", "/health"), None);
    assert_eq!(access("POST", "/api/v1/ingest"), Some(Access::Ingest));
    assert_eq!(access("GET", "/api/v1/policies/{name}"), Some(Access::Read));
    assert_eq!(access("DELETE", "/api/v1/policies/{name}"), Some(Access::Operate));
    assert_eq!(access("POST", "/api/v1/policies/evaluate"), Some(Access::Read));
    assert_eq!(access("GET", "/api/v1/keys"), Some(Access::Administer));
    assert!(!listed.iter().any(|route| route.method == "HEAD"));
}
