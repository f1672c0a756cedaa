//! `vigil-remediator check`, and what stops a start.

use crate::program::output;

fn folder_with(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

const CONFIG: &str = "
ledger: /nowhere/at/all
executors:
  units: { systemd: {} }
  containers: { docker: {} }
routes:
  - { target: 'web-*', actions: [restart], executor: units, object: 'shop@{target}.service' }
  - { target: 'web-*', executor: containers, dry_run: true }
";

#[tokio::test]
async fn it_prints_what_would_handle_a_target() {
    let (_folder, path) = folder_with(CONFIG);
    let (good, text) = output(&["check", "--config", &path, "web-1"]).await;
    assert!(good, "{text}");
    let line = |word: &str| {
        let line = text.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("{word} in {text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("restart"), "restart 1 units shop@web-1.service carried out");
    assert_eq!(line("snapshot"), "snapshot 2 containers web-1 dry run");
    assert!(line("scale-up").ends_with("no meaning on the container 'web-1'; what has: restart, drain-pod, snapshot"));
    let (good, text) = output(&["check", "--config", &path, "db-1", "--action", "restart"]).await;
    assert!(good && text.contains("rejected: no route takes it"), "{text}");
}

#[tokio::test]
async fn without_a_target_it_prints_the_routes() {
    let (_folder, path) = folder_with(CONFIG);
    let (good, text) = output(&["check", "--config", &path]).await;
    assert!(good && text.contains("2 executors, 2 routes: the configuration is good"), "{text}");
    assert!(text.contains("  1  restart on web-*: units as shop@{target}.service"), "{text}");
    assert!(text.contains("  2  any action on web-*: containers, dry run"), "{text}");
}

#[tokio::test]
async fn what_stops_the_start_is_one_sentence() {
    let (_folder, broken) = folder_with("routes: [{ executor: a }]");
    let (_folder2, open) = folder_with(&format!("listen: 0.0.0.0:0\nledger: {broken}.redb"));
    for (arguments, says) in [
        (vec!["--config", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
        (vec!["--config", &broken], "route 1 names the executor 'a'"),
        (vec!["--config", &open], "without a secret would let anybody act"),
        (vec!["--config", &open, "--secret", "short"], "REMEDIATOR_SECRET: a secret must have at least 16 characters"),
        (vec!["--config", &open, "--previous-secret", "long enough to be one"], "REMEDIATOR_SECRET is not"),
        (vec!["--config", &broken, "check", "x", "--action", "explode"], "route 1 names"),
    ] {
        let (good, text) = output(&arguments).await;
        let last = text.lines().last().unwrap_or_default();
        assert!(!good && last.starts_with("vigil-remediator: ") && last.contains(says), "{arguments:?}: {text}");
    }
    let (good, text) = output(&["--help"]).await;
    assert!(good && text.contains("REMEDIATOR_SECRET_PREVIOUS") && text.contains("check"), "{text}");
}
