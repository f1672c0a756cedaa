//! A server that takes nothing but TLS.

use vigil_core::store::Store;
use vigil_store_postgres::{OpenError, PostgresOptions, PostgresStore};

use crate::database::{Database, Server, skip};

async fn open(url: &str) -> Result<PostgresStore, OpenError> {
    let mut options = PostgresOptions::of_url(url).unwrap();
    options.acquire_timeout = std::time::Duration::from_secs(2);
    PostgresStore::open(options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reached_over_tls_if_and_only_if_its_certificate_is_trusted() {
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        return skip("openssl is not installed");
    }
    let Some(server) = Server::start() else { return };
    let database = Database::create_on(&server.url()).await;
    server.run("tls");
    let ca = server.folder().join("ca.pem");
    let verified = format!("{}&sslmode=verify-full&sslrootcert={}", database.url, ca.display());
    open(&verified).await.unwrap().ping().await.unwrap();
    for refused in ["sslmode=disable", "sslmode=verify-full"] {
        let error = open(&format!("{}&{refused}", database.url)).await.expect_err(refused);
        assert!(matches!(error, OpenError::Unreachable { .. }), "{refused}: {error:?}");
    }
}
