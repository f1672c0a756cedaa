//! [`Leases`]: connections lent out one user at a time, the last one used first. What has just been used has its statements
//! planned and its process awake; and it goes back without the round trip that sqlx's own pool spends on each return.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::Error;

/// Lends the connections of a pool.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    pool: PgPool,
    idle: Arc<Mutex<Vec<Idle>>>,
    /// As many as the pool has connections: whoever has one need not wait for the pool.
    permits: Arc<Semaphore>,
    acquire_timeout: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: PoolConnection<Postgres>,
    since: Instant,
    born: Instant,
}

/// How long a connection may be idle and still be taken to be alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long it may take to say that it is alive. One that went silent is seldom alone.
const PING: Duration = Duration::from_secs(1);
/// How long one is kept: a server behind a balancer, or one with leaks, wants fresh ones now and then.
const LIFETIME: Duration = Duration::from_secs(1800);

impl Leases {
    pub(crate) fn new(pool: PgPool, connections: u32, acquire_timeout: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(connections as usize));
        Self { pool, idle: Arc::default(), permits, acquire_timeout }
    }

    /// One that answered a moment ago, or is new.
    pub(crate) async fn lend(&self) -> Result<Lease, Error> {
        let permit = timeout(self.acquire_timeout, self.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(sqlx::Error::PoolTimedOut.into()) };
        while let Some(mut idle) = self.pop() {
            let trusted = idle.since.elapsed() < TRUSTED_FOR;
            if trusted || matches!(timeout(PING.min(self.acquire_timeout), idle.connection.ping()).await, Ok(Ok(()))) {
                return Ok(self.lease(idle.connection, idle.born, permit));
            }
            idle.connection.close_on_drop();
            self.renew();
        }
        let connection = self.pool.acquire().await?;
        Ok(self.lease(connection, Instant::now(), permit))
    }

    fn pop(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn lease(&self, connection: PoolConnection<Postgres>, born: Instant, permit: OwnedSemaphorePermit) -> Lease {
        Lease { connection: Some(connection), born, home: self.idle.clone(), _permit: permit }
    }

    /// Lends none of the idle ones again.
    pub(crate) fn renew(&self) {
        for mut idle in std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner)) {
            idle.connection.close_on_drop();
        }
    }

    /// Closes what is idle, and waits for what is lent.
    pub(crate) async fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.pool.close().await;
    }
}

/// A connection in use. One that is dropped without [`give_back`](Self::give_back) is closed: nobody knows what is under way
/// on it.
pub(crate) struct Lease {
    /// None once it is given back.
    connection: Option<PoolConnection<Postgres>>,
    born: Instant,
    home: Arc<Mutex<Vec<Idle>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// For the next one.
    pub(crate) fn give_back(mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.born.elapsed() < LIFETIME {
            let idle = Idle { connection, since: Instant::now(), born: self.born };
            self.home.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("it is only taken by give_back, which consumes the lease")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is only taken by give_back, which consumes the lease")
    }
}
