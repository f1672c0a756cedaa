//! What a person would write who needs nothing but the rows: a loop that commits batches into the same tables.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

const TAGS: &str = r#"{"host":"host-1","zone":"eu-1"}"#;
const SERIES: &str = r#"{"zone":"eu-1"}"#;

pub(crate) struct Postgres(PgConnection);

impl Postgres {
    pub(crate) async fn connect(url: &str) -> Self {
        let mut plain = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        sqlx::query("SET plan_cache_mode = force_generic_plan").execute(&mut plain).await.unwrap();
        Self(plain)
    }

    /// Rows a second, so many a commit, `series_latest` included.
    pub(crate) async fn insert(&mut self, rows: usize, span: Duration) -> f64 {
        let (began, mut written) = (Instant::now(), 0);
        let targets: Vec<String> = (0..rows).map(|number| format!("hand-{number}")).collect();
        let digests: Vec<Vec<u8>> = (0..rows).map(|number| format!("{number:016}").into_bytes()).collect();
        while began.elapsed() < span {
            let values: Vec<f64> = (0..rows).map(|number| number as f64).collect();
            let mut transaction = self.0.begin().await.unwrap();
            sqlx::query(
                "INSERT INTO metrics (name, target, value, tags, series) \
                 SELECT 'cpu_percent', target, value, $3::jsonb, $4 FROM unnest($1::text[], $2::float8[]) AS r (target, value)",
            )
            .bind(&targets)
            .bind(&values)
            .bind(TAGS)
            .bind(SERIES)
            .execute(&mut *transaction)
            .await
            .unwrap();
            sqlx::query(
                "INSERT INTO series_latest (tenant, target, name, digest, series, value, at) \
                 SELECT 'default', target, 'cpu_percent', digest, $3, value, now() \
                 FROM unnest($1::text[], $2::float8[], $4::bytea[]) AS r (target, value, digest) \
                 ON CONFLICT (tenant, target, name, digest) DO UPDATE SET value = excluded.value, at = excluded.at",
            )
            .bind(&targets)
            .bind(&values)
            .bind(SERIES)
            .bind(&digests)
            .execute(&mut *transaction)
            .await
            .unwrap();
            transaction.commit().await.unwrap();
            written += rows;
        }
        written as f64 / began.elapsed().as_secs_f64()
    }
}

pub(crate) struct Sqlite(SqliteConnection);

impl Sqlite {
    /// On a file of its own with the same tables: the store lets nobody else write to its own.
    pub(crate) async fn open(path: &Path) -> Self {
        SqliteStore::open(SqliteOptions::file(path)).await.unwrap().close().await;
        let options = SqliteConnectOptions::new().filename(path);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        Self(options.connect().await.unwrap())
    }

    /// Rows a second, so many a commit, `series_latest` included.
    pub(crate) async fn insert(&mut self, rows: usize, span: Duration) -> f64 {
        let (began, mut written) = (Instant::now(), 0);
        let targets: Vec<String> = (0..rows).map(|number| format!("hand-{number}")).collect();
        while began.elapsed() < span {
            let mut transaction = self.0.begin().await.unwrap();
            for piece in targets.chunks(500) {
                let mut insert: QueryBuilder<sqlx::Sqlite> =
                    QueryBuilder::new("INSERT INTO metrics (name, target, value, tags, series) ");
                insert.push_values(piece, |mut row, target| {
                    row.push_bind("cpu_percent").push_bind(target).push_bind(1.5).push_bind(TAGS).push_bind(SERIES);
                });
                insert.build().execute(&mut *transaction).await.unwrap();
                let mut upsert: QueryBuilder<sqlx::Sqlite> =
                    QueryBuilder::new("INSERT INTO series_latest (tenant, target, name, series, value, at) ");
                upsert.push_values(piece, |mut row, target| {
                    row.push_bind("default").push_bind(target).push_bind("cpu_percent").push_bind(SERIES);
                    row.push_bind(1.5).push("CAST(unixepoch('subsec') * 1000000 AS INTEGER)");
                });
                upsert.push(" ON CONFLICT DO UPDATE SET value = excluded.value, at = excluded.at");
                upsert.build().execute(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
            written += rows;
        }
        written as f64 / began.elapsed().as_secs_f64()
    }
}
