//! From the buffer to the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use vigil_agent::{Agent, Buffer};
use vigil_core::clock::SystemClock;

use crate::hub::{Hub, PATIENCE, Reply, samples, values};

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
    let (shipping, coming) = (agent.ship(&[]), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        hub.back().await;
        // Some of them are taken, and the answer gets lost.
        hub.reply([Reply::TakeAndHangUp, Reply::TakeAndHangUp]);
        hub.until(60_000).await;
    });
    timeout(PATIENCE, async { tokio::join!(shipping, coming) }).await.unwrap();
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
