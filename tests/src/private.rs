//! [`Private`]: a server program of one's own, by a script of `scripts/servers`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A running PostgreSQL or Redis that nobody else uses. It ends when it is dropped.
pub struct Private {
    script: &'static str,
    folder: TempDir,
}

impl Private {
    /// Starts one, by the name of its script.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(script: &'static str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("vigil-cl-").tempdir_in("/tmp").expect("there is room for a folder");
        let private = Self { script, folder };
        private.run("start");
        private
    }

    /// One of the script's verbs; answers what it prints.
    ///
    /// # Panics
    /// If the script fails.
    pub fn run(&self, verb: &str) -> String {
        let script = format!("{}/../scripts/servers/{}", env!("CARGO_MANIFEST_DIR"), self.script);
        let done = Command::new(script).arg(verb).arg(self.folder.path()).output().expect("the script is there");
        assert!(done.status.success(), "{} {verb}: {}", self.script, String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.run("remove");
    }
}

/// Whether PostgreSQL and Redis can be started here; says so if not.
///
/// # Panics
/// If they cannot, and `VIGIL_REQUIRE_BACKENDS` requires them.
#[must_use]
#[allow(clippy::disallowed_methods)] // the tests' own environment
pub fn can_be_started() -> bool {
    let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
    let there = [("postgres", "/usr/lib/postgresql"), ("redis", "/usr/bin/redis-server")].map(|(backend, path)| {
        let there = Path::new(path).exists();
        assert!(
            there || !required.split(',').any(|required| required == backend),
            "{backend} is required, and not installed"
        );
        there
    });
    let all = there.iter().all(|there| *there);
    if !all {
        println!("skipped: PostgreSQL or Redis is not installed");
    }
    all
}
