//! [`Host`]: processor, memory, load, disks and networks.

use std::time::Instant as Moment;

use serde::Deserialize;
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use crate::complaints::Complaints;
use crate::sample::Reading;

/// What is measured of the host; everything by default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// `cpu_percent`: 100 is all processors busy.
    pub cpu: bool,
    /// `memory_percent`, of what is not available, and `swap_percent`.
    pub memory: bool,
    /// `load1`, `load5`, `load15`.
    pub load: bool,
    /// The mount points whose `disk_free_percent{mount}` is measured; those of real disks without it.
    pub disks: Option<Vec<String>>,
    /// The interfaces whose `network_receive_bytes_per_second{interface}` and `network_transmit_...` are measured; all but
    /// loopback without it.
    pub networks: Option<Vec<String>>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { cpu: true, memory: true, load: true, disks: None, networks: None }
    }
}

pub(super) struct Host {
    config: HostConfig,
    /// Each is missing where the system does not let it be looked at.
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    /// When processor and networks were last looked at.
    last: Option<Moment>,
}

impl Host {
    pub(super) fn new(config: HostConfig, complaints: &mut Complaints) -> Self {
        let kind = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::everything());
        Self {
            config,
            system: complaints.without("processor and memory", System::new_with_specifics(kind)),
            disks: complaints.without("disks", Disks::new()),
            networks: complaints.without("networks", Networks::new()),
            last: None,
        }
    }

    pub(super) fn collect(&mut self, complaints: &mut Complaints) -> Vec<Reading> {
        let mut readings = Vec::new();
        #[allow(clippy::disallowed_methods)]
        // how much real time has passed between two readings of the kernel's counters
        let now = Moment::now();
        let passed = self.last.replace(now).map(|last| now.duration_since(last).as_secs_f64());
        if self.config.cpu
            && let Some(system) = &mut self.system
        {
            system.refresh_cpu_usage();
            // A share of the time since the last look: the first one has none.
            if passed.is_some() {
                readings.push(Reading::new("cpu_percent", f64::from(system.global_cpu_usage())));
            }
        }
        if self.config.memory {
            self.memory(&mut readings, complaints);
        }
        if self.config.load
            && let Some(load) = complaints.without("load", System::load_average())
        {
            for (name, value) in [("load1", load.one), ("load5", load.five), ("load15", load.fifteen)] {
                readings.push(Reading::new(name, value));
            }
        }
        self.disks(&mut readings, complaints);
        self.networks(&mut readings, passed, complaints);
        readings
    }

    fn memory(&mut self, readings: &mut Vec<Reading>, complaints: &mut Complaints) {
        let Some(system) = &mut self.system else { return };
        system.refresh_memory();
        let (total, available) = (system.total_memory(), system.available_memory());
        match share(total.saturating_sub(available), total) {
            Some(percent) => {
                complaints.settle("memory");
                readings.push(Reading::new("memory_percent", percent));
            }
            None => complaints.about("memory", "the system does not say how much there is"),
        }
        // No swap is no number, and nothing to complain about.
        let swap = share(system.used_swap(), system.total_swap());
        readings.extend(swap.map(|percent| Reading::new("swap_percent", percent)));
    }

    fn disks(&mut self, readings: &mut Vec<Reading>, complaints: &mut Complaints) {
        let Some(disks) = &mut self.disks else { return };
        disks.refresh(true);
        let mut found = Vec::new();
        for disk in disks.iter() {
            let mount = disk.mount_point().display().to_string();
            let is_wanted = match &self.config.disks {
                Some(wanted) => wanted.contains(&mount),
                None => disk.total_space() > 0,
            };
            if is_wanted && !found.contains(&mount) {
                if let Some(percent) = share(disk.available_space(), disk.total_space()) {
                    readings.push(Reading::new("disk_free_percent", percent).of("mount", mount.clone()));
                }
                found.push(mount);
            }
        }
        for mount in self.config.disks.iter().flatten() {
            let what = format!("disk {mount}");
            match found.contains(mount) {
                true => complaints.settle(&what),
                false => complaints.about(&what, "nothing is mounted there"),
            }
        }
    }

    fn networks(&mut self, readings: &mut Vec<Reading>, passed: Option<f64>, complaints: &mut Complaints) {
        let Some(networks) = &mut self.networks else { return };
        networks.refresh(true);
        let mut found = Vec::new();
        for (interface, data) in networks.iter() {
            let interface = interface.to_string_lossy().into_owned();
            let is_wanted = match &self.config.networks {
                Some(wanted) => wanted.contains(&interface),
                None => interface != "lo",
            };
            if let (true, Some(passed)) = (is_wanted, passed.filter(|passed| *passed > 0.0)) {
                let rates = [("receive", data.received()), ("transmit", data.transmitted())];
                for (direction, bytes) in rates {
                    let name = format!("network_{direction}_bytes_per_second");
                    readings.push(Reading::new(name, bytes as f64 / passed).of("interface", &interface));
                }
            }
            found.push(interface);
        }
        for interface in self.config.networks.iter().flatten() {
            let what = format!("network {interface}");
            match found.contains(interface) {
                true => complaints.settle(&what),
                false => complaints.about(&what, "there is no such interface"),
            }
        }
    }
}

/// A part of a whole in percent; `None` of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}
