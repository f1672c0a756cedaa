//! Two stores on one database, as two replicas have them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use vigil_core::clock::{Clock, SystemClock, Timestamp};
use vigil_core::metric::MetricName;
use vigil_core::store::{Actor, Expect, Followed, PolicySource, PolicyWrite, Scope, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ManualClock, batch, metric, policy, target};
use vigil_store_postgres::PostgresStore;

use crate::database::Database;

async fn two() -> Option<(Database, PostgresStore, PostgresStore)> {
    let database = Database::create().await?;
    let (one, other) = (database.open().await, database.open().await);
    Some((database, one, other))
}

async fn put(store: &PostgresStore, name: &str) -> i64 {
    let spec = Arc::new(policy(name).build());
    let write = PolicyWrite::Put { spec, source: PolicySource::Api, enabled_override: None, expect: Expect::Any };
    store.write_policies(&TenantId::default(), vec![write], &Actor::new("test")).await.unwrap()
}

fn scope(on: &str) -> Scope {
    Scope { tenant: TenantId::default(), target: Some(target(on)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_written_on_one_replica_is_told_to_the_other() {
    let Some((_database, one, other)) = two().await else { return };
    for round in 0..3 {
        let seen = other.generation(Followed::Policies).await.unwrap();
        let began = Instant::now();
        let (told, written) =
            tokio::join!(timeout(Duration::from_secs(10), other.watch(Followed::Policies, seen)), async {
                put(&one, &format!("p{round}")).await
            });
        assert_eq!(told.expect("told in time").unwrap(), written);
        println!("told after {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_of_one_series_that_arrive_at_two_replicas_are_one_series() {
    let Some((_database, one, other)) = two().await else { return };
    one.record_metrics(batch([metric("cpu", 95.0).on("web-1").at(SystemClock.now())])).await.unwrap();
    other.record_metrics(batch([metric("mem", 97.0).on("web-1").at(SystemClock.now())])).await.unwrap();
    other.record_metrics(batch([metric("cpu", 96.0).on("web-1").at(SystemClock.now())])).await.unwrap();
    let mut samples = one.snapshot(&scope("web-1"), Timestamp::MIN).await.unwrap();
    samples.sort_by(|a, b| a.metric.cmp(&b.metric));
    assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [96.0, 97.0]);
}

/// The clock of a machine that is wrong.
fn wrong_by(minutes: i64) -> Timestamp {
    Timestamp::from_micros(SystemClock.now().as_micros() + minutes * 60_000_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_clock_is_wrong_stamps_samples_by_the_databases() {
    let Some((_database, store, _other)) = two().await else { return };
    // Received on replicas five minutes ahead and behind; a sender's own time of two seconds ago is kept.
    for (name, received) in [("ahead", wrong_by(5)), ("behind", wrong_by(-5))] {
        store.record_metrics(batch([metric(name, 1.0).on("web-1").at(received)])).await.unwrap();
    }
    let sent = Timestamp::from_micros(SystemClock.now().as_micros() - 2_000_000);
    store.record_metrics(batch([metric("sent", 1.0).on("web-1").late(sent, wrong_by(5))])).await.unwrap();
    let now = store.now().await.unwrap();
    let snapshot = store.snapshot(&scope("web-1"), Timestamp::MIN).await.unwrap();
    for sample in &snapshot {
        let age = now.since(sample.at);
        assert!(sample.at <= now, "{}: no sample is of the future", sample.metric);
        // A sample is believed to have waited for a minute at most.
        assert!(age <= Duration::from_secs(70), "{}: {age:?} old", sample.metric);
    }
    let kept = snapshot.iter().find(|sample| sample.metric == MetricName::new("sent").unwrap()).unwrap();
    assert_eq!(kept.at, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_the_scopes_and_take_over_from_each_other() {
    let Some(database) = Database::create().await else { return };
    let clock = Arc::new(ManualClock::new());
    let (one, other) = (database.open_on(clock.clone()).await, database.open_on(clock.clone()).await);
    let every = Duration::from_secs(30);
    one.record_metrics(batch((0..40).map(|n| metric("cpu", 1.0).on(&format!("web-{n}"))))).await.unwrap();
    let (mine, theirs) = tokio::join!(one.claim_scopes(every, 25), other.claim_scopes(every, 25));
    let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
    let all: std::collections::HashSet<_> = mine.iter().chain(&theirs).collect();
    assert_eq!(all.len(), mine.len() + theirs.len(), "none twice");
    assert_eq!(all.len(), 40);
    // The first one dies with what it has just taken; an interval later the other gets everything, each once.
    drop(one);
    clock.advance(every);
    let mut taken = Vec::new();
    loop {
        let more = other.claim_scopes(every, 25).await.unwrap();
        if more.is_empty() {
            break;
        }
        taken.extend(more);
    }
    assert_eq!(taken.len(), 40);
    assert_eq!(taken.iter().collect::<std::collections::HashSet<_>>(), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_that_came_together_are_not_all_due_at_one_moment_for_ever() {
    let Some((_database, one, other)) = two().await else { return };
    let every = Duration::from_millis(200);
    one.record_metrics(batch((0..100).map(|n| metric("cpu", 1.0).on(&format!("web-{n}"))))).await.unwrap();
    let all = one.claim_scopes(every, 1000).await.unwrap().len();
    assert_eq!(all, 100);
    // Whoever asks in turn finds some: none of them gets all for ever.
    let (mut mine, mut theirs) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while (mine < 100 || theirs < 100) && Instant::now() < deadline {
        mine += one.claim_scopes(every, 1000).await.unwrap().len();
        theirs += other.claim_scopes(every, 1000).await.unwrap().len();
    }
    assert!(mine >= 100 && theirs >= 100, "{mine} and {theirs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_series_on_many_replicas_never_wait_crosswise() {
    let Some((_database, one, other)) = two().await else { return };
    let (one, other) = (Arc::new(one), Arc::new(other));
    let mut writing = tokio::task::JoinSet::new();
    for writer in 0..8_u32 {
        let store = if writer % 2 == 0 { one.clone() } else { other.clone() };
        writing.spawn(async move {
            for round in 0..25_u32 {
                let order = |n: u32| if writer % 3 == 0 { 59 - n } else { n };
                let samples = (0..60)
                    .map(|n| metric("cpu", f64::from(round)).on(&format!("web-{}", order(n))).at(SystemClock.now()));
                store.record_metrics(batch(samples)).await.unwrap();
            }
        });
    }
    writing.join_all().await;
    assert_eq!(one.snapshot(&scope("web-7"), Timestamp::MIN).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_by_a_newer_replica_disturbs_an_older_one_for_a_moment_only() {
    let Some((database, store, _other)) = two().await else { return };
    let filter = vigil_core::store::ActionFilter { limit: 5, ..Default::default() };
    let tenant = TenantId::default();
    // Several connections have the statement prepared.
    let many = three_at_once(&store, &filter, &tenant).await;
    assert!(many.iter().all(Result::is_ok));
    let mut plain = database.plain().await;
    crate::database::execute(&mut plain, "ALTER TABLE actions ADD COLUMN later TEXT").await;
    let first = store.actions(&tenant, &filter).await;
    assert!(matches!(first, Ok(_) | Err(vigil_core::store::StoreError::Unavailable(_))), "{first:?}");
    for answer in three_at_once(&store, &filter, &tenant).await {
        answer.unwrap();
    }
}

async fn three_at_once(
    store: &PostgresStore,
    filter: &vigil_core::store::ActionFilter,
    tenant: &TenantId,
) -> [Result<Vec<vigil_core::action::Action>, vigil_core::store::StoreError>; 3] {
    let (a, b, c) =
        tokio::join!(store.actions(tenant, filter), store.actions(tenant, filter), store.actions(tenant, filter));
    [a, b, c]
}
