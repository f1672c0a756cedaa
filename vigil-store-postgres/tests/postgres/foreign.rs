//! Clients that know only the documented columns.

use sqlx::PgConnection;
use vigil_core::action::{ActionId, ActionKey, ActionStatus, ActionType};
use vigil_core::store::{ActionFilter, Due, Store};
use vigil_core::tenant::TenantId;
use vigil_store_postgres::PostgresStore;

use crate::database::{Database, execute, try_execute};

async fn open() -> Option<(PostgresStore, PgConnection)> {
    let database = Database::create().await?;
    Some((database.open().await, database.plain().await))
}

#[tokio::test]
async fn a_pending_action_of_a_foreign_client_is_due() {
    let Some((store, mut plain)) = open().await else { return };
    execute(&mut plain, "INSERT INTO actions (target, action) VALUES ('web-1', 'restart-service')").await;
    let full = "INSERT INTO actions (target, action, status, details) VALUES ('web-2', 'restart', 'pending', 'x')";
    execute(&mut plain, full).await;
    let due = store.due(Due::Delivery, ActionId(0), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|action| action.managed && action.action == ActionType::RestartService));
    assert_ne!(due[0].nonce, due[1].nonce, "64 random bits each");
    assert!(due[0].nonce >> 32 != 0 && due[0].nonce & 0xffff_ffff != 0, "{:x}", due[0].nonce);
    assert!(due[0].expires_at > due[0].started_at);
}

#[tokio::test]
async fn what_a_foreign_client_records_is_not_carried_out() {
    let Some((store, mut plain)) = open().await else { return };
    for status in ["running", "completed", "failed", "cancelled"] {
        let statement = format!("INSERT INTO actions (target, action, status) VALUES ('web-1', 'restart', '{status}')");
        execute(&mut plain, &statement).await;
    }
    assert_eq!(store.due(Due::Delivery, ActionId(0), 10).await.unwrap(), []);
    let filter = ActionFilter { limit: 10, ..ActionFilter::default() };
    let all = store.actions(&TenantId::default(), &filter).await.unwrap();
    assert!(all.len() == 4 && all.iter().all(|action| !action.managed && !action.occupies));
    let first = store.action(&ActionKey { tenant: TenantId::default(), id: ActionId(1) }).await.unwrap().unwrap();
    assert_eq!(first.status, ActionStatus::Running);
}

#[tokio::test]
async fn a_word_that_is_none_of_ours_is_refused_at_the_border() {
    let Some((_store, mut plain)) = open().await else { return };
    for values in ["('web-1', 'explode', 'pending')", "('web-1', 'restart', 'started')", "('', 'restart', 'pending')"] {
        let statement = format!("INSERT INTO actions (target, action, status) VALUES {values}");
        assert!(try_execute(&mut plain, &statement).await.is_err(), "{values}");
    }
    for value in ["'NaN'", "'Infinity'", "'-Infinity'"] {
        let statement = format!("INSERT INTO metrics (name, value) VALUES ('cpu', {value})");
        assert!(try_execute(&mut plain, &statement).await.is_err(), "{value}");
    }
}

#[tokio::test]
async fn a_foreign_sample_is_stored_under_an_id_of_its_own() {
    let Some((store, mut plain)) = open().await else { return };
    let ours = vigil_core::testing::batch([vigil_core::testing::metric("cpu", 1.0).on("web-1")]);
    let first = store.record_metrics(ours.clone()).await.unwrap();
    execute(&mut plain, r#"INSERT INTO metrics (name, value, tags) VALUES ('cpu', 12.5, '{"host": "web-1"}')"#).await;
    execute(&mut plain, "INSERT INTO metrics (name, value) VALUES ('cpu', 12.5)").await;
    let second = store.record_metrics(ours).await.unwrap();
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM metrics").fetch_all(&mut plain).await.unwrap();
    let distinct: std::collections::HashSet<i64> = ids.iter().copied().collect();
    assert_eq!((ids.len(), distinct.len()), (4, 4));
    assert!(distinct.contains(&first.ids[0].0) && distinct.contains(&second.ids[0].0));
}

#[tokio::test]
async fn the_documented_columns_have_the_documented_types_or_wider_ones() {
    let Some((_store, mut plain)) = open().await else { return };
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND (table_name, column_name) IN (('metrics', 'id'), ('metrics', 'name'), \
           ('metrics', 'value'), ('metrics', 'tags'), ('metrics', 'created_at'), ('actions', 'id'), ('actions', 'target'), \
           ('actions', 'action'), ('actions', 'status'), ('actions', 'details'), ('actions', 'started_at')) ORDER BY 1, 2",
    )
    .fetch_all(&mut plain)
    .await
    .unwrap();
    let found: Vec<String> = rows.into_iter().map(|(table, column, kind)| format!("{table}.{column} {kind}")).collect();
    assert_eq!(
        found,
        [
            "actions.action text",
            "actions.details text",
            "actions.id bigint",
            "actions.started_at timestamp with time zone",
            "actions.status text",
            "actions.target text",
            "metrics.created_at timestamp with time zone",
            "metrics.id bigint",
            "metrics.name text",
            "metrics.tags jsonb",
            "metrics.value double precision",
        ]
    );
}
