//! `/openapi.json`: the API, described.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::schema;

/// The document as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Json(pub(crate) Bytes);

/// Describe the API
///
/// This document: OpenAPI 3.1, made from the code that serves it. `/docs` and `/redoc` show it in a browser.
#[utoipa::path(
    get, path = "/openapi.json", tag = "Health", operation_id = "openapi",
    responses((status = 200, description = "The document", body = OpenApi))
)]
pub(crate) async fn document(Extension(Json(document)): Extension<Json>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

schema::schemas! {
    /// An OpenAPI 3.1 document.
    OpenApi [] = serde_json::json!({
        "type": "object",
        "required": ["openapi", "info", "paths"],
        "properties": {
            "openapi": {"type": "string", "description": "The version of OpenAPI."},
            "info": {"type": "object", "description": "What the API is."},
            "paths": {"type": "object", "description": "Its endpoints."},
        },
        "examples": [{"openapi": "3.1.0", "info": {"title": "Vigil", "version": "1.0.0"}, "paths": {}}],
    });
}
