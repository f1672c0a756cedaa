//! [`Processes`]: those that are to be watched, by name or by cgroup.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::param::page_size;
use serde::Deserialize;
use vigil_core::clock::Timestamp;

use super::proc::{Proc, Process, since_boot, ticks};
use crate::complaints::Complaints;
use crate::sample::{Reading, Tags, named};

/// Which processes belong together, and what they are called.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// The value of the tag `process`.
    pub name: String,
    /// Those whose program is called so, whole or, as `ps -o comm` shows it, cut after 15 characters; the name above without it
    /// and without a cgroup.
    pub command: Option<String>,
    /// Those in this cgroup or below it, such as `/system.slice/nginx.service`.
    pub cgroup: Option<String>,
    /// What is to be healed. Without it the tag `service`, without that the name; an empty one leaves it to the host.
    pub target: Option<String>,
    /// More tags.
    #[serde(default)]
    pub tags: Tags,
}

pub(super) struct Processes {
    proc: Proc,
    watched: Vec<Watched>,
    /// When they were looked at last.
    last: Option<Duration>,
}

struct Watched {
    config: ProcessConfig,
    tags: Tags,
    /// The one that has run longest.
    main: Option<Id>,
    restarts: u64,
    /// What each had used at the last look.
    cpu: BTreeMap<Id, Duration>,
}

type Id = (Duration, i32);

/// The kernel keeps this much of a name.
const CUT: usize = 15;

impl Processes {
    pub(super) fn new(configs: Vec<ProcessConfig>, proc: Proc) -> Self {
        let watched = configs.into_iter().map(|config| {
            let tags = named("process", &config.name, config.target.as_deref(), &config.tags);
            Watched { config, tags, main: None, restarts: 0, cpu: BTreeMap::new() }
        });
        Self { proc, watched: watched.collect(), last: None }
    }

    /// `up`, `process_count`, and of those that run `process_rss_mb`, `process_cpu_percent`, `process_uptime_seconds` and
    /// `process_restarts`: how often the main process became another one since the agent watches.
    pub(super) fn collect(&mut self, at: Timestamp, complaints: &mut Complaints) -> Vec<Reading> {
        if self.watched.is_empty() {
            return Vec::new();
        }
        let now = since_boot();
        let Some(all) = complaints.without("processes", self.proc.processes()) else { return Vec::new() };
        let last = self.last.replace(now);
        let mut readings = Vec::new();
        for watched in &mut self.watched {
            let what = format!("process {}", watched.config.name);
            let found = complaints.without(&what, watched.find(&self.proc, &all));
            let numbers = found.map(|found| watched.measure(&found, now, last)).unwrap_or_default();
            readings.extend(numbers.into_iter().map(|(name, value)| Reading::new(name, value, at).with(&watched.tags)));
        }
        readings
    }
}

