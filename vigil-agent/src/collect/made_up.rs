//! [`MadeUp`]: a `/proc` whose every file says what a test wants, or cannot be read.

use std::fs;

use tempfile::TempDir;

use super::proc::Proc;

pub(super) struct MadeUp(TempDir);

impl MadeUp {
    pub(super) fn new() -> Self {
        let made_up = Self(tempfile::tempdir().unwrap());
        made_up.process(1, "init", 'S', 0, 0.0);
        made_up
    }

    pub(super) fn proc(&self) -> Proc {
        Proc(self.0.path().to_owned())
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A folder in the place of a file: it is there, and cannot be read, not even by root.
    pub(super) fn spoil(&self, name: &str) {
        self.remove(name);
        fs::create_dir_all(self.0.path().join(name)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        let path = self.0.path().join(name);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }

    /// A process that has used so many ticks, started so many seconds after the machine.
    pub(super) fn process(&self, pid: i32, name: &str, state: char, ticks: u64, started: f64) {
        self.threaded(pid, name, state, 1, ticks, started);
    }

    /// The same with so many threads, the first of which is in that state.
    pub(super) fn threaded(&self, pid: i32, name: &str, state: char, threads: u32, ticks: u64, started: f64) {
        let started = (started * rustix::param::clock_ticks_per_second() as f64) as u64;
        let stat = format!(
            "{pid} ({name}) {state} 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 {started} 1000 256 0\n"
        );
        self.write(&format!("{pid}/stat"), &stat);
    }
}
