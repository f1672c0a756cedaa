//! From the buffer to the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use vigil_agent::{Agent, Buffer, Config};
use vigil_core::clock::SystemClock;
use vigil_core::testing::eventually_within;

use crate::hub::{Hub, PATIENCE, Reply, samples, values};

fn tls() -> impl std::any::Any {
    vigil_http::client_tls(&reqwest::Url::parse("http://localhost").unwrap()).unwrap()
}

#[tokio::test]
async fn what_the_server_takes_arrives_once_and_in_order() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let agent = hub.agent(folder.path());
    agent.ship(&samples(0..2500)).await;
    agent.ship(&samples(2500..2600)).await;
    assert_eq!(values(&hub.samples()), (0..2600).collect::<Vec<_>>());
    assert_eq!(hub.requests(), 4, "a thousand at a time");
    assert_eq!(hub.samples()[7], samples(7..8)[0], "as it was measured");
}

/// Ten minutes at a hundred samples a second.
#[tokio::test]
async fn after_an_outage_every_sample_arrives_once_and_in_order() {
    let (mut hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    hub.away().await;
    let mut buffer = Buffer::open(folder.path().join("buffer"), 64_000_000).unwrap();
    for second in 0..600 {
        assert_eq!(buffer.push(&samples(second * 100..second * 100 + 100)).unwrap(), 0);
    }
    drop(buffer);
    let agent = hub.agent(folder.path());
    // Some of them are taken, and the answer gets lost.
    hub.reply([Reply::TakeAndHangUp, Reply::TakeAndHangUp]);
    hub.back().await;
    timeout(PATIENCE, agent.ship(&[])).await.unwrap();
    assert_eq!(values(&hub.samples()), (0..60_000).collect::<Vec<_>>());
    println!("60000 samples of an outage arrived once, in {} requests", hub.requests());
    assert!(hub.requests() >= 602, "two were sent again");
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_given_time() {
    for status in [429, 503] {
        let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
        hub.reply([Reply::Status(status, Some(1))]);
        let began = Instant::now();
        hub.agent(folder.path()).ship(&samples(0..3)).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "{status}");
        assert_eq!((values(&hub.samples()), hub.requests()), (vec![0, 1, 2], 2));
    }
}

#[tokio::test]
async fn what_is_refused_for_good_does_not_hold_up_the_rest() {
    for status in [400, 413, 422] {
        let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
        hub.reply([Reply::Status(status, None)]);
        let agent = hub.agent(folder.path());
        agent.ship(&samples(0..3)).await;
        agent.ship(&samples(3..6)).await;
        assert_eq!((values(&hub.samples()), hub.requests()), (vec![3, 4, 5], 2), "{status}");
    }
}

#[tokio::test]
async fn a_wrong_key_or_a_broken_server_costs_no_sample() {
    for status in [401, 403, 404, 500, 502, 503] {
        let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
        hub.reply([Reply::Status(status, None)]);
        hub.agent(folder.path()).ship(&samples(0..3)).await;
        assert_eq!((values(&hub.samples()), hub.requests()), (vec![0, 1, 2], 2), "{status}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_does_not_hold_up_the_rest() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let buffer = folder.path().join("buffer");
    Buffer::open(buffer.clone(), 64_000_000).unwrap().push(&samples(0..3)).unwrap();
    let entries = || std::fs::read_dir(&buffer).unwrap().map(|entry| entry.unwrap().path());
    let file = entries().find(|path| path.extension().is_some_and(|end| end == "gz")).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap(); // not even root can read it
    timeout(PATIENCE, hub.agent(folder.path()).ship(&samples(3..6))).await.unwrap();
    assert_eq!(values(&hub.samples()), [3, 4, 5]);
    assert!(entries().any(|path| path.extension().is_some_and(|end| end == "unreadable")));
}

#[tokio::test]
async fn a_full_buffer_drops_the_oldest_and_says_how_many() {
    let (mut hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    hub.away().await;
    let config = Config { buffer_mb: 0.03, interval_seconds: 0.1, ..hub.config(folder.path()) };
    let (agent, stop) = (Agent::new(&config, Arc::new(SystemClock)).unwrap(), CancellationToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let running = tokio::spawn(agent.run(Some(listener), stop.clone()));
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls()).no_proxy().build().unwrap();
    let read = async |path: &str| client.get(format!("{url}{path}")).send().await.unwrap().text().await.unwrap();
    assert!(read("/health").await.contains(r#""status":"healthy""#));
    let number = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let text = eventually_within(PATIENCE, "the buffer runs over", async || {
        Some(read("/metrics").await).filter(|text| number(text, "vigil_agent_samples_dropped_total") >= 3)
    })
    .await;
    assert_eq!(number(&text, "vigil_agent_samples_waiting"), 7, "a file takes a block of 4096 bytes: {text}");
    assert_eq!(number(&text, "vigil_agent_buffer_bytes"), 7 * 4096);
    hub.back().await;
    hub.until(7).await;
    let text = eventually_within(PATIENCE, "nothing waits", async || {
        Some(read("/metrics").await).filter(|text| number(text, "vigil_agent_samples_waiting") == 0)
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    let (dropped, all) = (number(&text, "vigil_agent_samples_dropped_total"), hub.samples());
    assert!(number(&text, "vigil_agent_samples_collected_total") >= dropped + 7);
    assert!(all.is_sorted_by_key(|sample| sample.timestamp), "the oldest are missing, and nothing in between");
    let gaps = all.windows(2).map(|pair| pair[1].timestamp.since(pair[0].timestamp)).max().unwrap();
    println!("{dropped} dropped, {} sent, {gaps:?} at most between two", all.len());
}

#[tokio::test]
async fn it_measures_every_interval_and_ends_in_order() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let agent = Agent::new(&hub.config(folder.path()), Arc::new(SystemClock)).unwrap();
    let stop = CancellationToken::new();
    let watching = async {
        hub.until(5).await;
        stop.cancel();
    };
    timeout(PATIENCE, async { tokio::join!(agent.run(None, stop.clone()), watching) }).await.unwrap();
    let all = hub.samples();
    assert!(all.iter().all(|sample| sample.name == "up" && sample.tags["host"] == "web-1"), "{all:?}");
    assert!(all.is_sorted_by_key(|sample| sample.timestamp));
    assert_eq!(Buffer::open(folder.path().join("buffer"), 1).unwrap().size().0, 0, "nothing is left behind");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_round() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = format!("{{ name: deaf, http: 'http://{}', timeout_seconds: 3000 }}", deaf.local_addr().unwrap());
    let config = Config {
        interval_seconds: 3600.0,
        checks: vec![serde_saphyr::from_str(&check).unwrap()],
        ..hub.config(folder.path())
    };
    let (agent, stop) = (Agent::new(&config, Arc::new(SystemClock)).unwrap(), CancellationToken::new());
    let running = tokio::spawn(agent.run(None, stop.clone()));
    let _asked = timeout(PATIENCE, deaf.accept()).await.unwrap().unwrap();
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}
