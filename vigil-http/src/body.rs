//! Bodies: [`JsonBody`], [`OptionalBody`] and [`KeyedBody`], bounded in size, time, depth and weight.

use std::io::Read;
use std::ops::Deref;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use flate2::read::GzDecoder;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use vigil_core::policy::FieldError;
use vigil_core::store::Idempotency;

use crate::fields::{error, escape};
use crate::plain::Plain;
use crate::problem::{ApiError, Kind, chain};
use crate::router::App;
use crate::structure::weight;

/// How many values a body may have that is read as a whole: each takes up to 700 bytes, an object of one field say.
const WEIGHT: usize = 20_000;

/// How many bytes a body may have on this route, when it is not the usual number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body. Of a key that stands twice in an object the last one counts.
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<App> for JsonBody {
    type Rejection = ApiError;

    fn from_request(request: Request, app: &App) -> impl Future<Output = Result<Self, ApiError>> {
        text(request, app).map(|read| Ok(Self(value(&read?.1, "", WEIGHT)?)))
    }
}

/// A JSON body, or none.
pub(crate) struct OptionalBody(pub(crate) Option<Value>);

impl FromRequest<App> for OptionalBody {
    type Rejection = ApiError;

    fn from_request(request: Request, app: &App) -> impl Future<Output = Result<Self, ApiError>> {
        read(request, app).map(|read| {
            let (parts, read) = read?;
            if read.bytes.is_empty() {
                return Ok(Self(None));
            }
            Ok(Self(Some(value(&Text::of(&parts, read)?, "", WEIGHT)?)))
        })
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

    fn from_request(request: Request, app: &App) -> impl Future<Output = Result<Self, ApiError>> {
        keyed_text(request, app).map(|read| {
            let (text, idempotency) = read?;
            Ok(Self { json: value(&text, "", WEIGHT)?, idempotency })
        })
    }
}

/// A body that is said to be JSON, and UTF-8. It keeps its room for as long as it lives.
pub(crate) struct Text {
    text: String,
    _room: Room,
}

impl Text {
    fn of(parts: &Parts, Whole { bytes, room }: Whole) -> Result<Self, ApiError> {
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json =
            essence.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"));
        if !is_json {
            return Err(ApiError::new(Kind::UnsupportedMediaType, "Send JSON, with Content-Type: application/json."));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            ApiError::new(Kind::Malformed, format!("The body is not UTF-8 at byte {valid}."))
        })?;
        Ok(Self { text, _room: room })
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.text
    }
}

/// Reads a body as text.
fn text(request: Request, app: &App) -> impl Future<Output = Result<(Box<Parts>, Text), ApiError>> {
    read(request, app).map(|read| {
        let (parts, read) = read?;
        let text = Text::of(&parts, read)?;
        Ok((parts, text))
    })
}

/// Reads a body as text, with the client's `Idempotency-Key` if it sent one.
pub(crate) fn keyed_text(
    request: Request,
    app: &App,
) -> impl Future<Output = Result<(Text, Option<Idempotency>), ApiError>> {
    text(request, app).map(|read| {
        let (parts, text) = read?;
        let idempotency = idempotency(&parts, text.as_bytes())?;
        Ok((text, idempotency))
    })
}

/// Room for the large bodies of all requests together. What fits into [`BodyRoom::FREE`] needs none, so that those who send
/// little pass those who send much, or never end.
#[derive(Debug, Clone)]
pub(crate) struct BodyRoom(Arc<Semaphore>);

/// What one body has of it.
type Room = Option<OwnedSemaphorePermit>;

impl BodyRoom {
    /// How many bytes of a body are free.
    pub(crate) const FREE: usize = 64 * 1024;
    /// What is counted as one.
    const PIECE: usize = 1024;

    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / Self::PIECE).min(Semaphore::MAX_PERMITS))))
    }

    /// Makes it enough for so many bytes, if there is as much.
    fn widen(&self, room: &mut Room, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(Self::FREE).div_ceil(Self::PIECE);
        let more = wanted.saturating_sub(room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let Ok(more) = u32::try_from(more) else { return false };
        let Ok(more) = self.0.clone().try_acquire_many_owned(more) else { return false };
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        true
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

/// A body as it was meant: unfolded.
struct Whole {
    bytes: Vec<u8>,
    room: Room,
}

/// Reads a body. What reads one maps this future, and the head is in a box: an async function keeps two copies of what it is
/// given, and one that calls another those of both.
fn read(request: Request, app: &App) -> impl Future<Output = Result<(Box<Parts>, Whole), ApiError>> {
    let (parts, body) = request.into_parts();
    read_body(Box::new(parts), body, app)
}

async fn read_body(parts: Box<Parts>, body: Body, app: &App) -> Result<(Box<Parts>, Whole), ApiError> {
    let limit = parts.extensions.get::<BodyLimit>().map_or(app.config.body_limit, |limit| limit.0);
    let too_large = || ApiError::new(Kind::TooLarge, format!("The body may have at most {limit} bytes."));
    let announced = body.size_hint().lower();
    if announced > limit as u64 && parts.headers.contains_key(EXPECT) {
        return Err(too_large()); // the client waits for a word before it sends
    }
    let slow = |_| ApiError::new(Kind::SlowBody, "The body did not arrive in time.");
    let collected = collect(body, limit, &app.gates.bodies);
    let collected = tokio::time::timeout(app.config.body_timeout, collected).await.map_err(slow)??;
    let mut read = collected.ok_or_else(too_large)?;
    match parts.headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim()) {
        None | Some("" | "identity") => {}
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => {
            let bodies = app.gates.bodies.clone();
            let unfolded = heavily(app, move || unzip(read, limit, &bodies)).await??;
            read = unfolded.ok_or_else(too_large)?;
        }
        Some(_) => {
            let detail = "Send the body as it is, or with Content-Encoding: gzip.";
            return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
        }
    }
    Ok((parts, read))
}

fn crowded() -> ApiError {
    ApiError::unavailable("Too many large bodies arrive at once; try again later.").waiting(1)
}

/// Work that takes milliseconds, beside those who wait for none, and never so much of it at once that they have no turn.
pub(crate) async fn heavily<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    // Never closed. The work keeps its turn to its end, also when nobody waits for it any more.
    let turn = app.gates.heavy.clone().acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || (work(), drop(turn)).0).await;
    done.map_err(|error| {
        tracing::error!(error = chain(&error), "a body cannot be read");
        ApiError::internal()
    })
}

