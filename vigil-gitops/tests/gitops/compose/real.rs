//! Against a real engine, with version 1 of the Compose command.

use std::process::Command;

use vigil_gitops::compose::{ComposeConfig, ComposeSource};
use vigil_gitops::{ItemKey, Source};

use crate::common::{have, patch, said, word, write};

/// A Compose project of its own in the shared engine.
struct Project {
    socket: String,
    name: &'static str,
    folder: tempfile::TempDir,
    source: ComposeSource,
}

impl Project {
    fn new(name: &'static str) -> Option<Self> {
        let socket = have("docker", "VIGIL_TEST_DOCKER_SOCKET")?;
        let config = format!("project: {name}\ncommand: [docker-compose]\nsocket: {socket}\nenv: {{REPLICAS: '2'}}\n");
        let config: ComposeConfig = serde_saphyr::from_str(&config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Some(Self { socket, name, folder, source: ComposeSource::new(config, vec![]) })
    }

    /// `web` with an image, `REPLICAS` times; and `db`.
    fn declare(&self, image: &str) {
        let service = |image: &str| {
            format!(
                "    image: {image}\n    network_mode: none\n    stop_grace_period: 1s\n    command: [sh, -c, '{SLEEPS}']\n"
            )
        };
        // Without a network of its own: the engine has no bridge.
        let text = format!(
            "networks:\n  default: {{external: true, name: none}}\nservices:\n  web:\n{}    scale: ${{REPLICAS}}\n  db:\n{}    depends_on: [web]\n",
            service(image),
            service("vigil-test")
        );
        write(self.folder.path(), "docker-compose.yml", &text);
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let socket = format!("unix://{}", self.socket);
        let output = Command::new("docker").args(["-H", &socket]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// As somebody does it by hand.
    fn compose(&self, arguments: &[&str]) {
        let status = Command::new("docker-compose")
            .args(["-p", self.name])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("DOCKER_HOST", format!("unix://{}", self.socket))
            .env("REPLICAS", "2")
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    }

    fn containers(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let found = self.docker(&["ps", "-q", "--filter", &project, "--filter", &service]);
        found.lines().map(str::to_owned).collect()
    }

    async fn compare(&self) -> vigil_gitops::Comparison {
        self.source.compare(self.folder.path()).await.unwrap()
    }

    async fn heal(&self, service: &str) {
        let answer = word(&self.source.heal(self.folder.path(), &self.key(service)).await);
        assert!(answer.starts_with("succeeded: up --scale"), "{answer}");
    }

    fn key(&self, service: &str) -> ItemKey {
        ItemKey::new("service", self.name, service)
    }

    /// Every item in a line, in the order of the names.
    async fn said(&self) -> Vec<String> {
        let mut all = said(&self.compare().await);
        all.sort();
        all
    }
}

/// Ends at once when it is asked to.
const SLEEPS: &str = "trap exit TERM; while :; do busybox sleep 0.1; done";

#[tokio::test]
async fn every_way_to_differ_is_found_and_healed() {
    let Some(project) = Project::new("drifting") else { return };
    project.declare("vigil-test");
    let missing = |service: &str| format!("service/drifting/{service} drifted: it is missing");
    let same = |service: &str| format!("service/drifting/{service} same");
    assert_eq!(project.said().await, [missing("db"), missing("web")]);
    project.heal("web").await;
    assert_eq!(project.said().await, [missing("db"), same("web")], "it alone was started");
    project.heal("db").await;
    assert_eq!(project.said().await, [same("db"), same("web")]);
    let db = project.containers("db");

    // Stopped by hand.
    let web = project.containers("web");
    assert_eq!(web.len(), 2);
    project.docker(&["kill", &web[0]]);
    let comparison = project.compare().await;
    assert_eq!(patch(&comparison, &project.key("web")), r#"[{"op":"replace","path":"/running","value":true}]"#);
    project.heal("web").await;
    assert_eq!(project.said().await, [same("db"), same("web")]);

    // One removed, then one too many.
    project.docker(&["rm", "-f", &web[1]]);
    assert_eq!(project.said().await[1], "service/drifting/web drifted: /replicas is 1, declared 2");
    project.heal("web").await;
    project.compose(&["up", "-d", "--no-deps", "--scale", "web=3", "web"]);
    assert_eq!(project.said().await[1], "service/drifting/web drifted: /replicas is 3, declared 2");
    project.heal("web").await;
    assert_eq!(project.said().await, [same("db"), same("web")]);

    // Another image, declared as in a push to the repository.
    project.docker(&["commit", &project.containers("web")[0], "vigil-test:next"]);
    project.declare("vigil-test:next");
    let comparison = project.compare().await;
    assert_eq!(
        patch(&comparison, &project.key("web")),
        r#"[{"op":"replace","path":"/image","value":"vigil-test:next"}]"#
    );
    project.heal("web").await;
    assert_eq!(project.said().await, [same("db"), same("web")]);
    for container in project.containers("web") {
        assert_eq!(project.docker(&["inspect", "--format", "{{.Config.Image}}", &container]), "vigil-test:next");
    }
    assert_eq!(project.containers("db"), db, "what did not drift was not touched");
}

#[tokio::test]
async fn what_the_command_refuses_names_the_file() {
    let Some(project) = Project::new("refused") else { return };
    write(project.folder.path(), "docker-compose.yml", "services:\n  web:\n    imge: vigil-test\n");
    let comparison = project.compare().await;
    assert!(comparison.items.is_empty());
    let problem = comparison.problems[0].to_string();
    assert!(problem.starts_with("docker-compose.yml") && problem.contains("imge"), "{problem}");
}
