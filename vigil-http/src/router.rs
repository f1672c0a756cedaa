//! [`router`]: all routes, each with and without a trailing slash, and behind its guard.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{Method, Request, StatusCode};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router};
use serde::Serialize;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use vigil_core::Vigil;
use vigil_core::key::Access;

use crate::api::{
    actions, audit, brake, episodes, evaluate, health, ingest, keys, letters, policies, queue, series, settings,
    simulator, why,
};
use crate::body::BodyLimit;
use crate::config::HttpConfig;
use crate::guard::{Gates, Guard, Need, stand};
use crate::{layers, live};

/// What every handler is given.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) vigil: Arc<Vigil>,
    pub(crate) config: Arc<HttpConfig>,
    /// One permit for each live view that may be open.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) gates: Arc<Gates>,
}

impl App {
    fn new(vigil: Arc<Vigil>, config: HttpConfig) -> Self {
        let streams = Arc::new(Semaphore::new(config.max_streams));
        Self { vigil, gates: Arc::new(Gates::new(&config)), config: Arc::new(config), streams }
    }
}

/// The whole API over one [`Vigil`], ready to be served by [`serve`](crate::serve), or to be nested or merged into a
/// router of your own.
///
/// It answers whether or not [`Vigil::run`] runs; without that, what it takes in is kept but not acted on.
pub fn router(vigil: Arc<Vigil>, config: HttpConfig) -> Router {
    Routes::all(App::new(vigil, config)).finish()
}

/// One method of one path, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Route {
    /// The method, in capitals.
    pub method: String,
    /// The path with its parameters in braces, without a trailing slash.
    pub path: String,
    /// What a key must allow; `None` if none is asked for.
    pub access: Option<Access>,
    /// Whether it is about all tenants at once: then only keys of the tenant `default` may call it.
    pub installation: bool,
}

/// Every method of every path that [`router`] serves, from the router itself.
pub async fn routes(vigil: Arc<Vigil>, config: HttpConfig) -> Vec<Route> {
    let routes = Routes::all(App::new(vigil, config));
    let mut listed = Vec::new();
    for (path, need, methods) in routes.listed {
        // A method that no route has is answered with those it has.
        let unknown = Method::from_bytes(b"LIST").expect("letters are a method");
        let request = Request::builder().method(unknown).body(Body::empty()).expect("a request without headers");
        let methods: MethodRouter = methods.with_state(routes.app.clone());
        let answer = methods.oneshot(request).await;
        let allowed = answer.map(|answer| answer.headers().get(ALLOW).cloned()).unwrap_or_else(|never| match never {});
        let allowed = allowed.as_ref().and_then(|allowed| allowed.to_str().ok()).unwrap_or_default().to_owned();
        for method in allowed.split(',').map(str::trim).filter(|method| !matches!(*method, "" | "HEAD")) {
            let named = Method::from_bytes(method.as_bytes()).unwrap_or(Method::OPTIONS);
            let (path, access) = (path.clone(), need.access(&named));
            let installation = need.is_of_installation();
            listed.push(Route { method: method.to_owned(), path, access, installation });
        }
    }
    listed
}

/// Health, readiness and metrics alone, for a process that serves no API.
pub fn probes(vigil: Arc<Vigil>, config: HttpConfig) -> Router {
    Routes::probes(App::new(vigil, config)).finish()
}

/// Collects routes.
struct Routes {
    app: App,
    router: Router<App>,
    listed: Vec<(String, Need, MethodRouter<App>)>,
}

impl Routes {
    /// What every process answers.
    fn probes(app: App) -> Self {
        let (metrics_enabled, metrics_public) = (app.config.metrics_enabled, app.config.metrics_public);
        let mut routes = Self { app, router: Router::new(), listed: Vec::new() };
        routes.add_for("/health", Need::PUBLIC, get(health::health));
        routes.add_for("/ready", Need::PUBLIC, get(health::ready));
        if metrics_enabled {
            let need = if metrics_public { Need::PUBLIC } else { Need::BY_METHOD.of_installation() };
            routes.add_for("/metrics", need, get(health::metrics));
        }
        routes
    }

