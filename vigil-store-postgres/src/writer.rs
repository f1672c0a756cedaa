//! [`Writer`]: the tasks that write samples. Whatever waits when one of them is free shares one statement; there is no
//! flush timer.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use vigil_core::clock::{Clock, SystemClock, Timestamp};
use vigil_core::store::{MetricBatch, Recorded, StoreError};

use crate::connections::Connections;
use crate::error::Error;
use crate::metrics::{self, Ids, Receipt};
use crate::partitions;

/// Hands samples to the tasks that write them.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    tasks: TaskTracker,
}

/// How many samples may share one statement, unless one request brings more.
const BATCH: usize = 8192;

#[derive(Debug)]
struct Job {
    batch: MetricBatch,
    reply: oneshot::Sender<Result<Recorded, StoreError>>,
}

impl Writer {
    /// Starts the tasks. They end when the writer is dropped, after they have committed what was accepted.
    pub(crate) fn start(connections: &Connections, writers: usize, waiting_room: usize) -> Self {
        let (jobs, waiting) = mpsc::channel(waiting_room.max(1));
        let (waiting, tasks) = (Arc::new(Mutex::new(waiting)), TaskTracker::new());
        for _ in 0..writers.max(1) {
            tasks.spawn(write(connections.clone(), waiting.clone()));
        }
        tasks.close();
        Self { jobs, tasks }
    }

    /// Commits samples together with those of everybody else who waits.
    pub(crate) async fn record(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job { batch, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => unavailable("too many requests wait for a writer"),
            mpsc::error::TrySendError::Closed(_) => unavailable("the writers have ended"),
        })?;
        answer.await.unwrap_or_else(|_| Err(unavailable("the writers have ended")))
    }

    /// Commits what was accepted.
    pub(crate) async fn close(self) {
        drop(self.jobs);
        self.tasks.wait().await;
    }
}

fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}

async fn write(connections: Connections, waiting: Arc<Mutex<mpsc::Receiver<Job>>>) {
    let mut ids = Ids::default();
    loop {
        let mut jobs = Vec::new();
        {
            let mut waiting = waiting.lock().await;
            let Some(first) = waiting.recv().await else { return };
            let mut rows = first.batch.metrics.len();
            jobs.push(first);
            while rows < BATCH
                && let Ok(job) = waiting.try_recv()
            {
                rows += job.batch.metrics.len();
                jobs.push(job);
            }
        }
        let (batches, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.batch, job.reply)).unzip();
        let batches = Arc::new(batches);
        let answers = match commit(&connections, batches.clone(), &mut ids).await {
            Ok(answers) => answers,
            // Nothing was written. One request's data must not fail the others.
            Err(error) if error.is_about_the_data() && batches.len() > 1 => {
                let mut answers = Vec::with_capacity(batches.len());
                for batch in batches.iter() {
                    answers.push(match commit(&connections, Arc::new(vec![batch.clone()]), &mut ids).await {
                        Ok(mut one) => one.pop().unwrap_or_else(|| Err(unavailable("the writer lost count"))),
                        Err(error) => Err(error.into()),
                    });
                }
                answers
            }
            Err(error) => all_failed(error.into(), batches.len()),
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            let _ = reply.send(answer); // the caller may be gone
        }
    }
}

/// The first gets the error itself, the others what it says: it cannot be copied.
fn all_failed(error: StoreError, count: usize) -> Vec<Result<Recorded, StoreError>> {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    let same = |_| {
        Err(match &error {
            StoreError::Unavailable(_) => StoreError::Unavailable(said.clone().into()),
            StoreError::Invalid(why) => StoreError::Invalid(why.clone()),
            _ => StoreError::Backend(said.clone().into()),
        })
    };
    let mut answers: Vec<_> = (1..count).map(same).collect();
    answers.push(Err(error));
    answers
}

/// All batches at once. A day that has no partition yet gets one.
async fn commit(
    connections: &Connections,
    batches: Arc<Vec<MetricBatch>>,
    ids: &mut Ids,
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    match attempt(connections, batches.clone(), ids).await {
        Err(error) if error.is_without_partition() => {
            let now = connections.now().await?;
            let received: Vec<Timestamp> = match connections.given_now() {
                Some(_) => batches.iter().flat_map(|batch| &batch.metrics).map(|metric| metric.received_at).collect(),
                None => Vec::new(),
            };
            connections
                .transact(move |c| {
                    Box::pin(async move {
                        partitions::make_for(c, received.into_iter()).await?;
                        partitions::make_ahead(c, now).await
                    })
                })
                .await?;
            attempt(connections, batches, ids).await
        }
        other => other,
    }
}

async fn attempt(
    connections: &Connections,
    batches: Arc<Vec<MetricBatch>>,
    ids: &mut Ids,
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    let receipt = match connections.given_now() {
        Some(now) => Receipt::Given(now.0),
        None => Receipt::Waiting(SystemClock.now()),
    };
    let keyed = batches.iter().any(|batch| batch.idempotency.is_some());
    let mut mine = std::mem::take(ids);
    // Ids that are drawn and then lost with an error are only a gap.
    let recorded = connections.run(keyed, move |c| {
        Box::pin(async move {
            let answers = metrics::record(c, &batches, &mut mine, receipt).await?;
            Ok((answers, mine))
        })
    });
    let (answers, left) = recorded.await?;
    *ids = left;
    Ok(answers)
}
