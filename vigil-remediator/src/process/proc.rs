//! Processes as `/proc` shows them (proc(5)).

use std::fs;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// One process: a number alone is used again, together with its start it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// In clock ticks since the machine started.
    started: u64,
    group: i32,
}

impl Process {
    /// Whether it leads the group that it was started with.
    pub(super) fn leads(&self) -> bool {
        self.pid == self.group
    }

    /// Sends a signal to it and all that are of its group. That it is gone is no error.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.group) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// A variable of its environment as it was at its start.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        variable(&environment(self.pid)?, name)
    }

    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may hold anything: what is counted begins behind it.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let is_dead = matches!(*fields.first()?, "Z" | "X");
        (!is_dead).then_some(Self { pid, group: fields.get(2)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }
}

/// The living processes in whose environment a variable has a value. Those of others that must not be read are passed over.
pub(super) fn with_variable(name: &str, value: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| environment(*pid).is_some_and(|all| variable(&all, name).as_deref() == Some(value)))
        .filter_map(Process::read)
        .collect()
}

fn environment(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

fn variable(environment: &[u8], name: &str) -> Option<String> {
    let found = environment.split(|byte| *byte == 0).find_map(|entry| {
        let entry = std::str::from_utf8(entry).ok()?;
        entry.strip_prefix(name)?.strip_prefix('=')
    });
    found.map(str::to_owned)
}
