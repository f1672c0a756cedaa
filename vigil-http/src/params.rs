//! [`Params`]: the parameters of a query, read like the fields of a body: what is wrong with all of them is told at once.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use vigil_core::clock::Timestamp;
use vigil_core::invalid::InvalidValue;
use vigil_core::policy::FieldError;

use crate::fields::{error, escape};
use crate::problem::{ApiError, Kind};
use crate::router::App;

/// How many items a page may have.
const MAX_LIMIT: usize = 500;

/// The parameters of a query.
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl FromRequestParts<App> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let malformed = |_| ApiError::new(Kind::Malformed, "The query cannot be read.");
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, app).await.map_err(malformed)?;
        let mut params = Self { pairs, errors: Vec::new() };
        let nul = params.pairs.iter().filter(|(_, value)| value.contains('\0')).map(|(name, _)| name.clone());
        for name in nul.collect::<Vec<_>>() {
            params.refuse(&name, "must not contain the character NUL");
        }
        Ok(params)
    }
}

impl Params {
    /// Refuses what is not `known`, and what stands twice unless it may stand `often`.
    pub(crate) fn only(&mut self, known: &[&str], often: &[&str]) {
        let mut seen: Vec<&str> = Vec::new();
        let mut wrong = Vec::new();
        for (name, _) in &self.pairs {
            if !known.contains(&name.as_str()) && !often.contains(&name.as_str()) {
                let all = [known, often].concat().join(", ");
                wrong.push((name.clone(), format!("is not a parameter here; those are {all}")));
            } else if seen.contains(&name.as_str()) && !often.contains(&name.as_str()) {
                wrong.push((name.clone(), "must stand in the query once".to_owned()));
            }
            seen.push(name);
        }
        for (name, detail) in wrong {
            self.refuse(&name, detail);
        }
    }

    /// A parameter that must be there.
    pub(crate) fn required<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if self.value(name).is_none() {
            self.refuse(name, "is required");
        }
        self.optional(name, read)
    }

    /// A parameter that may be there; `None` also when it is wrong, which [`end`](Params::end) tells.
    pub(crate) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match read(self.value(name)?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// A parameter whose words are a closed set.
    ///
    /// # Errors
    /// 400, naming them.
    pub(crate) fn word<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Result<Option<T>, ApiError> {
        self.value(name).map(parse).transpose().map_err(crate::extract::unknown_value)
    }

    /// Every value of a parameter that may stand often.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// How many items the page shall have.
    pub(crate) fn limit(&mut self, default: usize) -> usize {
        let read = |text: &str| {
            let limit = usize::from_str(text).ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| format!("must be a whole number from 1 to {MAX_LIMIT}"))
        };
        self.optional("limit", read).unwrap_or(default)
    }

    /// One more thing that is wrong with a parameter.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(error(format!("/{}", escape(name)), detail));
    }

    /// Everything that was wrong.
    pub(crate) fn end(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.errors)) }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a name by its own rules.
pub(crate) fn named<T>(parse: impl FnOnce(&str) -> Result<T, InvalidValue>) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| parse(text).map_err(|invalid| invalid.problem)
}

/// Reads a time: RFC 3339, or seconds since 1970.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Timestamp::from_unix_seconds(seconds)
            .ok_or_else(|| "must be an RFC 3339 time or seconds since 1970".to_owned()),
        Err(_) => Timestamp::parse(text).map_err(|problem| format!("{problem}, or seconds since 1970")),
    }
}

/// Reads a whole number that is not negative.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a whole number".to_owned())
}

/// Reads an id. One that no row can have is that of none.
pub(crate) fn id(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be a whole number".to_owned());
    }
    Ok(text.parse().unwrap_or(-1))
}
