//! [`Inspection`]: a database as it is, for whoever wants to know before a start, or beside a running server.

use crate::connections::Connections;
use crate::store::check;
use crate::{OpenError, PostgresOptions, PostgresStore, migrate};

/// A database as it is. Nothing was changed, and nobody was kept from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Which database, without its password.
    pub place: String,
    /// The newest migration that was applied to it; 0 if it is empty.
    pub found: i64,
    /// The newest one that this version has: applied at the next start.
    pub known: i64,
}

impl PostgresStore {
    /// Looks at the database of `options`, through a connection of its own.
    ///
    /// # Errors
    /// [`OpenError`]: why [`PostgresStore::open`] would refuse it.
    pub async fn inspect(options: &PostgresOptions) -> Result<Inspection, OpenError> {
        let place = options.place();
        let connections = Connections::new(options.clone());
        check(&connections, options, &place).await?;
        let known = migrate::known();
        let found = connections.single(|c| Box::pin(async move { migrate::newest(c).await })).await;
        let found = found.map_err(|error| OpenError::Migration { place: place.clone(), source: error.into() })?;
        connections.close().await;
        if found > known {
            return Err(OpenError::Newer { place, found, known });
        }
        Ok(Inspection { place, found, known })
    }
}
