//! [`Host`]: processor, memory, load, disks and networks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use vigil_core::clock::Timestamp;

use super::proc::{Proc, since_boot};
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
    /// The mount points whose `disk_free_percent{mount}` is measured, 100 less what `df` calls used; those of local disks
    /// without it.
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
    proc: Proc,
    /// The last look at the processors.
    cpu: Option<Cpu>,
    /// The last look at the networks, and when it was.
    networks: Option<(Duration, Counters)>,
}

/// Ticks of all processors since the start.
#[derive(Clone, Copy)]
struct Cpu {
    busy: u64,
    all: u64,
}

/// Bytes received and transmitted, by interface.
type Counters = BTreeMap<String, [u64; 2]>;

/// What is no disk: in memory, read-only, or a view of another. What has no blocks at all is none either.
const NO_DISKS: [&str; 8] = ["tmpfs", "devtmpfs", "ramfs", "hugetlbfs", "squashfs", "iso9660", "overlay", "autofs"];
/// What another machine holds: if that is away, asking would hold everything up.
const REMOTE: [&str; 7] = ["nfs", "cifs", "smb", "9p", "ceph", "afs", "fuse."];

impl Host {
    pub(super) fn new(config: HostConfig, proc: Proc) -> Self {
        Self { config, proc, cpu: None, networks: None }
    }

    pub(super) fn collect(&mut self, at: Timestamp, complaints: &mut Complaints) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut numbers = Vec::new();
        if self.config.cpu {
            // A share of the time since the last look: the first one has none.
            let percent = complaints.without("processor", self.cpu()).flatten();
            numbers.extend(percent.map(|percent| ("cpu_percent", percent)));
        }
        if self.config.memory {
            numbers.extend(complaints.without("memory", self.memory()).unwrap_or_default());
        }
        if self.config.load {
            numbers.extend(complaints.without("load", self.load()).into_iter().flatten());
        }
        readings.extend(numbers.into_iter().map(|(name, value)| Reading::new(name, value, at)));
        self.disks(&mut readings, at, complaints);
        self.networks(&mut readings, at, complaints);
        readings
    }

    fn cpu(&mut self) -> Result<Option<f64>, String> {
        let text = self.proc.text("stat")?;
        let now = Cpu::parse(&text).ok_or("/proc/stat does not begin with the processors")?;
        let last = self.cpu.replace(now);
        Ok(last.and_then(|last| share(now.busy.checked_sub(last.busy)?, now.all.checked_sub(last.all)?)))
    }

    fn memory(&self) -> Result<Vec<(&'static str, f64)>, String> {
        let text = self.proc.text("meminfo")?;
        let field = |name: &str| {
            let mut found = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.next()?.split_whitespace().next()?.parse::<u64>().ok()
        };
        let used = |total: &str, free: &str| {
            let total = field(total)?;
            share(total.saturating_sub(field(free)?), total)
        };
        let memory = used("MemTotal", "MemAvailable").ok_or("the system does not say how much there is")?;
        // No swap is no number, and nothing to complain about.
        let swap = used("SwapTotal", "SwapFree").map(|percent| ("swap_percent", percent));
        Ok([("memory_percent", memory)].into_iter().chain(swap).collect())
    }

    fn load(&self) -> Result<[(&'static str, f64); 3], String> {
        let text = self.proc.text("loadavg")?;
        let loads: Vec<f64> = text.split(' ').take(3).map_while(|load| load.parse().ok()).collect();
        match loads[..] {
            [one, five, fifteen] => Ok([("load1", one), ("load5", five), ("load15", fifteen)]),
            _ => Err(format!("/proc/loadavg makes no sense: {text}")),
        }
    }

    fn disks(&self, readings: &mut Vec<Reading>, at: Timestamp, complaints: &mut Complaints) {
        if self.config.disks.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let Some(text) = complaints.without("disks", self.proc.text("self/mounts")) else { return };
        let mounts: Vec<_> = text.lines().filter_map(mount).collect();
        let wanted = self.config.disks.clone().unwrap_or_else(|| disks_of(&mounts));
        for wanted in wanted {
            let free = match mounts.iter().any(|(_, mount, _)| *mount == wanted) {
                true => free(&wanted),
                false => Err("nothing is mounted there".to_owned()),
            };
            let free = complaints.without(&format!("disk {wanted}"), free).flatten();
            readings.extend(free.map(|free| Reading::new("disk_free_percent", free, at).of("mount", wanted)));
        }
    }

    fn networks(&mut self, readings: &mut Vec<Reading>, at: Timestamp, complaints: &mut Complaints) {
        if self.config.networks.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let looked = since_boot();
        let Some(text) = complaints.without("networks", self.proc.text("net/dev")) else { return };
        let now: Counters = text.lines().filter_map(interface).collect();
        for wanted in self.config.networks.iter().flatten() {
            let found = now.get(wanted).ok_or("there is no such interface, or it has no counters");
            complaints.without(&format!("network {wanted}"), found);
        }
        if let Some((last, before)) = &self.networks {
            let passed = looked.saturating_sub(*last).as_secs_f64();
            let is_wanted = |interface: &String| match &self.config.networks {
                Some(wanted) => wanted.contains(interface),
                None => interface != "lo",
            };
            for (interface, bytes) in now.iter().filter(|(interface, _)| passed > 0.0 && is_wanted(interface)) {
                // One that came since, or was set up anew, has no rate yet.
                let Some(before) = before.get(interface) else { continue };
                for (direction, name) in
                    ["network_receive_bytes_per_second", "network_transmit_bytes_per_second"].iter().enumerate()
                {
                    let rate = bytes[direction].checked_sub(before[direction]).map(|bytes| bytes as f64 / passed);
                    readings.extend(rate.map(|rate| Reading::new(*name, rate, at).of("interface", interface)));
                }
            }
        }
        self.networks = Some((looked, now));
    }
}

