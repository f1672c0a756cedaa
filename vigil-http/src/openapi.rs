//! [`Document`]: the OpenAPI document, collected from what stands beside each handler. What is the same for all is said
//! here once: the request's id, and the errors that the plumbing gives and no handler names.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::path::{PathItem, Paths};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use vigil_core::key::Role;

use crate::guard::Need;
use crate::problem::{Kind, Problem};

/// What the API is, for whoever opens the document first.
const DESCRIPTION: &str = "\
Vigil is a self-healing control plane: agents and services send it metrics, it evaluates policies, a violated policy becomes a \
durable remediation action, a worker carries the action out through a remediator, and fresh metrics then prove, or disprove, \
that it worked.

**Errors.** Every error is `application/problem+json` (RFC 9457) with the sentence to show in `detail`; wrong fields are listed \
in `errors`, each with its JSON pointer. A method that a path does not take is 405 with `Allow`, an unknown path 404. An outage \
is 503 with `Retry-After`; 500 is a defect of the server, whose log has the cause under the `request_id`.

**Bodies** are JSON in UTF-8, as they are or with `Content-Encoding: gzip`, at most 1 MiB (batches of samples 8 MiB) unless \
configured otherwise. Fields that are not listed are refused, except in samples.

**Keys.** Where the server has a pepper every request but those marked as open needs an API key, as `X-API-Key` or as \
`Authorization: Bearer`; without a pepper none is asked for. What a key may do is its role's matter, and what it sees is its \
tenant's. 401 is no valid key, 403 a key that may not, 429 too often: wait as `Retry-After` says.

**Lists** take `limit` and `cursor`, and answer `next_cursor`, null on the last page. A cursor is opaque: take it from an answer.

A trailing slash is tolerated everywhere.";

/// The groups of endpoints, in the order in which pages show them.
const TAGS: &[(&str, &str)] = &[
    ("Health", "Whether the process, and what it depends on, can serve."),
    ("Metrics in", "Samples from agents and services. What is answered 201 is committed."),
    ("Actions", "Remediations: asked for, looked at, called off."),
    ("Policies", "What is wrong, and what to do about it."),
    ("Episodes", "Violations from their beginning to their end, and why nothing is done about them."),
    ("Brake", "Stops all automatic action, and lets it go on."),
    ("Queue", "How much waits, what went through, and what was given up."),
    ("History", "What was done and by whom, what was measured, and why something is or is not done."),
    ("Live", "What happens, as it happens."),
    ("Keys", "Who may call."),
    ("Settings", "What the server runs with."),
    ("Simulator", "A load on this very server."),
];

/// Paths that depend on nothing and cannot fail.
const SURE: &[&str] = &["/health", "/openapi.json"];

/// The document as it grows, route by route.
#[derive(Debug, Default)]
pub(crate) struct Document {
    paths: Map<String, Value>,
    needs: HashMap<String, Need>,
    schemas: Map<String, Value>,
}

impl Document {
    /// Adds the operations of one path, with what they need and the schemas they use.
    pub(crate) fn add(&mut self, need: Need, paths: &Paths, schemas: Vec<(String, RefOr<Schema>)>) {
        for (path, item) in &paths.paths {
            self.paths.insert(path.clone(), json_of(item));
            self.needs.insert(path.clone(), need);
        }
        self.schemas.extend(schemas.into_iter().map(|(name, schema)| (name, json_of(&schema))));
    }

    /// The operations of a path as those of another one, where they are the same: only their ids must differ.
    pub(crate) fn once_more(mut item: PathItem) -> PathItem {
        let PathItem { get, put, post, delete, .. } = &mut item;
        for operation in [get, put, post, delete].into_iter().flatten() {
            operation.operation_id = operation.operation_id.take().map(|id| format!("{id}_ui"));
        }
        item
    }

