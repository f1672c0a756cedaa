//! API keys as whoever runs the server meets them: in the environment and on the command line.

use std::process::Stdio;

use tempfile::TempDir;

use crate::process::{PATIENCE, Server, command, refused, request};

const PEPPER: &str = "the pepper of these tests";

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

fn bootstrap() -> String {
    format!("vgl_first_{}", "s3cr3t".repeat(6))
}

async fn status(server: &Server, key: &str) -> u16 {
    request(&server.address, "GET", "/api/v1/actions", &[("X-API-Key", key)], None).await.expect("it answers").status
}

/// What `server keys ...` prints.
async fn keys(folder: &TempDir, arguments: &[&str]) -> String {
    let mut command = command(folder.path());
    command.env("VIGIL_KEY_PEPPER", PEPPER).arg("keys").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_first_key_comes_from_the_environment_and_the_others_from_the_command_line() {
    let (folder, bootstrap) = (folder(), bootstrap());
    let mut first = command(folder.path());
    // Reachable from elsewhere, which keys allow.
    first
        .args(["--port", "0", "--host", "0.0.0.0"])
        .env("VIGIL_KEY_PEPPER", PEPPER)
        .env("VIGIL_BOOTSTRAP_KEY", &bootstrap);
    let server = Server::run(first).await;
    server.logged("the first API key is made").await;
    let port = server.address.rsplit(':').next().expect("it has a port").to_owned();
    let local = format!("127.0.0.1:{port}");
    let asked = async |key: &str| {
        request(&local, "GET", "/api/v1/actions", &[("X-API-Key", key)], None).await.expect("it answers").status
    };
    assert_eq!((asked("").await, asked(&bootstrap).await), (401, 200));
    assert!(!server.log().iter().any(|line| line.contains("s3cr3t")), "no log shows the secret");
    server.stop().await;

    let made = keys(&folder, &["create", "--name", "dashboard", "--role", "viewer"]).await;
    let listed = keys(&folder, &["list"]).await;
    assert!(listed.contains("dashboard") && listed.contains("bootstrap") && !listed.contains("s3cr3t"), "{listed}");
    let mut again = command(folder.path());
    again.args(["--port", "0"]).env("VIGIL_KEY_PEPPER", PEPPER);
    let server = Server::run(again).await;
    assert_eq!(status(&server, made.trim()).await, 200);
    server.stop().await;

    keys(&folder, &["revoke", made.split('_').nth(1).expect("it has an id")]).await;
    let mut last = command(folder.path());
    last.args(["--port", "0"]).env("VIGIL_KEY_PEPPER", PEPPER);
    let server = Server::run(last).await;
    assert_eq!((status(&server, made.trim()).await, status(&server, &bootstrap).await), (401, 200));
    server.stop().await;

    let mut forgetful = command(folder.path());
    forgetful.args(["--port", "0"]);
    let said = refused(forgetful).await;
    assert!(said.contains("VIGIL_KEY_PEPPER"), "{said}");
}

#[tokio::test]
async fn secrets_that_are_none_stop_the_start_without_being_shown() {
    for (variables, wanted) in [
        (vec![("VIGIL_KEY_PEPPER", "hunter2")], "VIGIL_KEY_PEPPER"),
        (vec![("VIGIL_BOOTSTRAP_KEY", "hunter2"), ("VIGIL_KEY_PEPPER", PEPPER)], "VIGIL_BOOTSTRAP_KEY"),
        (vec![("VIGIL_BOOTSTRAP_KEY", "vgl_a_hunter2hunter2hunter2hunter2hunter2")], "VIGIL_KEY_PEPPER"),
        (vec![("VIGIL_KEY_PEPPER_FILE", "missing/hunter")], "the pepper file missing/hunter"),
    ] {
        let folder = folder();
        let mut command = command(folder.path());
        command.args(["--port", "0"]).envs(variables);
        let said = refused(command).await;
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn secrets_come_from_files_too() {
    let (folder, bootstrap) = (folder(), bootstrap());
    for (name, text) in [("pepper", PEPPER), ("key", bootstrap.as_str())] {
        std::fs::write(folder.path().join(name), format!("{text}\n")).expect("a file is written");
    }
    let mut command = command(folder.path());
    command.args(["--port", "0"]).env("VIGIL_KEY_PEPPER_FILE", "pepper").env("VIGIL_BOOTSTRAP_KEY_FILE", "key");
    let server = Server::run(command).await;
    assert_eq!(status(&server, &bootstrap).await, 200);
    server.stop().await;
}
