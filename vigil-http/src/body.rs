//! Bodies: [`JsonBody`], [`OptionalBody`] and [`KeyedBody`], bounded in size, time and depth.

use std::io::Read;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use flate2::read::GzDecoder;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use vigil_core::policy::FieldError;
use vigil_core::store::Idempotency;

use crate::fields::{error, escape};
use crate::problem::{ApiError, Kind};
use crate::router::App;

/// How many bytes a body may have on this route, when it is not the usual number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body. Of a key that stands twice in an object the last one counts.
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<App> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, bytes) = read(request, app).await?;
        Ok(Self(json(&parts, &bytes)?))
    }
}

/// A JSON body, or none.
pub(crate) struct OptionalBody(pub(crate) Option<Value>);

impl FromRequest<App> for OptionalBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, bytes) = read(request, app).await?;
        if bytes.is_empty() { Ok(Self(None)) } else { Ok(Self(Some(json(&parts, &bytes)?))) }
    }
}

/// A JSON body, with the client's `Idempotency-Key` if it sent one.
pub(crate) struct KeyedBody {
    pub(crate) json: Value,
    pub(crate) idempotency: Option<Idempotency>,
}

impl IntoParams for KeyedBody {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![crate::schema::parameter(json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "example": "0d9e7c1e-5f0a-4c55-9c0e-0a6f6b6f5a11",
            "description": "Makes a repetition safe: within 24 hours the same key and body get the first answer again; with \
                another body the key is refused",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }))]
    }
}

impl FromRequest<App> for KeyedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, bytes) = read(request, app).await?;
        let idempotency = idempotency(&parts, &bytes)?;
        Ok(Self { json: json(&parts, &bytes)?, idempotency })
    }
}

fn idempotency(parts: &Parts, body: &[u8]) -> Result<Option<Idempotency>, ApiError> {
    const MAX: usize = 255;
    let Some(sent) = parts.headers.get("idempotency-key") else { return Ok(None) };
    let sane = |key: &&str| (1..=MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let key = sent.to_str().ok().filter(sane).ok_or_else(|| {
        ApiError::new(Kind::Malformed, format!("Idempotency-Key must be 1 to {MAX} visible ASCII characters."))
    })?;
    let path = parts.uri.path().trim_end_matches('/');
    let mut digest = Sha256::new();
    digest.update(path);
    digest.update([b'\n']);
    digest.update(body);
    let fingerprint = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Idempotency { key: key.to_owned(), fingerprint }))
}

async fn read(request: Request, app: &App) -> Result<(Parts, Bytes), ApiError> {
    let (parts, body) = request.into_parts();
    let limit = parts.extensions.get::<BodyLimit>().map_or(app.config.body_limit, |limit| limit.0);
    let too_large = || ApiError::new(Kind::TooLarge, format!("The body may have at most {limit} bytes."));
    let announced = body.size_hint().lower();
    if announced > limit as u64 && parts.headers.contains_key(EXPECT) {
        return Err(too_large()); // the client waits for a word before it sends
    }
    let slow = |_| ApiError::new(Kind::SlowBody, "The body did not arrive in time.");
    let collected = tokio::time::timeout(app.config.body_timeout, collect(body, limit)).await.map_err(slow)??;
    let collected = collected.ok_or_else(too_large)?;
    let encoding = parts.headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim());
    match encoding {
        None | Some("" | "identity") => Ok((parts, collected)),
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => {
            Ok((parts, unzip(&collected, limit)?.ok_or_else(too_large)?))
        }
        Some(_) => {
            Err(ApiError::new(Kind::UnsupportedMediaType, "Send the body as it is, or with Content-Encoding: gzip."))
        }
    }
}

/// What was compressed, or `None` if it is more than `limit`: a small body may unfold to any size.
fn unzip(body: &[u8], limit: usize) -> Result<Option<Bytes>, ApiError> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| ApiError::new(Kind::Malformed, format!("The body is not gzip: {error}.")))?;
    Ok((plain.len() <= limit).then(|| plain.into()))
}

