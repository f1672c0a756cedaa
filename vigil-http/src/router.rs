//! [`router`]: all routes, each with and without a trailing slash, and behind its guard. A route is added together with its
//! documentation.

use std::ops::Deref;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::{Extension, Router};
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;
use vigil_core::Vigil;
use vigil_core::key::Access;

use crate::api::{
    actions, audit, brake, document, episodes, evaluate, health, ingest, keys, letters, policies, queue, series,
    settings, simulator, why,
};
use crate::body::BodyLimit;
use crate::config::HttpConfig;
use crate::guard::{Gates, Guard, Need};
use crate::layers;
use crate::live::{socket, stream};
use crate::openapi::Document;
use crate::request_id::RequestIds;

/// What every handler is given.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) vigil: Arc<Vigil>,
    pub(crate) config: HttpConfig,
    /// One permit for each live view that may be open.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) gates: Gates,
    pub(crate) request_ids: RequestIds,
}

impl Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    fn new(vigil: Arc<Vigil>, config: HttpConfig) -> Self {
        let streams = Arc::new(Semaphore::new(config.max_streams));
        let (gates, request_ids) = (Gates::new(&config), RequestIds::new(&**vigil.random()));
        Self(Arc::new(Shared { vigil, config, streams, gates, request_ids }))
    }
}

