//! [`router`]: all routes, each with and without a trailing slash.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router};
use tokio::sync::Semaphore;
use vigil_core::Vigil;

use crate::api::{
    actions, audit, brake, episodes, evaluate, health, ingest, letters, policies, queue, series, settings, simulator,
    why,
};
use crate::body::BodyLimit;
use crate::config::HttpConfig;
use crate::{layers, live};

/// What every handler is given.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) vigil: Arc<Vigil>,
    pub(crate) config: Arc<HttpConfig>,
    /// One permit for each live view that may be open.
    pub(crate) streams: Arc<Semaphore>,
}

impl App {
    fn new(vigil: Arc<Vigil>, config: HttpConfig) -> Self {
        let streams = Arc::new(Semaphore::new(config.max_streams));
        Self { vigil, config: Arc::new(config), streams }
    }
}

/// The whole API over one [`Vigil`], ready to be served by [`serve`](crate::serve), or to be nested or merged into a
/// router of your own.
///
/// It answers whether or not [`Vigil::run`] runs; without that, what it takes in is kept but not acted on.
pub fn router(vigil: Arc<Vigil>, config: HttpConfig) -> Router {
    let app = App::new(vigil, config);
    let batches = Extension(BodyLimit(app.config.batch_limit));
    let mut routes = Routes::probes(&app);
    routes.add("/api/v1/ingest", post(ingest::one));
    routes.add("/api/v1/ingest/health", get(ingest::health));
    routes.add("/api/v1/ingest/agent/metrics", post(ingest::some).layer(batches));
    routes.add("/api/v1/actions", get(actions::list).post(actions::create));
    routes.add("/api/v1/actions/health", get(actions::health));
    routes.add("/api/v1/actions/status/{status}", get(actions::list_of_status));
    routes.add("/api/v1/actions/{id}", get(actions::show));
    routes.add("/api/v1/actions/{id}/cancel", put(actions::cancel));
    routes.add("/api/v1/actions/{id}/status", put(actions::record));
    routes.add("/api/v1/policies", get(policies::list).post(policies::create));
    routes.add("/api/v1/policies/evaluate", post(evaluate::evaluate));
    routes.add("/api/v1/policies/reload", post(policies::reload));
    routes.add("/api/v1/policies/runner/status", get(policies::runner));
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
    routes.add("/api/v1/settings", get(settings::show));
    routes.add("/api/v1/why", get(why::why));
    routes.add("/api/v1/brake", get(brake::show).put(brake::set));
    routes.add("/api/v1/queue/dead", get(letters::list).delete(letters::purge));
    routes.add("/api/v1/queue/dead/{task_id}", delete(letters::discard));
    routes.add("/api/v1/queue/dead/{task_id}/retry", post(letters::retry));
    routes.add("/api/v1/ui/queue/stats", get(queue::stats));
    for at in ["/api/v1/simulator", "/api/v1/ui/simulator"] {
        routes.add(&format!("{at}/start"), post(simulator::start));
        routes.add(&format!("{at}/stop"), post(simulator::stop));
        routes.add(&format!("{at}/status"), get(simulator::status));
    }
    routes.add("/api/v1/events", get(live::stream));
    routes.add("/api/v1/ws", get(live::socket));
    routes.finish(app)
}

/// Health, readiness and metrics alone, for a process that serves no API.
pub fn probes(vigil: Arc<Vigil>, config: HttpConfig) -> Router {
    let app = App::new(vigil, config);
    Routes::probes(&app).finish(app)
}

/// Collects routes.
struct Routes(Router<App>);

impl Routes {
    /// What every process answers.
    fn probes(app: &App) -> Self {
        let mut routes = Self(Router::new());
        routes.add("/health", get(health::health));
        routes.add("/ready", get(health::ready));
        if app.config.metrics_enabled {
            routes.add("/metrics", get(health::metrics));
        }
        routes
    }

    fn finish(self, app: App) -> Router {
        let router = self.0.fallback(async || StatusCode::NOT_FOUND);
        layers::around(router, &app).with_state(app)
    }

    fn add(&mut self, path: &str, methods: MethodRouter<App>) {
        let router = std::mem::take(&mut self.0);
        self.0 = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
    }
}
