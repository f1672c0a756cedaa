//! [`Connections`]: the pool, and the two ways to use it. A transaction runs in a task of its own, so that a caller who goes
//! away can neither stop it half-way nor leave a connection in a transaction (sqlx 0.9.0 does: transact-rs/sqlx#4385).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use vigil_core::clock::Timestamp;

use crate::PostgresOptions;
use crate::error::Error;
use crate::lease::Leases;
use crate::time::At;

#[derive(Debug, Clone)]
pub(crate) struct Connections {
    leases: Leases,
    options: PostgresOptions,
    tasks: TaskTracker,
    patience: Duration,
    /// When the database was asked for the time, and what it answered.
    asked: Arc<Mutex<Option<(Instant, Timestamp)>>>,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// The disk.
    Durable,
    /// Nothing: a crash of the server may lose it, but only together with whatever was committed after it, by whomever.
    InOrder,
}

/// How old the database's answer about the time may be.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// What the statements of this crate rely on, whatever the defaults of the server, the database and the role. `local`: for
/// a transaction alone. A database that is read-only by default is left so: an operator stopped it.
fn session_settings(options: &PostgresOptions, local: &str) -> String {
    let timeout = options.statement_timeout.as_millis();
    // Every statement is planned once a connection: its plan does not depend on what is bound to it (`plans.rs` looks),
    // and planning takes longer than running it.
    let settings = [
        format!("statement_timeout = {timeout}"),
        format!("lock_timeout = {timeout}"),
        format!("idle_in_transaction_session_timeout = {}", timeout * 3),
        "TimeZone = 'UTC'".to_owned(),
        "plan_cache_mode = force_generic_plan".to_owned(),
        "standard_conforming_strings = on".to_owned(),
        "transform_null_equals = off".to_owned(),
        // A statement that waits for a lock must see what its holder committed.
        "default_transaction_isolation = 'read committed'".to_owned(),
        "default_transaction_deferrable = off".to_owned(),
    ];
    settings.map(|setting| format!("SET {local}{setting};")).concat()
}

fn too_late() -> Error {
    Error::Sql(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

impl Connections {
    /// Connects to nothing yet.
    pub(crate) fn new(options: PostgresOptions) -> Self {
        // Behind a pooler a session is shared with other clients: there each transaction has the settings by itself.
        let settings = if options.pooled { String::new() } else { session_settings(&options, "") };
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(2))
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move { connection.execute(AssertSqlSafe(settings)).await.map(drop) })
            })
            .connect_lazy_with(options.connect.clone());
        let leases = Leases::new(pool, options.connections.max(2), options.acquire_timeout);
        let patience = Self::patience(&options);
        Self { leases, options, tasks: TaskTracker::new(), patience, asked: Arc::default() }
    }

    /// The time as far as it is given from outside.
    pub(crate) fn given_now(&self) -> Option<At> {
        self.options.clock.as_ref().map(|clock| At(clock.now()))
    }

    /// The Store's clock: the database's, asked once a second. Whatever decides a race asks it in its own statement.
    pub(crate) async fn now(&self) -> Result<Timestamp, Error> {
        if let Some(At(now)) = self.given_now() {
            return Ok(now);
        }
        // Whoever waits for another's question waits no longer than for one of their own.
        timeout(self.patience, self.ask_now()).await.unwrap_or_else(|_| Err(too_late()))
    }

    async fn ask_now(&self) -> Result<Timestamp, Error> {
        let mut asked = self.asked.lock().await;
        if let Some((at, now)) = &*asked
            && at.elapsed() < ASKED_EVERY
        {
            return Ok(*now + at.elapsed());
        }
        let now = self.single(|c| {
            Box::pin(async move {
                let At(now) = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(c).await?;
                Ok(now)
            })
        });
        let now = now.await?;
        *asked = Some((Instant::now(), now));
        Ok(now)
    }

    /// Runs work whose statements are atomic each by itself.
    pub(crate) async fn single<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.run(false, work).await
    }

    /// Runs work in a transaction if its statements must happen `together`, else as [`single`](Self::single) does.
    pub(crate) async fn run<T, F>(&self, together: bool, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        // Behind a pooler one connection is only kept for as long as a transaction.
        if together || self.options.pooled {
            return self.transact(work).await;
        }
        // Each statement happens or does not, so that this one needs no task of its own.
        let statements = async {
            let mut connection = self.leases.lend().await?;
            let done = work(&mut connection).await;
            self.after(done.as_ref().err());
            if done.as_ref().err().is_none_or(Error::leaves_the_connection_whole) {
                connection.give_back();
            }
            done
        };
        timeout(self.patience, statements).await.unwrap_or_else(|_| Err(too_late()))
    }

    /// Runs work in a transaction.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.transact_after("", work).await
    }

    /// Runs work in a transaction that begins by waiting for whoever holds `key`: what it reads then, it reads as they left
    /// it. (Under READ COMMITTED a statement that waits and then reads would see the state from before the wait.)
    pub(crate) async fn exclusively<T, F>(&self, key: i64, commit: Commit, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let commit = match commit {
            Commit::Durable => "",
            Commit::InOrder => "; SET LOCAL synchronous_commit = off",
        };
        self.transact_after(&format!("{commit}; SELECT pg_advisory_xact_lock({key})"), work).await
    }

    /// The same without a limit, neither for the wait nor for the work: for what may take long.
    pub(crate) async fn exclusively_without_limit<T, F>(&self, key: i64, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let patient = Self { patience: Duration::MAX, ..self.clone() };
        let first = "; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock";
        patient.transact_after(&format!("{first}({key})"), work).await
    }

    /// What a caller waits for at most: a server that is frozen answers nothing, not even that it takes too long.
    fn patience(options: &PostgresOptions) -> Duration {
        options.acquire_timeout + options.statement_timeout + Duration::from_secs(1)
    }

    async fn transact_after<T, F>(&self, first: &str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let this = self.clone();
        let begin = if self.options.pooled {
            // The connection may have been another client's, with statements of the same names.
            let settings = session_settings(&self.options, "LOCAL ");
            format!("BEGIN ISOLATION LEVEL READ COMMITTED; {settings} DEALLOCATE ALL{first}")
        } else {
            format!("BEGIN ISOLATION LEVEL READ COMMITTED{first}")
        };
        self.own(async move {
            let mut connection = this.leases.lend().await?;
            let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
            match work(&mut transaction).await {
                Ok(done) => {
                    transaction.commit().await?;
                    connection.give_back();
                    Ok(done)
                }
                Err(error) => {
                    this.after(Some(&error));
                    // If this fails too, the connection is gone, and the transaction with it.
                    if transaction.rollback().await.is_ok() && error.leaves_the_connection_whole() {
                        connection.give_back();
                    }
                    Err(error)
                }
            }
        })
        .await
    }

    /// What one connection found out, the others need not.
    fn after(&self, error: Option<&Error>) {
        if error.is_some_and(Error::is_about_every_session) {
            self.leases.renew();
        }
    }

    /// Runs a future to its end, whoever waits for it.
    async fn own<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let patience = self.patience;
        match self.tasks.spawn(async move { timeout(patience, work).await }).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(too_late()),
            Err(error) => Err(Error::Sql(sqlx::Error::Io(std::io::Error::other(error)))),
        }
    }

    /// Waits for what is under way, and closes.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.leases.close().await;
    }
}
