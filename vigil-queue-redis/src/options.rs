//! [`RedisOptions`]: where Redis is, and how it is used.

use std::fmt;
use std::time::Duration;

use crate::OpenError;

/// Where Redis is, and how it is used.
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) place: Place,
    /// The key of the list of waiting tasks; all other keys begin with the same in braces. Default: `remediation_queue`.
    pub name: String,
    /// How long a call waits for Redis before it answers that the queue is unavailable.
    pub command_timeout: Duration,
}

/// One server, a cluster, or whatever the sentinels call the master.
#[derive(Clone)]
pub(crate) enum Place {
    Node {
        url: String,
    },
    Cluster {
        urls: Vec<String>,
    },
    /// `login` is how the master would be called if it were the only server.
    Sentinel {
        urls: Vec<String>,
        master: String,
        login: String,
        database: i64,
    },
}

impl RedisOptions {
    /// Reads
    /// - `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS,
    /// - `redis-cluster://[user:password@]host:port,host:port...`, any of its nodes,
    /// - `redis-sentinel://[user:password@]host:port,host:port.../master[/database]`: the sentinels, and the name they know
    ///   the master by; user and password are the master's.
    ///
    /// # Errors
    /// [`OpenError::Url`], which never shows the password.
    pub fn of_url(url: &str) -> Result<Self, OpenError> {
        let wrong = |what: &str| OpenError::Url(what.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it must begin with redis://"))?;
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() {
            return Err(wrong("it must name a host"));
        }
        let at = login.map(|login| format!("{login}@")).unwrap_or_default();
        let place = match scheme {
            "redis" | "rediss" => Place::Node { url: url.to_owned() },
            "redis-cluster" => {
                Place::Cluster { urls: hosts.iter().map(|host| format!("redis://{at}{host}")).collect() }
            }
            "redis-sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, "0"));
                if master.is_empty() {
                    return Err(wrong("behind the sentinels it must name the master, as in /mymaster"));
                }
                let database =
                    database.parse().map_err(|_| wrong("the database behind the master must be a number"))?;
                let urls = hosts.iter().map(|host| format!("redis://{host}")).collect();
                Place::Sentinel { urls, master: master.to_owned(), login: format!("redis://{at}master"), database }
            }
            _ => return Err(wrong("it must begin with redis://, rediss://, redis-cluster:// or redis-sentinel://")),
        };
        Ok(Self { place, name: "remediation_queue".to_owned(), command_timeout: Duration::from_secs(2) })
    }

    /// Where it is, for people: without user and password.
    pub(crate) fn shown(&self) -> String {
        let bare = |url: &str| {
            let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest))
        };
        match &self.place {
            Place::Node { url } => bare(url),
            Place::Cluster { urls } => {
                format!("cluster {}", urls.iter().map(|url| bare(url)).collect::<Vec<_>>().join(", "))
            }
            Place::Sentinel { urls, master, .. } => format!("master '{master}' of {}", urls.join(", ")),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("place", &self.shown())
            .field("name", &self.name)
            .field("command_timeout", &self.command_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let shown = |url| RedisOptions::of_url(url).unwrap().shown();
        assert_eq!(shown("redis://127.0.0.1:6380/0"), "redis://127.0.0.1:6380/0");
        assert_eq!(shown("rediss://u:p@cache.example:6379"), "rediss://cache.example:6379");
        assert_eq!(shown("redis-cluster://u:p@a:1,b:2"), "cluster redis://a:1, redis://b:2");
        assert_eq!(shown("redis-sentinel://:p@a:1,b:2/main/3"), "master 'main' of redis://a:1, redis://b:2");
    }

    #[test]
    fn a_wrong_url_is_refused_and_nothing_shows_the_password() {
        for wrong in [
            "hunter2",
            "redis-sentinel://u:hunter2@a:1",
            "amqp://u:hunter2@a:1",
            "redis://u:hunter2@",
            "redis-sentinel://u:hunter2@a:1/main/x",
        ] {
            let error = RedisOptions::of_url(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let options = RedisOptions::of_url("redis-cluster://u:hunter2@a:1").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
