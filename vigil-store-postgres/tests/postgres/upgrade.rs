//! Databases that earlier versions made: each schema there ever was opens, with what is in it, and works.

use sqlx::migrate::Migrator;
use vigil_core::action::{ActionId, ActionStatus, ActionType};
use vigil_core::store::{ActionFilter, Due, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric};
use vigil_store_postgres::PostgresStore;

use crate::database::{Database, Server, execute};

#[tokio::test]
async fn a_database_of_every_earlier_schema_opens_and_works() {
    let all: Vec<_> = sqlx::migrate!().iter().cloned().collect();
    for count in 1..=all.len() {
        let Some(database) = Database::create().await else { return };
        let mut plain = database.plain().await;
        let mut earlier = Migrator::with_migrations(all[..count].to_vec());
        earlier.dangerous_set_table_name("_vigil_migrations");
        earlier.set_locking(false);
        earlier.run_direct(None, &mut plain, false).await.unwrap();
        execute(&mut plain, "INSERT INTO actions (target, action) VALUES ('web-1', 'restart')").await;
        let before = PostgresStore::inspect(&database.options()).await.unwrap();
        assert_eq!(before.found, all[count - 1].version, "the database is of schema {count}");
        let store = database.open().await;
        let due = store.due(Due::Delivery, ActionId(0), 10).await.unwrap();
        assert_eq!(due.iter().map(|action| action.action).collect::<Vec<_>>(), [ActionType::RestartService]);
        store.record_metrics(batch([metric("cpu", 1.0).on("web-1")])).await.unwrap();
        assert_eq!(PostgresStore::inspect(&database.options()).await.unwrap().found, before.known);
        store.close().await;
    }
}

/// What the original service made, as its documentation prints it, and something in it.
const ORIGINAL: &str = "
CREATE TABLE metrics (id SERIAL PRIMARY KEY, name VARCHAR(255) NOT NULL, value FLOAT NOT NULL, tags JSONB, created_at TIMESTAMP DEFAULT NOW());
CREATE TABLE actions (id SERIAL PRIMARY KEY, target VARCHAR(255) NOT NULL, action VARCHAR(255) NOT NULL,
    status VARCHAR(50) DEFAULT 'pending', details TEXT, started_at TIMESTAMP DEFAULT NOW());
INSERT INTO metrics (name, value) VALUES ('cpu', 1);
INSERT INTO actions (target, action, status, details, started_at) VALUES
    ('web-1', 'restart', 'completed', 'done', '2026-01-20 12:00:00'), ('web-2', 'restart', 'pending', NULL, now()),
    ('web-3', 'whatever', 'failed', NULL, now());";

#[tokio::test]
async fn the_pages_way_from_the_original_service_brings_its_history_and_carries_nothing_out() {
    let Some(server) = Server::start() else { return };
    let database = Database::create_on(&server.url()).await;
    let mut plain = database.plain().await;
    execute(&mut plain, ORIGINAL).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/migration.md")).unwrap();
    let steps: Vec<&str> = page.split("```sql").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [aside, bring] = steps[..] else { panic!("the page has {} steps in SQL", steps.len()) };
    execute(&mut plain, aside).await;
    let store = database.open().await;
    execute(&mut plain, bring).await;
    let all = ActionFilter { limit: 10, ..ActionFilter::default() };
    let all = store.actions(&TenantId::default(), &all).await.unwrap();
    let [old] = &all[..] else { panic!("{all:?}") };
    assert_eq!((old.target.as_str(), old.status, old.managed), ("web-1", ActionStatus::Completed, false));
    assert!(old.started_at.to_string().starts_with("2026-01-20T12:00:00"), "{}", old.started_at);
    assert_eq!(store.due(Due::Delivery, ActionId(0), 10).await.unwrap(), []);
}
