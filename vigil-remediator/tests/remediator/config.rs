//! The configuration file: what is wrong is named with its place.

use std::path::Path;
use std::sync::Arc;

use vigil_core::clock::SystemClock;
use vigil_remediator::service::Config;

async fn error(text: &str) -> String {
    let parsed = Config::parse(text, Path::new("r.yaml"));
    let error: Box<dyn std::error::Error> = match parsed {
        Err(error) => error.into(),
        Ok(config) => match config.routes(Arc::new(SystemClock)).await {
            Err(error) => error.into(),
            Ok(_) => panic!("it is good: {text}"),
        },
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn every_mistake_is_named() {
    for (text, says) in [
        ("liste: 1", "line 1"),
        ("listen: nowhere", "line 1"),
        ("keep_keys_days: 0", "keep_keys_days must be at least an hour"),
        ("max_in_flight: 0", "max_in_flight must be at least 1"),
        ("answer_within_seconds: -1", "must be a number of seconds"),
        ("executors: { a: { robot: {} } }", "robot"),
        ("executors: { a: { systemd: { adress: x } } }", "adress"),
        ("routes: [{ executor: a }]", "route 1 names the executor 'a', and there is none"),
        ("executors: { a: { systemd: {} } }\nroutes: [{ executor: b }]", "there is only a"),
        ("executors: { a: { systemd: {} } }\nroutes: [{ executor: a, actions: [explode] }]", "must be one of restart"),
        ("executors: { a: { systemd: {} } }\nroutes: [{ executor: a, target: '' }]", "routes[1].target"),
        ("executors:\n  a:\n    process:\n      folder: /tmp/x\n      services: { s: { command: [sleep] } }", "line 5"),
        ("executors: { a: { process: { folder: /tmp/x, services: { s: { command: [] } } } } }", "absolute path"),
        (
            "executors: { a: { process: { folder: /tmp/x, services: { '../s': { command: [/bin/true] } } } } }",
            "needs a name of letters",
        ),
        ("executors: { a: { webhook: { url: 'ftp://x' } } }", "url must begin with http"),
        ("executors: { a: { webhook: { url: 'http://169.254.169.254/' } } }", "is not public; allow_private: true"),
        ("executors: { a: { webhook: { url: 'http://[::1]/' } } }", "is not public"),
        (
            "executors: { a: { webhook: { url: 'https://x.example/', secret_file: /nowhere } } }",
            "secret_file: /nowhere",
        ),
        (
            "executors: { a: { webhook: { url: 'http://1.1.1.1', probe_url: 'http://1.1.1.1/?k={key}' } } }",
            "must have {key} once",
        ),
        (
            "executors: { a: { webhook: { url: 'http://1.1.1.1', probe_url: 'http://1.1.1.1/{key}.json' } } }",
            "must have {key}",
        ),
        ("executors: { a: { kubernetes: { kubeconfig: /nowhere } } }", "executors.a cannot be set up"),
    ] {
        let error = error(text).await;
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[tokio::test]
async fn the_shipped_example_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/remediator.yaml");
    Config::read(&path).unwrap().routes(Arc::new(SystemClock)).await.unwrap();
}

#[test]
fn an_empty_file_is_one_without_routes() {
    for text in ["", "# nothing\n\n"] {
        assert!(Config::parse(text, Path::new("r.yaml")).unwrap().routes.is_empty());
    }
}
