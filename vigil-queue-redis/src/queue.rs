//! [`RedisQueue`]: the Queue in Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{self, FromRedisValue, Script, ToRedisArgs, Value};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout};
use vigil_core::action::ActionKey;
use vigil_core::clock::Timestamp;
use vigil_core::queue::{Claim, DeadLetter, Depth, Queue, QueueError, QueueStats};
use vigil_core::task::Task;
use vigil_core::tenant::TenantId;

use crate::connection::{Connection, Link};
use crate::delivery::{Entry, Held, Letter};
use crate::error::Error;
use crate::keys::{Keys, tenant_word};
use crate::{OpenError, RedisOptions, scripts};

/// The Queue in Redis 6.2 or newer, in a cluster or behind sentinels as well.
///
/// Nothing in it need be durable: what Redis forgets, the reconciler brings back. Every call fails within
/// [`RedisOptions::command_timeout`] if Redis does not answer, and connections are made anew by themselves.
#[derive(Debug)]
pub struct RedisQueue {
    keys: Keys,
    link: Link,
    /// Waiting blocks a connection: it is done on one of its own, by one caller at a time.
    waiter: Waiter,
    /// Where the search for orphans stands.
    cursor: AtomicU64,
}

impl RedisQueue {
    /// How many dead letters are kept; beyond that the oldest goes.
    pub const MAX_DEAD: usize = 1000;

    /// Connects to nothing yet: Redis may come later.
    ///
    /// # Errors
    /// [`OpenError`] if the options name no Redis.
    pub fn new(options: &RedisOptions) -> Result<Self, OpenError> {
        let limit = options.command_timeout;
        Ok(Self {
            keys: Keys::new(&options.name),
            link: Link::new(options, limit)?,
            waiter: Waiter {
                link: Link::new(options, limit + Waiter::LOOK)?,
                connection: Mutex::default(),
                arrived: Notify::new(),
            },
            cursor: AtomicU64::new(0),
        })
    }

    /// Does something to dead letters of a tenant, and answers those that it was done to.
    async fn letters(
        &self,
        what: &str,
        tenant: &TenantId,
        with: &str,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let arguments = [what, tenant_word(tenant), with, &max.min(Self::MAX_DEAD).to_string()];
        let letters: Vec<Vec<u8>> = self.call(&scripts::LETTERS, &arguments[..]).await?;
        letters.iter().map(|json| Letter::parse(json)).collect()
    }

    async fn call<T: FromRedisValue>(&self, script: &Script, arguments: impl ToRedisArgs) -> Result<T, Error> {
        let mut call = script.prepare_invoke();
        for key in self.keys.fixed() {
            call.key(key);
        }
        call.arg(self.keys.tenant_prefix()).arg(arguments);
        self.link.ask(async |connection: &mut Connection| call.invoke_async(connection).await).await
    }

    /// Takes what is there, and keeps aside what is no task.
    async fn take(&self, lease: Duration, max: usize) -> Result<Taken, QueueError> {
        let arguments = [millis(lease), max.min(100) as u64];
        let answer: Vec<Value> = self.call(&scripts::CLAIM, &arguments[..]).await?;
        let foreign = |error: redis::ParsingError| QueueError::Backend(error.into());
        let mut answer = answer.into_iter();
        let mut number = || answer.next().map_or(Ok(-1), i64::from_redis_value).map_err(foreign);
        let (next_due, tenants) = (number()?, number()?);
        let mut taken = Taken {
            claims: Vec::new(),
            dead: 0,
            next_due: u64::try_from(next_due).ok().map(Duration::from_millis),
            tenants: tenants > 0,
        };
        for value in answer {
            match Entry::from_redis_value(value).map_err(foreign)?.into_claim() {
                Ok(claim) => taken.claims.push(claim),
                Err((held, reason)) => {
                    tracing::error!(reason, "a queued task was dead-lettered");
                    // If this fails, its lease runs out, and it comes again.
                    self.settle(&held, "dead", &reason).await?;
                    taken.dead += 1;
                }
            }
        }
        Ok(taken)
    }