/// The body's bytes, or `None` if they are more than `limit`. Then some of the rest is read and dropped: a client that is
/// cut off while it sends would see a broken connection, not the answer.
async fn collect(body: Body, limit: usize) -> Result<Option<Bytes>, ApiError> {
    let drop_at = limit.saturating_mul(4).max(16 * 1024 * 1024);
    let mut stream = body.into_data_stream();
    let mut collected = Vec::new();
    let mut seen = 0usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ApiError::new(Kind::Malformed, "The body broke off."))?;
        seen = seen.saturating_add(chunk.len());
        if seen > drop_at {
            break;
        }
        if seen <= limit {
            collected.extend_from_slice(&chunk);
        } else {
            collected = Vec::new();
        }
    }
    Ok((seen <= limit).then(|| collected.into()))
}

fn json(parts: &Parts, bytes: &[u8]) -> Result<Value, ApiError> {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"));
    if !is_json {
        return Err(ApiError::new(Kind::UnsupportedMediaType, "Send JSON, with Content-Type: application/json."));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| ApiError::new(Kind::Malformed, format!("The body is not UTF-8 at byte {}.", e.valid_up_to())))?;
    serde_json::from_str(text).map_err(|error| {
        let wrong = numbers_that_are_none(text);
        if wrong.is_empty() {
            ApiError::new(Kind::Malformed, format!("The body is not JSON: {error}."))
        } else {
            ApiError::invalid(wrong)
        }
    })
}

/// Producers write `NaN`, `Infinity` or `1e999`, which no JSON parser takes. If that is all that is wrong with `text`,
/// says where they are; otherwise nothing.
fn numbers_that_are_none(text: &str) -> Vec<FieldError> {
    const MARK: &str = "\u{1}not a number\u{1}";
    let quoted = Value::from(MARK).to_string();
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if first == '"' {
            end_of_string(rest)
        } else if is_token(first) {
            rest.find(|c| !is_token(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(end);
        let infinite = |token: &str| {
            let digit = token.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
            digit && token.parse::<f64>().is_ok_and(f64::is_infinite)
        };
        let none = matches!(token, "NaN" | "-NaN" | "Infinity" | "-Infinity") || infinite(token);
        repaired.push_str(if none { &quoted } else { token });
        rest = behind;
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str::<Value>(&repaired) {
        walk(&value, &mut String::new(), &mut |pointer, text| {
            if text == MARK {
                found.push(error(pointer, "must be a finite number"));
            }
        });
    }
    found
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+-.".contains(c)
}

/// Where the string that `text` begins with ends, its closing quote included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// Refuses NUL in any text of a body: no database keeps it.
pub(crate) fn without_nul(value: &Value) -> Result<(), ApiError> {
    let mut found = Vec::new();
    walk(value, &mut String::new(), &mut |pointer, text| {
        if text.contains('\0') {
            found.push(error(pointer, "must not contain the character NUL"));
        }
    });
    if found.is_empty() { Ok(()) } else { Err(ApiError::invalid(found)) }
}

/// Shows every key and every text of a value, with its pointer.
fn walk(value: &Value, pointer: &mut String, see: &mut impl FnMut(&str, &str)) {
    let here = pointer.len();
    match value {
        Value::String(text) => see(pointer, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                walk(item, pointer, see);
                pointer.truncate(here);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                pointer.push('/');
                pointer.push_str(&escape(key));
                see(pointer, key);
                walk(item, pointer, see);
                pointer.truncate(here);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        numbers_that_are_none(text).into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn numbers_that_json_does_not_know_are_found_where_they_stand() {
        assert_eq!(pointers(r#"{"value": NaN}"#), ["/value"]);
        assert_eq!(pointers(r#"[{"a/b": -Infinity}, 1e999, "NaN"]"#), ["/0/a~1b", "/1"]);
    }

    #[test]
    fn text_that_is_broken_in_another_way_has_no_such_numbers() {
        for text in [r#"{"value": NaN"#, r#"{"value": nan}"#, r#"{"value": "x\"#, "", r#"{"a": "NaN"}"#, "NaN1"] {
            assert!(pointers(text).is_empty(), "{text}");
        }
    }
}
