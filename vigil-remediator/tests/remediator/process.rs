//! Real processes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use vigil_core::action::{ActionType, Severity};
use vigil_core::remediator::{Outcome, Probe, RemediatorError};
use vigil_remediator::process::{ProcessConfig, ProcessExecutor};
use vigil_remediator::service::Config;
use vigil_remediator::{Executor, Job, Prepared};

use crate::bench::{PATIENCE, job, request, until, with_params};

/// An executor over a folder of its own, whose processes end with the test.
struct Bench {
    folder: TempDir,
    executor: ProcessExecutor,
    yaml: String,
}

impl Bench {
    async fn start(services_and_commands: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let yaml = services_and_commands.replace("FOLDER", &folder.path().display().to_string());
        let executor = executor(&folder, &yaml);
        executor.start().await.unwrap();
        Self { folder, executor, yaml }
    }

    /// As after the program died: another executor over the same folder.
    async fn again(&mut self) {
        self.executor = executor(&self.folder, &self.yaml);
        self.executor.start().await.unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    async fn prepare(&self, job: &Job) -> Value {
        match self.executor.prepare(job).await.unwrap() {
            Prepared::Ready(before) => before,
            Prepared::Rejected(reason) => panic!("{reason}"),
        }
    }

    async fn run(&self, job: &Job) -> Result<Outcome, RemediatorError> {
        let before = self.prepare(job).await;
        self.executor.execute(job, &before, until()).await
    }

    async fn pid(&self, job: &Job) -> Option<i64> {
        self.prepare(job).await["process"]["pid"].as_i64()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let mark = format!("VIGIL_SERVICE={}", self.folder.path().display());
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&environment).split('\0').any(|one| one.starts_with(&mark));
            let pid = entry.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
            if let (true, Some(pid)) = (is_ours, pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn executor(folder: &TempDir, yaml: &str) -> ProcessExecutor {
    let folder = folder.path().display();
    let text = format!("executors: {{ host: {{ process: {{ folder: '{folder}', {yaml} }} }} }}");
    let config = Config::parse(&text, Path::new("test.yaml")).unwrap();
    let Some(vigil_remediator::service::ExecutorConfig::Process(config)) = config.executors.get("host") else {
        panic!()
    };
    ProcessExecutor::new(ProcessConfig::clone(config)).unwrap()
}

fn restart(key: &str) -> Job {
    job(&request(key, 1, "shop", "restart"), "shop")
}

fn drain(key: &str) -> Job {
    job(&request(key, 1, "shop", "drain-pod"), "shop")
}

const SHOP: &str = "services: { shop: { command: [/bin/sh, -c, 'echo began; exec sleep 600'], start_seconds: 0.2 } }";

fn reason(outcome: Result<Outcome, RemediatorError>) -> String {
    match outcome.unwrap() {
        Outcome::Succeeded { details } => details.unwrap(),
        Outcome::Rejected { reason } | Outcome::Failed { reason, .. } => reason,
        Outcome::InProgress => panic!("in progress"),
    }
}

#[tokio::test]
async fn a_service_is_restarted_as_another_process_that_carries_the_key() {
    let bench = Bench::start(SHOP).await;
    let job = restart("k1");
    let before = bench.prepare(&job).await;
    let outcome = bench.executor.execute(&job, &before, until()).await;
    assert!(reason(outcome).starts_with("restarted as process"));
    assert_ne!(bench.pid(&job).await, before["process"]["pid"].as_i64());
    let probe = bench.executor.probe(&job, &before, PATIENCE).await.unwrap();
    assert!(
        matches!(&probe, Probe::Done(Outcome::Succeeded { details: Some(details) }) if details.ends_with("carries the key"))
    );
    assert_eq!(bench.read("shop.log").lines().count(), 2);
}

#[tokio::test]
async fn a_service_outlives_the_program_and_is_found_again() {
    let mut bench = Bench::start(SHOP).await;
    let pid = bench.pid(&restart("k")).await;
    assert!(pid.is_some());
    bench.again().await;
    assert_eq!(bench.pid(&restart("k")).await, pid);
    assert_eq!(bench.read("shop.log").lines().count(), 1, "it was started once");
}

#[tokio::test]
async fn a_probe_tells_a_restart_that_was_done_from_one_that_was_not() {
    let mut bench = Bench::start(SHOP).await;
    let (job, early, late) = (restart("k1"), Duration::from_secs(1), Duration::from_secs(60));
    let before = bench.prepare(&job).await;
    assert_eq!(bench.executor.probe(&job, &before, early).await.unwrap(), Probe::InProgress, "it may be stopping");
    assert_eq!(bench.executor.probe(&job, &before, late).await.unwrap(), Probe::NotDone);
    // The program died between the stop and the start: at its next start it brings the service back.
    let pid = before["process"]["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while bench.pid(&job).await.is_some() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.executor.probe(&job, &before, early).await.unwrap(), Probe::NotDone);
    bench.again().await;
    assert!(matches!(
        bench.executor.probe(&job, &before, early).await.unwrap(),
        Probe::Done(Outcome::Succeeded { .. })
    ));
}

#[tokio::test]
async fn what_does_not_end_by_itself_is_killed_with_all_it_started() {
    let stubborn =
        "services: { shop: { command: [/bin/sh, -c, 'trap \"\" TERM; sleep 600 & while :; do sleep 1; done'],
        stop_seconds: 0.3, start_seconds: 0.1 } }";
    let bench = Bench::start(stubborn).await;
    assert!(reason(bench.run(&drain("k")).await).starts_with("stopped after"));
    assert_eq!(bench.pid(&drain("k")).await, None, "nothing of its group is left");
}

#[tokio::test]
async fn a_drained_service_stays_down_until_it_is_restarted() {
    let mut bench = Bench::start(SHOP).await;
    let job = drain("k1");
    let before = bench.prepare(&job).await;
    assert!(reason(bench.executor.execute(&job, &before, until()).await).starts_with("stopped after"));
    assert!(matches!(bench.executor.probe(&job, &before, PATIENCE).await.unwrap(), Probe::Done(_)));
    bench.again().await;
    assert_eq!(bench.pid(&job).await, None);
    assert!(reason(bench.run(&restart("k2")).await).starts_with("restarted as process"));
    bench.again().await;
    assert!(bench.pid(&job).await.is_some());
}

#[tokio::test]
async fn a_service_that_writes_over_its_environment_is_found_and_stopped_all_the_same() {
    let title =
        "services: { shop: { command: [/usr/bin/perl, -e, '$0 = \"x\" x 4000; sleep 600'], start_seconds: 0.3 } }";
    let mut bench = Bench::start(title).await;
    sleep(Duration::from_millis(300)).await; // it starts, and writes its title
    let (job, pid) = (restart("k1"), bench.pid(&restart("k")).await);
    assert!(pid.is_some());
    bench.again().await;
    assert_eq!(bench.pid(&job).await, pid, "no second one is started");
    let before = bench.prepare(&job).await;
    assert!(reason(bench.executor.execute(&job, &before, until()).await).starts_with("restarted as process"));
    assert!(!Path::new(&format!("/proc/{}", pid.unwrap())).exists() || bench.pid(&job).await != pid);
    let probe = bench.executor.probe(&job, &before, PATIENCE).await.unwrap();
    assert!(
        matches!(&probe, Probe::Done(Outcome::Succeeded { details: Some(d) }) if d.ends_with("carries the key")),
        "{probe:?}"
    );
    assert!(reason(bench.run(&drain("k2")).await).starts_with("stopped after"));
    assert_eq!(bench.pid(&job).await, None);
}

#[tokio::test]
async fn what_could_be_cut_off_between_stop_and_start_is_not_begun() {
    let bench = Bench::start(SHOP).await;
    let (job, pid) = (restart("k1"), bench.pid(&restart("k")).await);
    let before = bench.prepare(&job).await;
    let answer = bench.executor.execute(&job, &before, Instant::now() + Duration::from_secs(5)).await.unwrap();
    assert!(matches!(&answer, Outcome::Rejected { reason } if reason.starts_with("it may take 10.2s")), "{answer:?}");
    assert_eq!(bench.pid(&job).await, pid);
}

#[tokio::test]
async fn a_service_that_ends_at_once_is_a_failure_with_its_last_words() {
    let bench = Bench::start("services: { shop: { command: [/bin/sh, -c, 'echo no config >&2; exit 3'] } }").await;
    let said = reason(bench.run(&restart("k")).await);
    assert!(said.starts_with("it ended within") && said.contains("no config"), "{said}");
    let missing = Bench::start("services: { shop: { command: [/bin/sleep, '600'], start_seconds: 0.1 } }").await;
    assert!(missing.executor.words("other").is_empty());
    let other = job(&request("k", 1, "other", "restart"), "other");
    assert!(matches!(missing.executor.prepare(&other).await.unwrap(), Prepared::Rejected(_)));
}

/// A command object whose word `custom` runs a script.
async fn command(script: &str, more: &str) -> Bench {
    let script = script.replace('\'', "''");
    Bench::start(&format!("commands: {{ tool: {{ custom: {{ command: [/bin/sh, -c, '{script}'] {more} }} }} }}")).await
}

fn tool(params: Value) -> Job {
    job(&with_params(request("k1", 2, "db-1; rm -rf /", "custom"), params), "tool")
}

#[tokio::test]
async fn a_command_is_told_by_its_environment_and_only_by_it() {
    let bench = command("env | sort; echo args: $#", ", env: { TZ: UTC }").await;
    assert_eq!(bench.executor.words("tool"), [ActionType::Custom]);
    let said = reason(bench.run(&tool(json!({"a": "$(touch x) `y`"}))).await);
    for line in [
        "VIGIL_TARGET=db-1; rm -rf /",
        "VIGIL_ACTION=custom",
        "VIGIL_SEVERITY=critical",
        "VIGIL_TENANT=default",
        "VIGIL_POLICY=high-cpu",
        "VIGIL_ATTEMPT=2",
        "VIGIL_IDEMPOTENCY_KEY=k1",
        r#"VIGIL_PARAMS={"a":"$(touch x) `y`"}"#,
        "TZ=UTC",
        "args: 0",
    ] {
        assert!(said.lines().any(|said| said.ends_with(line)), "{line} in {said}");
    }
    assert!(!said.contains("CARGO"), "the environment of this program is its own: {said}");
    assert_eq!(Severity::Critical.as_str(), "critical");
}

#[tokio::test]
async fn exit_codes_say_what_became_of_a_command() {
    for (script, more, retryable) in
        [("echo why >&2; exit 1", "", false), ("exit 75", "", true), ("exit 9", ", retryable_exit_codes: [9]", true)]
    {
        let outcome = command(script, more).await.run(&tool(json!({}))).await.unwrap();
        let Outcome::Failed { reason, retryable: is_retryable } = outcome else { panic!("{outcome:?}") };
        assert_eq!(is_retryable, retryable, "{reason}");
    }
    let killed = command("kill -9 $$", "").await.run(&tool(json!({}))).await;
    assert!(reason(killed).contains("ended by a signal"));
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_it_started() {
    let bench = command("sleep 600 & echo $! > FOLDER/child; sleep 600", ", time_limit_seconds: 0.3").await;
    let began = Instant::now();
    let answer = bench.run(&tool(json!({}))).await;
    assert!(matches!(answer, Err(RemediatorError::Indeterminate(_))), "nobody knows what it had done");
    assert!(began.elapsed() < PATIENCE);
    let child = bench.read("child").trim().to_owned();
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(Instant::now() < deadline, "the child {child} still runs");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn output_is_cut_and_holds_nothing_up() {
    let bench = command("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; sleep 600 & exit 0", "").await;
    let began = Instant::now();
    let said = reason(bench.run(&tool(json!({}))).await);
    assert!(said.ends_with("line 19999") && said.len() < 5000, "{}", said.len());
    assert!(began.elapsed() < PATIENCE, "what it left running does not hold the answer up");
}

#[tokio::test]
async fn a_probe_asks_the_commands_own_probe_once_it_does_not_run_any_more() {
    for (probe, expected) in [("exit 0", "done"), ("exit 1", "not done"), ("exit 2", "unknown")] {
        // A key of its own: commands of other tests may still run under theirs.
        let asked = job(&request("probed-key", 1, "x", "custom"), "tool");
        let bench = command("exit 0", &format!(", probe: [/bin/sh, -c, '{probe}']")).await;
        let probe = bench.executor.probe(&asked, &Value::Null, Duration::ZERO).await.unwrap();
        let word = match probe {
            Probe::Done(_) => "done",
            Probe::NotDone => "not done",
            Probe::InProgress => "in progress",
            Probe::Unknown => "unknown",
        };
        assert_eq!(word, expected);
    }
    let bench = Arc::new(command("touch FOLDER/began; read x < FOLDER/gate; true", "").await);
    let gate = bench.folder.path().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let mut run = Box::pin(async { bench.run(&job(&request("unique-key", 1, "x", "custom"), "tool")).await });
    let job = job(&request("unique-key", 1, "x", "custom"), "tool");
    loop {
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = sleep(Duration::from_millis(10)) => {}
        }
        if bench.folder.path().join("began").exists() {
            break;
        }
    }
    assert_eq!(bench.executor.probe(&job, &Value::Null, Duration::ZERO).await.unwrap(), Probe::InProgress);
    std::fs::write(&gate, "go\n").unwrap();
    run.await.unwrap();
    assert_eq!(bench.executor.probe(&job, &Value::Null, Duration::ZERO).await.unwrap(), Probe::Unknown);
}

#[tokio::test]
async fn a_command_that_outlived_the_program_is_ended_when_its_time_is_over() {
    let script = "touch FOLDER/began; sleep 100; echo done >> FOLDER/effects";
    let mut bench = command(script, ", time_limit_seconds: 2, probe: [/bin/sh, -c, 'test -s FOLDER/effects']").await;
    let job = job(&request("orphan-key", 1, "x", "custom"), "tool");
    // As kill -9 does: what would have ended it is never run.
    let mut run = Box::pin({
        let (executor, job) = (executor(&bench.folder, &bench.yaml), job.clone());
        async move { executor.execute(&job, &Value::Null, until()).await }
    });
    while !bench.folder.path().join("began").exists() {
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = sleep(Duration::from_millis(10)) => {}
        }
    }
    std::mem::forget(run);
    bench.again().await;
    let probe = async |since: u64| bench.executor.probe(&job, &Value::Null, Duration::from_secs(since)).await.unwrap();
    assert_eq!(probe(1).await, Probe::InProgress, "its time is not over");
    assert!(!carriers("orphan-key").is_empty());
    assert_eq!(probe(2).await, Probe::NotDone);
    assert_eq!(carriers("orphan-key"), [0; 0], "it does not run beside a second one");
    assert_eq!(bench.read("effects"), "");
}

#[tokio::test]
async fn what_a_command_left_running_on_purpose_is_not_the_command() {
    // It has left its group before the command ends: a child that is still in it is the command's.
    let script = "setsid /bin/sh -c 'echo > FOLDER/left; exec sleep 600' & \
                  while [ ! -e FOLDER/left ]; do sleep 0.01; done";
    let mut bench = command(script, ", time_limit_seconds: 2").await;
    let job = job(&request("daemon-key", 1, "x", "custom"), "tool");
    assert!(reason(bench.run(&job).await).contains("succeeded"));
    bench.again().await;
    for since in [1, 60] {
        let probe = bench.executor.probe(&job, &Value::Null, Duration::from_secs(since)).await.unwrap();
        assert_eq!(probe, Probe::Unknown, "it has no probe of its own");
    }
    let left = carriers("daemon-key");
    assert_eq!(left.len(), 1, "it is let be");
    rustix::process::kill_process(rustix::process::Pid::from_raw(left[0]).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
}

#[tokio::test]
async fn a_restart_that_cannot_be_written_down_is_one_all_the_same() {
    let bench = Bench::start(SHOP).await;
    let file = bench.folder.path().join("shop.started");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(reason(bench.run(&restart("k1")).await).starts_with("restarted as process"));
}

/// The living processes that carry a key.
fn carriers(key: &str) -> Vec<i32> {
    let is_one = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let carries =
            String::from_utf8_lossy(&environment).split('\0').any(|one| one == format!("VIGIL_IDEMPOTENCY_KEY={key}"));
        carries && std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}
