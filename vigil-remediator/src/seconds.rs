//! [`Seconds`]: a time in a configuration file.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A positive number of seconds, at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if seconds > 0.0 && seconds <= 86_400.0 {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err(de::Error::custom("must be a number of seconds above 0 and at most 86400"))
        }
    }
}
