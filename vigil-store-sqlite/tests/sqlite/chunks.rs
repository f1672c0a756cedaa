//! The chunks that samples are found by go with them, whoever wrote them.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use vigil_core::clock::Timestamp;
use vigil_core::store::Store;
use vigil_core::testing::{batch, metric};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

/// How many chunks there are, and how many there must be.
async fn counted(plain: &mut SqliteConnection) -> (i64, i64) {
    let counts = "SELECT (SELECT count(*) FROM metric_chunks), (SELECT count(DISTINCT id >> 9) FROM metrics), \
         (SELECT count(*) FROM metrics WHERE NOT EXISTS (SELECT 1 FROM metric_chunks c \
           WHERE c.chunk = id >> 9 AND at / 1000000 BETWEEN c.first AND c.last))";
    let row = sqlx::query(counts).fetch_one(plain).await.unwrap();
    assert_eq!(row.get::<i64, _>(2), 0, "each sample lies within what its chunk says");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn there_are_as_many_chunks_as_samples_need() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    let store = SqliteStore::open(SqliteOptions::file(&path)).await.unwrap();
    let mut plain = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let at = |second: i64| Timestamp::from_micros(second * 1_000_000 + 999_999);
    for second in [-5, 0, 4, 2, 9] {
        let received = at(second.max(0));
        let samples = (0..400).map(|n| metric("cpu", 1.0).on(&format!("web-{n}")).late(at(second), received));
        store.record_metrics(batch(samples)).await.unwrap();
        let foreign = "INSERT INTO metrics (name, value, at, created_at) VALUES ('cpu', 1.5, -7, ?)";
        sqlx::query(foreign).bind(received.as_micros()).execute(&mut plain).await.unwrap();
    }
    assert_eq!(counted(&mut plain).await, (4, 4));
    while store.prune(at(3), Timestamp::MIN).await.unwrap() > 0 {}
    let (there, needed) = counted(&mut plain).await;
    assert!(there == needed && there < 4, "{there} of {needed}");
}
