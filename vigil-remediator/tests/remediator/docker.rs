//! Docker: a real engine (`scripts/test-docker`), and one that is gone in the middle of a call.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use vigil_core::action::{ActionType, IdempotencyKey};
use vigil_core::remediator::{Outcome, Probe, Remediator, RemediatorError};
use vigil_remediator::docker::{DockerConfig, DockerExecutor};
use vigil_remediator::{Executor, Job, Ledger, Prepared};

use crate::bench::{PATIENCE, envelope, have, job, over, request, spawn, until, with_params};

/// The shared engine of the tests.
struct Engine {
    socket: String,
}

impl Engine {
    fn shared() -> Option<Self> {
        have("docker", "VIGIL_TEST_DOCKER_SOCKET").map(|socket| Self { socket })
    }

    fn run(&self, arguments: &[&str]) -> String {
        let socket = format!("unix://{}", self.socket);
        let output = Command::new("docker").args(["-H", &socket]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn container(&self, name: &str, script: &str, more: &[&str]) {
        let arguments = ["run", "-d", "--network", "none", "--name", name];
        self.run(&[&arguments, more, &["vigil-test", "sh", "-c", script]].concat());
    }

    /// A container of a Compose service.
    fn member(&self, project: &str, number: u32) {
        let labels = [
            format!("com.docker.compose.project={project}"),
            "com.docker.compose.service=web".to_owned(),
            format!("com.docker.compose.container-number={number}"),
        ];
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        self.container(&format!("{project}-web-{number}"), SLEEPS, &labels);
    }

    fn names(&self, project: &str) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={project}");
        let mut names: Vec<_> =
            self.run(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn inspect(&self, name: &str, what: &str) -> String {
        self.run(&["inspect", "--format", what, name])
    }

    fn executor(&self) -> Arc<DockerExecutor> {
        executor(&self.socket)
    }
}

fn executor(socket: &str) -> Arc<DockerExecutor> {
    Arc::new(DockerExecutor::new(DockerConfig { socket: socket.to_owned() }))
}

/// Ends at once when it is asked to.
const SLEEPS: &str = "trap exit TERM; while :; do busybox sleep 0.1; done";

fn act(key: &str, object: &str, action: &str, params: Value) -> Job {
    job(&with_params(request(key, 1, object, action), params), object)
}

async fn ready(executor: &DockerExecutor, job: &Job) -> Value {
    match executor.prepare(job).await.unwrap() {
        Prepared::Ready(before) => before,
        Prepared::Rejected(reason) => panic!("{reason}"),
    }
}

async fn rejected(executor: &DockerExecutor, job: &Job) -> String {
    match executor.prepare(job).await.unwrap() {
        Prepared::Ready(before) => panic!("{before}"),
        Prepared::Rejected(reason) => reason,
    }
}

fn is_done(probe: &Probe) -> bool {
    matches!(probe, Probe::Done(Outcome::Succeeded { .. }))
}

#[tokio::test]
async fn a_container_is_restarted_once() {
    let Some(engine) = Engine::shared() else { return };
    engine.container("once", SLEEPS, &[]);
    let before = engine.inspect("once", "{{.State.StartedAt}}");
    let envelope = envelope(engine.executor());
    let first = envelope.remediate(&request("k", 1, "once", "restart")).await.unwrap();
    assert!(
        matches!(&first, Outcome::Succeeded { details: Some(details) } if details.starts_with("restarted within")),
        "{first:?}"
    );
    let restarted = engine.inspect("once", "{{.State.StartedAt}}");
    assert_ne!(restarted, before);
    for attempt in 1..4 {
        assert_eq!(envelope.remediate(&request("k", attempt, "once", "restart")).await.unwrap(), first);
    }
    assert_eq!(engine.inspect("once", "{{.State.StartedAt}}"), restarted);
}

#[tokio::test]
async fn a_probe_tells_by_the_containers_start() {
    let Some(engine) = Engine::shared() else { return };
    engine.container("probed", SLEEPS, &[]);
    let (executor, job) = (engine.executor(), act("k", "probed", "restart", json!({})));
    let before = ready(&executor, &job).await;
    assert_eq!(executor.probe(&job, &before, Duration::from_secs(1)).await.unwrap(), Probe::InProgress);
    assert_eq!(executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap(), Probe::NotDone);
    engine.run(&["stop", "probed"]);
    assert_eq!(
        executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap(),
        Probe::NotDone,
        "stopped half way"
    );
    engine.run(&["start", "probed"]);
    assert!(is_done(&executor.probe(&job, &before, Duration::from_secs(1)).await.unwrap()));
    engine.run(&["rm", "-f", "probed"]);
    assert_eq!(executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap(), Probe::Unknown);
}

#[tokio::test]
async fn a_drained_container_is_stopped_gracefully_and_stays_so() {
    let Some(engine) = Engine::shared() else { return };
    engine.container("drained", "trap 'echo ended well; exit' TERM; while :; do busybox sleep 0.1; done", &[]);
    let (executor, job) = (engine.executor(), act("k", "drained", "drain-pod", json!({"grace_seconds": 20})));
    let before = ready(&executor, &job).await;
    assert_eq!(executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap(), Probe::NotDone);
    for _ in 0..2 {
        let outcome = executor.execute(&job, &before, until()).await.unwrap();
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    }
    assert_eq!(engine.inspect("drained", "{{.State.Running}}"), "false");
    assert_eq!(engine.run(&["logs", "drained"]), "ended well");
    assert!(is_done(&executor.probe(&job, &before, Duration::ZERO).await.unwrap()));
}

#[tokio::test]
async fn a_container_that_ends_again_is_a_failure() {
    let Some(engine) = Engine::shared() else { return };
    engine.container("broken", "exit 3", &[]);
    let (executor, job) = (engine.executor(), act("k", "broken", "restart", json!({})));
    let before = ready(&executor, &job).await;
    // It ends within milliseconds; whether the engine has noticed when it answers is its own affair.
    let mut last = executor.execute(&job, &before, until()).await.unwrap();
    for _ in 0..20 {
        if matches!(last, Outcome::Failed { .. }) {
            break;
        }
        last = executor.execute(&job, &before, until()).await.unwrap();
    }
    let probe = executor.probe(&job, &before, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(&probe, Probe::Done(Outcome::Failed { .. })), "it was restarted, and is not again: {probe:?}");
    assert!(
        matches!(&last, Outcome::Failed { reason, retryable: false } if reason.contains("exit code 3")),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_snapshot_is_an_image_that_is_tagged_with_the_key() {
    let Some(engine) = Engine::shared() else { return };
    engine.container("pictured", "echo kept > /state; busybox sleep 600", &[]);
    let (executor, job) = (engine.executor(), act("default-action-1-00ff", "pictured", "snapshot", json!({})));
    let before = ready(&executor, &job).await;
    assert_eq!(executor.probe(&job, &before, Duration::from_secs(90)).await.unwrap(), Probe::NotDone);
    let outcome = executor.execute(&job, &before, until()).await.unwrap();
    let image = "vigil-snapshot:key-default-action-1-00ff";
    assert_eq!(outcome, Outcome::Succeeded { details: Some(format!("image {image}")) });
    assert_eq!(engine.run(&["run", "--rm", "--network", "none", image, "busybox", "cat", "/state"]), "kept");
    assert!(is_done(&executor.probe(&job, &before, Duration::ZERO).await.unwrap()));
}

#[tokio::test]
async fn a_compose_service_is_scaled_up_and_down_within_its_bounds() {
    let Some(engine) = Engine::shared() else { return };
    engine.member("scaled", 1);
    // What `docker compose run` started is none of the service's; what stopped holds its name.
    let labels =
        ["com.docker.compose.project=scaled", "com.docker.compose.service=web", "com.docker.compose.oneoff=True"];
    let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
    engine.container("scaled-run", SLEEPS, &labels);
    engine.member("stopped", 1);
    engine.member("stopped", 2);
    engine.run(&["stop", "stopped-web-2"]);
    let again = act("k-again", "stopped/web", "scale-up", json!({}));
    let before = ready(&engine.executor(), &again).await;
    assert!(matches!(engine.executor().execute(&again, &before, until()).await.unwrap(), Outcome::Succeeded { .. }));
    assert_eq!(engine.names("stopped"), ["stopped-web-1", "stopped-web-3"]);
    let executor = engine.executor();
    let up = act("k-up", "scaled/web", "scale-up", json!({"step": 2, "max": 3}));
    let before = ready(&executor, &up).await;
    assert_eq!(executor.probe(&up, &before, Duration::from_secs(60)).await.unwrap(), Probe::NotDone);
    // Twice with what was seen the first time, as after a crash: nothing is added again.
    for _ in 0..2 {
        let outcome = executor.execute(&up, &before, until()).await.unwrap();
        assert_eq!(outcome, Outcome::Succeeded { details: Some("scaled from 1 to 3 containers".to_owned()) });
        assert_eq!(engine.names("scaled"), ["scaled-run", "scaled-web-1", "scaled-web-2", "scaled-web-3"]);
    }
    assert!(is_done(&executor.probe(&up, &before, Duration::ZERO).await.unwrap()));
    let number = r#"{{index .Config.Labels "com.docker.compose.container-number"}}"#;
    assert_eq!(engine.inspect("scaled-web-3", number), "3");
    let more = rejected(&executor, &act("k2", "scaled/web", "scale-up", json!({"max": 3}))).await;
    assert_eq!(more, "'scaled/web' has 3 containers, and params.max is 3");

    let down = act("k-down", "scaled/web", "scale-down", json!({"step": 5}));
    let before = ready(&executor, &down).await;
    for _ in 0..2 {
        let outcome = executor.execute(&down, &before, until()).await.unwrap();
        assert_eq!(outcome, Outcome::Succeeded { details: Some("scaled from 3 to 1 containers".to_owned()) });
        assert_eq!(engine.names("scaled"), ["scaled-run", "scaled-web-1"], "the oldest stays");
    }
    assert!(is_done(&executor.probe(&down, &before, Duration::ZERO).await.unwrap()));
    let fewer = rejected(&executor, &act("k3", "scaled/web", "scale-down", json!({}))).await;
    assert_eq!(fewer, "'scaled/web' has 1 containers, and params.min is 1");
}

#[tokio::test]
async fn what_is_not_there_or_makes_no_sense_is_rejected() {
    let Some(engine) = Engine::shared() else { return };
    let executor = engine.executor();
    assert_eq!(
        rejected(&executor, &act("k", "nowhere", "restart", json!({}))).await,
        "there is no container 'nowhere'"
    );
    let none = rejected(&executor, &act("k", "no/service", "scale-up", json!({}))).await;
    assert_eq!(none, "no container of the Compose service 'no/service' runs");
    let wrong = rejected(&executor, &act("k", "nowhere", "restart", json!({"grace_seconds": "soon"}))).await;
    assert_eq!(wrong, "params.grace_seconds must be a whole number from 0 to 3600");
    executor.ping().await.unwrap();
}

/// A real engine of its own, killed while it stops a container.
#[tokio::test]
async fn an_engine_that_dies_in_the_middle_of_a_restart_leaves_it_indeterminate() {
    if Engine::shared().is_none() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("vd").tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers/docker");
    let server =
        |verb: &str| assert!(Command::new(&script).arg(verb).arg(folder.path()).status().unwrap().success(), "{verb}");
    server("start");
    let engine = Engine { socket: folder.path().join("docker.sock").display().to_string() };
    engine.container(
        "slow",
        "trap 'busybox touch /stopping; busybox sleep 3; exit' TERM; while :; do busybox sleep 0.1; done",
        &["--restart", "always"],
    );
    let ledger = Ledger::in_memory();
    let remediator = Arc::new(over(&ledger, engine.executor()));
    let asking = {
        let remediator = remediator.clone();
        spawn(async move { remediator.remediate(&request("k", 1, "slow", "restart")).await })
    };
    let stopping = || {
        Command::new("docker")
            .args(["-H", &format!("unix://{}", engine.socket), "exec", "slow", "busybox", "test", "-e", "/stopping"])
            .output()
    };
    while !stopping().unwrap().status.success() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server("kill");
    let answer = asking.await.unwrap();
    assert!(matches!(answer, Err(RemediatorError::Indeterminate(_))), "{answer:?}");
    let probe = remediator.probe(&IdempotencyKey("k".to_owned())).await;
    assert!(matches!(probe, Err(RemediatorError::Unavailable(_))), "it can be asked again: {probe:?}");
    server("start");
    let deadline = tokio::time::Instant::now() + PATIENCE * 2;
    let known = loop {
        match remediator.probe(&IdempotencyKey("k".to_owned())).await.unwrap() {
            Probe::InProgress => tokio::time::sleep(Duration::from_millis(100)).await,
            known => break known,
        }
        assert!(tokio::time::Instant::now() < deadline);
    };
    println!("docker: after the engine came back the probe says {known:?}");
    server("remove");
    assert!(matches!(known, Probe::Done(_) | Probe::NotDone), "{known:?}");
}

/// An engine that answers what only looks, and hangs up on what acts.
#[tokio::test]
async fn an_engine_that_hangs_up_on_a_restart_leaves_it_indeterminate() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            while let Ok(read @ 1..) = stream.read(&mut request).await {
                let head = String::from_utf8_lossy(&request[..read]).into_owned();
                let body = match head.split(' ').nth(1).unwrap_or_default() {
                    "/version" | "/v1.53/version" => json!({"ApiVersion": "1.41"}),
                    path if path.ends_with("/json") => {
                        json!({"Id": "abc", "State": {"Running": true, "StartedAt": "2026-01-01T00:00:00Z"}})
                    }
                    _ => break,
                }
                .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        }
    });
    let remediator = envelope(executor(socket.to_str().unwrap()));
    let answer = remediator.remediate(&request("k", 1, "web", "restart")).await;
    assert!(matches!(answer, Err(RemediatorError::Indeterminate(_))), "{answer:?}");
    assert_eq!(remediator.probe(&IdempotencyKey("k".to_owned())).await.unwrap(), Probe::InProgress, "it may be at it");
    serving.abort();
}

#[tokio::test]
async fn an_engine_that_is_not_there_was_asked_nothing() {
    let remediator = envelope(executor("/nowhere/docker.sock"));
    let answer = remediator.remediate(&request("k", 1, "web", "restart")).await;
    assert!(matches!(answer, Err(RemediatorError::Unavailable(_))), "{answer:?}");
    assert_eq!(remediator.probe(&IdempotencyKey("k".to_owned())).await.unwrap(), Probe::NotDone);
}

#[test]
fn words_depend_on_what_it_is_and_names_never_become_paths() {
    let executor = executor("/nowhere");
    assert_eq!(executor.words("web"), [ActionType::RestartService, ActionType::DrainPod, ActionType::Snapshot]);
    assert_eq!(executor.words("shop/web"), [ActionType::ScaleUp, ActionType::ScaleDown]);
    for name in ["", "..", "../x", "a/b/c", "web?t=1", "web%2f", "a b", "/web", "web/"] {
        assert!(executor.words(name).is_empty(), "{name}");
    }
}
