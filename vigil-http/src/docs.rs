//! `/docs` (Swagger UI) and `/redoc` (ReDoc): the document in a browser. Both are part of the binary, and a content security
//! policy lets them load nothing from anywhere else.

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::router::App;

/// Scripts from here only; styles also in line, since both pages make theirs while they run; ReDoc's search is a worker that it
/// makes itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const REDOC_PAGE: &str = include_str!("../assets/redoc.html");

/// `bundles/redoc.standalone.js` of the npm package; `assets/refresh` fetches it anew.
const REDOC: &[u8] = include_bytes!("../assets/redoc.standalone.js.gz");

/// Both pages.
pub(crate) fn pages() -> Router<App> {
    let swagger = SwaggerUi::new("/docs").config(Config::new(["/openapi.json"]).validator_url("none"));
    let page = get(async || Html(REDOC_PAGE));
    Router::from(swagger)
        .route("/redoc", page.clone())
        .route("/redoc/", page)
        .route("/redoc/redoc.standalone.js", get(redoc))
        .layer(from_fn(guard))
}

async fn redoc() -> impl IntoResponse {
    // Every browser takes gzip.
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CONTENT_ENCODING, "gzip")], REDOC)
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
