//! Docker Compose files: a scripted engine and command for every case, and a real engine (`scripts/test-docker`).

use std::path::Path;

use serde_json::{Value, json};
use vigil_gitops::compose::{ComposeConfig, ComposeSource};
use vigil_gitops::{Comparison, Ignore, ItemKey, Pointer, Source, SourceError};

use crate::common::{patch, said, word, write};

mod engine;
mod real;

use engine::Engine;

/// Does as it is told by the files beside it, and writes down what it was told.
const COMMAND: &str = r#"
here=${0%/*}
echo "$*" >>"$here/asked"
env | sort >"$here/env"
pwd >"$here/where"
case "$*" in
    *" config") what=config ;;
    *) what=up; [ ! -e "$here/hangs" ] || { echo $$ >"$here/pid"; sleep 600; } ;;
esac
if [ -e "$here/$what.err" ]; then cat "$here/$what.err" >&2; exit 14; fi
cat "$here/$what.out"
"#;

/// A Compose file in a folder, the command that says what it means, and the engine.
struct Bench {
    engine: Engine,
    /// Of the command.
    tools: tempfile::TempDir,
    folder: tempfile::TempDir,
    source: ComposeSource,
}

impl Bench {
    async fn new(services: Value) -> Self {
        Self::with(services, "", vec![]).await
    }

    async fn with(services: Value, more: &str, ignored: Vec<Ignore>) -> Self {
        let engine = Engine::start();
        let (tools, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(tools.path(), "compose", COMMAND);
        write(tools.path(), "up.out", "Container shop-web-1 started\n");
        let config = format!(
            "project: shop\ncommand: [/bin/sh, {}/compose]\nsocket: {}\n{more}",
            tools.path().display(),
            engine.socket.display()
        );
        let config: ComposeConfig = serde_saphyr::from_str(&config).unwrap();
        let bench = Self { engine, tools, folder, source: ComposeSource::new(config, ignored) };
        bench.declare(&services);
        bench
    }

    fn declare(&self, services: &Value) {
        write(self.tools.path(), "config.out", &json!({ "services": services }).to_string());
        write(self.folder.path(), "compose.yaml", "services:\n  web:\n    image: web:${TAG}\n  db:\n    image: db\n");
    }

    async fn compare(&self) -> Comparison {
        self.source.compare(self.folder.path()).await.unwrap()
    }

    async fn said(&self) -> Vec<String> {
        said(&self.compare().await)
    }

    async fn heal(&self, service: &str) -> String {
        word(&self.source.heal(self.folder.path(), &key(service)).await)
    }

    fn tool(&self, file: &str) -> String {
        std::fs::read_to_string(self.tools.path().join(file)).unwrap_or_default()
    }
}

fn key(service: &str) -> ItemKey {
    ItemKey::new("service", "shop", service)
}

#[tokio::test]
async fn services_that_live_as_they_are_declared_are_the_same() {
    let bench = Bench::new(json!({
        "web": {"image": "web:1", "deploy": {"replicas": 2}}, "db": {"image": "db"}, "built": {"build": "."},
        "debug": {"image": "debug", "profiles": ["debug"]},
    }))
    .await;
    bench.engine.image("web:1", "sha256:w1");
    bench.engine.container("web", 1, "web:1", "sha256:w1", "running");
    bench.engine.container("web", 2, "web:1", "sha256:w1", "running");
    bench.engine.container("db", 1, "docker.io/library/db:latest", "sha256:d", "restarting");
    bench.engine.container("built", 1, "shop-built", "sha256:b", "running");
    bench.engine.one_off("web");
    let comparison = bench.compare().await;
    let mut all = said(&comparison);
    all.sort();
    let same = |name: &str| format!("service/shop/{name} same");
    assert_eq!(all, [same("built"), same("db"), same("web")]);
    let web = comparison.items.iter().find(|item| item.name == "web").unwrap();
    assert_eq!(web.origin.to_string(), "compose.yaml:2");
    assert_eq!(bench.tool("asked"), "-f compose.yaml -p shop config\n");
    assert_eq!(Path::new(bench.tool("where").trim()), bench.folder.path().canonicalize().unwrap());
    assert!(bench.engine.filters().iter().all(|asked| asked.contains("com.docker.compose.project=shop")));
}

#[tokio::test]
async fn every_way_to_differ_is_drift_with_its_patch() {
    type Lives = fn(&Engine);
    let cases: [(Lives, &str, &str); 7] = [
        (|_| {}, "it is missing", r#"[{"op":"add","path":"","value":{"image":"web:1","replicas":2,"running":true}}]"#),
        (
            |engine| engine.container("web", 1, "web:1", "sha256:w1", "running"),
            "/replicas is 1, declared 2",
            r#"[{"op":"replace","path":"/replicas","value":2}]"#,
        ),
        (
            |engine| (1..=3).for_each(|number| engine.container("web", number, "web:1", "sha256:w1", "running")),
            "/replicas is 3, declared 2",
            r#"[{"op":"replace","path":"/replicas","value":2}]"#,
        ),
        (
            |engine| {
                engine.container("web", 1, "web:1", "sha256:w1", "running");
                engine.container("web", 2, "web:1", "sha256:w1", "exited");
            },
            "shop-web-2 is exited, declared running",
            r#"[{"op":"replace","path":"/running","value":true}]"#,
        ),
        (
            |engine| {
                engine.container("web", 1, "web:1", "sha256:w1", "running");
                engine.container("web", 2, "web:0", "sha256:w0", "running");
            },
            r#"/image is "web:0", declared "web:1""#,
            r#"[{"op":"replace","path":"/image","value":"web:1"}]"#,
        ),
        // The name was given to another image since.
        (
            |engine| (1..=2).for_each(|number| engine.container("web", number, "web:1", "sha256:old", "running")),
            r#"/image is "sha256:old", declared "web:1""#,
            r#"[{"op":"replace","path":"/image","value":"web:1"}]"#,
        ),
        (
            |engine| {
                engine.forget_images();
                (1..=2).for_each(|number| engine.container("web", number, "web:0", "sha256:w0", "running"));
            },
            r#"/image is "web:0", declared "web:1""#,
            r#"[{"op":"replace","path":"/image","value":"web:1"}]"#,
        ),
    ];
    for (lives, summary, expected) in cases {
        let bench = Bench::new(json!({"web": {"image": "web:1", "scale": 2}})).await;
        bench.engine.image("web:1", "sha256:w1");
        lives(&bench.engine);
        let comparison = bench.compare().await;
        assert_eq!(said(&comparison), [format!("service/shop/web drifted: {summary}")]);
        assert_eq!(patch(&comparison, &key("web")), expected, "{summary}");
    }
}

#[tokio::test]
async fn what_drifted_is_healed_by_up_of_that_service_alone() {
    let bench = Bench::with(json!({"web": {"image": "web:1", "scale": 2}}), "env: {TAG: '1'}\n", vec![]).await;
    assert_eq!(bench.heal("web").await, "succeeded: up --scale web=2: Container shop-web-1 started");
    let asked = "-f compose.yaml -p shop config\n-f compose.yaml -p shop up -d --no-deps --scale web=2 web\n";
    assert_eq!(bench.tool("asked"), asked);
    let env = bench.tool("env");
    assert!(env.contains("TAG=1\n") && env.contains(&format!("DOCKER_HOST=unix://{}", bench.engine.socket.display())));
    assert!(!env.contains("CARGO"), "the environment of this program is its own: {env}");
    assert_eq!(bench.heal("gone").await, "rejected: service/shop/gone is not declared any more");
}

#[tokio::test]
async fn a_heal_that_fails_says_why_and_one_that_takes_too_long_is_killed() {
    let bench = Bench::with(json!({"web": {"image": "web:1"}}), "time_limit_seconds: 0.3\n", vec![]).await;
    write(bench.tools.path(), "hangs", "");
    assert_eq!(bench.heal("web").await, "indeterminate");
    let pid = bench.tool("pid").trim().to_owned();
    let gone = async || {
        (!std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))).then_some(())
    };
    vigil_core::testing::eventually("the end of the command", gone).await;
    std::fs::remove_file(bench.tools.path().join("hangs")).unwrap();

    let bench = Bench::new(json!({"web": {"image": "web:1"}})).await;
    write(bench.tools.path(), "up.err", &format!("{}port is already allocated", "x".repeat(9000)));
    let answer = bench.heal("web").await;
    assert!(answer.starts_with("failed (false): up --scale web=1 ended with exit status: 14: "), "{answer}");
    assert!(answer.ends_with("port is already allocated") && answer.len() < 3000, "{}", answer.len());
}

#[tokio::test]
async fn a_service_whose_label_asks_to_be_left_alone_is() {
    let labels = json!({"vigil.io/reconcile": "disabled"});
    let bench = Bench::new(json!({"web": {"image": "web:1"}, "db": {"image": "db", "labels": labels}})).await;
    bench.engine.suspended("web", 1, "web:0");
    let mut all = bench.said().await;
    all.sort();
    let why = "service has the label vigil.io/reconcile: disabled";
    assert_eq!(
        all,
        [
            format!("service/shop/db suspended: the declared {why}"),
            format!("service/shop/web suspended: the live {why}")
        ]
    );
    for service in ["web", "db"] {
        let expected = format!("rejected: a label of service/shop/{service} asks to leave it alone");
        assert_eq!(bench.heal(service).await, expected);
    }
    assert!(!bench.tool("asked").contains(" up "));
}

#[tokio::test]
async fn what_is_ignored_is_no_drift() {
    let rule =
        |pointer| Ignore { kind: None, namespace: None, name: None, pointers: vec![Pointer::parse(pointer).unwrap()] };
    let bench = Bench::with(json!({"web": {"image": "web:1"}}), "", vec![rule("/running"), rule("/replicas")]).await;
    bench.engine.container("web", 1, "web:1", "sha256:w1", "exited");
    bench.engine.container("web", 2, "web:1", "sha256:w1", "running");
    assert_eq!(bench.said().await, ["service/shop/web same"]);
}

#[tokio::test]
async fn a_broken_file_names_file_and_line() {
    let bench = Bench::new(json!({})).await;
    write(bench.folder.path(), "compose.yaml", "services:\n  web:\n    image: web\n   ports: [\n");
    let comparison = bench.compare().await;
    assert!(comparison.items.is_empty());
    assert_eq!(comparison.problems[0].file, Path::new("compose.yaml"));
    assert!(matches!(comparison.problems[0].line, Some(4 | 5)), "{comparison:?}");
    assert_eq!(bench.tool("asked"), "", "the command need not be asked");
    // What only the command knows.
    bench.declare(&json!({}));
    write(
        bench.tools.path(),
        "config.err",
        "ERROR: in \"./compose.yaml\", line 3, column 5\nservices.web.imge is unknown",
    );
    let comparison = bench.compare().await;
    let problem = comparison.problems[0].to_string();
    assert!(problem.starts_with("compose.yaml:3: the Compose command says: "), "{problem}");
    assert!(bench.heal("web").await.starts_with("rejected: compose.yaml:3: "));
    std::fs::remove_file(bench.folder.path().join("compose.yaml")).unwrap();
    assert!(matches!(bench.source.compare(bench.folder.path()).await, Err(SourceError::Read { .. })));
}

#[tokio::test]
async fn several_files_are_laid_over_each_other_in_their_order() {
    let bench = Bench::with(json!({"web": {"image": "web:1"}}), "files: [base.yml, deep/over.yml]\n", vec![]).await;
    write(bench.folder.path(), "base.yml", "services:\n  web: {image: web}\n");
    write(bench.folder.path(), "deep/over.yml", "# over it\nservices:\n  web: {image: 'web:1'}\n");
    let comparison = bench.compare().await;
    assert_eq!(comparison.items[0].origin.to_string(), "deep/over.yml:3");
    assert_eq!(bench.tool("asked"), "-f base.yml -f deep/over.yml -p shop config\n");
    // A file alone.
    let one = bench.source.compare(&bench.folder.path().join("base.yml")).await.unwrap();
    assert_eq!(one.items[0].origin.to_string(), "base.yml:2");
}

#[tokio::test]
async fn an_engine_or_a_command_that_is_away_was_asked_nothing() {
    let bench = Bench::new(json!({"web": {"image": "web:1"}})).await;
    bench.source.ping().await.unwrap();
    let config = |command: &str| -> ComposeConfig {
        serde_saphyr::from_str(&format!("project: shop\ncommand: [{command}]\nsocket: /nowhere/docker.sock\n")).unwrap()
    };
    let command = format!("/bin/sh, {}/compose", bench.tools.path().display());
    for command in [command.as_str(), "/nowhere/compose"] {
        let source = ComposeSource::new(config(command), vec![]);
        assert!(matches!(source.compare(bench.folder.path()).await, Err(SourceError::Away { .. })), "{command}");
        assert!(source.ping().await.is_err());
        assert_eq!(word(&source.heal(bench.folder.path(), &key("web")).await), "unavailable");
    }
}

#[test]
fn what_would_become_another_argument_or_file_is_refused() {
    for wrong in [
        "{}",
        "project: Shop",
        "project: -x",
        "{project: shop, files: [--help]}",
        "{project: shop, files: [../x.yml]}",
        "{project: shop, files: [/etc/x.yml]}",
        "{project: shop, command: []}",
        "{project: shop, other: 1}",
    ] {
        assert!(serde_saphyr::from_str::<ComposeConfig>(wrong).is_err(), "{wrong}");
    }
}
