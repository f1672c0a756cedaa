//! [`Processes`]: those that are to be watched, by name or by cgroup.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::complaints::Complaints;
use crate::sample::{Reading, Tags};

/// Which processes belong together, and what they are called.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// The value of the tag `process`.
    pub name: String,
    /// Those whose program is called so, as `ps -o comm` shows it (15 characters); the name above without it and without a cgroup.
    pub command: Option<String>,
    /// Those in this cgroup or below it, such as `/system.slice/nginx.service`.
    pub cgroup: Option<String>,
    /// More tags.
    #[serde(default)]
    pub tags: Tags,
}

pub(super) struct Processes {
    watched: Vec<Watched>,
    system: Option<System>,
    is_first: bool,
}

struct Watched {
    config: ProcessConfig,
    /// The one that has run longest, and since when.
    main: Option<(Pid, u64)>,
    restarts: u64,
}

impl Processes {
    pub(super) fn new(configs: Vec<ProcessConfig>, complaints: &mut Complaints) -> Self {
        let watched = configs.into_iter().map(|config| Watched { config, main: None, restarts: 0 });
        let system = complaints.without("processes", System::new());
        Self { watched: watched.collect(), system, is_first: true }
    }

    /// `up`, `process_count`, and of those that run `process_rss_mb`, `process_cpu_percent`, `process_uptime_seconds` and
    /// `process_restarts`: how often the main process became another one since the agent watches.
    pub(super) fn collect(&mut self) -> Vec<Reading> {
        let Some(system) = self.system.as_mut().filter(|_| !self.watched.is_empty()) else { return Vec::new() };
        let kind = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        // A share of the time since the last look: the first one has none.
        let has_cpu = !std::mem::take(&mut self.is_first);
        self.watched.iter_mut().flat_map(|watched| watched.collect(system, has_cpu)).collect()
    }
}

impl Watched {
    fn collect(&mut self, system: &System, has_cpu: bool) -> Vec<Reading> {
        // Threads are listed as processes of their own; their memory is that of the process.
        let all = system.processes().values();
        let found: Vec<&Process> =
            all.filter(|process| process.thread_kind().is_none() && self.is_it(process)).collect();
        let reading =
            |name: &str, value: f64| Reading::new(name, value).of("process", &self.config.name).with(&self.config.tags);
        let mut readings =
            vec![reading("up", f64::from(u8::from(!found.is_empty()))), reading("process_count", found.len() as f64)];
        let main = found.iter().min_by_key(|process| (process.start_time(), process.pid()));
        let main = main.map(|process| (process.pid(), process.start_time()));
        if let Some((_, started)) = main {
            if self.main.is_some() && self.main != main {
                self.restarts += 1;
            }
            self.main = main;
            let rss: u64 = found.iter().map(|process| process.memory()).sum();
            readings.push(reading("process_rss_mb", rss as f64 / 1_048_576.0));
            if has_cpu {
                let cpu: f64 = found.iter().map(|process| f64::from(process.cpu_usage())).sum();
                readings.push(reading("process_cpu_percent", cpu));
            }
            #[allow(clippy::disallowed_methods)] // the kernel counts the age of a process by this machine's clock
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            readings.push(reading("process_uptime_seconds", now.saturating_sub(started) as f64));
            readings.push(reading("process_restarts", self.restarts as f64));
        }
        readings
    }

    fn is_it(&self, process: &Process) -> bool {
        let config = &self.config;
        let by_command = match (&config.command, &config.cgroup) {
            (None, Some(_)) => true,
            (command, _) => process.name() == command.as_ref().unwrap_or(&config.name).as_str(),
        };
        by_command && config.cgroup.as_ref().is_none_or(|cgroup| is_in(process.pid(), cgroup))
    }
}

/// Whether a process is in a cgroup or below it (cgroups(7), `/proc/pid/cgroup`).
fn is_in(pid: Pid, cgroup: &str) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
        path.strip_prefix(cgroup.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}
