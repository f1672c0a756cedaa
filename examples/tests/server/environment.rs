//! Every row of the documented table of environment variables, what beats what, and what stops the start.

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Server, command, refused, request};

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

async fn with_env(folder: &TempDir, variables: &[(&str, &str)]) -> Server {
    let mut command = command(folder.path());
    command.env("COLLECTOR_PORT", "0").envs(variables.iter().copied());
    Server::run(command).await
}

#[tokio::test]
async fn database_url_defaults_to_vigil_db_in_this_folder() {
    let folder = folder();
    let server = with_env(&folder, &[]).await;
    assert!(folder.path().join("vigil.db").is_file());
    server.stop().await;
}

#[tokio::test]
async fn database_url_names_the_file() {
    let (folder, elsewhere) = (self::folder(), self::folder());
    let path = elsewhere.path().join("other.db");
    with_env(&folder, &[("DATABASE_URL", &format!("sqlite:///{}", path.display()))]).await.stop().await;
    assert!(path.is_file() && !folder.path().join("vigil.db").exists());
}

#[tokio::test]
async fn a_database_url_that_is_none_of_ours_stops_the_start() {
    let folder = folder();
    let mut command = command(folder.path());
    command.env("DATABASE_URL", "mysql://root:hunter2@localhost/x");
    let said = refused(command).await;
    assert!(said.contains("DATABASE_URL") && said.contains("sqlite:///./") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn redis_url_unset_means_the_queue_in_this_process_and_is_logged() {
    let folder = folder();
    let server = with_env(&folder, &[]).await;
    assert_eq!(server.get("/ready").await.json()["queue"], "up");
    server.logged("REDIS_URL is not set").await;
}

#[tokio::test]
async fn a_redis_url_that_is_none_stops_the_start_without_showing_the_password() {
    let folder = folder();
    let mut command = command(folder.path());
    command.env("REDIS_URL", "amqp://user:hunter2@localhost:6379/0");
    let said = refused(command).await;
    assert!(said.contains("REDIS_URL") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn roles_are_split_only_over_a_shared_database_and_queue() {
    let folder = folder();
    let mut command = command(folder.path());
    command.args(["--role", "api,runner"]);
    let said = refused(command).await;
    assert!(said.contains("postgres://") && said.contains("REDIS_URL"), "{said}");
}

#[tokio::test]
async fn collector_port_is_the_port_and_a_flag_beats_it() {
    let folder = folder();
    // A port that was free a moment ago: nothing else here takes ports by number.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = free.local_addr().expect("it is bound").port().to_string();
    drop(free);
    let server = with_env(&folder, &[("COLLECTOR_PORT", &port)]).await;
    assert!(server.address.ends_with(&format!(":{port}")));
    server.stop().await;
    let mut flagged = command(folder.path());
    flagged.env("COLLECTOR_PORT", &port).args(["--port", "0"]);
    assert!(!Server::run(flagged).await.address.ends_with(&format!(":{port}")));
    let mut wrong = command(folder.path());
    wrong.env("COLLECTOR_PORT", "eighty");
    assert!(refused(wrong).await.contains("--port"));
}

#[tokio::test]
async fn remediator_url_is_called_exactly_as_given() {
    let folder = folder();
    let remediator = vigil_tests::fake_remediator::FakeRemediator::start().await;
    let url = format!("{}?team=ops", remediator.url());
    let server = with_env(&folder, &[("REMEDIATOR_URL", &url)]).await;
    server.post("/api/v1/actions", &json!({"target": "web-1", "action": "restart"})).await;
    assert_eq!(remediator.called(1).await[0].uri, "/remediate?team=ops");
}

#[tokio::test]
async fn remediator_url_keeps_its_documented_default_and_ready_says_that_nothing_answers_there() {
    let folder = folder();
    let server = with_env(&folder, &[]).await;
    server.logged("http://127.0.0.1:8081/remediate").await;
    let ready = server.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["remediator"]), (200, &json!("down")));
}

#[tokio::test]
async fn a_dry_run_says_so_in_the_actions_details() {
    let folder = folder();
    let server = with_env(&folder, &[("REMEDIATOR_URL", "dry-run")]).await;
    server.post("/api/v1/actions", &json!({"target": "web-1", "action": "restart"})).await;
    let done = server.action(|action| action["status"] == "completed").await;
    assert!(done["details"].as_str().unwrap_or_default().contains("dry run"), "{done}");
}

#[tokio::test]
async fn the_intervals_of_agent_and_gitopsd_are_theirs_and_do_not_disturb_the_server() {
    let folder = folder();
    let server = with_env(&folder, &[("AGENT_INTERVAL", "10.0"), ("GITOPSD_INTERVAL", "30.0")]).await;
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn config_path_names_the_file_and_environment_beats_it() {
    let folder = folder();
    std::fs::write(folder.path().join("mine.yaml"), "metrics_enabled: false\nrunner: {interval_seconds: 7}\n").unwrap();
    let server = with_env(&folder, &[("CONFIG_PATH", "mine.yaml")]).await;
    assert_eq!(server.get("/metrics").await.status, 404);
    assert_eq!(server.get("/api/v1/policies/runner/status").await.json()["runner"]["interval_seconds"], 7);
    server.stop().await;
    let server = with_env(&folder, &[("CONFIG_PATH", "mine.yaml"), ("METRICS_ENABLED", "true")]).await;
    assert_eq!(server.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn the_default_config_is_read_when_it_is_there_and_not_missed_when_it_is_not() {
    let folder = folder();
    with_env(&folder, &[]).await.stop().await;
    std::fs::create_dir(folder.path().join("configs")).unwrap();
    std::fs::write(folder.path().join("configs/collector.yaml"), "runner: {enabled: false}\n").unwrap();
    let server = with_env(&folder, &[]).await;
    assert_eq!(server.get("/api/v1/policies/runner/status").await.json()["runner"]["enabled"], false);
}

#[tokio::test]
async fn a_named_config_that_is_missing_or_wrong_stops_the_start_with_file_and_line() {
    let folder = folder();
    let mut missing = command(folder.path());
    missing.env("CONFIG_PATH", "nowhere.yaml");
    assert!(refused(missing).await.contains("nowhere.yaml"));
    std::fs::write(folder.path().join("wrong.yaml"), "port: 8000\nrunner:\n  intervall: 3\n").unwrap();
    let mut wrong = command(folder.path());
    wrong.env("CONFIG_PATH", "wrong.yaml");
    let said = refused(wrong).await;
    assert!(said.contains("wrong.yaml") && said.contains("intervall") && said.contains("line 3"), "{said}");
}

#[tokio::test]
async fn the_shipped_config_shows_every_key_with_a_value_that_is_taken() {
    let folder = folder();
    let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let shipped = std::fs::read_to_string(configs.join("collector.yaml")).unwrap();
    // A key is commented out without a space behind the sign, or with those of its depth; prose has exactly one.
    let is_key = |line: &&str| !line.starts_with(' ') || line.starts_with("  ");
    let keys: Vec<&str> = shipped.lines().filter_map(|line| line.strip_prefix('#')).filter(is_key).collect();
    std::fs::create_dir(folder.path().join("configs")).unwrap();
    std::fs::write(folder.path().join("configs/collector.yaml"), keys.join("\n")).unwrap();
    std::fs::copy(configs.join("policies.yaml"), folder.path().join("configs/policies.yaml")).unwrap();
    let server = with_env(&folder, &[]).await;
    let runner = server.get("/api/v1/policies/runner/status").await.json()["runner"].clone();
    assert_eq!((&runner["interval_seconds"], &runner["batch_size"]), (&json!(30), &json!(100)));
    assert!(server.get("/api/v1/policies").await.json()["total"].as_u64() > Some(5));
    assert!(keys.len() > 40, "the file is there");
}

#[tokio::test]
async fn log_level_takes_pythons_words_in_any_case() {
    for (word, logs_info) in [("INFO", true), ("Warning", false), ("CRITICAL", false), ("debug", true)] {
        let folder = folder();
        let mut command = command(folder.path());
        command.env("LOG_LEVEL", word).env("REMEDIATOR_URL", "dry-run").args(["--port", "0"]);
        if logs_info {
            let server = Server::run(command).await;
            server.logged("\"INFO\"").await;
        } else {
            // Nothing is logged at these levels that could name the port: a port in use shows that it starts as far.
            command.args(["--host", "203.0.113.1", "--allow-anonymous"]);
            assert!(refused(command).await.contains("cannot listen"), "{word}");
        }
    }
    let folder = folder();
    let mut wrong = command(folder.path());
    wrong.env("LOG_LEVEL", "loud");
    assert!(refused(wrong).await.contains("critical"));
}

#[tokio::test]
async fn metrics_enabled_false_makes_metrics_a_404() {
    let folder = folder();
    let server = with_env(&folder, &[("METRICS_ENABLED", "false")]).await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 404);
    assert!(answer.head.contains("application/problem+json"));
}

#[tokio::test]
async fn another_address_than_loopback_needs_a_word_for_it() {
    let folder = folder();
    let mut open = command(folder.path());
    open.args(["--host", "0.0.0.0", "--port", "0"]);
    assert!(refused(open).await.contains("--allow-anonymous"));
    let server = Server::start(folder.path(), &["--host", "0.0.0.0", "--allow-anonymous"]).await;
    server.logged("anybody who can reach").await;
}

#[tokio::test]
async fn settings_that_contradict_each_other_stop_the_start_with_their_keys() {
    let folder = folder();
    let config = folder.path().join("config.yaml");
    for (text, said) in [
        (
            "retention: {history_days: 0}",
            "retention.history_days (0 s) must be at least as long as unknown_after_seconds",
        ),
        (
            "staleness_seconds: 7200",
            "unknown_after_seconds (3600 s) must be at least as long as staleness_seconds (7200 s)",
        ),
    ] {
        std::fs::write(&config, text).unwrap();
        let mut command = command(folder.path());
        command.arg("--config").arg(&config);
        let refusal = refused(command).await;
        assert!(refusal.contains(said), "{refusal}");
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_file_stops_with_one_sentence() {
    let folder = folder();
    let _first = Server::start(folder.path(), &[]).await;
    let mut second = command(folder.path());
    second.args(["--port", "0"]);
    let said = refused(second).await;
    assert!(said.contains("in use by another process") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn secrets_stay_out_of_help_and_logs() {
    let folder = folder();
    let mut help = command(folder.path());
    help.arg("--help").env("REMEDIATOR_SECRET", "hunter2").env("DATABASE_URL", "sqlite:///./hunter2.db");
    let help = help.output().await.expect("it can be run");
    assert!(help.status.success() && !String::from_utf8_lossy(&help.stdout).contains("hunter2"));
    let server = with_env(&folder, &[("REMEDIATOR_SECRET", "hunter2"), ("LOG_LEVEL", "trace")]).await;
    server.post("/api/v1/actions", &json!({"target": "web-1", "action": "restart"})).await;
    server.action(|action| action["attempt"].as_u64() > Some(0)).await;
    assert!(!server.log().iter().any(|line| line.contains("hunter2")));
}

#[tokio::test]
async fn cors_answers_the_four_documented_origins_and_no_other() {
    let folder = folder();
    let server = with_env(&folder, &[]).await;
    for origin in ["http://localhost:3000", "http://localhost:5173", "http://127.0.0.1:3000", "http://127.0.0.1:5173"] {
        let answer = request(&server.address, "GET", "/health", &[("Origin", origin)], None).await.unwrap();
        assert!(answer.head.contains(&format!("access-control-allow-origin: {origin}")), "{}", answer.head);
    }
    let answer = request(&server.address, "GET", "/health", &[("Origin", "http://evil.example")], None).await.unwrap();
    assert!(!answer.head.contains("access-control-allow-origin"), "{}", answer.head);
}

#[tokio::test]
async fn a_route_that_makes_no_sense_stops_the_start_with_its_key() {
    for (route, key) in [
        (r#"{target: "drift/*", url: "ftp://nowhere"}"#, "remediator.routes[0].url"),
        (r#"{target: "drift/[", url: "http://127.0.0.1:1/"}"#, "remediator.routes[0].target"),
        (r#"{target: "drift/*"}"#, "url"),
        (r#"{actions: [explode], url: "http://127.0.0.1:1/"}"#, "action must be one of"),
    ] {
        let folder = folder();
        std::fs::write(folder.path().join("routes.yaml"), format!("remediator: {{routes: [{route}]}}\n")).unwrap();
        let mut wrong = command(folder.path());
        wrong.env("CONFIG_PATH", "routes.yaml").args(["--port", "0"]);
        let said = refused(wrong).await;
        assert!(said.contains(key), "{said}");
    }
}