/// The whole API over one [`Vigil`], ready to be served by [`serve`](crate::serve), or to be nested or merged into a
/// router of your own. `/openapi.json` describes it; with the feature `docs` (on by default) `/docs` and `/redoc` show that.
///
/// It answers whether or not [`Vigil::run`] runs; without that, what it takes in is kept but not acted on.
pub fn router(vigil: Arc<Vigil>, config: HttpConfig) -> Router {
    let mut routes = Routes::all(App::new(vigil, config));
    routes.document();
    routes.finish()
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

/// Every method of every path that [`router`] serves and `/openapi.json` describes.
pub fn routes(vigil: Arc<Vigil>, config: HttpConfig) -> Vec<Route> {
    let mut routes = Routes::all(App::new(vigil, config));
    let listed = routes.document();
    listed
        .into_iter()
        .map(|(path, method, need)| {
            let (access, installation) = (need.access(&method), need.is_of_installation());
            Route { method: method.to_string(), path, access, installation }
        })
        .collect()
}

/// Health, readiness and metrics alone, for a process that serves no API.
pub fn probes(vigil: Arc<Vigil>, config: HttpConfig) -> Router {
    Routes::probes(App::new(vigil, config)).finish()
}

/// Collects routes, and what the document says of them.
struct Routes {
    app: App,
    router: Router<App>,
    document: Document,
}

impl Routes {
    /// What every process answers.
    fn probes(app: App) -> Self {
        let (metrics_enabled, metrics_public) = (app.config.metrics_enabled, app.config.metrics_public);
        let mut routes = Self { app, router: Router::new(), document: Document::default() };
        routes.add_for(Need::PUBLIC, routes!(health::health));
        routes.add_for(Need::PUBLIC, routes!(health::ready));
        if metrics_enabled {
            let need = if metrics_public { Need::PUBLIC } else { Need::BY_METHOD.of_installation() };
            routes.add_for(need, routes!(health::metrics));
        }
        routes
    }

    /// The whole API.
    fn all(app: App) -> Self {
        let ingesting = Need::always(Access::Ingest);
        let administering = Need::always(Access::Administer);
        let whole = Need::BY_METHOD.of_installation();
        let batches = Extension(BodyLimit(app.config.batch_limit));
        let mut routes = Self::probes(app);
        routes.add_for(ingesting, routes!(ingest::one));
        routes.add_for(ingesting, routes!(ingest::health));
        routes.add_for(ingesting, routes!(ingest::some).layer(batches));
        routes.add(routes!(actions::list, actions::create));
        routes.add(routes!(actions::health));
        routes.add(routes!(actions::list_of_status));
        routes.add(routes!(actions::show));
        routes.add(routes!(actions::cancel));
        routes.add(routes!(actions::record));
        routes.add(routes!(policies::list, policies::create));
        // The sandbox writes nothing.
        routes.add_for(Need::always(Access::Read), routes!(evaluate::evaluate));
        routes.add_for(whole, routes!(policies::reload));
        routes.add_for(whole, routes!(policies::runner));
        routes.add(routes!(policies::list_of_severity));
        routes.add(routes!(policies::show, policies::update, policies::remove));
        routes.add(routes!(policies::enable));
        routes.add(routes!(policies::disable));
        routes.add(routes!(episodes::list));
        routes.add(routes!(episodes::show));
        routes.add(routes!(episodes::reset));
        routes.add(routes!(audit::list));
        routes.add(routes!(series::list));
        routes.add(routes!(series::query));
        routes.add_for(whole, routes!(settings::show));
        routes.add(routes!(why::why));
        routes.add(routes!(brake::show, brake::set));
        routes.add(routes!(letters::list, letters::purge));
        routes.add(routes!(letters::discard));
        routes.add(routes!(letters::retry));
        routes.add(routes!(stream::stream));
        routes.add(routes!(socket::socket));
        // A load is on all tenants at once.
        routes.add_for(whole, routes!(simulator::start));
        routes.add_for(whole, routes!(simulator::stop));
        routes.add_for(whole, routes!(simulator::status));
        routes.add_also(whole, "/api/v1/ui/simulator/start", routes!(simulator::start));
        routes.add_also(whole, "/api/v1/ui/simulator/stop", routes!(simulator::stop));
        routes.add_also(whole, "/api/v1/ui/simulator/status", routes!(simulator::status));
        routes.add_for(whole, routes!(queue::stats));
        routes.add(routes!(queue::own));
        routes.add_for(administering, routes!(keys::list, keys::create));
        routes.add_for(administering, routes!(keys::revoke));
        routes.add_for(administering, routes!(keys::rotate));
        routes
    }

    /// A route that needs what its methods say: to read for GET, to operate for any other.
    fn add(&mut self, route: UtoipaMethodRouter<App>) {
        self.add_for(Need::BY_METHOD, route);
    }

    /// A route with needs of its own. There is no way to add one without its documentation or without its guard.
    fn add_for(&mut self, need: Need, (schemas, paths, methods): UtoipaMethodRouter<App>) {
        let guarded = if need == Need::PUBLIC { methods } else { methods.layer(Guard::new(self.app.clone(), need)) };
        for path in paths.paths.keys() {
            let router = std::mem::take(&mut self.router).route(path, guarded.clone());
            self.router = router.route(&format!("{path}/"), guarded.clone());
        }
        self.document.add(need, &paths, schemas);
    }

    /// A route at another path than its documentation says, beside that one.
    fn add_also(&mut self, need: Need, path: &str, (schemas, mut paths, methods): UtoipaMethodRouter<App>) {
        let items = std::mem::take(&mut paths.paths);
        paths.paths = items.into_values().map(|item| (path.to_owned(), Document::once_more(item))).collect();
        self.add_for(need, (schemas, paths, methods));
    }

    /// Adds the document of all routes so far and of its own, and the pages that show it. Answers what there is.
    fn document(&mut self) -> Vec<(String, axum::http::Method, Need)> {
        let (schemas, paths, methods) = routes!(document::document);
        self.document.add(Need::PUBLIC, &paths, schemas);
        let (document, listed) = std::mem::take(&mut self.document).finish();
        let methods = methods.layer(Extension(document::Json(Bytes::from(document.to_string()))));
        self.add_for(Need::PUBLIC, (Vec::new(), paths, methods));
        #[cfg(feature = "docs")]
        {
            self.router = std::mem::take(&mut self.router).merge(crate::docs::pages());
        }
        listed
    }

    fn finish(self) -> Router {
        let router = self.router.fallback(async || StatusCode::NOT_FOUND);
        layers::around(router, &self.app).with_state(self.app)
    }
}
