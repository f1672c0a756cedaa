//! Clients that know only the documented columns.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tempfile::TempDir;
use vigil_core::action::{ActionId, ActionKey, ActionStatus, ActionType};
use vigil_core::clock::Timestamp;
use vigil_core::metric::{MetricName, Tags};
use vigil_core::store::{ActionFilter, Aggregate, Due, Range, RangeQuery, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

async fn open() -> (TempDir, SqliteStore, SqliteConnection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    let store = SqliteStore::open(SqliteOptions::file(&path)).await.unwrap();
    let plain = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    (folder, store, plain)
}

async fn run(plain: &mut SqliteConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(plain).await.map(drop)
}

#[tokio::test]
async fn a_pending_action_of_a_foreign_client_is_due() {
    let (_folder, store, mut plain) = open().await;
    run(&mut plain, "INSERT INTO actions (target, action) VALUES ('web-1', 'restart-service')").await.unwrap();
    run(
        &mut plain,
        "INSERT INTO actions (target, action, status, details) VALUES ('web-2', 'restart', 'pending', 'x')",
    )
    .await
    .unwrap();
    let due = store.due(Due::Delivery, ActionId(0), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|action| action.managed && action.action == ActionType::RestartService));
    assert_ne!(due[0].idempotency_key(), due[1].idempotency_key());
    assert_ne!(due[0].nonce, due[1].nonce, "64 random bits each");
    assert!(due[0].expires_at > due[0].started_at);
}

#[tokio::test]
async fn what_a_foreign_client_records_is_not_carried_out() {
    let (_folder, store, mut plain) = open().await;
    for status in ["running", "completed", "failed", "cancelled"] {
        let statement = format!("INSERT INTO actions (target, action, status) VALUES ('web-1', 'restart', '{status}')");
        run(&mut plain, &statement).await.unwrap();
    }
    assert_eq!(store.due(Due::Delivery, ActionId(0), 10).await.unwrap(), []);
    let all =
        store.actions(&TenantId::default(), &ActionFilter { limit: 10, ..ActionFilter::default() }).await.unwrap();
    assert!(all.len() == 4 && all.iter().all(|action| !action.managed && !action.occupies));
    let first = store.action(&ActionKey { tenant: TenantId::default(), id: ActionId(1) }).await.unwrap().unwrap();
    assert_eq!(first.status, ActionStatus::Running);
}

#[tokio::test]
async fn a_word_that_is_none_of_ours_is_refused_at_the_border() {
    let (_folder, _store, mut plain) = open().await;
    for values in ["('web-1', 'explode', 'pending')", "('web-1', 'restart', 'started')", "('', 'restart', 'pending')"] {
        assert!(
            run(&mut plain, &format!("INSERT INTO actions (target, action, status) VALUES {values}")).await.is_err(),
            "{values}"
        );
    }
}

#[tokio::test]
async fn a_foreign_sample_is_stored() {
    let (_folder, store, mut plain) = open().await;
    run(&mut plain, r#"INSERT INTO metrics (name, value, tags) VALUES ('cpu', 12.5, '{"host": "web-1"}')"#)
        .await
        .unwrap();
    run(&mut plain, "INSERT INTO metrics (name, value) VALUES ('cpu', 12.5)").await.unwrap();
    store.ping().await.unwrap();
    let range = RangeQuery {
        metric: MetricName::new("cpu").unwrap(),
        target: None,
        tags: Tags::default(),
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        step: Duration::from_secs(60),
        aggregate: Aggregate::Avg,
        max_points: 10,
    };
    let shown = store.range(&TenantId::default(), &range).await.unwrap();
    assert_eq!(shown, Range::Lines(vec![]), "it is of no series");
}

#[tokio::test]
async fn samples_go_on_beside_those_of_a_foreign_client() {
    let (_folder, store, mut plain) = open().await;
    let samples = |value: f64| batch((0..3).map(move |host| metric("cpu", value).on(&format!("web-{host}"))));
    let foreign = async {
        for _ in 0..100 {
            run(&mut plain, "INSERT INTO metrics (name, value) VALUES ('cpu', 12.5)").await.unwrap();
        }
    };
    let own = async {
        let mut ids = Vec::new();
        for value in 0..50 {
            // Two that share a transaction.
            let value = f64::from(value);
            let (one, other) = tokio::join!(store.record_metrics(samples(value)), store.record_metrics(samples(value)));
            ids.extend([one.unwrap().ids, other.unwrap().ids].concat());
        }
        ids
    };
    let ((), ids) = tokio::join!(foreign, own);
    let stored = "SELECT id FROM metrics WHERE value <> 12.5 ORDER BY id";
    let stored: Vec<i64> = sqlx::query_scalar(stored).fetch_all(&mut plain).await.unwrap();
    let mut ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, stored, "each is there once, under the id that was answered");
}
