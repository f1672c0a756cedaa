//! Logs: JSON lines for machines, text for people.

use std::fmt;
use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// A word that is none of those there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord(&'static str);

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be one of {}", self.0)
    }
}

impl std::error::Error for UnknownWord {}

/// How much is logged: the documented words, Python's too, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevel(Level);

impl Default for LogLevel {
    fn default() -> Self {
        Self(Level::INFO)
    }
}

/// The word.
impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.as_str().to_ascii_lowercase())
    }
}

impl FromStr for LogLevel {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let level = match word.trim().to_ascii_lowercase().as_str() {
            "trace" | "notset" => Level::TRACE,
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" | "warning" => Level::WARN,
            "error" | "critical" | "fatal" => Level::ERROR,
            _ => return Err(UnknownWord("trace, debug, info, warning, error, critical")),
        };
        Ok(Self(level))
    }
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

impl FromStr for LogFormat {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.trim().to_ascii_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(UnknownWord("json, text")),
        }
    }
}

/// Logs to standard output from now on. Vigil's own lines and those of `program`, the crate that calls, at `level`; those of
/// libraries only from a warning on.
///
/// The module a line comes from is left out of JSON: it would be called `target`, as what is healed is.
pub fn start_logging(program: &str, level: LogLevel, format: LogFormat) {
    log_to(BoxMakeWriter::new(std::io::stdout), program, level, format);
}

/// The same to standard error, for a program whose standard output is its answer.
pub fn log_to_stderr(program: &str, level: LogLevel, format: LogFormat) {
    log_to(BoxMakeWriter::new(std::io::stderr), program, level, format);
}

fn log_to(writer: BoxMakeWriter, program: &str, LogLevel(level): LogLevel, format: LogFormat) {
    let libraries = level.min(Level::WARN);
    let filter = EnvFilter::new(format!("{libraries},vigil={level},{program}={level}"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
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