impl Cpu {
    /// The line `cpu`: user, nice, system, idle, iowait, irq, softirq, steal. Guests are within user.
    fn parse(text: &str) -> Option<Self> {
        let fields: Option<Vec<u64>> = text
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .take(8)
            .map(|ticks| ticks.parse().ok())
            .collect();
        let fields = fields?;
        let idle = fields.get(3)? + fields.get(4)?;
        let all: u64 = fields.iter().sum();
        Some(Self { busy: all - idle, all })
    }
}

/// Source, mount point and type of a line of `/proc/self/mounts`, in which white space is written as its octal number.
fn mount(line: &str) -> Option<(&str, String, &str)> {
    let mut fields = line.split(' ');
    let (source, mount, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let mount = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(mount.to_owned(), |mount, (number, character)| mount.replace(number, character));
    Some((source, mount, kind))
}

/// The mount points of local disks, each disk once, where it is mounted highest.
fn disks_of(mounts: &[(&str, String, &str)]) -> Vec<String> {
    let mut disks: BTreeMap<&str, &String> = BTreeMap::new();
    for &(source, ref mount, kind) in mounts {
        let is_other = NO_DISKS.contains(&kind) || REMOTE.iter().any(|remote| kind.starts_with(remote));
        if mount == "/" || !is_other {
            let highest = disks.entry(source).or_insert(mount);
            if mount.len() < highest.len() {
                *highest = mount;
            }
        }
    }
    disks.into_values().cloned().collect()
}

/// How much of what users may have is free, in percent: 100 less what `df` calls used. `None` of what has no blocks.
fn free(mount: &str) -> Result<Option<f64>, String> {
    let disk = rustix::fs::statvfs(mount).map_err(|error| error.to_string())?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    Ok(share(disk.f_bavail, used + disk.f_bavail).filter(|_| disk.f_blocks > 0))
}

/// A line of `/proc/net/dev`: bytes are the first and the ninth number.
fn interface(line: &str) -> Option<(String, [u64; 2])> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<_> = numbers.split_whitespace().collect();
    Some((name.trim().to_owned(), [numbers.first()?.parse().ok()?, numbers.get(8)?.parse().ok()?]))
}