    /// The whole document, and every path with its methods and what they need.
    pub(crate) fn finish(mut self) -> (Value, Vec<(String, Method, Need)>) {
        let mut listed = Vec::new();
        let mut used = vec![(Problem::name().into_owned(), Problem::schema())];
        Problem::schemas(&mut used);
        self.schemas.extend(used.into_iter().map(|(name, schema)| (name, json_of(&schema))));
        self.schemas.values_mut().for_each(describe_nullable);
        for (path, item) in &mut self.paths {
            let need = self.needs.get(path).copied().expect("every path comes with its need");
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method as OpenAPI has it");
                complete(operation, path);
                guarded(operation, need, &method);
                finished(operation, &self.schemas);
                listed.push((path.clone(), method, need));
            }
        }
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Vigil",
                "summary": "A self-healing control plane",
                "description": DESCRIPTION,
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
            },
            "servers": [{"url": "/", "description": "The server this document came from"}],
            "tags": TAGS.iter().map(|(name, text)| json!({"name": name, "description": text})).collect::<Value>(),
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "parameters": {"RequestId": {
                    "name": "X-Request-Id",
                    "in": "header",
                    "required": false,
                    "description": "Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII \
                        characters, else a new one takes its place.",
                    "schema": {"type": "string"},
                    "example": EXAMPLE_ID,
                }},
                "headers": {
                    "RequestId": {
                        "required": true,
                        "description": "The client's own X-Request-Id if it was sane, else a new one.",
                        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
                        "example": EXAMPLE_ID,
                    },
                    "RetryAfter": {
                        "required": true,
                        "description": "How many seconds to wait before the next try.",
                        "schema": {"type": "integer", "minimum": 0},
                        "example": 5,
                    },
                },
                "securitySchemes": {
                    "ApiKey": {
                        "type": "apiKey",
                        "in": "header",
                        "name": "X-API-Key",
                        "description": "An API key: `vgl_<id>_<secret>`.",
                    },
                    "Bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The same API key as `Authorization: Bearer vgl_<id>_<secret>`.",
                    },
                },
            },
        });
        (document, listed)
    }
}

const EXAMPLE_ID: &str = "3f1c1b0e6a7d4c22b1a45f0c9a7e1d10";

/// Adds to an operation what no handler says of itself.
fn complete(operation: &mut Value, path: &str) {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let takes_path = parameters.iter().any(|parameter| parameter["in"] == "path");
    let takes_query = parameters.iter().any(|parameter| parameter["in"] == "query");
    let takes_body = operation.get("requestBody").is_some();
    let mut all = parameters;
    all.push(json!({"$ref": "#/components/parameters/RequestId"}));
    operation["parameters"] = all.into();

    let mut plumbing: Vec<(&str, &str)> = Vec::new();
    if !SURE.contains(&path) {
        plumbing.extend([
            ("500", "A defect of the server; its log has the cause under the `request_id`"),
            ("504", "It took too long and was given up; it may have had its effect"),
        ]);
    }
    if takes_body {
        plumbing.extend([
            ("400", "The request cannot be read: the body is not JSON, or a header is malformed"),
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            ("415", "The body is not announced as JSON, or has an encoding other than gzip"),
            ("422", "Fields are wrong; `errors` has them all"),
        ]);
    }
    if takes_path {
        plumbing.push(("400", "The path is not UTF-8"));
    }
    if path.starts_with("/api/v1/policies/{name}") {
        plumbing.push(("405", "The name is one of the words that are routes beside policies"));
    }
    if takes_query {
        plumbing.extend([("400", "The query cannot be read"), ("422", "A parameter is wrong or does not exist")]);
    }
    fill(operation, plumbing.into_iter().map(|(status, text)| (status, text.to_owned())));
}