    async fn settle(&self, held: &Held, what: &str, with: &str) -> Result<(), QueueError> {
        let kept = Self::MAX_DEAD.to_string();
        let settled: i64 = self.call(&scripts::SETTLE, &[&held.id, &held.token, what, with, &kept][..]).await?;
        if settled == 1 { Ok(()) } else { Err(QueueError::LeaseLost) }
    }
}

/// For how long a claim that was not to wait passes over what is no task.
const PASS_OVER: Duration = Duration::from_millis(200);

/// What one look came to.
struct Taken {
    claims: Vec<Claim>,
    /// How many were no tasks.
    dead: usize,
    /// How long until the next scheduled task is due.
    next_due: Option<Duration>,
    /// Whether any tenant but the default one had a new task lately.
    tenants: bool,
}

#[async_trait]
impl Queue for RedisQueue {
    async fn enqueue(&self, task: Task, delay: Duration) -> Result<(), QueueError> {
        let json = serde_json::to_string(&task).map_err(|error| QueueError::Backend(error.into()))?;
        let is_due = delay.is_zero();
        let (action, delay) = (task.action_id.to_string(), millis(delay).to_string());
        let arguments = [tenant_word(&task.tenant), &action, &task.task_id, &json, &delay];
        let sent = self.call::<i64>(&scripts::ENQUEUE, &arguments[..]);
        // A claim that is made now goes the same way, and comes after it: nobody here need hear of the task from Redis.
        let told = async {
            if is_due {
                self.waiter.arrived.notify_one();
            }
        };
        // In this order, the first time.
        let (sent, ()) = tokio::join!(biased; sent, told);
        sent?;
        Ok(())
    }

    async fn claim(&self, lease: Duration, wait: Duration, max: usize) -> Result<Vec<Claim>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        loop {
            let taken = self.take(lease, max).await?;
            let left = wait.saturating_sub(began.elapsed());
            // What is no task is passed over, but not for ever.
            let over = if taken.dead > 0 { began.elapsed() > wait.max(PASS_OVER) } else { left.is_zero() };
            if !taken.claims.is_empty() || over {
                return Ok(taken.claims);
            }
            if taken.dead == 0 {
                let look = if taken.tenants { Waiter::LOOK_AT_ALL } else { Waiter::LOOK };
                let at_most = left.min(look).min(taken.next_due.unwrap_or(look));
                self.waiter.wait(&self.keys.list, at_most).await?;
            }
        }
    }

    async fn extend(&self, claim: &Claim, lease: Duration) -> Result<(), QueueError> {
        let held = Held::of(claim)?;
        let lease = millis(lease).to_string();
        let extended: i64 = self.call(&scripts::EXTEND, &[&held.id, &held.token, &lease][..]).await?;
        if extended == 1 { Ok(()) } else { Err(QueueError::LeaseLost) }
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        self.settle(&Held::of(claim)?, "ack", "").await
    }

    async fn retry(&self, claim: &Claim, delay: Duration) -> Result<(), QueueError> {
        self.settle(&Held::of(claim)?, "retry", &millis(delay).to_string()).await
    }

    async fn dead_letter(&self, claim: &Claim, reason: &str) -> Result<(), QueueError> {
        self.settle(&Held::of(claim)?, "dead", reason).await
    }

    async fn rescue(&self, limit: usize) -> Result<usize, QueueError> {
        let arguments = [limit as u64, self.cursor.load(Ordering::Relaxed)];
        let (rescued, cursor): (usize, u64) = self.call(&scripts::RESCUE, &arguments[..]).await?;
        self.cursor.store(cursor, Ordering::Relaxed);
        Ok(rescued)
    }

    async fn missing(&self, actions: &[ActionKey]) -> Result<Vec<ActionKey>, QueueError> {
        let mut missing = Vec::new();
        for page in actions.chunks(500) {
            let words: Vec<String> =
                page.iter().map(|key| format!("{} {}", tenant_word(&key.tenant), key.id)).collect();
            let places: Vec<usize> = self.call(&scripts::MISSING, words).await?;
            missing.extend(places.into_iter().filter_map(|place| page.get(place - 1)).cloned());
        }
        Ok(missing)
    }

    async fn dead(&self, tenant: &TenantId, after: u64, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.letters("page", tenant, &after.to_string(), limit).await
    }

    async fn revive(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        Ok(self.letters("revive", tenant, letter, 1).await?.pop())
    }

    async fn discard(&self, tenant: &TenantId, letter: &str) -> Result<Option<DeadLetter>, QueueError> {
        Ok(self.letters("discard", tenant, letter, 1).await?.pop())
    }

    async fn purge(&self, tenant: &TenantId, older_than: Duration) -> Result<usize, QueueError> {
        Ok(self.letters("purge", tenant, &millis(older_than).to_string(), Self::MAX_DEAD).await?.len())
    }

    async fn stats(&self) -> Result<QueueStats, QueueError> {
        let numbers: Vec<u64> = self.call(&scripts::STATS, &[""; 0][..]).await?;
        let number = |place: usize| numbers.get(place).copied().unwrap_or(0);
        let last = number(8);
        Ok(QueueStats {
            ready: number(0),
            scheduled: number(1),
            leased: number(2),
            dead: number(3),
            enqueued: number(4),
            dequeued: number(5),
            completed: number(6),
            failed: number(7),
            last_processed: (last > 0).then(|| Timestamp::from_micros(i64::try_from(last).unwrap_or(0) * 1000)),
        })
    }

    async fn depth(&self, tenant: &TenantId) -> Result<Depth, QueueError> {
        let (ready, dead) = self.call(&scripts::DEPTH, &[tenant_word(tenant)][..]).await?;
        Ok(Depth { ready, dead })
    }

    async fn ping(&self) -> Result<(), QueueError> {
        let command = redis::cmd("PING");
        self.link.ask::<String>(async |connection: &mut Connection| command.query_async(connection).await).await?;
        Ok(())
    }
}

