//! Lists of units and processes: real processes here, and a real systemd (`scripts/test-systemd`).

use std::path::{Path, PathBuf};

use vigil_core::testing::eventually;
use vigil_gitops::units::{UnitsConfig, UnitsSource};
use vigil_gitops::{Comparison, Ignore, ItemKey, Source, SourceError};

use crate::common::{patch, said, word, write};

mod real;

/// A list, and a program under a name of its own.
struct Bench {
    folder: tempfile::TempDir,
    source: UnitsSource,
    name: String,
}

impl Bench {
    fn new() -> Self {
        let address = Some("unix:path=/nowhere".to_owned());
        let source = UnitsSource::new(UnitsConfig { address, ..UnitsConfig::default() }, Vec::<Ignore>::new());
        let folder = tempfile::tempdir().unwrap();
        // The kernel keeps 15 letters: as many as of this name.
        let end = folder.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_lowercase();
        let name = format!("vigil-test-{end}");
        let name = name.chars().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect();
        let bench = Self { folder, source, name };
        std::os::unix::fs::symlink("/bin/sleep", bench.program()).unwrap();
        bench
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Declares some of its program.
    fn declare(&self, count: u32) {
        let start = format!("[{}, '600']", self.program().display());
        self.list(&format!("processes: [{{name: {}, count: {count}, start: {start}}}]", self.name));
    }

    fn list(&self, text: &str) {
        write(self.folder.path(), "units.yaml", text);
    }

    fn key(&self) -> ItemKey {
        ItemKey::new("process", "", &self.name)
    }

    async fn compare(&self) -> Comparison {
        self.source.compare(self.folder.path()).await.unwrap()
    }

    async fn heal(&self) -> String {
        word(&self.source.heal(self.folder.path(), &self.key()).await)
    }

    /// The processes of that name, dead ones that nobody collected among them.
    fn pids(&self) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == self.name)
        })
        .collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.pids().into_iter().for_each(kill);
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[tokio::test]
async fn what_should_run_and_does_not_is_started_on_its_own() {
    let bench = Bench::new();
    bench.declare(1);
    let comparison = bench.compare().await;
    assert_eq!(said(&comparison), [format!("process/{} drifted: 0 of 1 processes run", bench.name)]);
    assert_eq!(patch(&comparison, &bench.key()), r#"[{"op":"replace","path":"/count","value":1}]"#);
    assert_eq!(comparison.items[0].origin.to_string(), "units.yaml:1");
    assert_eq!(bench.heal().await, format!("succeeded: 1 started, 1 processes '{}' run", bench.name));
    assert_eq!(said(&bench.compare().await), [format!("process/{} same", bench.name)]);
    let pid = bench.pids()[0];
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string(), "a session of its own");
    for number in 0..3 {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap(), Path::new("/dev/null"));
    }
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(!environment.contains("CARGO"), "the environment of this program is its own: {environment}");
    // The dead one is collected, and another takes its place.
    kill(pid);
    eventually("the end of the process", async || (!bench.pids().contains(&pid)).then_some(())).await;
    assert!(bench.heal().await.starts_with("succeeded: 1 started"));
    assert_ne!(bench.pids(), [pid]);
}

#[tokio::test]
async fn as_many_are_started_as_there_are_too_few() {
    let bench = Bench::new();
    bench.declare(1);
    bench.heal().await;
    let first = bench.pids();
    bench.declare(3);
    let comparison = bench.compare().await;
    assert_eq!(said(&comparison), [format!("process/{} drifted: 1 of 3 processes run", bench.name)]);
    assert!(bench.heal().await.starts_with("succeeded: 2 started, 3 processes"));
    assert_eq!(bench.heal().await, format!("succeeded: 3 processes '{}' run already", bench.name), "twice is once");
    let now = bench.pids();
    assert!(now.len() == 3 && now.contains(&first[0]));
    bench.declare(2);
    assert_eq!(said(&bench.compare().await), [format!("process/{} same", bench.name)], "it is the fewest");
}

#[tokio::test]
async fn what_is_started_is_started_without_a_shell_or_not_at_all() {
    let bench = Bench::new();
    let mark = bench.folder.path().join("mark");
    let trick = format!("1; touch {}", mark.display());
    bench.list(&format!("processes: [{{name: {}, start: [{}, '{trick}']}}]", bench.name, bench.program().display()));
    let answer = bench.heal().await;
    assert!(
        answer.starts_with(&format!("failed (false): {} ended with exit status: 1", bench.program().display())),
        "{answer}"
    );
    assert!(!mark.exists());
    bench.list(&format!("processes: [{{name: {}}}]", bench.name));
    assert_eq!(bench.heal().await, format!("rejected: nothing says how '{}' is started: give it a start", bench.name));
    bench.list(&format!("processes: [{{name: {}, start: [/nowhere/program]}}]", bench.name));
    assert!(bench.heal().await.starts_with("failed (false): /nowhere/program ended with exit status: 127"));
    bench.list("units: []");
    assert_eq!(bench.heal().await, format!("rejected: process/{} is not declared any more", bench.name));
}

#[tokio::test]
async fn what_puts_itself_into_the_background_is_waited_for() {
    let bench = Bench::new();
    let script = format!("{} 600 & exit 0", bench.program().display());
    bench.list(&format!("processes: [{{name: {}, start: [/bin/sh, -c, '{script}']}}]", bench.name));
    assert!(bench.heal().await.starts_with("succeeded: 1 started, 1 processes"));
}

#[tokio::test]
async fn a_broken_list_names_file_and_line() {
    let bench = Bench::new();
    bench.list("processes:\n- name: a\n- name: b\n  cuont: 1\n");
    let comparison = bench.compare().await;
    assert!(comparison.items.is_empty());
    assert_eq!(comparison.problems.len(), 1);
    assert_eq!(
        (comparison.problems[0].file.as_path(), comparison.problems[0].line),
        (Path::new("units.yaml"), Some(4))
    );
    let nowhere = bench.source.compare(Path::new("/nowhere")).await;
    assert!(matches!(nowhere, Err(SourceError::Read { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn without_a_bus_units_are_unknown_and_processes_are_compared() {
    let bench = Bench::new();
    bench.source.ping().await.unwrap();
    bench.list(&format!("units: [{{unit: shop}}]\nprocesses: [{{name: {}}}]", bench.name));
    let comparison = said(&bench.compare().await);
    assert!(comparison[0].starts_with("unit/shop.service unknown: "), "{comparison:?}");
    assert!(comparison[1].contains("drifted"));
    assert!(bench.source.ping().await.is_err());
    let unit = ItemKey::new("unit", "", "shop.service");
    assert_eq!(word(&bench.source.heal(bench.folder.path(), &unit).await), "unavailable");
    bench.list("units: [{unit: shop}]");
    let nothing = bench.source.compare(bench.folder.path()).await;
    assert!(matches!(nothing, Err(SourceError::Away { .. })), "{nothing:?}");
}
