//! `/api/v1/keys`: who may call. Secrets are shown once, when they are made.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use vigil_core::clock::Timestamp;
use vigil_core::key::{ApiKey, KeyId, KeyName, KeyWrite, Role};
use vigil_core::store::StoreError;
use vigil_core::tenant::TenantId;

use crate::body::{JsonBody, without_nul};
use crate::dto::Confirmation;
use crate::extract::{Caller, Word};
use crate::fields::{Fields, Wrong, text};
use crate::guard::{Credential, Pepper};
use crate::problem::{ApiError, Kind};
use crate::router::App;
use crate::schema;

/// A key, without anything of its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key, examples(json!(example())))]
struct KeyDto {
    /// Its public part.
    #[schema(value_type = schema::KeyId)]
    id: KeyId,
    /// Whose it is.
    #[schema(value_type = schema::Tenant)]
    tenant: TenantId,
    /// What it is called, for people.
    #[schema(value_type = schema::Name)]
    name: KeyName,
    /// What its holder is there for.
    #[schema(value_type = schema::Role)]
    role: Role,
    /// `live`, `expired` or `revoked`.
    status: &'static str,
    /// When it was made.
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    /// When it ends by itself; null if it does not.
    #[schema(value_type = Option<schema::Time>, required)]
    expires_at: Option<Timestamp>,
    /// When it last got another secret; null if it never did.
    #[schema(value_type = Option<schema::Time>, required)]
    rotated_at: Option<Timestamp>,
    /// When it was refused for good; null if it was not.
    #[schema(value_type = Option<schema::Time>, required)]
    revoked_at: Option<Timestamp>,
}

