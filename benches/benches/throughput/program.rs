//! [`Private`]: a server program of the bench's own, by a script of `scripts/servers`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Private {
    script: &'static str,
    folder: TempDir,
}

impl Private {
    /// None if it is not installed.
    pub(crate) fn start(script: &'static str) -> Option<Self> {
        let installed = if script == "postgres" { "/usr/lib/postgresql" } else { "/usr/bin/redis-server" };
        if !Path::new(installed).exists() {
            return None;
        }
        let private = Self { script, folder: tempfile::Builder::new().prefix("vigil-b-").tempdir_in("/tmp").unwrap() };
        private.run("start");
        Some(private)
    }

    pub(crate) fn run(&self, verb: &str) -> String {
        let script = format!("{}/../scripts/servers/{}", env!("CARGO_MANIFEST_DIR"), self.script);
        let mut command = Command::new(script);
        // As Redis is run where tasks matter: its file is flushed every second. The Store keeps what must not be lost.
        command.arg(verb).arg(self.folder.path()).env("VIGIL_REDIS_FSYNC", "everysec");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{} {verb}: {}", self.script, String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.run("remove");
    }
}
