//! Opening: one clear sentence for everything that can be wrong with a file.

use std::path::Path;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use vigil_core::store::Store;
use vigil_store_sqlite::{OpenError, SqliteOptions, SqliteStore};

async fn refusal(path: &Path) -> OpenError {
    SqliteStore::open(SqliteOptions::file(path)).await.expect_err("it must not open")
}

#[tokio::test]
async fn a_second_open_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    let first = SqliteStore::open(SqliteOptions::file(&path)).await.unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::InUse(_)) && error.to_string().contains("in use by another process"), "{error}");
    first.close().await;
    SqliteStore::open(SqliteOptions::file(&path)).await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    SqliteStore::open(SqliteOptions::file(&path)).await.unwrap().close().await;
    let mut plain = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("INSERT INTO _vigil_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', 1, x'00', 1)")
        .execute(&mut plain)
        .await
        .unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Newer { found: 99, known: 3.., .. }), "{error:?}");
    assert!(error.to_string().contains("upgrade Vigil"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    std::fs::write(&path, "this is a letter to my aunt, not a database at all\n".repeat(100)).unwrap();
    let error = refusal(&path).await;
    assert!(
        matches!(error, OpenError::Corrupt(..)) && error.to_string().contains("not a readable SQLite database"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vigil.db");
    SqliteStore::open(SqliteOptions::file(&path)).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // The page of the schema, behind the header that says how long the file is.
    bytes[100..4096].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Corrupt(..)), "{error:?}");
}

#[tokio::test]
async fn a_folder_that_is_missing_or_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // The file system of the kernel takes no new file, not even from root.
    for path in [folder.path().join("missing/vigil.db"), "/proc/vigil.db".into()] {
        let error = refusal(&path).await;
        assert!(matches!(error, OpenError::NotWritable(..)), "{error:?}");
        assert!(error.to_string().contains("check that the folder exists and may be written"), "{error}");
    }
}

#[tokio::test]
async fn a_store_in_memory_needs_no_file() {
    SqliteStore::open(SqliteOptions::memory()).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn an_inspection_sees_the_schema_beside_the_store_that_has_the_file_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::file(folder.path().join("vigil.db"));
    let seen = SqliteStore::inspect(&options).await.unwrap();
    assert!(seen.found == 0 && seen.known >= 2 && !folder.path().join("vigil.db").exists(), "{seen:?}");
    let store = SqliteStore::open(options.clone()).await.unwrap();
    let seen = SqliteStore::inspect(&options).await.unwrap();
    assert_eq!(seen.found, seen.known);
    store.close().await;
    assert_eq!(SqliteStore::inspect(&options).await.unwrap(), seen, "also when nobody has it");
    let missing = SqliteOptions::file(folder.path().join("missing/vigil.db"));
    assert!(matches!(SqliteStore::inspect(&missing).await, Err(OpenError::NotWritable(..))));
}
