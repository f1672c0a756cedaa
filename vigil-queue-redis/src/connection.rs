//! [`Link`]: a connection to Redis that is made again when it breaks.

use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::{ConnectionLike, MultiplexedConnection};
use deadpool_redis::redis::cluster::ClusterClient;
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use deadpool_redis::redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult,
    Value,
};
use deadpool_redis::{Manager, Pool, Runtime};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::OpenError;
use crate::error::Error;
use crate::options::{Place, RedisOptions};

/// A connection that any number of calls share; cloning it is cheap.
#[derive(Clone)]
pub(crate) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Where connections come from.
enum Source {
    Node(Pool),
    Cluster(Box<ClusterClient>),
    Sentinel(Box<Mutex<SentinelClient>>, AsyncConnectionConfig),
}

/// One connection, made when it is first needed, and again after it broke.
pub(crate) struct Link {
    source: Source,
    current: StdMutex<Current>,
    /// One caller connects, the others wait for that.
    connecting: Mutex<()>,
    timeout: Duration,
}

#[derive(Default)]
struct Current {
    /// Tells one connection from the next.
    number: u64,
    connection: Option<Connection>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Link {
    /// Connects to nothing yet. `timeout` is what one call may take, connecting included.
    pub(crate) fn new(options: &RedisOptions, timeout: Duration) -> Result<Self, OpenError> {
        // The client's own limit must not be the shorter one: it would leave commands behind that were given up on.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout + Duration::from_secs(1)));
        let wrong = |error: RedisError| OpenError::Url(error.to_string());
        let source = match &options.place {
            Place::Node { url } => {
                let manager = Manager::new_with_config(url.as_str(), config).map_err(wrong)?;
                let pool = Pool::builder(manager).max_size(64).runtime(Runtime::Tokio1);
                let pool = pool.create_timeout(Some(timeout)).wait_timeout(Some(timeout)).build();
                Source::Node(pool.map_err(|error| OpenError::Url(error.to_string()))?)
            }
            Place::Cluster { urls } => {
                // It waits for every node of the URL: one that never answers must leave time for the others.
                let client = ClusterClient::builder(urls.iter().map(String::as_str))
                    .connection_timeout(timeout / 4)
                    .response_timeout(timeout + Duration::from_secs(1))
                    .retries(3)
                    .build();
                Source::Cluster(Box::new(client.map_err(wrong)?))
            }
            Place::Sentinel { urls, master, login, database } => {
                let mut sentinels = Vec::new();
                for url in urls {
                    sentinels.push(url.as_str().into_connection_info().map_err(wrong)?.addr().clone());
                }
                let mut client = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)
                    .map_err(wrong)?
                    .set_client_to_redis_db(*database);
                let login = login.as_str().into_connection_info().map_err(wrong)?;
                if let Some(user) = login.redis_settings().username() {
                    client = client.set_client_to_redis_username(user);
                }
                if let Some(password) = login.redis_settings().password() {
                    client = client.set_client_to_redis_password(password);
                }
                Source::Sentinel(Box::new(Mutex::new(client.build().map_err(wrong)?)), config)
            }
        };
        Ok(Self { source, current: StdMutex::default(), connecting: Mutex::default(), timeout })
    }

    /// What one call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.timeout
    }

    /// Asks within the time limit. A connection on which this fails is not used again.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        question: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let mut used = None;
        let asked = timeout(self.timeout, async {
            let (number, mut connection) = self.connection().await?;
            used = Some(number);
            Ok(question(&mut connection).await?)
        });
        let answer = asked.await.unwrap_or(Err(Error::Timeout));
        if let (Err(error), Some(number)) = (&answer, used)
            && error.is_of_the_connection()
        {
            let mut current = self.current();
            // Others may have replaced it already.
            if current.number == number {
                current.connection = None;
            }
        }
        answer
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<(u64, Connection)> {
        let current = self.current();
        current.connection.clone().map(|connection| (current.number, connection))
    }

    /// The shared connection, with its number.
    async fn connection(&self) -> Result<(u64, Connection), Error> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _one = self.connecting.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let connection = self.connect().await?;
        let mut current = self.current();
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        Ok(match &self.source {
            Source::Node(pool) => {
                let connection = pool.get().await.map_err(|error| Error::Connect(error.to_string()))?;
                Connection::Node(deadpool_redis::Connection::take(connection))
            }
            Source::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            // The sentinels are asked each time: after a failover the master is another one.
            Source::Sentinel(client, config) => {
                Connection::Node(client.lock().await.get_async_connection_with_config(config).await?)
            }
        })
    }
}
