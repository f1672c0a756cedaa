//! The program: killed, stopped, asked once.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::hub::Hub;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_sends_nothing_twice_and_loses_only_what_it_was_measuring() {
    let (mut hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    for round in 0..6 {
        let mut agent = start(&hub, folder.path());
        let before = hub.samples().len();
        if round % 2 == 1 {
            hub.away().await;
            sleep(Duration::from_millis(600)).await; // it measures into its buffer meanwhile
            hub.back().await;
        }
        hub.until(before + 5).await;
        agent.kill().await.unwrap();
    }
    let mut agent = start(&hub, folder.path());
    hub.until(hub.samples().len() + 3).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(agent.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(agent.wait().await.unwrap().success());
    let left = std::fs::read_dir(folder.path().join("buffer")).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".gz")).count();
    assert_eq!(left, 0, "everything that was kept was sent");
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
    assert_eq!(hub.requests(), 0);
    let (good, _) = run(&["--once"]).await;
    assert!(good && hub.samples().iter().any(|sample| sample.name == "cpu_percent"));
    let (good, text) = run(&["--config", "/nowhere.yaml"]).await;
    assert!(!good && text.contains("vigil-agent: /nowhere.yaml cannot be read"), "{text}");
    let (good, text) = run(&["--help"]).await;
    assert!(good && text.contains("AGENT_INTERVAL") && text.contains("--dry-run"), "{text}");
}
