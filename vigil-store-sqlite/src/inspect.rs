//! [`Inspection`]: a database as it is, for whoever wants to know before a start, or beside a running server.

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::store::refused;
use crate::{OpenError, SqliteOptions, SqliteStore, migrate};

/// A database as it is. Nothing was changed, and nobody was kept from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The newest migration that was applied to it; 0 if it is empty, or not there yet.
    pub found: i64,
    /// The newest one that this version has: applied at the next start.
    pub known: i64,
}

impl SqliteStore {
    /// Looks at the database of `options`, also while a server has it.
    ///
    /// # Errors
    /// [`OpenError`]: why [`SqliteStore::open`] would refuse it. It does not ask whether another process has it.
    pub async fn inspect(options: &SqliteOptions) -> Result<Inspection, OpenError> {
        let known = migrate::known();
        let Some(path) = &options.path else { return Ok(Inspection { found: 0, known }) };
        if !path.exists() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            return match folder.map(std::fs::metadata).transpose() {
                Ok(_) => Ok(Inspection { found: 0, known }),
                Err(error) => Err(OpenError::NotWritable(path.clone(), error)),
            };
        }
        let connect = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = connect.connect().await.map_err(|error| refused(path, error))?;
        let found = migrate::newest(&mut connection).await.map_err(|error| refused(path, error))?;
        if found > known {
            return Err(OpenError::Newer { path: path.clone(), found, known });
        }
        Ok(Inspection { found, known })
    }
}
