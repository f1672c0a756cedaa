//! What pruning does to the tables themselves.

use std::time::Duration;

use sqlx::PgConnection;
use vigil_core::action::{ActionId, ActionKey};
use vigil_core::clock::{Clock, SystemClock, Timestamp};
use vigil_core::store::{Store, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{ManualClock, batch, metric};

use crate::database::{Database, execute};

const DAY: Duration = Duration::from_secs(86_400);

async fn partitions(plain: &mut PgConnection) -> Vec<String> {
    let statement = "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                     WHERE inhparent = 'metrics'::regclass ORDER BY 1";
    sqlx::query_scalar(statement).fetch_all(plain).await.unwrap()
}

/// A store with samples of two days in the past, and its clock, which is at the third.
async fn of_three_days() -> Option<(Database, vigil_store_postgres::PostgresStore, std::sync::Arc<ManualClock>)> {
    let database = Database::create().await?;
    let clock = std::sync::Arc::new(ManualClock::new());
    let store = database.open_on(clock.clone()).await;
    for _ in 0..2 {
        store.record_metrics(batch([metric("cpu", 1.0).on("web-1").at(clock.now())])).await.unwrap();
        clock.advance(DAY * 3);
    }
    Some((database, store, clock))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_partitions_are_dropped_as_tables_and_samples_are_taken_before_and_after() {
    let Some((database, store, clock)) = of_three_days().await else { return };
    let mut plain = database.plain().await;
    let before = partitions(&mut plain).await;
    assert!(before.contains(&"metrics_2026_01_20".to_owned()) && before.contains(&"metrics_2026_01_23".to_owned()));
    let recording = async {
        for number in 0..50 {
            store.record_metrics(batch([metric("cpu", f64::from(number)).on("web-1").at(clock.now())])).await.unwrap();
        }
    };
    let (removed, ()) = tokio::join!(store.prune(clock.now() - DAY, Timestamp::MIN), recording);
    assert!(removed.unwrap() >= 2);
    let left = partitions(&mut plain).await;
    assert!(left.iter().all(|name| name.as_str() >= "metrics_2026_01_25"), "{left:?}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename < 'metrics_2026_01_25' \
                  AND tablename LIKE 'metrics_2026%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut plain).await.unwrap(), 0, "the tables are gone");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM metrics").fetch_one(&mut plain).await.unwrap();
    assert_eq!(kept, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_somebody_reads_for_long_keeps_nothing_else() {
    let Some((database, store, clock)) = of_three_days().await else { return };
    let mut reader = database.plain().await;
    execute(&mut reader, "BEGIN; SELECT * FROM metrics_2026_01_20").await;
    let mut plain = database.plain().await;
    // The one that is read is the oldest: it comes first.
    store.prune(clock.now() - DAY, Timestamp::MIN).await.unwrap();
    let left = partitions(&mut plain).await;
    assert!(
        left.contains(&"metrics_2026_01_20".to_owned()) && !left.contains(&"metrics_2026_01_23".to_owned()),
        "{left:?}"
    );
    let refused = store.prune(clock.now() - DAY, Timestamp::MIN).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "it is said when nothing else is left: {refused:?}");
    execute(&mut reader, "COMMIT").await;
    assert!(store.prune(clock.now() - DAY, Timestamp::MIN).await.unwrap() > 0);
}

#[tokio::test]
async fn what_a_foreign_client_recorded_as_done_goes_with_the_rest() {
    let Some(database) = Database::create().await else { return };
    let (store, mut plain) = (database.open().await, database.plain().await);
    let done = "INSERT INTO actions (target, action, status, started_at) VALUES ('web-1', 'restart', 'completed', '2026-01-01')";
    execute(&mut plain, done).await;
    let key = ActionKey { tenant: TenantId::default(), id: ActionId(1) };
    let action = store.action(&key).await.unwrap().unwrap();
    assert_eq!(action.completed_at, Some(action.started_at));
    store.prune(Timestamp::MIN, SystemClock.now()).await.unwrap();
    assert_eq!(store.action(&key).await.unwrap(), None);
}