/// Waits for the list to have something, or for this process to put something there, and takes nothing.
#[derive(Debug)]
struct Waiter {
    link: Link,
    connection: Mutex<Option<Wrapped>>,
    /// A task is on its way from this process.
    arrived: Notify,
}

/// A connection on which nothing is under way.
struct Wrapped(Connection);

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Waiter {
    /// How long a wait may not look around: for what others schedule or rescue.
    const LOOK: Duration = Duration::from_millis(100);
    /// The same while there are other tenants, whose lists wake nobody.
    const LOOK_AT_ALL: Duration = Duration::from_millis(20);

    async fn wait(&self, list: &str, at_most: Duration) -> Result<(), Error> {
        let began = Instant::now();
        let own = tokio::select! {
            biased;
            () = self.arrived.notified() => return Ok(()),
            own = timeout(at_most, self.connection.lock()) => own,
        };
        let Ok(mut own) = own else { return Ok(()) };
        let wait = at_most.saturating_sub(began.elapsed());
        if wait.is_zero() {
            return Ok(());
        }
        // Taken out for the wait: a caller that goes away leaves the connection in the middle of it.
        let mut connection = match own.take() {
            Some(Wrapped(connection)) => connection,
            None => timeout(self.link.limit(), self.link.connect()).await.unwrap_or(Err(Error::Timeout))?,
        };
        // Round and round: the oldest task is moved from the head of the list to the head of the list.
        let mut command = redis::cmd("BLMOVE");
        command.arg(list).arg(list).arg("LEFT").arg("LEFT").arg(wait.as_secs_f64().max(0.001));
        match timeout(self.link.limit(), command.query_async::<Value>(&mut connection)).await {
            Ok(Ok(_)) => {
                *own = Some(Wrapped(connection));
                Ok(())
            }
            Ok(Err(error)) => match Error::from(error) {
                error if error.is_of_the_connection() => Err(error),
                // A server that has no BLMOVE is asked again and again instead.
                _ => {
                    *own = Some(Wrapped(connection));
                    sleep(wait.min(Duration::from_millis(50))).await;
                    Ok(())
                }
            },
            Err(_) => Err(Error::Timeout),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    /// Far enough, and still exact in a script's numbers.
    const LONGEST: u128 = 30 * 365 * 86_400_000;
    // Up: what is to be waited for must have passed.
    let millis = duration.as_micros().div_ceil(1000);
    u64::try_from(millis.min(LONGEST)).unwrap_or(u64::MAX)
}
