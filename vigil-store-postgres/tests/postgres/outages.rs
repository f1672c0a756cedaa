//! A server that is restarted, killed, and frozen under the store.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use vigil_core::clock::Timestamp;
use vigil_core::store::{Scope, Store, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric, target};
use vigil_store_postgres::PostgresStore;

use crate::database::{Database, Server, execute};

async fn open() -> Option<(Server, Database, PostgresStore)> {
    let server = Server::start()?;
    let database = Database::create_on(&server.url()).await;
    let mut options = database.options();
    options.statement_timeout = Duration::from_secs(2);
    options.acquire_timeout = Duration::from_secs(2);
    let store = PostgresStore::open(options).await.unwrap();
    Some((server, database, store))
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
    let Some((server, _, store)) = open().await else { return };
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
    let Some((server, _, store)) = open().await else { return };
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

/// So many connections at once, all of them idle a moment later.
async fn use_connections(store: &PostgresStore) {
    let (a, b, c) = tokio::join!(store.ping(), store.ping(), store.ping());
    a.and(b).and(c).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_holds_callers_of_the_clock_up_together_and_not_one_after_the_other() {
    let Some((server, _, store)) = open().await else { return };
    server.run("freeze");
    // The last answer is good for a second.
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.now().await.is_ok() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    let asking = futures_util::future::join_all((0..10).map(|_| store.now()));
    let answers = timeout(Duration::from_secs(20), asking).await;
    server.run("thaw");
    for answer in answers.expect("ten callers wait for as long as one") {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_became_read_only_are_not_used_again() {
    let Some((server, database, store)) = open().await else { return };
    let mut plain = database.plain().await;
    execute(&mut plain, "SET default_transaction_read_only = off").await;
    // As after a failover: every session from now on is read-only, until the server is the master again.
    execute(&mut plain, "ALTER DATABASE vigil SET default_transaction_read_only = on").await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vigil'";
    execute(&mut plain, others).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.ping().await.is_err() {
        assert!(Instant::now() < deadline, "new sessions can read");
    }
    use_connections(&store).await;
    execute(&mut plain, "ALTER DATABASE vigil RESET default_transaction_read_only").await;
    // Those that are open stay read-only for ever: the first that says so is enough.
    let refused = record(&store, 1.0).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    for value in [2.0, 3.0] {
        record(&store, value).await.unwrap();
    }
    drop(server);
}

/// Sends a signal to the sessions of the store.
async fn signal_sessions(database: &Database, signal: &str) {
    let mut plain = database.plain().await;
    let sessions: Vec<i32> =
        sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE application_name = 'vigil' AND state = 'idle'")
            .fetch_all(&mut plain)
            .await
            .unwrap();
    assert!(!sessions.is_empty());
    let pids = sessions.iter().map(i32::to_string);
    let done = std::process::Command::new("kill").arg(signal).args(pids).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_went_silent_while_they_were_idle_cost_a_call_one_of_them() {
    let Some((_server, database, store)) = open().await else { return };
    use_connections(&store).await;
    signal_sessions(&database, "-STOP").await;
    tokio::time::sleep(Duration::from_millis(1100)).await; // what answered within the last second is trusted
    let pinged = store.ping().await;
    signal_sessions(&database, "-CONT").await;
    pinged.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_that_wait_are_bounded_by_their_number_and_not_by_that_of_requests() {
    let Some(database) = Database::create().await else { return };
    let mut options = database.options();
    options.waiting_room = 4; // and 256 samples
    let store = PostgresStore::open(options).await.unwrap();
    let mut plain = database.plain().await;
    execute(&mut plain, "BEGIN; LOCK TABLE metrics IN EXCLUSIVE MODE").await;
    let many = || batch((0..200).map(|number| metric("cpu", f64::from(number)).on("web-1")));
    let (waiting, refused) = tokio::join!(store.record_metrics(many()), async {
        let refused = store.record_metrics(many()).await;
        execute(&mut plain, "COMMIT").await;
        refused
    });
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(waiting.unwrap().ids.len(), 200);
    assert_eq!(store.record_metrics(many()).await.unwrap().ids.len(), 200);
}
