//! [`Writer`]: the one connection that writes, and the thread that owns it. Two lanes: control before metrics. Whatever waits
//! when the writer is free shares one transaction; there is no flush timer.

use std::io;
use std::sync::Arc;
use std::thread;

use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use vigil_core::store::{MetricBatch, Recorded, StoreError};

use crate::error::Error;
use crate::metrics;

/// A piece of work on the connection.
pub(crate) type Work<T> = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send>;

/// Hands work to the thread that owns the writing connection.
#[derive(Debug)]
pub(crate) struct Writer {
    control: mpsc::Sender<Box<dyn Job>>,
    metrics: mpsc::Sender<MetricJob>,
    /// For samples.
    room: Arc<Semaphore>,
    samples: usize,
    /// Closed when the thread is done.
    end: oneshot::Receiver<()>,
}

/// How many control jobs may share one transaction.
const CONTROL_BATCH: usize = 64;
/// How many samples may share one transaction, unless one request brings more.
const METRIC_BATCH: usize = 8192;
/// How many samples may wait for each request that may: what waits is bounded by what it weighs.
const SAMPLES_A_REQUEST: usize = 64;

impl Writer {
    /// Starts the thread: in the run queue of a busy runtime all whose samples share a transaction would wait for its turn, after
    /// each answer of the database. It ends when the writer is dropped, after it has committed what it accepted; `guard` is
    /// dropped then.
    ///
    /// # Errors
    /// That of the system, if it has no thread left.
    pub(crate) fn start(
        connection: SqliteConnection,
        waiting_room: usize,
        guard: impl Send + 'static,
    ) -> io::Result<Self> {
        let (control, control_jobs) = mpsc::channel(waiting_room);
        let (metrics, metric_jobs) = mpsc::channel(waiting_room);
        let (ended, end) = oneshot::channel();
        let run = async move {
            let connection = write(connection, control_jobs, metric_jobs).await;
            // Everything is committed already: closing only folds the write-ahead log into the file, and may fail.
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the database was not closed cleanly; its log is read at the next start");
            }
            drop((guard, ended));
        };
        let runtime = Handle::current();
        thread::Builder::new().name("vigil-writer".to_owned()).spawn(move || runtime.block_on(run))?;
        let samples = waiting_room.clamp(1, 1 << 20) * SAMPLES_A_REQUEST;
        Ok(Self { control, metrics, room: Arc::new(Semaphore::new(samples)), samples, end })
    }

    /// Runs work in a transaction and answers after its commit. A caller that goes away does not stop it.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = ControlJob { work: Some(Box::new(work)), outcome: None, reply };
        self.control.try_send(Box::new(job)).map_err(|error| full(&error))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Commits samples together with those of everybody else who waits.
    pub(crate) async fn record(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        // One that is larger than the room waits alone.
        let weight = u32::try_from(batch.metrics.len().min(self.samples)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(weight);
        let room = room.map_err(|_| StoreError::Unavailable("too many samples wait for the writer".into()))?;
        let (reply, answer) = oneshot::channel();
        self.metrics.try_send(MetricJob { batch, room, reply }).map_err(|error| full(&error))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Commits what was accepted and closes the connection.
    pub(crate) async fn close(self) {
        drop((self.control, self.metrics));
        // A writer that panicked has closed its connection too.
        let _ = self.end.await;
    }
}

fn full<T>(error: &mpsc::error::TrySendError<T>) -> StoreError {
    match error {
        mpsc::error::TrySendError::Full(_) => StoreError::Unavailable("too many requests wait for the writer".into()),
        mpsc::error::TrySendError::Closed(_) => gone(),
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has ended".into())
}

async fn write(
    mut connection: SqliteConnection,
    mut control: mpsc::Receiver<Box<dyn Job>>,
    mut metrics: mpsc::Receiver<MetricJob>,
) -> SqliteConnection {
    loop {
        tokio::select! {
            biased;
            Some(first) = control.recv() => {
                let mut jobs = vec![first];
                while jobs.len() < CONTROL_BATCH && let Ok(job) = control.try_recv() {
                    jobs.push(job);
                }
                run_control(&mut connection, jobs).await;
            }
            Some(first) = metrics.recv() => {
                let mut rows = first.batch.metrics.len();
                let mut jobs = vec![first];
                while rows < METRIC_BATCH && let Ok(job) = metrics.try_recv() {
                    rows += job.batch.metrics.len();
                    jobs.push(job);
                }
                run_metrics(&mut connection, jobs).await;
            }
            else => return connection,
        }
    }
}

/// All jobs in one transaction, each behind a savepoint of its own; answered after the commit.
async fn run_control(connection: &mut SqliteConnection, mut jobs: Vec<Box<dyn Job>>) {
    let committed = async {
        execute(connection, "BEGIN IMMEDIATE").await?;
        for job in &mut jobs {
            execute(connection, "SAVEPOINT job").await?;
            if !job.run(connection).await {
                execute(connection, "ROLLBACK TO job").await?;
            }
            execute(connection, "RELEASE job").await?;
        }
        execute(connection, "COMMIT").await
    };
    let committed = committed.await;
    if committed.is_err() {
        roll_back(connection).await;
    }
    let failure = committed.err().map(|error| error.to_string());
    for job in jobs {
        job.answer(failure.as_deref());
    }
}

/// All requests in one transaction. If their data breaks it, each in a transaction of its own, so that none suffers for
/// another.
async fn run_metrics(connection: &mut SqliteConnection, jobs: Vec<MetricJob>) {
    let batches: Vec<&MetricBatch> = jobs.iter().map(|job| &job.batch).collect();
    match record(connection, &batches).await {
        Ok(recorded) => {
            for (job, recorded) in jobs.into_iter().zip(recorded) {
                job.answer(recorded);
            }
        }
        Err(_) => {
            for job in jobs {
                let answer = match record(connection, &[&job.batch]).await {
                    Ok(mut recorded) => recorded.pop().unwrap_or_else(|| Err(gone())),
                    Err(error) => Err(error.into()),
                };
                job.answer(answer);
            }
        }
    }
}

async fn record(
    connection: &mut SqliteConnection,
    batches: &[&MetricBatch],
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    let recorded = metrics::record(connection, batches).await;
    if recorded.is_err() {
        roll_back(connection).await;
    }
    recorded
}

pub(crate) async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), Error> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

/// After a failure that may or may not have ended the transaction already.
async fn roll_back(connection: &mut SqliteConnection) {
    let _ = execute(connection, "ROLLBACK").await;
}

struct MetricJob {
    batch: MetricBatch,
    /// Its room, until it is answered.
    room: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Recorded, StoreError>>,
}

impl MetricJob {
    fn answer(self, recorded: Result<Recorded, StoreError>) {
        // First: whoever is answered finds it free.
        drop(self.room);
        let _ = self.reply.send(recorded); // the caller may be gone
    }
}

/// A control job without its type.
trait Job: Send {
    /// Does the work; false if it failed and must be undone.
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool>;
    /// Answers the caller, who may be gone; `failure` if the commit failed.
    fn answer(self: Box<Self>, failure: Option<&str>);
}

struct ControlJob<T> {
    work: Option<Work<T>>,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send> Job for ControlJob<T> {
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let outcome = work(connection).await;
            let done = outcome.is_ok();
            self.outcome = Some(outcome);
            done
        })
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned().into());
        let answer = match (self.outcome, failure) {
            (Some(Err(error)), _) => Err(error.into()),
            (Some(Ok(value)), None) => Ok(value),
            (_, failure) => Err(unavailable(failure.unwrap_or("the transaction was not run"))),
        };
        let _ = self.reply.send(answer);
    }
}
