//! [`PostgresOptions`]: where the database is, and how it is used.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use vigil_core::clock::Clock;

use crate::OpenError;

/// Where the database is, and how it is used.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(crate) connect: PgConnectOptions,
    /// How many connections this process opens at most, the listener's apart.
    pub connections: u32,
    /// How long a call waits for a connection before it answers that the store is unavailable.
    pub acquire_timeout: Duration,
    /// How long one statement may take on the server.
    pub statement_timeout: Duration,
    /// How many tasks write samples side by side; each takes whatever waits and commits it at once. 1: while it commits, the next
    /// batch gathers, and no two wait for each other's series. More are for a server with many processors.
    pub writers: usize,
    /// How many requests with samples, and 64 times as many samples, may wait for a writer; beyond that the store answers that
    /// it is unavailable.
    pub waiting_room: usize,
    /// Whether a server that acknowledges before it has stored (`synchronous_commit = off`, `fsync = off`) is good enough.
    pub allow_unsafe_durability: bool,
    /// Whether a pooler stands in between that gives each transaction another connection (PgBouncer in transaction mode).
    /// Every statement is then sent in a transaction of its own, none is kept prepared, and changes of policies are noticed
    /// by asking instead of by `LISTEN`.
    pub pooled: bool,
    /// Judges leases, cooldowns and due times, and is taken to be the clock by which samples were received. `None`: the
    /// database's, the only one that all replicas share.
    pub clock: Option<Arc<dyn Clock>>,
}

impl PostgresOptions {
    /// Reads `postgres://user:password@host:5432/database`, with the parameters that
    /// [libpq](https://www.postgresql.org/docs/current/libpq-connect.html) knows (`sslmode`, `sslrootcert`, `host` for a
    /// socket's folder, `options[search_path]` for a schema) and `pgbouncer=true` for [`pooled`](Self::pooled).
    ///
    /// # Errors
    /// [`OpenError::Url`], which never shows the password.
    pub fn of_url(url: &str) -> Result<Self, OpenError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(OpenError::Url("it must begin with postgres://".to_owned()));
        }
        let (plain, pooled) = without_pgbouncer(url)?;
        let connect = PgConnectOptions::from_str(&plain).map_err(|error| OpenError::Url(error.to_string()))?;
        let connect = connect.application_name("vigil");
        Ok(Self {
            connect: if pooled { connect.statement_cache_capacity(0) } else { connect.statement_cache_capacity(256) },
            connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            writers: 1,
            waiting_room: 4096,
            allow_unsafe_durability: false,
            pooled,
            clock: None,
        })
    }

    /// The same on a clock of the program's own.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Which database, for people.
    pub(crate) fn place(&self) -> String {
        let database = self.connect.get_database().unwrap_or("(the user's)");
        format!("PostgreSQL database '{database}' at {}:{}", self.connect.get_host(), self.connect.get_port())
    }
}

/// The URL without the one parameter that is Vigil's.
fn without_pgbouncer(url: &str) -> Result<(String, bool), OpenError> {
    let Some((place, parameters)) = url.split_once('?') else { return Ok((url.to_owned(), false)) };
    let mut pooled = false;
    let mut rest = Vec::new();
    for parameter in parameters.split('&') {
        match parameter {
            "pgbouncer=true" => pooled = true,
            "pgbouncer=false" => pooled = false,
            other if other.starts_with("pgbouncer=") => {
                return Err(OpenError::Url("its parameter 'pgbouncer' must be true or false".to_owned()));
            }
            other => rest.push(other),
        }
    }
    let plain = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    Ok((plain, pooled))
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("place", &self.place())
            .field("connections", &self.connections)
            .field("writers", &self.writers)
            .field("pooled", &self.pooled)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let options = PostgresOptions::of_url("postgres://vigil:secret@db.example:5433/prod?pgbouncer=true").unwrap();
        assert!(options.pooled);
        assert_eq!(options.place(), "PostgreSQL database 'prod' at db.example:5433");
        assert!(!PostgresOptions::of_url("postgresql://vigil@localhost/v?sslmode=disable").unwrap().pooled);
    }

    #[test]
    fn nothing_shows_the_password() {
        let options = PostgresOptions::of_url("postgres://vigil:hunter2@localhost/vigil").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
        for wrong in [
            "postgres://vigil:hunter2@localhost:port/vigil",
            "mysql://vigil:hunter2@localhost/vigil",
            "postgres://vigil:hunter2@localhost/vigil?pgbouncer=perhaps",
        ] {
            let error = PostgresOptions::of_url(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
