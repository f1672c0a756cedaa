//! Logs: JSON lines for machines, text for people.

use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::EnvFilter;

/// How much is logged: the documented words, Python's too, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLevel(Level);

impl Default for LogLevel {
    fn default() -> Self {
        Self(Level::INFO)
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let level = match word.trim().to_ascii_lowercase().as_str() {
            "trace" | "notset" => Level::TRACE,
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" | "warning" => Level::WARN,
            "error" | "critical" | "fatal" => Level::ERROR,
            _ => return Err("must be one of trace, debug, info, warning, error, critical".to_owned()),
        };
        Ok(Self(level))
    }
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.trim().to_ascii_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be json or text".to_owned()),
        }
    }
}

/// Logs to standard output from now on. Vigil's own lines at `level`, those of libraries only from a warning on.
///
/// The module a line comes from is left out: it would be called `target`, as what is healed is.
pub(crate) fn start(LogLevel(level): LogLevel, format: LogFormat) {
    let libraries = level.min(Level::WARN);
    let filter = EnvFilter::new(format!(
        "{libraries},vigil_core={level},vigil_http={level},vigil_store_sqlite={level},server={level}"
    ));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Json => subscriber
            .json()
            .with_target(false)
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init(),
        LogFormat::Text => subscriber.init(),
    }
}
