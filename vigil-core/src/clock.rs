//! Time: the [`Timestamp`] every public API speaks, and the [`Clock`] that is the only reader of the wall clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use crate::store_clock::StoreClock;

/// Gives the current wall-clock time. Everything in the library that needs "now" is handed one of these.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that reads it
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A point in time: microseconds since the Unix epoch, UTC.
///
/// Shown and read as RFC 3339 with `Z`. Arithmetic saturates, so that no input can overflow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time: sorts before everything, used where "since ever" is meant.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time: sorts after everything.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From seconds since the Unix epoch, fractions included. `None` if it is not finite or beyond year 9999.
    pub fn from_unix_seconds(seconds: f64) -> Option<Self> {
        let limit = 253_402_300_799.0; // 9999-12-31T23:59:59Z, the last second RFC 3339 can write
        (seconds.is_finite() && (0.0..=limit).contains(&seconds)).then_some(Self((seconds * 1e6) as i64))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339; a time without an offset is taken as UTC, as the original service's producers write it.
    ///
    /// # Errors
    /// A sentence for the caller when the text is not a time.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The years 0000 to 9999, all that RFC 3339 can write: what is taken can be shown and read again.
        const WRITABLE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;
        let text = text.trim();
        DateTime::parse_from_rfc3339(text)
            .map(|at| at.timestamp_micros())
            .or_else(|_| {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
                    .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
                    .map(|at| at.and_utc().timestamp_micros())
            })
            .ok()
            .filter(|micros| WRITABLE.contains(micros))
            .map(Self)
            .ok_or_else(|| "must be an RFC 3339 time such as 2026-01-20T12:00:00Z".to_owned())
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_survives_being_written_and_read() {
        for text in [
            "2026-01-20T12:34:56Z",
            "2026-01-20T12:34:56.123456Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_naive_time_is_utc() {
        let utc = Timestamp::parse("2026-01-20T12:34:56Z").unwrap();
        assert_eq!(Timestamp::parse("2026-01-20T12:34:56").unwrap(), utc);
        assert_eq!(Timestamp::parse("2026-01-20 12:34:56.0").unwrap(), utc);
        assert_eq!(Timestamp::parse("2026-01-20T13:34:56+01:00").unwrap(), utc);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_time_panic(text in ".{0,40}|[-+0-9TZ:. ]{0,40}") {
            if let Ok(at) = Timestamp::parse(&text) {
                prop_assert_eq!(Timestamp::parse(&at.to_string()), Ok(at), "what was read can be written and read again");
            }
        }

        #[test]
        fn every_form_of_a_time_is_read(year in 0_u32..=9999, rest in "-0[1-9]-[01][1-9][T ]1[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?") {
            let text = format!("{year:04}{rest}");
            let at = Timestamp::parse(&text).unwrap();
            prop_assert_eq!(Timestamp::parse(&at.to_string()), Ok(at));
            prop_assert_eq!(Timestamp::parse(&format!("{}Z", text.replace(' ', "T"))), Ok(at));
        }
    }

    #[test]
    fn years_that_rfc_3339_cannot_write_are_refused() {
        for text in ["-0001-01-01T00:00:00", "+10000-01-01T00:00:00", "+262142-12-31 00:00:00", "10000-01-01T00:00:00"]
        {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