impl Watched {
    fn find<'a>(&self, proc: &Proc, all: &'a [Process]) -> Result<Vec<&'a Process>, String> {
        let mut found = Vec::new();
        for process in all {
            if self.has_name(proc, process) && self.has_cgroup(proc, process)? {
                found.push(process);
            }
        }
        Ok(found)
    }

    fn measure(&mut self, found: &[&Process], now: Duration, last: Option<Duration>) -> Vec<(&'static str, f64)> {
        let mut numbers = vec![("up", f64::from(u8::from(!found.is_empty()))), ("process_count", found.len() as f64)];
        let spent = last.and_then(|last| self.spent(found, last));
        self.cpu = found.iter().map(|process| (id(process), process.cpu)).collect();
        let Some(main) = found.iter().map(|process| id(process)).min() else { return numbers };
        if self.main.replace(main).is_some_and(|before| before != main) {
            self.restarts += 1;
        }
        let rss: u64 = found.iter().map(|process| process.rss_pages).sum();
        numbers.push(("process_rss_mb", rss as f64 * page_size() as f64 / 1_048_576.0));
        let passed = now.saturating_sub(last.unwrap_or(now)).as_secs_f64();
        if let (Some(spent), true) = (spent, passed > 0.0) {
            numbers.push(("process_cpu_percent", spent.as_secs_f64() / passed * 100.0));
        }
        numbers.push(("process_uptime_seconds", now.saturating_sub(main.0).as_secs_f64()));
        numbers.push(("process_restarts", self.restarts as f64));
        numbers
    }

    /// What they used since the last look; `None` if one ran at that time already and was not known.
    fn spent(&self, found: &[&Process], last: Duration) -> Option<Duration> {
        let of = |process: &&Process| match self.cpu.get(&id(process)) {
            Some(before) => process.cpu.checked_sub(*before),
            // Its start is told to the tick.
            None => (process.started + ticks(1) > last).then_some(process.cpu),
        };
        found.iter().map(of).sum()
    }

    fn has_name(&self, proc: &Proc, process: &Process) -> bool {
        let name = match (&self.config.command, &self.config.cgroup) {
            (None, Some(_)) => return true,
            (command, _) => command.as_ref().unwrap_or(&self.config.name).as_bytes(),
        };
        if name.len() <= CUT || process.name.as_bytes() != &name[..CUT] {
            return process.name.as_bytes() == name;
        }
        // Another program whose name begins so says it in its arguments; one that wrote over them says nothing.
        let arguments = proc.text_of(process.pid, "cmdline").ok().flatten().unwrap_or_default();
        let program =
            arguments.split('\0').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().as_bytes();
        program == name || !program.starts_with(&name[..CUT])
    }

    /// Whether it is in the cgroup or below it (cgroups(7)).
    fn has_cgroup(&self, proc: &Proc, process: &Process) -> Result<bool, String> {
        let Some(cgroup) = self.config.cgroup.as_ref().map(|cgroup| cgroup.trim_end_matches('/')) else {
            return Ok(true);
        };
        let text = proc.text_of(process.pid, "cgroup")?.unwrap_or_default();
        let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)?.strip_prefix(cgroup));
        Ok(paths.any(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

fn id(process: &Process) -> Id {
    (process.started, process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::made_up::MadeUp;

    fn watch(made_up: &MadeUp, yaml: &str) -> (Processes, Complaints) {
        let config = serde_saphyr::from_str(yaml).unwrap();
        (Processes::new(vec![config], made_up.proc()), Complaints::default())
    }

    fn look((processes, complaints): &mut (Processes, Complaints)) -> BTreeMap<String, f64> {
        let readings = processes.collect(Timestamp::from_micros(0), complaints);
        readings.into_iter().map(|reading| (reading.name, reading.value)).collect()
    }

    fn count(made_up: &MadeUp, yaml: &str) -> Option<f64> {
        look(&mut watch(made_up, yaml)).get("process_count").copied()
    }

    #[test]
    fn what_ended_and_was_not_collected_is_down() {
        let made_up = MadeUp::new();
        for (state, up) in [('S', 1.0), ('R', 1.0), ('Z', 0.0), ('X', 0.0)] {
            made_up.process(7, "shop", state, 0, 1.0);
            assert_eq!(look(&mut watch(&made_up, "name: shop"))["up"], up, "{state}");
        }
    }

    #[test]
    fn a_process_lives_as_long_as_its_last_thread() {
        let made_up = MadeUp::new();
        for (threads, up) in [(3, 1.0), (2, 1.0), (1, 0.0), (0, 0.0)] {
            made_up.threaded(7, "shop", 'Z', threads, 0, 1.0);
            assert_eq!(
                look(&mut watch(&made_up, "name: shop"))["up"],
                up,
                "its first thread ended, {threads} are left"
            );
        }
    }

    #[test]
    fn processor_time_is_a_difference_between_two_looks_at_the_same_processes() {
        let made_up = MadeUp::new();
        made_up.process(7, "shop", 'S', 1000, 1.0);
        let mut watched = watch(&made_up, "name: shop");
        assert!(!look(&mut watched).contains_key("process_cpu_percent"), "one look is no difference");
        assert_eq!(look(&mut watched)["process_cpu_percent"], 0.0);
        made_up.process(7, "shop", 'S', 1100, 1.0);
        assert!(look(&mut watched)["process_cpu_percent"] > 0.0);
        // It has run for long, and is seen for the first time.
        made_up.process(8, "shop", 'S', 500, 2.0);
        assert!(!look(&mut watched).contains_key("process_cpu_percent"));
        assert!(look(&mut watched).contains_key("process_cpu_percent"));
        // One that was started since used all it used since.
        made_up.process(9, "shop", 'S', 50, since_boot().as_secs_f64() + 1.0);
        assert!(look(&mut watched)["process_cpu_percent"] > 0.0);
    }

    #[test]
    fn another_main_process_is_a_restart() {
        let made_up = MadeUp::new();
        let mut watched = watch(&made_up, "name: shop");
        for (pid, started, restarts) in [(7, 1.0, 0.0), (7, 1.0, 0.0), (8, 2.0, 1.0), (8, 3.0, 2.0)] {
            made_up.process(pid, "shop", 'S', 0, started);
            assert_eq!(look(&mut watched)["process_restarts"], restarts, "{pid} since {started}");
            made_up.remove(&pid.to_string());
            assert_eq!(look(&mut watched).get("process_restarts"), None, "none runs");
        }
    }

    #[test]
    fn a_name_is_found_whole_or_as_the_kernel_cuts_it() {
        let made_up = MadeUp::new();
        made_up.process(7, "prometheus-node", 'S', 0, 1.0);
        made_up.write("7/cmdline", "/usr/bin/prometheus-node-exporter\0--x\0");
        assert_eq!(count(&made_up, "name: prometheus-node-exporter"), Some(1.0));
        assert_eq!(count(&made_up, "name: prometheus-node"), Some(1.0));
        assert_eq!(count(&made_up, "{ name: x, command: prometheus-node-exporter }"), Some(1.0));
        assert_eq!(count(&made_up, "name: prometheus-node-other"), Some(0.0), "another program, by its arguments");
        assert_eq!(count(&made_up, "name: prometheus"), Some(0.0));
        made_up.write("7/cmdline", "exporting since Monday");
        assert_eq!(count(&made_up, "name: prometheus-node-exporter"), Some(1.0), "it wrote over its arguments");
    }

    #[test]
    fn a_cgroup_holds_what_is_in_it_and_below_it() {
        let made_up = MadeUp::new();
        for (pid, cgroup) in [(1, "/init.scope"), (7, "/a/b"), (8, "/a/b/c"), (9, "/a/bc")] {
            made_up.process(pid, "x", 'S', 0, 1.0);
            made_up.write(&format!("{pid}/cgroup"), &format!("0::{cgroup}\n"));
        }
        assert_eq!(count(&made_up, "{ name: b, cgroup: /a/b }"), Some(2.0));
        assert_eq!(count(&made_up, "{ name: b, cgroup: /a/b/ }"), Some(2.0));
        assert_eq!(count(&made_up, "{ name: b, command: y, cgroup: /a/b }"), Some(0.0));
        made_up.spoil("8/cgroup");
        assert_eq!(count(&made_up, "{ name: b, cgroup: /a/b }"), None, "nobody knows whether it is in it");
        made_up.remove("8/cgroup");
        assert_eq!(count(&made_up, "{ name: b, cgroup: /a/b }"), Some(1.0), "it is gone");
    }

    #[test]
    fn where_processes_are_hidden_none_is_said_to_be_down() {
        let made_up = MadeUp::new();
        made_up.process(7, "shop", 'S', 0, 1.0);
        let mut watched = watch(&made_up, "name: shop");
        assert_eq!(look(&mut watched)["up"], 1.0);
        made_up.remove("1");
        assert_eq!(look(&mut watched), BTreeMap::new(), "as with hidepid");
        made_up.process(1, "init", 'S', 0, 0.0);
        made_up.spoil("7/stat");
        assert_eq!(look(&mut watched), BTreeMap::new());
    }
}
