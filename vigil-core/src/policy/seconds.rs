//! Durations as seconds or as `90s`, `5m`, `1h`, `2d`.

use std::time::Duration;

use serde::Serializer;
use serde_json::Value;

use crate::invalid::InvalidValue;

/// Thirty days.
const LONGEST: f64 = 30.0 * 86_400.0;

pub(super) fn parse(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let text = text.trim();
            let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
            let factor = match &text[unit..] {
                "ms" => 0.001,
                "s" | "" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
            text[..unit].trim().parse::<f64>().ok()? * factor
        }
        _ => return None,
    };
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// Whether a duration that was made in code could have been written.
pub(super) fn check(field: &str, duration: Duration) -> Result<(), InvalidValue> {
    let problem = "must be at most 30 days";
    (duration.as_secs_f64() <= LONGEST).then_some(()).ok_or_else(|| InvalidValue::new(field, problem))
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if duration.subsec_nanos() == 0 {
        serializer.serialize_u64(duration.as_secs())
    } else {
        serializer.serialize_f64(duration.as_secs_f64())
    }
}
