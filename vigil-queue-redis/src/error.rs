//! What can go wrong, and how it becomes a [`QueueError`].

use deadpool_redis::redis::{ErrorKind, RedisError, ServerErrorKind};
use vigil_core::queue::QueueError;

/// Why a queue cannot be made. One sentence for whoever starts the program; it never shows the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one of Redis.
    #[error("this is no Redis URL such as redis://127.0.0.1:6379/0: {0}")]
    Url(String),
}

/// What a call can come to, inside this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no answer in time")]
    Timeout,
}

impl Error {
    /// Whether another connection may do better: this one is broken, or leads to a server that is master no more.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Redis(error) => {
                error.is_io_error()
                    || error.is_timeout()
                    || error.is_connection_dropped()
                    || error.is_unrecoverable_error()
                    || matches!(
                        error.kind(),
                        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
                    )
            }
            Self::Connect(_) | Self::Timeout => true,
        }
    }
}

impl From<Error> for QueueError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Connect(_) | Error::Timeout => Self::Unavailable(error.into()),
            Error::Redis(redis) if error.is_of_the_connection() || passes(redis) => Self::Unavailable(error.into()),
            Error::Redis(_) => Self::Backend(error.into()),
        }
    }
}

/// Whether it is the server's state, which passes. The README has the table.
fn passes(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain),
        ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => true,
        _ => matches!(error.code(), Some("OOM" | "NOREPLICAS" | "MISCONF" | "BUSY")),
    }
}
