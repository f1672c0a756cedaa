//! The worker: claims tasks and has the executor carry out their actions, under a lease that a heartbeat extends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, chain};
use crate::queue::{Claim, QueueError};

mod executor;
mod heartbeat;

use executor::{Disposition, Executor};
use heartbeat::Heartbeat;

/// How long one claim waits for a task before it looks around.
const CLAIM_WAIT: Duration = Duration::from_secs(5);
/// How long a claim that is under way when the worker is to end has to say what it took.
const HAND_BACK: Duration = Duration::from_millis(200);
/// The longest wait between two tries of a queue that is out of reach.
const OUTAGE_WAIT: Duration = Duration::from_secs(5);

/// Claims and carries out one task after the other until the token is cancelled; the one in hand is finished.
pub(crate) async fn work(context: Arc<Context>, token: CancellationToken) {
    let mut outage = 0;
    loop {
        let mut claiming = context.queue.claim(context.settings.lease, CLAIM_WAIT, 1);
        let claimed = tokio::select! {
            biased;
            () = token.cancelled() => {
                if let Ok(Ok(claims)) = timeout(HAND_BACK, &mut claiming).await {
                    hand_back(&context, &claims).await;
                }
                return;
            }
            claimed = &mut claiming => claimed,
        };
        match claimed {
            Ok(claims) => {
                outage = 0;
                for claim in claims {
                    context.telemetry.queue_operation("dequeue");
                    deliver(&context, &claim, &token).await;
                }
            }
            Err(error) => {
                outage += 1;
                if outage == 1 {
                    tracing::error!(error = chain(&error), "the queue cannot be reached; trying again");
                }
                let wait = Duration::from_millis(200).saturating_mul(1 << outage.min(6)).min(OUTAGE_WAIT);
                tokio::select! {
                    () = token.cancelled() => return,
                    () = sleep(wait) => {}
                }
            }
        }
    }
}

/// Lets another worker have at once what nothing was done about yet.
async fn hand_back(context: &Context, claims: &[Claim]) {
    for claim in claims {
        if let Err(error) = context.queue.retry(claim, Duration::ZERO).await {
            tracing::warn!(action_id = %claim.task.action_id, error = chain(&error), "a task could not be handed back; its lease runs out");
        }
    }
}

/// Carries out one delivery and answers the queue.
async fn deliver(context: &Arc<Context>, claim: &Claim, token: &CancellationToken) {
    let heartbeat = Heartbeat::new(context.clone(), claim.clone());
    let executor = Executor::new(context.clone(), &heartbeat, token.clone());
    let disposition = tokio::select! {
        disposition = executor.deliver(claim) => disposition,
        never = heartbeat.beat() => match never {},
    };
    let (answered, status) = match &disposition {
        Disposition::Done => (context.queue.ack(claim).await, "completed"),
        Disposition::Duplicate => (context.queue.ack(claim).await, "duplicate"),
        Disposition::Again(delay) => (context.queue.retry(claim, *delay).await, "retried"),
        Disposition::Dead(reason) => {
            tracing::error!(task_id = claim.task.task_id, action_id = %claim.task.action_id, reason, "task dead-lettered");
            (context.queue.dead_letter(claim, reason).await, "dead")
        }
    };
    context.telemetry.worker_task(status);
    match answered {
        // Somebody else has the task now: the Store keeps the two apart.
        Ok(()) | Err(QueueError::LeaseLost) => {}
        Err(error) => tracing::warn!(action_id = %claim.task.action_id, error = chain(&error),
            "the queue did not take the answer; the task will be delivered again"),
    }
}
