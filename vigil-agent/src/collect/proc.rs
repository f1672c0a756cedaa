//! [`Proc`]: what the kernel shows under `/proc` (proc(5)). What cannot be read is an error, never a zero.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// The folder; tests make one up.
pub(super) struct Proc(pub(super) PathBuf);

/// A process that lives.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// At most 15 bytes of it.
    pub(super) name: String,
    /// The processor time it used.
    pub(super) cpu: Duration,
    /// After the start of the machine. Together with the number it tells a process from its successor.
    pub(super) started: Duration,
    pub(super) rss_pages: u64,
}

impl Proc {
    pub(super) fn new() -> Self {
        Self(PathBuf::from("/proc"))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        self.read(name).map_err(|error| format!("{}: {error}", self.0.join(name).display()))
    }

    /// A text about a process; `None` if it is gone.
    pub(super) fn text_of(&self, pid: i32, name: &str) -> Result<Option<String>, String> {
        match self.read(&format!("{pid}/{name}")) {
            Ok(text) => Ok(Some(text)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(format!("{}/{pid}/{name}: {error}", self.0.display())),
        }
    }

    /// All that live: not those that ended and wait to be collected.
    pub(super) fn processes(&self) -> Result<Vec<Process>, String> {
        // The first one is always there.
        if self.read("1/stat").is_err() {
            return Err(
                "those of other users are hidden (hidepid in proc(5)): nobody could say which is gone".to_owned()
            );
        }
        let folder = std::fs::read_dir(&self.0).map_err(|error| error.to_string())?;
        let pids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut processes = Vec::new();
        for pid in pids {
            if let Some(stat) = self.text_of(pid, "stat")? {
                let (is_alive, process) =
                    parse(pid, &stat).ok_or_else(|| format!("{pid}/stat makes no sense: {stat}"))?;
                processes.extend(is_alive.then_some(process));
            }
        }
        Ok(processes)
    }

    fn read(&self, name: &str) -> io::Result<String> {
        std::fs::read(self.0.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned())
    }
}

/// How long the machine runs, sleep included, as the kernel dates processes.
pub(super) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

pub(super) fn ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// `/proc/pid/stat`, and whether it lives: its first thread may have ended long before the others. The name stands in brackets
/// and may hold anything: what is counted begins behind it.
fn parse(pid: i32, stat: &str) -> Option<(bool, Process)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let process = Process {
        pid,
        name: head.split_once('(')?.1.to_owned(),
        cpu: ticks(number(11)? + number(12)?),
        started: ticks(number(19)?),
        rss_pages: number(21)?,
    };
    let is_dead = matches!(*fields.first()?, "Z" | "X") && number(17)? <= 1;
    Some((!is_dead, process))
}
