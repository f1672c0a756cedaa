//! [`Database`]: a schema of its own on the server that the tests share; [`Server`]: a server of its own, to be broken.
#![allow(clippy::disallowed_methods)] // the tests are told by the environment where the server is

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tempfile::TempDir;
use vigil_core::clock::Clock;
use vigil_store_postgres::{PostgresOptions, PostgresStore};

const URL: &str = "VIGIL_TEST_POSTGRES_URL";

/// Says that a test is skipped, or fails it where the backend is required.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
    assert!(!required.split(',').any(|backend| backend == "postgres"), "PostgreSQL is required, but {why}");
    println!("skipped: {why}");
}

/// A schema of its own.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    pub(crate) async fn create() -> Option<Self> {
        let Ok(server) = std::env::var(URL) else {
            skip(&format!("{URL} is not set"));
            return None;
        };
        Some(Self::create_on(&server).await)
    }

    pub(crate) async fn create_on(server: &str) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let schema = format!("t{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let mut plain = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        execute(&mut plain, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")).await;
        let and = if server.contains('?') { '&' } else { '?' };
        Self { url: format!("{server}{and}options[search_path]={schema}") }
    }

    /// An empty database whose sessions begin with these settings, unless they say otherwise.
    pub(crate) async fn create_with_defaults(settings: &[&str]) -> Option<Self> {
        let Ok(server) = std::env::var(URL) else {
            skip(&format!("{URL} is not set"));
            return None;
        };
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("d{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let mut plain = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        for statement in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            execute(&mut plain, &statement).await; // neither may be in a transaction
        }
        for setting in settings {
            execute(&mut plain, &format!("ALTER DATABASE {name} SET {setting}")).await;
        }
        let url = server.rsplit_once('/').map(|(place, _)| format!("{place}/{name}"));
        Some(Self { url: url.expect("the server's URL names a database") })
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        let mut options = PostgresOptions::of_url(&self.url).unwrap();
        options.connections = 6;
        options
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        PostgresStore::open(self.options()).await.unwrap()
    }

    pub(crate) async fn open_on(&self, clock: Arc<dyn Clock>) -> PostgresStore {
        PostgresStore::open(self.options().clock(clock)).await.unwrap()
    }

    /// A connection that knows nothing of Vigil.
    pub(crate) async fn plain(&self) -> PgConnection {
        self.url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }
}

/// Runs statements that a person may have written.
pub(crate) async fn execute(plain: &mut PgConnection, statements: &str) {
    try_execute(plain, statements).await.unwrap_or_else(|error| panic!("{error}: {statements}"));
}

pub(crate) async fn try_execute(plain: &mut PgConnection, statements: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(plain).await.map(drop)
}

/// A server of its own.
pub(crate) struct Server {
    folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        let installed = Path::new("/usr/lib/postgresql").exists();
        if !installed {
            skip("PostgreSQL is not installed");
            return None;
        }
        let server = Self { folder: tempfile::Builder::new().prefix("vigil-pg-").tempdir_in("/tmp").unwrap() };
        server.run("start");
        Some(server)
    }

    /// See `scripts/servers/postgres`.
    pub(crate) fn run(&self, verb: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/servers/postgres");
        let done = Command::new(script).arg(verb).arg(self.folder.path()).output().unwrap();
        assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn url(&self) -> String {
        self.run("url")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("remove");
    }
}
