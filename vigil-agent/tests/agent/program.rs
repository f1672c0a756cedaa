//! The program: killed, stopped, asked once.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};
use vigil_core::testing::eventually_within;

use crate::hub::{Hub, PATIENCE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vigil-agent");

fn start(hub: &Hub, folder: &Path) -> Child {
    let config = folder.join("agent.yaml");
    let text = "host: { cpu: false, memory: false, load: false, disks: [], networks: [] }\ncatch_up_per_second: 100\n";
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.env_clear().args(["--config", config.to_str().unwrap(), "--listen", "127.0.0.1:0", "--interval", "0.1"]);
    command.args(["--server", &format!("http://{}", hub.address), "--buffer", folder.join("buffer").to_str().unwrap()]);
    command.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// The keys of what waits.
pub(crate) fn batches(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("buffer")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(".json.gz").map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_sends_nothing_twice_and_loses_only_what_it_was_measuring() {
    let (mut hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let mut kept = Vec::new();
    for round in 0..6 {
        let mut agent = start(&hub, folder.path());
        let before = hub.samples().len();
        hub.until(before + 5).await;
        if round % 2 == 1 {
            hub.away().await;
            let waiting = batches(folder.path()).len();
            eventually_within(PATIENCE, "it measures into its buffer", async || {
                (batches(folder.path()).len() >= waiting + 3).then_some(())
            })
            .await;
        }
        agent.kill().await.unwrap();
        kept.extend(batches(folder.path()));
        if round % 2 == 1 {
            hub.back().await;
        }
    }
    assert!(kept.len() >= 9, "{kept:?}");
    let mut agent = start(&hub, folder.path());
    hub.until(hub.samples().len() + 3).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(agent.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(agent.wait().await.unwrap().success());
    assert_eq!(batches(folder.path()), [""; 0], "everything that was kept was sent");
    let taken = hub.keys();
    assert!(kept.iter().all(|key| taken.contains(key)), "what was kept when it was killed arrived");
    let all = hub.samples();
    let mut times: Vec<_> = all.iter().map(|sample| sample.timestamp).collect();
    assert!(times.is_sorted(), "in order");
    times.dedup();
    assert_eq!(times.len(), all.len(), "none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_sends_and_dry_run_only_prints() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let run = async |arguments: &[&str]| {
        let server = format!("http://{}", hub.address);
        let buffer = folder.path().join("buffer").display().to_string();
        let mut command = Command::new(PROGRAM);
        command.env_clear().args(["--server", &server, "--buffer", &buffer]).args(arguments).current_dir(folder.path());
        let output = command.output().await.unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (good, text) = run(&["--dry-run"]).await;
    assert!(good && text.lines().any(|line| line.contains(r#""name":"memory_percent""#)), "{text}");
    std::fs::write(folder.path().join("disks.yaml"), "host: { disks: [/nowhere] }").unwrap();
    let (good, text) = run(&["--dry-run", "--config", "disks.yaml"]).await;
    assert!(good && text.contains("nothing is mounted there"), "what is missing is said: {text}");
    assert_eq!(hub.requests(), 0);
    let (good, text) = run(&["--dry-run", "--tag", "host=node-7,zone=a"]).await;
    assert!(
        good && text.lines().all(|line| line.contains(r#""host":"node-7""#) && line.contains(r#""zone":"a""#)),
        "{text}"
    );
    let (good, text) = run(&["--dry-run", "--tag", "host"]).await;
    assert!(!good && text.contains("write it as key=value"), "{text}");
    let (good, _) = run(&["--once"]).await;
    assert!(good && hub.samples().iter().any(|sample| sample.name == "cpu_percent"));
    let (good, text) = run(&["--config", "/nowhere.yaml"]).await;
    assert!(!good && text.contains("vigil-agent: /nowhere.yaml cannot be read"), "{text}");
    let (good, text) = run(&["--help"]).await;
    assert!(good && text.contains("AGENT_INTERVAL") && text.contains("--dry-run"), "{text}");
}

/// As a user that may do nothing, where the tests run as root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_needs_no_privileges() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: it runs without privileges as it is");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // Where the program was built others may not look.
    let program = folder.path().join("agent");
    std::fs::copy(PROGRAM, &program).unwrap();
    let config = folder.path().join("agent.yaml");
    std::fs::write(&config, "processes: [{ name: first, cgroup: / }]\n").unwrap();
    let mut command = Command::new(&program);
    command
        .env_clear()
        .env("TMPDIR", folder.path())
        .arg("--config")
        .arg(&config)
        .arg("--dry-run")
        .uid(65534)
        .gid(65534);
    let output = command.output().await.unwrap();
    let (samples, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    for name in ["cpu_percent", "memory_percent", "load1", "disk_free_percent", "process_count", "process_cpu_percent"]
    {
        assert!(samples.contains(&format!(r#""name":"{name}""#)), "{name} in {samples}; {said}");
    }
}
