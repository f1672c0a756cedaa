//! `/api/v1/keys`: who may call. Secrets are shown once, when they are made.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
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

/// A key, without anything of its secret.
#[derive(Debug, Serialize)]
struct KeyDto {
    id: KeyId,
    tenant: TenantId,
    name: KeyName,
    role: Role,
    status: &'static str,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    rotated_at: Option<Timestamp>,
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

#[derive(Debug, Serialize)]
pub(crate) struct KeyList {
    ok: bool,
    count: usize,
    keys: Vec<KeyDto>,
}

/// A tenant's keys, the revoked ones included, the oldest first.
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
#[derive(Debug, Serialize)]
pub(crate) struct Issued {
    ok: bool,
    message: &'static str,
    key: String,
    #[serde(flatten)]
    about: KeyDto,
}

/// Makes a key.
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

/// Gives a key another secret: the one it had is refused from then on.
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

/// Refuses a key for good.
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