    /// The whole API.
    fn all(app: App) -> Self {
        let ingesting = Need::always(Access::Ingest);
        let administering = Need::always(Access::Administer);
        let batches = Extension(BodyLimit(app.config.batch_limit));
        let mut routes = Self::probes(app);
        routes.add_for("/api/v1/ingest", ingesting, post(ingest::one));
        routes.add_for("/api/v1/ingest/health", ingesting, get(ingest::health));
        routes.add_for("/api/v1/ingest/agent/metrics", ingesting, post(ingest::some).layer(batches));
        routes.add("/api/v1/actions", get(actions::list).post(actions::create));
        routes.add("/api/v1/actions/health", get(actions::health));
        routes.add("/api/v1/actions/status/{status}", get(actions::list_of_status));
        routes.add("/api/v1/actions/{id}", get(actions::show));
        routes.add("/api/v1/actions/{id}/cancel", put(actions::cancel));
        routes.add("/api/v1/actions/{id}/status", put(actions::record));
        routes.add("/api/v1/policies", get(policies::list).post(policies::create));
        // The sandbox writes nothing.
        routes.add_for("/api/v1/policies/evaluate", Need::always(Access::Read), post(evaluate::evaluate));
        routes.add_for("/api/v1/policies/reload", Need::BY_METHOD.of_installation(), post(policies::reload));
        routes.add_for("/api/v1/policies/runner/status", Need::BY_METHOD.of_installation(), get(policies::runner));
        routes.add("/api/v1/policies/severity/{severity}", get(policies::list_of_severity));
        let one = get(policies::show).put(policies::update).delete(policies::remove);
        routes.add("/api/v1/policies/{name}", one);
        routes.add("/api/v1/policies/{name}/enable", put(policies::enable));
        routes.add("/api/v1/policies/{name}/disable", put(policies::disable));
        routes.add("/api/v1/episodes", get(episodes::list));
        routes.add("/api/v1/episodes/{id}", get(episodes::show));
        routes.add("/api/v1/episodes/{id}/reset", post(episodes::reset));
        routes.add("/api/v1/audit", get(audit::list));
        routes.add("/api/v1/series", get(series::list));
        routes.add("/api/v1/query", get(series::query));
        routes.add_for("/api/v1/settings", Need::BY_METHOD.of_installation(), get(settings::show));
        routes.add("/api/v1/why", get(why::why));
        routes.add("/api/v1/brake", get(brake::show).put(brake::set));
        routes.add("/api/v1/queue/dead", get(letters::list).delete(letters::purge));
        routes.add("/api/v1/queue/dead/{task_id}", delete(letters::discard));
        routes.add("/api/v1/queue/dead/{task_id}/retry", post(letters::retry));
        routes.add("/api/v1/events", get(live::stream));
        routes.add("/api/v1/ws", get(live::socket));
        // A load is on all tenants at once.
        for at in ["/api/v1/simulator", "/api/v1/ui/simulator"] {
            let need = Need::BY_METHOD.of_installation();
            routes.add_for(&format!("{at}/start"), need, post(simulator::start));
            routes.add_for(&format!("{at}/stop"), need, post(simulator::stop));
            routes.add_for(&format!("{at}/status"), need, get(simulator::status));
        }
        routes.add_for("/api/v1/ui/queue/stats", Need::BY_METHOD.of_installation(), get(queue::stats));
        routes.add_for("/api/v1/keys", administering, get(keys::list).post(keys::create));
        routes.add_for("/api/v1/keys/{id}", administering, delete(keys::revoke));
        routes.add_for("/api/v1/keys/{id}/rotate", administering, post(keys::rotate));
        routes
    }

    fn finish(self) -> Router {
        let router = self.router.fallback(async || StatusCode::NOT_FOUND);
        layers::around(router, &self.app).with_state(self.app)
    }

    /// A route that needs what its methods say: to read for GET, to operate for any other.
    fn add(&mut self, path: &str, methods: MethodRouter<App>) {
        self.add_for(path, Need::BY_METHOD, methods);
    }

    /// A route with needs of its own.
    fn add_for(&mut self, path: &str, need: Need, methods: MethodRouter<App>) {
        let guard = Arc::new(Guard { app: self.app.clone(), need });
        let guarded = methods.clone().layer(axum::middleware::from_fn_with_state(guard, stand));
        let router = std::mem::take(&mut self.router);
        self.router = router.route(path, guarded.clone()).route(&format!("{path}/"), guarded);
        self.listed.push((path.to_owned(), need, methods));
    }
}
