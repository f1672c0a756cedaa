//! [`Writer`]: the tasks that write samples. Whatever waits when one of them is free shares one statement; there is no
//! flush timer.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use vigil_core::clock::Timestamp;
use vigil_core::store::{MetricBatch, Recorded, StoreError};

use crate::connections::Connections;
use crate::error::Error;
use crate::metrics::{self, Accepted, Ids, Receipt};
use crate::partitions;

/// Hands samples to the tasks that write them.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    /// For samples.
    room: Arc<Semaphore>,
    samples: usize,
    tasks: TaskTracker,
}

/// How many samples may share one statement, unless one request brings more.
const BATCH: usize = 8192;
/// How many samples may wait for each request that may: what waits is bounded by what it weighs.
const SAMPLES_A_REQUEST: usize = 64;

#[derive(Debug)]
struct Job {
    accepted: Accepted,
    /// Its room, until it is answered.
    room: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Recorded, StoreError>>,
}

impl Writer {
    /// Starts the tasks. They end when the writer is dropped, after they have committed what was accepted.
    pub(crate) fn start(connections: &Connections, writers: usize, waiting_room: usize) -> Self {
        let (jobs, waiting) = mpsc::channel(waiting_room.max(1));
        let samples = waiting_room.clamp(1, 1 << 20) * SAMPLES_A_REQUEST;
        let (waiting, tasks) = (Arc::new(Mutex::new(waiting)), TaskTracker::new());
        for _ in 0..writers.max(1) {
            tasks.spawn(write(connections.clone(), waiting.clone()));
        }
        tasks.close();
        Self { jobs, room: Arc::new(Semaphore::new(samples)), samples, tasks }
    }

    /// Commits samples together with those of everybody else who waits.
    pub(crate) async fn record(&self, batch: MetricBatch) -> Result<Recorded, StoreError> {
        // One that is larger than the room waits alone.
        let weight = u32::try_from(batch.metrics.len().min(self.samples)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(weight);
        let room = room.map_err(|_| unavailable("too many samples wait for a writer"))?;
        // First, so that whoever is refused costs nothing more.
        let place = self.jobs.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => unavailable("too many requests wait for a writer"),
            mpsc::error::TrySendError::Closed(()) => unavailable("the writers have ended"),
        })?;
        let (reply, answer) = oneshot::channel();
        place.send(Job { accepted: Accepted::new(batch).await?, room, reply });
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
            let mut rows = first.accepted.lines.len();
            jobs.push(first);
            while rows < BATCH
                && let Ok(job) = waiting.try_recv()
            {
                rows += job.accepted.lines.len();
                jobs.push(job);
            }
        }
        let (requests, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.accepted, (job.reply, job.room))).unzip();
        let requests = Arc::new(requests);
        let answers = match commit(&connections, requests.clone(), &mut ids).await {
            Ok(answers) => answers,
            // Nothing was written. One request's data must not fail the others.
            Err(error) if error.is_about_the_data() && requests.len() > 1 => {
                let mut answers = Vec::with_capacity(requests.len());
                for request in requests.iter() {
                    answers.push(match commit(&connections, Arc::new(vec![request.clone()]), &mut ids).await {
                        Ok(mut one) => one.pop().unwrap_or_else(|| Err(unavailable("the writer lost count"))),
                        Err(error) => Err(error.into()),
                    });
                }
                answers
            }
            Err(error) => all_failed(error.into(), requests.len()),
        };
        for ((reply, room), answer) in replies.into_iter().zip(answers) {
            // First: whoever is answered finds it free.
            drop(room);
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

/// All requests at once. A day that has no partition yet gets one.
async fn commit(
    connections: &Connections,
    requests: Arc<Vec<Accepted>>,
    ids: &mut Ids,
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    match attempt(connections, requests.clone(), ids).await {
        Err(error) if error.is_without_partition() => {
            let now = connections.now().await?;
            let received: Vec<Timestamp> = match connections.given_now() {
                Some(_) => {
                    let lines = requests.iter().flat_map(|request| &request.lines);
                    lines.map(|line| line.metric.received_at).collect()
                }
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
            attempt(connections, requests, ids).await
        }
        other => other,
    }
}

async fn attempt(
    connections: &Connections,
    requests: Arc<Vec<Accepted>>,
    ids: &mut Ids,
) -> Result<Vec<Result<Recorded, StoreError>>, Error> {
    let receipt = match connections.given_now() {
        Some(now) => Receipt::Given(now.0),
        None => Receipt::Waited,
    };
    let keyed = requests.iter().any(|request| request.idempotency.is_some());
    let mut mine = std::mem::take(ids);
    // Ids that are drawn and then lost with an error are only a gap.
    let recorded = connections.run(keyed, move |c| {
        Box::pin(async move {
            let answers = metrics::record(c, &requests, &mut mine, receipt).await?;
            Ok((answers, mine))
        })
    });
    let (answers, left) = recorded.await?;
    *ids = left;
    Ok(answers)
}
