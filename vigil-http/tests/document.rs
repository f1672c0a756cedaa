//! The OpenAPI document: it says what the router does, all of it, and in words.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // BLESS is read from the environment; tests fail by panicking

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::Request;
use common::World;
use serde_json::Value;
use tower::ServiceExt;
use vigil_http::HttpConfig;

async fn document(world: &World) -> Value {
    let answer = world.get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    answer.json()
}

/// Every operation as path, method and itself.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((path.clone(), method.to_uppercase(), operation));
        }
    }
    all
}

/// What a `$ref` points to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(target) => document.pointer(&target[1..]).unwrap_or_else(|| panic!("{target} is not there")),
        None => value,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim()
}

/// After a wanted change run with `BLESS=1` and read the diff.
#[tokio::test]
async fn the_document_is_the_one_that_was_agreed_on() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/openapi.json");
    let document = document(&World::new()).await;
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
    }
    let agreed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let (mut wanted, mut answered) = (agreed, document);
    for (pointer, what) in [("/paths", "paths"), ("/components/schemas", "schemas")] {
        for (name, value) in wanted.pointer(pointer).unwrap().as_object().unwrap() {
            assert_eq!(Some(value), answered.pointer(pointer).unwrap().get(name), "{what}: {name}");
        }
    }
    wanted["info"]["version"] = answered["info"]["version"].take();
    answered["info"]["version"] = wanted["info"]["version"].clone();
    assert!(wanted == answered, "the document has more, or other words, than tests/golden/openapi.json");
}

