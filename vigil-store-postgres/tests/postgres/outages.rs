//! A server that is restarted, killed, and frozen under the store.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use vigil_core::clock::Timestamp;
use vigil_core::store::{Scope, Store, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric, target};
use vigil_store_postgres::PostgresStore;

use crate::database::{Database, Server};

async fn open() -> Option<(Server, PostgresStore)> {
    let server = Server::start()?;
    let database = Database::create_on(&server.url()).await;
    let mut options = database.options();
    options.statement_timeout = Duration::from_secs(2);
    options.acquire_timeout = Duration::from_secs(2);
    Some((server, PostgresStore::open(options).await.unwrap()))
}

async fn record(store: &PostgresStore, value: f64) -> Result<(), StoreError> {
    store.record_metrics(batch([metric("cpu", value).on("web-1")])).await.map(drop)
}

/// Records until it is taken again; every failure in between must say that the store is unavailable.
async fn until_recorded(store: &PostgresStore, value: f64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match record(store, value).await {
            Ok(()) => return,
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await; // the server comes back on its own time
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn newest(store: &PostgresStore) -> f64 {
    let scope = Scope { tenant: TenantId::default(), target: Some(target("web-1")) };
    store.snapshot(&scope, Timestamp::MIN).await.unwrap()[0].value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_or_a_crash_of_the_server_the_store_works_again_by_itself() {
    let Some((server, store)) = open().await else { return };
    record(&store, 1.0).await.unwrap();
    for (number, verbs) in [&["restart"][..], &["kill", "start"], &["stop", "start"]].into_iter().enumerate() {
        for verb in verbs {
            server.run(verb);
            if *verb != "start" && *verb != "restart" {
                let refused = record(&store, 0.0).await;
                assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
                assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
            }
        }
        let value = 2.0 + number as f64;
        until_recorded(&store, value).await;
        assert_eq!(newest(&store).await, value);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_holds_nobody_up_for_long() {
    let Some((server, store)) = open().await else { return };
    record(&store, 1.0).await.unwrap();
    server.run("freeze");
    let patience = Duration::from_secs(20);
    let pinged = timeout(patience, store.ping()).await;
    let recorded = timeout(patience, record(&store, 2.0)).await;
    server.run("thaw");
    assert!(matches!(pinged, Ok(Err(StoreError::Unavailable(_)))), "{pinged:?}");
    assert!(matches!(recorded, Ok(Err(StoreError::Unavailable(_)))), "{recorded:?}");
    until_recorded(&store, 3.0).await;
}
