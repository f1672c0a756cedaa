//! Processes as `/proc` shows them (proc(5)).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// How often it is looked whether a process is gone.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// How long a process may take to go once it was killed.
pub(super) const KILLED: Duration = Duration::from_secs(2);

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
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads `/proc/pid/stat`; `None` if it is dead. Its first thread may have ended long before the others, which still hold its
    /// ports and files.
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything: what is counted begins behind it.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        (!is_dead(&fields)).then_some(Self {
            pid,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// By the fields behind the name.
fn is_dead(fields: &[&str]) -> bool {
    let threads = fields.get(17).and_then(|threads| threads.parse::<u32>().ok());
    matches!(fields.first(), Some(&("Z" | "X"))) && threads.is_none_or(|threads| threads <= 1)
}

impl Process {
    /// The process that was started with this number, if it still is that one.
    pub(super) fn is_alive(&self) -> bool {
        Self::read(self.pid).as_ref() == Some(self)
    }

    /// All living processes of its group, itself among them.
    pub(super) fn group(&self) -> Vec<Self> {
        pids().into_iter().filter_map(Self::read).filter(|process| process.group == self.group).collect()
    }

    /// Writes down that it was started, and for which key.
    pub(super) fn remember(&self, file: &Path, key: Option<&str>) -> io::Result<()> {
        fs::write(file, serde_json::to_vec(&(self, key))?)
    }

    /// The process that was written down last, and its key.
    pub(super) fn started(file: &Path) -> Option<(Self, Option<String>)> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Kills it and all of its group; whether they are gone.
    pub(super) async fn end(&self) -> bool {
        self.signal(Signal::KILL);
        let patience = Instant::now() + KILLED;
        while !self.group().is_empty() && Instant::now() < patience {
            sleep(LOOK).await;
        }
        self.group().is_empty()
    }

    /// A process that was just started, in a group of its own.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::read(i32::try_from(pid).ok()?)
    }
}

/// The living processes of this user in whose environment a variable has a value. Programs that write their own title over it
/// are not among them.
pub(super) fn with_variable(name: &str, value: &str) -> Vec<Process> {
    let own = rustix::process::geteuid().as_raw();
    let is_own = |pid: &i32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|folder| folder.uid() == own);
    let has = |pid: &i32| environment(*pid).is_some_and(|all| variable(&all, name).as_deref() == Some(value));
    pids().into_iter().filter(is_own).filter(has).filter_map(Process::read).collect()
}

/// How many living processes are called `name`, of which the kernel keeps the first 15 bytes.
pub fn count_named(name: &str) -> usize {
    let kept = &name.as_bytes()[..name.len().min(15)];
    let is_called = |pid: &i32| {
        // Bytes: a name need not be UTF-8, and a cut one may end within a letter.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return false };
        let (Some(from), Some(to)) = (stat.iter().position(|b| *b == b'('), stat.iter().rposition(|b| *b == b')'))
        else {
            return false;
        };
        let rest = String::from_utf8_lossy(stat.get(to + 2..).unwrap_or_default());
        let fields: Vec<_> = rest.split(' ').collect();
        &stat[from + 1..to] == kept && !is_dead(&fields)
    };
    pids().iter().filter(|pid| is_called(pid)).count()
}

fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_dead_when_its_last_thread_is() {
        for (state, threads, is_there) in
            [("S", 3, true), ("R", 1, true), ("Z", 2, true), ("Z", 1, false), ("X", 0, false)]
        {
            let stat = format!("7 (a) b) {state} 1 7 7 0 -1 0 0 0 0 0 5 5 0 0 20 0 {threads} 0 4711 1000 256");
            let process = Process::parse(7, &stat);
            let expected = is_there.then_some(Process { pid: 7, started: 4711, group: 7 });
            assert_eq!(process, expected, "{state} with {threads} threads");
        }
    }
}
