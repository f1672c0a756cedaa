//! Opening: one clear sentence for everything that can be wrong, and any number of replicas at once.

use tokio::task::JoinSet;
use vigil_core::store::{Actor, Expect, PolicySource, PolicyWrite, Store};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric, policy};
use vigil_store_postgres::{OpenError, PostgresOptions, PostgresStore};

use crate::database::{Database, Server, execute};

async fn refusal(url: &str) -> OpenError {
    let mut options = PostgresOptions::of_url(url).unwrap();
    options.acquire_timeout = std::time::Duration::from_secs(2);
    PostgresStore::open(options).await.expect_err("it must not open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_replicas_that_start_at_once_on_an_empty_database_all_serve() {
    let Some(database) = Database::create().await else { return };
    let mut starting = JoinSet::new();
    for number in 0..10 {
        let database = database.clone();
        starting.spawn(async move {
            let mut options = database.options();
            options.connections = 3;
            let store = PostgresStore::open(options).await.unwrap();
            let name = format!("web-{number}");
            store.record_metrics(batch([metric("cpu", 1.0).on(&name)])).await.unwrap();
            let spec = std::sync::Arc::new(policy(&name).build());
            let write =
                PolicyWrite::Put { spec, source: PolicySource::Api, enabled_override: None, expect: Expect::Absent };
            store.write_policies(&TenantId::default(), vec![write], &Actor::new("test")).await.unwrap();
            store
        });
    }
    let stores = starting.join_all().await;
    for store in &stores {
        assert_eq!(store.policies().await.unwrap().policies.len(), 10);
    }
    let mut plain = database.plain().await;
    let applied: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _vigil_migrations").fetch_one(&mut plain).await.unwrap();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    assert_eq!(applied, i64::try_from(files).unwrap(), "each once");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let Some(database) = Database::create().await else { return };
    database.open().await.close().await;
    let mut plain = database.plain().await;
    let later = "INSERT INTO _vigil_migrations (version, description, success, checksum, execution_time) \
                 VALUES (99, 'later', true, '', 1)";
    execute(&mut plain, later).await;
    let error = refusal(&database.url).await;
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("upgrade Vigil"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unreachable_without_the_password() {
    let error = refusal("postgres://vigil:hunter2@127.0.0.1:1/vigil").await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1 cannot be reached"), "{error}");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}

#[tokio::test]
async fn a_user_who_may_create_nothing_is_told_so() {
    let Some(database) = Database::create().await else { return };
    let mut plain = database.plain().await;
    let user = database.url.rsplit('=').next().unwrap().to_owned();
    execute(&mut plain, &format!("CREATE ROLE {user} LOGIN; GRANT USAGE ON SCHEMA {user} TO {user}")).await;
    let error = refusal(&database.url.replace("vigil@", &format!("{user}@"))).await;
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
    assert!(error.to_string().contains("check that the user may create tables"), "{error}");
    execute(&mut plain, &format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
}

#[tokio::test]
async fn a_server_that_could_lose_what_it_acknowledged_is_refused_unless_allowed() {
    let Some(server) = Server::start() else { return };
    let database = Database::create_on(&server.url()).await;
    let mut plain = database.plain().await;
    execute(&mut plain, "ALTER DATABASE vigil SET synchronous_commit = off").await;
    let error = refusal(&database.url).await;
    assert!(matches!(error, OpenError::NotDurable { setting: "synchronous_commit", .. }), "{error:?}");
    let mut options = database.options();
    options.allow_unsafe_durability = true;
    PostgresStore::open(options).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn the_tables_live_in_the_schema_that_the_url_names() {
    let Some(database) = Database::create().await else { return };
    database.open().await.close().await;
    let mut plain = database.plain().await;
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT schemaname::text FROM pg_tables WHERE tablename = 'actions' AND schemaname = current_schema()",
    )
    .fetch_all(&mut plain)
    .await
    .unwrap();
    assert_eq!(schemas.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_waits_for_one_that_migrates_for_as_long_as_that_takes() {
    let Some(server) = Server::start() else { return };
    let database = Database::create_on(&server.url()).await;
    let mut plain = database.plain().await;
    // Whoever migrates first waits for this.
    execute(&mut plain, "BEGIN; CREATE TABLE _vigil_migrations (version bigint)").await;
    let mut options = database.options();
    options.statement_timeout = std::time::Duration::from_secs(1);
    let (one, other) = (tokio::spawn(PostgresStore::open(options.clone())), tokio::spawn(PostgresStore::open(options)));
    let mut watching = database.plain().await;
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' \
                 AND clock_timestamp() - query_start > interval '2 seconds')";
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watching).await.unwrap() {
        assert!(!one.is_finished() && !other.is_finished(), "one of them gave up");
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // the wait must outlast the limit of a statement
    }
    execute(&mut plain, "ROLLBACK").await;
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_inspection_sees_the_schema_and_changes_nothing() {
    let Some(database) = Database::create().await else { return };
    let seen = PostgresStore::inspect(&database.options()).await.unwrap();
    assert_eq!(seen.found, 0);
    assert_eq!(PostgresStore::inspect(&database.options()).await.unwrap().found, 0, "nothing was migrated");
    let store = database.open().await;
    let seen = PostgresStore::inspect(&database.options()).await.unwrap();
    assert!(seen.found == seen.known && seen.place.contains("PostgreSQL database"), "{seen:?}");
    store.close().await;
}