/// Adds what the guard in front of an operation asks for and answers.
fn guarded(operation: &mut Value, need: Need, method: &Method) {
    let Some(access) = need.access(method) else {
        operation["security"] = json!([]);
        return;
    };
    operation["security"] = json!([{"ApiKey": []}, {"Bearer": []}]);
    let roles = Role::ALL.into_iter().filter(|role| role.permits(access)).map(|role| format!("`{role}`"));
    let tenant = if need.is_of_installation() { ", of the tenant `default`" } else { "" };
    let may = format!("The key may not do this: only one of {}{tenant}", roles.collect::<Vec<_>>().join(", "));
    let unknown = "No key that is valid, where keys are asked for".to_owned();
    fill(
        operation,
        [
            ("401", unknown),
            ("403", may),
            ("429", "More than the key, the peer or the tenant may do; wait as `Retry-After` says".to_owned()),
            ("503", "Too many requests are in flight, or a backend is down".to_owned()),
        ],
    );
    operation["responses"]["401"]["headers"]["WWW-Authenticate"] = json!({
        "required": true,
        "description": "How to say who one is: `Bearer`.",
        "schema": {"type": "string"},
        "example": "Bearer realm=\"vigil\"",
    });
}

/// Answers that are there unless the operation has something of its own to say about them.
fn fill(operation: &mut Value, answers: impl IntoIterator<Item = (&'static str, String)>) {
    let responses = operation["responses"].as_object_mut().expect("every operation has responses");
    for (status, description) in answers {
        responses.entry(status).or_insert_with(|| json!({"description": description}));
    }
}

/// Gives every answer its headers, and everything an example.
fn finished(operation: &mut Value, schemas: &Map<String, Value>) {
    let responses = operation["responses"].as_object_mut().expect("every operation has responses");
    for (status, response) in responses {
        describe(status, response);
        for (_, content) in response["content"].as_object_mut().into_iter().flatten() {
            give_example(content, schemas);
        }
    }
    for (_, content) in
        operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut).into_iter().flatten()
    {
        // A body that may be left out is not one that may be null.
        if let Some([schema, null]) = content["schema"]["oneOf"].as_array().map(Vec::as_slice)
            && null["type"] == "null"
        {
            content["schema"] = schema.clone();
        }
        give_example(content, schemas);
    }
}

/// Adds the headers that every such answer has and, to an error that has no body of its own, the problem.
fn describe(status: &str, response: &mut Value) {
    response["headers"]["X-Request-Id"] = json!({"$ref": "#/components/headers/RequestId"});
    let Some(code) = status.parse::<u16>().ok().filter(|code| *code >= 400) else { return };
    if matches!(code, 429 | 503) {
        response["headers"]["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    if response.get("content").is_none() {
        let mut example = Kind::example(code, EXAMPLE_ID);
        if code == 422 {
            example["errors"] = json!([{"pointer": "/limit", "detail": "must be a whole number from 1 to 500"}]);
        }
        let schema = crate::schema::of::<Problem>();
        response["content"] = json!({"application/problem+json": {"schema": schema, "example": example}});
    }
}

/// Shows the first example of the schema, unless there is one already.
fn give_example(content: &mut Value, schemas: &Map<String, Value>) {
    if content.get("example").is_some() || content.get("examples").is_some() {
        return;
    }
    let name = content["schema"]["$ref"].as_str().and_then(|target| target.strip_prefix("#/components/schemas/"));
    let schema = name.and_then(|name| schemas.get(name)).unwrap_or(&content["schema"]);
    if let Some(example) = schema.pointer("/examples/0").cloned() {
        content["example"] = example;
    }
}

/// Says of a field that may be null what it is, and not only of the case that it is not.
fn describe_nullable(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some([case, null]) = schema.get_mut("oneOf").and_then(Value::as_array_mut).map(Vec::as_mut_slice)
        && null["type"] == "null"
        && let Some(description) = case.as_object_mut().and_then(|case| case.remove("description"))
    {
        schema.insert("description".to_owned(), description);
    }
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    fields.into_iter().flat_map(Map::values_mut).for_each(describe_nullable);
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    parts.into_iter().flatten().for_each(describe_nullable);
}

fn json_of(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).expect("an OpenAPI document is JSON")
}