/// A part of a whole in percent; `None` of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::made_up::MadeUp;

    fn host(made_up: &MadeUp) -> (Host, Complaints) {
        (Host::new(HostConfig { disks: Some(vec![]), ..HostConfig::default() }, made_up.proc()), Complaints::default())
    }

    fn look((host, complaints): &mut (Host, Complaints)) -> BTreeMap<String, f64> {
        let readings = host.collect(Timestamp::from_micros(0), complaints);
        let name = |reading: &Reading| match reading.tags.get("interface") {
            Some(interface) => format!("{} {interface}", reading.name),
            None => reading.name.clone(),
        };
        readings.iter().map(|reading| (name(reading), reading.value)).collect()
    }

    fn whole() -> MadeUp {
        let made_up = MadeUp::new();
        made_up.write("stat", "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n");
        made_up.write(
            "meminfo",
            "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n",
        );
        made_up.write("loadavg", "0.50 1.50 2.50 1/100 42\n");
        networks(&made_up, &[("lo", 1), ("eth0", 1000)]);
        made_up
    }

    fn networks(made_up: &MadeUp, bytes: &[(&str, u64)]) {
        let line = |(name, bytes): &(&str, u64)| format!("  {name}: {bytes} 1 0 0 0 0 0 0 {bytes} 1 0 0 0 0 0 0\n");
        let lines: String = bytes.iter().map(line).collect();
        made_up
            .write("net/dev", &format!("Inter-|   Receive | Transmit\n face |bytes packets |bytes packets\n{lines}"));
    }

    #[test]
    fn numbers_are_what_the_kernel_says() {
        let made_up = whole();
        let mut host = host(&made_up);
        let first = look(&mut host);
        assert_eq!((first["memory_percent"], first["swap_percent"]), (75.0, 10.0));
        assert_eq!((first["load1"], first["load5"], first["load15"]), (0.5, 1.5, 2.5));
        assert!(!first.contains_key("cpu_percent") && first.len() == 5, "one look is no difference: {first:?}");
        made_up.write("stat", "cpu  120 0 110 750 120 0 0 0 50 0\n");
        networks(&made_up, &[("lo", 1), ("eth0", 3000), ("tun0", 9_000_000)]);
        let second = look(&mut host);
        assert_eq!(second["cpu_percent"], 30.0, "30 of 100 ticks, waiting for disks left out");
        assert!(second["network_receive_bytes_per_second eth0"] > 0.0);
        assert_eq!(second.keys().filter(|name| name.starts_with("network")).count(), 2, "tun0 came since: {second:?}");
        let third = look(&mut host);
        assert_eq!(third["network_transmit_bytes_per_second tun0"], 0.0);
        networks(&made_up, &[("eth0", 5)]);
        assert!(!look(&mut host).contains_key("network_receive_bytes_per_second eth0"), "it was set up anew");
    }

    #[test]
    fn what_cannot_be_read_is_not_sent() {
        for (file, names) in [
            ("stat", "cpu_percent"),
            ("meminfo", "memory_percent swap_percent"),
            ("loadavg", "load1 load5 load15"),
            ("net/dev", "network_receive_bytes_per_second eth0 network_transmit_bytes_per_second eth0"),
        ] {
            let made_up = whole();
            let mut host = host(&made_up);
            look(&mut host);
            made_up.write("stat", "cpu  120 0 110 750 120 0 0 0 50 0\n");
            let whole = look(&mut host);
            made_up.spoil(file);
            let spoilt = look(&mut host);
            assert!(whole.len() > spoilt.len() && spoilt.len() >= 3, "{file}: {spoilt:?}");
            assert!(!spoilt.keys().any(|name| names.contains(name.as_str())), "{file}: {spoilt:?}");
        }
    }

    #[test]
    fn a_disk_is_one_however_often_it_is_mounted() {
        let lines = "overlay / overlay rw\nproc /proc proc rw\ntmpfs /run tmpfs rw\n/dev/sda1 /etc/hosts ext4 rw\n/dev/sda1 /a\\040b ext4 rw\n\
            /dev/sdb1 /data xfs rw\noverlay /var/lib/docker/overlay2/x/merged overlay rw\nnas:/x /nas nfs4 rw\n";
        let mounts: Vec<_> = lines.lines().filter_map(mount).collect();
        let disks = disks_of(&mounts);
        assert_eq!(disks, ["/a b", "/data", "/", "/proc"], "what has no blocks is left out when it is asked");
        assert_eq!(free("/proc").unwrap(), None);
    }
}
