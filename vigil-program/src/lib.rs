#![doc = include_str!("../README.md")]

mod file;
mod logging;
mod open_files;
mod signals;

pub use file::{FileError, parse_yaml, read_yaml};
pub use logging::{LogFormat, LogLevel, UnknownWord, log_to_stderr, start_logging};
pub use open_files::raise_open_files;
pub use signals::Signals;

/// An error with all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