impl KeyDto {
    fn of(key: &ApiKey, now: Timestamp) -> Self {
        let status = match key.revoked_at {
            Some(_) => "revoked",
            None if key.is_live(now) => "live",
            None => "expired",
        };
        Self {
            id: key.id.clone(),
            tenant: key.tenant.clone(),
            name: key.name.clone(),
            role: key.role,
            status,
            created_at: key.created_at,
            expires_at: key.expires_at,
            rotated_at: key.rotated_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A tenant's keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"ok": true, "count": 1, "keys": [example()]})))]
pub(crate) struct KeyList {
    /// Always true: an error is a problem.
    ok: bool,
    /// How many there are.
    count: usize,
    /// The keys.
    keys: Vec<KeyDto>,
}

schema::parameters! {
    /// Whose keys.
    OfTenant = [
        {"name": "tenant", "example": "default",
            "description": "Whose keys; the caller's own tenant if it does not say. Only a key of the tenant `default` may name another.",
            "schema": {"$ref": "#/components/schemas/Tenant"}},
    ];
}

/// A key's id in the path, for the documentation: handlers take a [`Word`], since one that no key can have is not found.
enum KeyInPath {}

impl utoipa::IntoParams for KeyInPath {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        vec![schema::parameter(json!({
            "name": "id", "in": "path", "required": true, "example": "5f0a4c559c0e0a6f",
            "description": "The key's id, which is its public part",
            "schema": {"$ref": "#/components/schemas/KeyId"},
        }))]
    }
}

/// List a tenant's keys
///
/// The revoked ones included, the oldest first. No secret is shown.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "Keys", operation_id = "list_keys", params(OfTenant),
    responses((status = 200, description = "All of them", body = KeyList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<KeyList>, ApiError> {
    let tenant = tenant_of(&caller, &query)?;
    let now = app.vigil.clock().now();
    app.vigil.keys().refresh().await?;
    let keys: Vec<_> = app.vigil.keys().of(&tenant).iter().map(|key| KeyDto::of(key, now)).collect();
    Ok(Json(KeyList { ok: true, count: keys.len(), keys }))
}

/// The only answers that show a secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub(crate) struct Issued {
    /// Always true: an error is a problem.
    ok: bool,
    /// What was done, for people.
    message: &'static str,
    /// The whole key, `vgl_<id>_<secret>`. It is not shown again.
    key: String,
    #[serde(flatten)]
    about: KeyDto,
}

/// Make a key
///
/// The answer shows it, this once.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "Keys", operation_id = "create_key",
    request_body(content = schema::NewKey, description = "The key"),
    responses(
        (status = 201, description = "It is made", body = Issued,
            example = json!(issued("Key created successfully; it is not shown again"))),
        (status = 409, description = "The server has no pepper, without which it can make no keys"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Issued>), ApiError> {
    without_nul(&body)?;
    let now = app.vigil.clock().now();
    let mut fields = Fields::of(&body, "").map_err(ApiError::invalid)?;
    fields.only(&["name", "role", "tenant", "expires_at"], &[]);
    let name = fields.required("name", text(KeyName::new));
    let role = fields.required("role", text(Role::parse));
    let tenant = fields.optional("tenant", text(TenantId::new));
    let expires_at = fields.optional("expires_at", |value| later(value, now));
    let errors = fields.end();
    let (Some(name), Some(role), true) = (name, role, errors.is_empty()) else {
        return Err(ApiError::invalid(errors));
    };
    let tenant = allowed(&caller, tenant)?;
    let credential = Credential::random();
    let write = credential.creation(pepper(&app)?, name, role, expires_at);
    let key = app.vigil.keys().write(&tenant, write, &caller.actor).await?;
    let message = "Key created successfully; it is not shown again";
    let about = KeyDto::of(&key, now);
    Ok((StatusCode::CREATED, Json(Issued { ok: true, message, key: credential.reveal(), about })))
}

/// Give a key another secret
///
/// The one it had is refused from then on, in under a second on every replica.
#[utoipa::path(
    post, path = "/api/v1/keys/{id}/rotate", tag = "Keys", operation_id = "rotate_key", params(KeyInPath, OfTenant),
    responses(
        (status = 200, description = "It has another one", body = Issued,
            example = json!(issued("Key rotated successfully; it is not shown again"))),
        (status = 404, description = "No key has this id"),
        (status = 409, description = "It is revoked, or the server has no pepper"),
    )
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Word(id): Word,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Issued>, ApiError> {
    let tenant = tenant_of(&caller, &query)?;
    let credential = Credential::random_of(key_id(&id)?);
    let write = KeyWrite::Rotate { id: credential.id().clone(), digest: credential.digest(pepper(&app)?) };
    let key = app.vigil.keys().write(&tenant, write, &caller.actor).await.map_err(|error| missing(error, &id))?;
    let message = "Key rotated successfully; it is not shown again";
    let about = KeyDto::of(&key, app.vigil.clock().now());
    Ok(Json(Issued { ok: true, message, key: credential.reveal(), about }))
}

/// Refuse a key for good
///
/// In under a second on every replica.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "Keys", operation_id = "revoke_key", params(KeyInPath, OfTenant),
    responses(
        (status = 200, description = "It is refused", body = Confirmation,
            example = json!({"ok": true, "message": "Key '5f0a4c559c0e0a6f' revoked"})),
        (status = 404, description = "No key has this id"),
        (status = 409, description = "It is revoked already"),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Word(id): Word,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Confirmation>, ApiError> {
    let tenant = tenant_of(&caller, &query)?;
    let write = KeyWrite::Revoke { id: key_id(&id)? };
    app.vigil.keys().write(&tenant, write, &caller.actor).await.map_err(|error| missing(error, &id))?;
    Ok(Json(Confirmation::new(format!("Key '{id}' revoked"))))
}

fn pepper(app: &App) -> Result<&Pepper, ApiError> {
    let detail =
        "This server has no pepper, without which it can make no keys: set VIGIL_KEY_PEPPER and start it again.";
    app.config.pepper.as_ref().ok_or_else(|| ApiError::new(Kind::Conflict, detail))
}

/// The tenant that the query names, or the caller's own.
fn tenant_of(caller: &Caller, query: &[(String, String)]) -> Result<TenantId, ApiError> {
    let mut named = None;
    for (name, value) in query {
        if name != "tenant" || named.is_some() {
            return Err(ApiError::field(
                format!("/{}", crate::fields::escape(name)),
                "is not a parameter here, or stands twice",
            ));
        }
        named = Some(TenantId::new(value).map_err(|invalid| ApiError::field("/tenant", invalid.problem))?);
    }
    allowed(caller, named)
}

/// An administrator has the keys of its own tenant; one of the tenant `default` those of all.
fn allowed(caller: &Caller, named: Option<TenantId>) -> Result<TenantId, ApiError> {
    let own = &caller.tenant;
    match named {
        None => Ok(own.clone()),
        Some(named) if named == *own || *own == TenantId::default() => Ok(named),
        Some(_) => {
            let detail = "Only a key of the tenant 'default' may manage the keys of another tenant.";
            Err(ApiError::new(Kind::Forbidden, detail))
        }
    }
}

fn key_id(word: &str) -> Result<KeyId, ApiError> {
    KeyId::new(word).map_err(|_| no_such(word))
}

fn missing(error: StoreError, id: &str) -> ApiError {
    match error {
        StoreError::NotFound(_) => no_such(id),
        other => other.into(),
    }
}

fn no_such(id: &str) -> ApiError {
    ApiError::new(Kind::NotFound, format!("The key '{id}' does not exist."))
}

fn later(value: &Value, now: Timestamp) -> Result<Timestamp, Wrong> {
    let wrong = || Wrong::new("must be an RFC 3339 time in the future");
    value.as_str().and_then(|text| Timestamp::parse(text).ok()).filter(|at| *at > now).ok_or_else(wrong)
}

/// An answer that shows a key, in the documentation.
fn issued(message: &str) -> Value {
    let mut answer = example();
    answer["ok"] = true.into();
    answer["message"] = message.into();
    answer["key"] = "vgl_5f0a4c559c0e0a6f_00000000000000000000000000000000".into();
    answer
}

/// A key in the documentation.
fn example() -> Value {
    json!({
        "id": "5f0a4c559c0e0a6f", "tenant": "default", "name": "Grafana", "role": "viewer", "status": "live",
        "created_at": "2026-01-20T12:00:00Z", "expires_at": null, "rotated_at": null, "revoked_at": null,
    })
}
