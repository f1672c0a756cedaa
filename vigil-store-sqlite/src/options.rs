//! [`SqliteOptions`]: where the database is, and how it is used.

use std::path::PathBuf;
use std::sync::Arc;

use vigil_core::clock::{Clock, SystemClock};

use crate::OpenError;

/// Where the database is, and how it is used.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file; `None` keeps everything in memory and forgets it with the store.
    pub path: Option<PathBuf>,
    /// Judges leases, cooldowns and due times. Default: the machine's.
    pub clock: Arc<dyn Clock>,
    /// How many connections read side by side.
    pub readers: u32,
    /// How many requests, and 64 times as many samples, may wait for the writer; beyond that the store answers that it is
    /// unavailable.
    pub waiting_room: usize,
}

impl SqliteOptions {
    /// A database in a file, created if it is not there.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::memory() }
    }

    /// A database in memory.
    pub fn memory() -> Self {
        Self { path: None, clock: Arc::new(SystemClock), readers: 4, waiting_room: 4096 }
    }

    /// Reads `sqlite:///./vigil.db` (relative), `sqlite:////var/lib/vigil.db` (absolute), `sqlite::memory:`.
    ///
    /// # Errors
    /// [`OpenError::Url`] for anything else.
    pub fn of_url(url: &str) -> Result<Self, OpenError> {
        if matches!(url, "sqlite::memory:" | "sqlite://:memory:" | "sqlite:///:memory:") {
            return Ok(Self::memory());
        }
        let path =
            url.strip_prefix("sqlite:///").or_else(|| url.strip_prefix("sqlite://")).filter(|path| !path.is_empty());
        path.map(Self::file).ok_or_else(|| OpenError::Url(url.to_owned()))
    }

    /// The same on another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_documented_urls_mean_what_they_say() {
        let path = |url: &str| SqliteOptions::of_url(url).unwrap().path;
        assert_eq!(path("sqlite:///./vigil.db").as_deref(), Some(Path::new("./vigil.db")));
        assert_eq!(path("sqlite:///vigil.db").as_deref(), Some(Path::new("vigil.db")));
        assert_eq!(path("sqlite:////var/lib/vigil.db").as_deref(), Some(Path::new("/var/lib/vigil.db")));
        assert_eq!(path("sqlite::memory:"), None);
        assert!(matches!(SqliteOptions::of_url("postgres://x"), Err(OpenError::Url(_))));
        assert!(matches!(SqliteOptions::of_url("sqlite:///"), Err(OpenError::Url(_))));
    }
}
