//! Files that earlier versions wrote: each schema there ever was opens, with what is in it, and works.

use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use vigil_core::action::{ActionId, ActionType};
use vigil_core::clock::Timestamp;
use vigil_core::metric::MetricName;
use vigil_core::store::{Due, Scope, Store};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

#[tokio::test]
async fn a_file_of_every_earlier_schema_opens_and_works() {
    let all: Vec<_> = sqlx::migrate!().iter().cloned().collect();
    for count in 1..=all.len() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::file(folder.path().join("vigil.db"));
        let connect = SqliteConnectOptions::new().filename(options.path.as_ref().unwrap()).create_if_missing(true);
        let mut plain = connect.connect().await.unwrap();
        let mut earlier = Migrator::with_migrations(all[..count].to_vec());
        earlier.dangerous_set_table_name("_vigil_migrations");
        earlier.run_direct(None, &mut plain, false).await.unwrap();
        for row in [
            "INSERT INTO actions (target, action) VALUES ('web-1', 'restart')",
            r#"INSERT INTO metrics (name, value, tags, target) VALUES ('cpu', 12.5, '{"host": "web-1"}', 'web-1')"#,
        ] {
            sqlx::query(row).execute(&mut plain).await.unwrap();
        }
        drop(plain);
        let before = SqliteStore::inspect(&options).await.unwrap();
        assert_eq!(before.found, all[count - 1].version, "the file is of schema {count}");
        let store = SqliteStore::open(options.clone()).await.unwrap();
        let due = store.due(Due::Delivery, ActionId(0), 10).await.unwrap();
        assert_eq!(due.iter().map(|action| action.action).collect::<Vec<_>>(), [ActionType::RestartService]);
        store.record_metrics(batch([metric("cpu", 1.0).on("web-1")])).await.unwrap();
        let scope = Scope { tenant: TenantId::default(), target: Target::new("web-1").ok() };
        let stored = store.samples(&scope, &[MetricName::new("cpu").unwrap()], Timestamp::MIN, 10).await.unwrap();
        assert_eq!(stored.len(), 2, "what was there and what is new");
        store.close().await;
        assert_eq!(SqliteStore::inspect(&options).await.unwrap().found, before.known);
    }
}
