//! A real systemd, over its bus (`scripts/test-systemd`).

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError};
use vigil_remediator::systemd::{SystemdConfig, SystemdExecutor};
use vigil_remediator::{Executor, Prepared};

use crate::bench::{PATIENCE, envelope, have, job, request, spawn, until};
use crate::program::Program;
use crate::service::client;

/// The systemd of the tests, in its folder.
struct Machine {
    folder: String,
}

impl Machine {
    fn shared() -> Option<Self> {
        have("systemd", "VIGIL_TEST_SYSTEMD").map(|folder| Self { folder })
    }

    fn script(&self, verb: &str, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers/systemd");
        let output = Command::new(script).arg(verb).arg(&self.folder).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A unit made of a few lines of its `[Service]`.
    fn unit(&self, name: &str, lines: &str) {
        let path = format!("{}/root/etc/systemd/system/{name}.service", self.folder);
        std::fs::write(path, format!("[Service]\n{lines}\n")).unwrap();
        self.script("run", &["systemctl", "daemon-reload"]);
        self.script("run", &["systemctl", "start", name]);
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.script("run", &["systemctl", "show", "--value", "-p", name, unit])
    }

    fn executor(&self) -> Arc<SystemdExecutor> {
        Arc::new(SystemdExecutor::new(SystemdConfig { address: Some(self.script("address", &[])) }))
    }
}

#[tokio::test]
async fn a_unit_is_restarted_once() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("once", "ExecStart=sleep 600");
    let before = machine.property("once", "InvocationID");
    let envelope = envelope(machine.executor());
    let first = envelope.remediate(&request("k", 1, "once", "restart")).await.unwrap();
    assert!(
        matches!(&first, Outcome::Succeeded { details: Some(d) } if d.starts_with("RestartUnit once.service: active")),
        "{first:?}"
    );
    let restarted = machine.property("once", "InvocationID");
    assert_ne!(restarted, before);
    for attempt in 1..4 {
        assert_eq!(envelope.remediate(&request("k", attempt, "once", "restart")).await.unwrap(), first);
    }
    assert_eq!(machine.property("once", "InvocationID"), restarted);
}

#[tokio::test]
async fn units_are_stopped_and_started() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("updown", "ExecStart=sleep 600");
    let envelope = envelope(machine.executor());
    for (number, (word, state)) in
        [("drain-pod", "inactive"), ("scale-up", "active"), ("scale-down", "inactive"), ("restart", "active")]
            .into_iter()
            .enumerate()
    {
        let outcome = envelope.remediate(&request(&format!("k{number}"), 1, "updown", word)).await.unwrap();
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{word}: {outcome:?}");
        assert_eq!(machine.property("updown", "ActiveState"), state, "{word}");
    }
}

#[tokio::test]
async fn a_probe_tells_by_the_invocation() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("probed", "ExecStart=sleep 600");
    let (executor, job) = (machine.executor(), job(&request("k", 1, "probed", "restart"), "probed"));
    let Prepared::Ready(before) = executor.prepare(&job).await.unwrap() else { panic!() };
    assert_eq!(executor.probe(&job, &before, Duration::ZERO).await.unwrap(), Probe::NotDone);
    machine.script("run", &["systemctl", "restart", "probed"]);
    let probe = executor.probe(&job, &before, Duration::ZERO).await.unwrap();
    assert!(matches!(probe, Probe::Done(Outcome::Succeeded { .. })), "{probe:?}");
}

#[tokio::test]
async fn a_unit_that_cannot_start_is_a_failure_and_a_foreign_name_is_rejected() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("broken", "Type=notify\nExecStart=/bin/false");
    let executor = machine.executor();
    let broken = job(&request("k", 1, "broken", "restart"), "broken");
    let Prepared::Ready(before) = executor.prepare(&broken).await.unwrap() else { panic!() };
    let outcome = executor.execute(&broken, &before, until()).await.unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed { reason, retryable: false } if reason.contains("journalctl -u broken")),
        "{outcome:?}"
    );
    for name in ["nowhere", "../../etc/passwd", "a b", ""] {
        let job = job(&request("k", 1, "x", "restart"), name);
        assert!(matches!(executor.prepare(&job).await.unwrap(), Prepared::Rejected(_)), "{name}");
    }
}

#[tokio::test]
async fn the_result_of_the_job_counts_not_only_the_state() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("needed", "Type=oneshot\nExecStart=/bin/false");
    let path = format!("{}/root/etc/systemd/system/needs.service", machine.folder);
    std::fs::write(path, "[Unit]\nRequires=needed.service\nAfter=needed.service\n[Service]\nExecStart=sleep 600\n")
        .unwrap();
    machine.script("run", &["systemctl", "daemon-reload"]);
    let outcome = envelope(machine.executor()).remediate(&request("k", 1, "needs", "scale-up")).await.unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed { reason, .. } if reason.contains("ended as 'dependency'")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_unit_that_is_at_something_is_not_disturbed() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("busy", "ExecStart=sleep 600\nExecStop=/bin/sleep 2");
    machine.script("run", &["systemctl", "--no-block", "restart", "busy"]);
    let job = job(&request("k", 1, "busy", "restart"), "busy");
    let busy = machine.executor().prepare(&job).await;
    assert!(matches!(busy, Err(RemediatorError::Throttled { .. })), "{busy:?}");
}

#[tokio::test]
async fn a_bus_that_is_not_there_was_asked_nothing() {
    let executor = SystemdExecutor::new(SystemdConfig { address: Some("unix:path=/nowhere".to_owned()) });
    let envelope = envelope(Arc::new(executor));
    let answer = envelope.remediate(&request("k", 1, "web", "restart")).await;
    assert!(matches!(answer, Err(RemediatorError::Unavailable(_))), "{answer:?}");
}

/// A real unit is being restarted, which takes its time, when the program is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_effect_and_answer_the_program_finds_the_restart_and_does_nothing_again() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit(
        "slow",
        "ExecStart=sleep 600\nExecStartPre=/bin/sh -c 'echo start >> /run/slow-starts'\nExecStartPost=/bin/sleep 2",
    );
    let starts = || machine.script("run", &["cat", "/run/slow-starts"]).lines().count();
    assert_eq!(starts(), 1);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("r.yaml");
    let address = machine.script("address", &[]);
    let ledger = folder.path().join("keys.redb");
    let text = format!(
        "ledger: {}\nexecutors: {{ units: {{ systemd: {{ address: '{address}' }} }} }}\nroutes: [{{ executor: units }}]\n",
        ledger.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut program = Program::start(&config).await;
    let address = program.address;
    let asking = spawn(async move { client(address, None).remediate(&request("k", 1, "slow", "restart")).await });
    // The effect is there; the job ends two seconds later.
    while starts() < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    program.again().await;
    let broken = asking.await.unwrap();
    assert!(matches!(broken, Err(RemediatorError::Indeterminate(_))), "{broken:?}");
    let probe = tokio::time::timeout(PATIENCE, program.known("k")).await.unwrap();
    assert!(matches!(probe, Probe::Done(Outcome::Succeeded { .. })), "{probe:?}");
    let second = client(program.address, None).remediate(&request("k", 2, "slow", "restart")).await.unwrap();
    assert!(matches!(second, Outcome::Succeeded { .. }), "{second:?}");
    assert_eq!(starts(), 2, "started by hand, restarted once");
}
