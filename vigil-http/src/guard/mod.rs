//! What stands before every handler: how much is in flight, who calls, how often, and whether it may.

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use vigil_core::Vigil;
use vigil_core::key::{Access, ApiKey, KeyDigest, KeyId, Role};
use vigil_core::store::{Actor, StoreError};
use vigil_core::tenant::TenantId;

use crate::body::BodyRoom;
use crate::problem::{ApiError, Kind};
use crate::router::App;

mod credential;
mod layer;
mod limits;
mod peer;
mod rate;

pub use credential::{Credential, Pepper};
pub use limits::{Limits, TenantLimits};
pub use peer::Peer;
pub use rate::Rate;

pub(crate) use layer::Guard;
pub(crate) use limits::TenantGates;
use rate::RateGate;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    access: Wanted,
    /// Whether it is about all tenants at once: then only for keys of the tenant `default`.
    installation: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    ByMethod,
    Always(Access),
}

impl Need {
    /// Nothing: anybody may.
    pub(crate) const PUBLIC: Self = Self { access: Wanted::Nothing, installation: false };
    /// To read for GET and HEAD, to operate for any other method.
    pub(crate) const BY_METHOD: Self = Self { access: Wanted::ByMethod, installation: false };

    /// The same access for every method.
    pub(crate) const fn always(access: Access) -> Self {
        Self { access: Wanted::Always(access), installation: false }
    }

    /// As it is, but only for keys of the tenant `default`.
    pub(crate) const fn of_installation(self) -> Self {
        Self { installation: true, ..self }
    }

    /// What a method needs.
    pub(crate) fn access(self, method: &Method) -> Option<Access> {
        match self.access {
            Wanted::Nothing => None,
            Wanted::ByMethod if matches!(*method, Method::GET | Method::HEAD) => Some(Access::Read),
            Wanted::ByMethod => Some(Access::Operate),
            Wanted::Always(access) => Some(access),
        }
    }

    /// Whether it is only for keys of the tenant `default`.
    pub(crate) fn is_of_installation(self) -> bool {
        self.installation
    }
}

/// On whose behalf a request is made. Every handler that touches data takes one, and nothing else decides the tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Identity>);

/// Who somebody is, and what they may.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    role: Role,
    /// `None`: no keys are asked for.
    key: Option<(KeyId, KeyDigest)>,
}

impl Deref for Caller {
    type Target = Identity;
    fn deref(&self) -> &Identity {
        &self.0
    }
}

impl Caller {
    /// Whoever calls a server that asks for no keys.
    fn anonymous() -> Self {
        let (tenant, actor) = (TenantId::default(), Actor::new("api"));
        Self(Arc::new(Identity { tenant, actor, role: Role::Admin, key: None }))
    }

    fn of(key: &ApiKey) -> Self {
        let (tenant, actor) = (key.tenant.clone(), Actor::new(&format!("key:{}", key.id)));
        let role = key.role;
        Self(Arc::new(Identity { tenant, actor, role, key: Some((key.id.clone(), key.digest.clone())) }))
    }

    /// Whether the key it came with is still good: what goes on for long asks again.
    pub(crate) fn is_good(&self, vigil: &Vigil) -> bool {
        let Some((id, digest)) = &self.key else { return true };
        vigil.keys().find(id).is_some_and(|key| key.digest == *digest && key.is_live(vigil.clock().now()))
    }
}

/// What all requests of a router share.
#[derive(Debug)]
pub(crate) struct Gates {
    in_flight: Arc<Semaphore>,
    anonymous: Caller,
    rate: Option<RateGate>,
    pub(crate) bodies: BodyRoom,
    /// How many large bodies are read at once: half of the processors are left to all others.
    pub(crate) heavy: Arc<Semaphore>,
    pub(crate) tenants: TenantGates,
}

impl Gates {
    pub(crate) fn new(config: &crate::HttpConfig) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            in_flight: Arc::new(Semaphore::new(config.max_in_flight.min(Semaphore::MAX_PERMITS))),
            anonymous: Caller::anonymous(),
            rate: config.rate.map(RateGate::new),
            bodies: BodyRoom::new(config.body_memory),
            heavy: Arc::new(Semaphore::new((processors / 2).max(1))),
            tenants: TenantGates::new(config.limits.clone()),
        }
    }
}

/// Who it is. Everything that is wrong with a key is the same to whoever holds it, in words and in time. `loaded` says whether
/// the keys are known.
fn identify(app: &App, loaded: Result<(), StoreError>, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let ring = app.vigil.keys();
    let Some(pepper) = &app.config.pepper else {
        // Another replica hands out keys: without its pepper nobody can be known here, and nobody may pass unknown.
        return if ring.is_empty() { Ok(app.gates.anonymous.clone()) } else { Err(unknown()) };
    };
    loaded?;
    let sent = sent(headers).and_then(|text| Credential::parse(text).ok());
    let known = sent.as_ref().and_then(|credential| ring.find(credential.id()));
    let digest = sent.as_ref().map_or_else(|| pepper.digest(""), |credential| credential.digest(pepper));
    let stored = known.as_ref().map_or(&NOBODY, |key| &key.digest);
    let matches: bool = digest.0.ct_eq(&stored.0).into();
    let now = app.vigil.clock().now();
    known.filter(|key| matches && key.is_live(now)).map(|key| Caller::of(&key)).ok_or_else(unknown)
}

/// Compared with when there is no key of that id, so that it takes as long as when there is.
static NOBODY: KeyDigest = KeyDigest([0; 32]);

fn unknown() -> ApiError {
    let detail = "A valid API key is needed, as X-API-Key or as Authorization: Bearer.";
    ApiError::new(Kind::Unauthenticated, detail)
}

/// What the client sent as its key.
fn sent(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
