//! `server check` and `server profile` beside a server, and without one.

use std::path::Path;
use std::process::Output;

use serde_json::json;
use tokio::time::timeout;

use crate::process::{PATIENCE, Server, command};

async fn run(folder: &Path, words: &[&str]) -> (bool, String) {
    let mut command = command(folder);
    let output: Output =
        timeout(PATIENCE, command.args(words).output()).await.expect("it ends").expect("it can be run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn check_is_content_beside_a_server_and_before_its_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let (well, said) = run(folder.path(), &["--port", "1", "--remediator-url", "dry-run", "check"]).await;
    assert!(well, "{said}");
    assert!(said.contains("none runs at http://127.0.0.1:1"), "{said}");
    let server = Server::start(folder.path(), &["--remediator-url", "dry-run"]).await;
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    let (well, said) = run(folder.path(), &["--port", &port, "--remediator-url", "dry-run", "check"]).await;
    assert!(well, "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 6, "{said}");
    assert!(said.contains("answers 200: store up, queue up, remediator up"), "{said}");
    let (well, said) = run(folder.path(), &["--port", &port, "check", "--live"]).await;
    assert!(well && said.lines().count() == 1, "{said}");
}

/// A certificate for a name that is not this machine's, signed by nobody that this machine knows.
fn certificate(folder: &Path) {
    let bare = folder.join("openssl.cnf");
    std::fs::write(&bare, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-addext", "subjectAltName=DNS:vigil.example", "-subj", "/CN=vigil.example"]);
    openssl.args(["-keyout", "key.pem", "-out", "cert.pem", "-config"]).arg(&bare);
    let made = openssl.current_dir(folder).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn check_and_profile_ask_a_server_that_speaks_tls_for_another_name() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let settings = "tls: { cert_file: cert.pem, key_file: key.pem }\nremediator: { url: dry-run }\n";
    std::fs::write(folder.path().join("tls.yaml"), settings).unwrap();
    let server = Server::start(folder.path(), &["--config", "tls.yaml"]).await;
    let port = server.address.rsplit(':').next().unwrap();
    let (well, said) = run(folder.path(), &["--config", "tls.yaml", "--port", port, "check", "--live"]).await;
    assert!(well && said.contains("https://127.0.0.1:") && said.contains("answers 200"), "{said}");
    let (well, said) = run(folder.path(), &["--config", "tls.yaml", "--port", port, "profile", "--seconds", "1"]).await;
    assert!(well && said.contains("requests"), "{said}");
    // Whoever is asked by a name must also prove it.
    let url = format!("https://127.0.0.1:{port}");
    let (well, said) = run(folder.path(), &["profile", "--seconds", "1", "--url", &url]).await;
    assert!(!well && said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn check_names_each_part_that_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "- {name: x}\n").unwrap();
    let gone = ["--database-url", "postgres://vigil:hunter2@127.0.0.1:1/vigil", "--redis-url", "redis://127.0.0.1:1/0"];
    let rest = ["--remediator-url", "http://127.0.0.1:1/remediate", "--policies", "bad.yaml", "check"];
    let (well, said) = run(folder.path(), &[&gone[..], &rest[..]].concat()).await;
    assert!(!well, "{said}");
    for part in ["policies", "database", "queue", "remediator"] {
        assert!(said.contains(&format!("FAIL  {part}")), "{part}: {said}");
    }
    assert!(said.contains("ok    configuration") && !said.contains("hunter2"), "{said}");
    let (well, said) = run(folder.path(), &["--port", "1", "check", "--live"]).await;
    assert!(!well && said.contains("FAIL  server         http://127.0.0.1:1 does not answer"), "{said}");
    let (well, said) = run(folder.path(), &["--database-url", "mysql://x", "check"]).await;
    assert!(!well && said.contains("FAIL  configuration  DATABASE_URL"), "{said}");
}

#[tokio::test]
async fn profile_tells_what_a_server_was_busy_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--remediator-url", "dry-run"]).await;
    let url = format!("http://{}", server.address);
    let words = ["profile", "--seconds", "2", "--url", &url];
    let busy = async {
        for _ in 0..40 {
            server.post("/api/v1/ingest", &json!({"name": "cpu", "value": 1, "tags": {"host": "a"}})).await;
            tokio::time::sleep(std::time::Duration::from_millis(25)).await; // the load, not a wait
        }
    };
    let ((well, said), ()) = tokio::join!(run(folder.path(), &words), busy);
    assert!(well, "{said}");
    assert!(said.contains("/api/v1/ingest") && said.contains("cpu ") && said.contains("workers run here"), "{said}");
    assert!(said.contains("0.0 % failed") && !said.contains("-0.0"), "{said}");
    let (well, said) = run(folder.path(), &["profile", "--seconds", "1", "--url", "http://127.0.0.1:1"]).await;
    assert!(!well && said.contains("error sending request"), "{said}");
}