#[tokio::test]
async fn the_router_takes_what_is_documented_and_nothing_else() {
    let world = World::new();
    let document = document(&world).await;
    let documented: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
    assert!(documented.len() > 50, "{documented:?}");
    for path in documented.iter().map(|(path, _)| path).collect::<BTreeSet<_>>() {
        let mut allowed: BTreeSet<String> =
            documented.iter().filter(|(other, _)| other == path).map(|(_, method)| method.clone()).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD".to_owned());
        }
        let filled = path.replace("{status}", "pending").replace("{severity}", "info").replace("{id}", "1");
        let filled = filled.replace("{name}", "p").replace("{task_id}", "t");
        assert!(!filled.contains('{'), "{path}: give its parameter a value here");
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            for path in [filled.clone(), format!("{filled}/")] {
                let request = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
                if (method, path.trim_end_matches('/')) == ("GET", "/api/v1/events") {
                    // An answer without end: its head says enough.
                    assert_eq!(world.api.clone().oneshot(request).await.unwrap().status(), 200, "{path}");
                    continue;
                }
                let answer = world.send(request).await;
                let refused = answer.status.as_u16() == 405;
                assert_eq!(refused, !allowed.contains(method), "{method} {path}");
                let unknown = answer.status.as_u16() == 404
                    && String::from_utf8_lossy(&answer.body).contains("There is nothing at this path");
                assert!(!unknown, "{path}");
                if refused {
                    if method != "HEAD" {
                        answer.assert_problem(405);
                    }
                    let told: BTreeSet<String> = answer.header("allow").split(',').map(str::to_owned).collect();
                    assert_eq!(told, allowed, "{path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_switched_off_is_not_documented() {
    let world = World::with_config(HttpConfig { metrics_enabled: false, ..HttpConfig::default() });
    assert_eq!(document(&world).await["paths"].get("/metrics"), None);
    world.get("/metrics").await.assert_problem(404);
}

#[tokio::test]
async fn every_endpoint_parameter_answer_and_header_is_described_with_an_example() {
    let document = document(&World::new()).await;
    let tags: Vec<&str> = document["tags"].as_array().unwrap().iter().map(|tag| text(&tag["name"])).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(!text(&operation["summary"]).is_empty(), "{what} has no summary");
        assert!(ids.insert(text(&operation["operationId"])), "{what}: its operationId is taken");
        let tagged = operation["tags"].as_array().unwrap();
        assert!(tagged.len() == 1 && tags.contains(&text(&tagged[0])), "{what}: {tagged:?}");
        for parameter in operation["parameters"].as_array().unwrap() {
            let parameter = resolved(&document, parameter);
            let name = text(&parameter["name"]);
            assert!(!text(&parameter["description"]).is_empty(), "{what}: {name} is not described");
            // A cursor can only be taken from an answer.
            assert!(name == "cursor" || !parameter["example"].is_null(), "{what}: {name} has no example");
        }
        let body = operation.get("requestBody").map(|body| ("its body", body));
        let responses = operation["responses"].as_object().unwrap();
        for (part, value) in responses.iter().map(|(status, value)| (status.as_str(), value)).chain(body) {
            assert!(!text(&value["description"]).is_empty(), "{what}: {part} is not described");
            for content in value["content"].as_object().unwrap_or_else(|| panic!("{what}: {part} is empty")).values() {
                assert!(!content["example"].is_null(), "{what}: {part} has no example");
            }
            for (name, header) in value["headers"].as_object().into_iter().flatten() {
                assert!(!text(&resolved(&document, header)["description"]).is_empty(), "{what}: {part} {name}");
            }
        }
        for (status, response) in responses {
            let code: u16 = status.parse().unwrap();
            let retry = response["headers"].get("Retry-After").is_some();
            assert_eq!(retry, matches!(code, 429 | 503), "{what}: {status}");
        }
        let open = operation["security"].as_array().unwrap().is_empty();
        assert_eq!(responses.contains_key("401"), !open, "{what}");
        assert_eq!(responses.contains_key("403"), !open, "{what}");
    }
}

#[tokio::test]
async fn every_schema_and_field_is_described() {
    let document = document(&World::new()).await;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let described = !text(&schema["description"]).is_empty();
        assert!(described, "{name} is not described");
        every_field(&document, name, schema);
    }
}

fn every_field(document: &Value, place: &str, schema: &Value) {
    match schema {
        Value::Object(keywords) => {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let described = [field, resolved(document, field)].iter().any(|f| !text(&f["description"]).is_empty());
                assert!(described, "{place}.{name} is not described");
            }
            // What stands in an example is no schema.
            for (keyword, below) in keywords.iter().filter(|(keyword, _)| !keyword.starts_with("example")) {
                every_field(document, &format!("{place}/{keyword}"), below);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| every_field(document, place, item)),
        _ => {}
    }
}

#[cfg(feature = "docs")]
mod pages {
    use super::*;

    #[tokio::test]
    async fn the_pages_may_load_nothing_from_elsewhere() {
        let world = World::new();
        for path in
            ["/docs/", "/docs/swagger-ui-bundle.js", "/docs/swagger-initializer.js", "/redoc", "/redoc/", SCRIPT]
        {
            let answer = world.get(path).await;
            assert_eq!(answer.status.as_u16(), 200, "{path}");
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
            assert!(!policy.contains("http") && !policy.contains('*'), "{path}: {policy}");
        }
        let redirect = world.get("/docs").await;
        assert_eq!((redirect.status.as_u16(), redirect.header("location")), (303, "/docs/"));
        world.get("/docs/nothing").await.assert_problem(404);
        world.get("/redoc/nothing").await.assert_problem(404);
    }

    const SCRIPT: &str = "/redoc/redoc.standalone.js";

    #[tokio::test]
    async fn the_pages_name_the_document_and_no_other_host() {
        let world = World::new();
        for path in ["/docs/", "/docs/swagger-initializer.js", "/redoc"] {
            let page = String::from_utf8(world.get(path).await.body).unwrap();
            assert!(!page.contains("https://") && !page.contains("http://"), "{path}: {page}");
        }
        let script = world.get("/docs/swagger-initializer.js").await.body;
        assert!(String::from_utf8(script).unwrap().contains("/openapi.json"));
        assert!(String::from_utf8(world.get("/redoc").await.body).unwrap().contains("spec-url=\"/openapi.json\""));
        let bundle = world.get(SCRIPT).await;
        assert_eq!((bundle.header("content-encoding"), &bundle.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
    }
}
