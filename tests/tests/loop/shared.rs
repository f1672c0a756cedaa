//! The servers that all tests share, and a part of them for each test.
#![allow(clippy::disallowed_methods)] // the tests are told by the environment where the servers are

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

/// The URL of a server. `None`, said so, if there is none; a failure where it is required.
pub(crate) fn server(backend: &str) -> Option<String> {
    let variable = format!("VIGIL_TEST_{}_URL", backend.to_uppercase());
    let url = std::env::var(&variable).ok();
    if url.is_none() {
        let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
        assert!(
            !required.split(',').any(|required| required == backend),
            "{backend} is required, but {variable} is not set"
        );
        println!("skipped: {variable} is not set");
    }
    url
}

/// A name that nobody else has.
pub(crate) fn name() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("loop{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

/// The URL of an empty schema.
pub(crate) async fn schema() -> String {
    let (server, name) = (server("postgres").expect("it is there"), name());
    let mut plain = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let statements = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut plain).await.unwrap();
    format!("{server}?options[search_path]={name}")
}