/// What was compressed, or `None` if it is more than `limit`: a small body may unfold to any size.
fn unzip(Whole { bytes, mut room }: Whole, limit: usize, bodies: &BodyRoom) -> Result<Option<Whole>, ApiError> {
    let mut unfolding = GzDecoder::new(&*bytes);
    let (mut plain, mut piece) = (Vec::new(), vec![0; BodyRoom::FREE]);
    loop {
        let read = unfolding.read(&mut piece);
        let read = read.map_err(|error| ApiError::new(Kind::Malformed, format!("The body is not gzip: {error}.")))?;
        if read == 0 {
            return Ok(Some(Whole { bytes: plain, room }));
        }
        if plain.len() + read > limit {
            return Ok(None);
        }
        if !bodies.widen(&mut room, plain.len() + read) {
            return Err(crowded());
        }
        plain.extend_from_slice(&piece[..read]);
    }
}

/// The body's bytes, or `None` if they are more than `limit`. Then, or when there is no room, some of the rest is read and
/// dropped: a client that is cut off while it sends would see a broken connection, not the answer.
async fn collect(body: Body, limit: usize, bodies: &BodyRoom) -> Result<Option<Whole>, ApiError> {
    let drop_at = limit.saturating_mul(4).max(16 * 1024 * 1024);
    let mut stream = body.into_data_stream();
    let mut kept = Some(Whole { bytes: Vec::new(), room: None });
    let mut seen = 0usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ApiError::new(Kind::Malformed, "The body broke off."))?;
        seen = seen.saturating_add(chunk.len());
        if seen > drop_at {
            break;
        }
        kept = kept.filter(|_| seen <= limit).and_then(|mut read| {
            let fits = bodies.widen(&mut read.room, seen);
            read.bytes.extend_from_slice(&chunk);
            fits.then_some(read)
        });
    }
    if seen > limit { Ok(None) } else { kept.map(Some).ok_or_else(crowded) }
}

/// Text that is JSON, of at most `most` values; `base` is the pointer to where it stands in the body.
pub(crate) fn value(text: &str, base: &str, most: usize) -> Result<Value, ApiError> {
    if weight(text) > most {
        let what = if base.is_empty() { "The body" } else { base };
        return Err(ApiError::new(Kind::Malformed, format!("{what} has more than {most} values.")));
    }
    let plain = serde_json::from_str(text).map_err(|error| not_json(text, base, &error));
    plain.map(|Plain(value)| value)
}

/// Why text is not JSON.
pub(crate) fn not_json(text: &str, base: &str, error: &serde_json::Error) -> ApiError {
    let mut wrong = if weight(text) > WEIGHT { Vec::new() } else { numbers_that_are_none(text) };
    if wrong.is_empty() {
        let what = if base.is_empty() { "The body" } else { base };
        return ApiError::new(Kind::Malformed, format!("{what} is not JSON: {error}."));
    }
    for number in &mut wrong {
        number.pointer.insert_str(0, base);
    }
    ApiError::invalid(wrong)
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
    if let Ok(Plain(value)) = serde_json::from_str(&repaired) {
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

    #[test]
    fn large_bodies_share_their_room_and_small_ones_need_none() {
        const MUCH: usize = BodyRoom::FREE + 60 * 1024;
        let bodies = BodyRoom::new(100 * 1024);
        let (mut first, mut second) = (None, None);
        assert!(bodies.widen(&mut first, BodyRoom::FREE) && bodies.widen(&mut first, MUCH));
        assert!(!bodies.widen(&mut second, MUCH), "there is not as much left");
        assert!(bodies.widen(&mut second, BodyRoom::FREE), "what is small needs none");
        drop(first);
        assert!(bodies.widen(&mut second, MUCH), "it comes back");
    }

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
