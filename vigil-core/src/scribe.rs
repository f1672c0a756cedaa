//! The scribe: numbers the audit, and tells of it to whoever listens on this replica.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, chain};
use crate::events::Event;
use crate::store::StoreError;

/// How many entries are numbered or told of in one go.
const BATCH: usize = 500;
/// How often there is a look while somebody listens.
const HEARD: Duration = Duration::from_millis(250);

/// Numbers and tells until the token is cancelled: often while somebody listens, every
/// [`reconcile_interval`](crate::Settings::reconcile_interval) otherwise.
pub(crate) async fn write(context: Arc<Context>, token: CancellationToken) {
    let mut scribe = Scribe { context, told: None };
    loop {
        let turn = scribe.turn().await;
        let mut wait = scribe.context.settings.reconcile_interval;
        match turn {
            Ok(()) if scribe.context.events.is_heard() => wait = wait.min(HEARD),
            Ok(()) => {}
            Err(error) => tracing::error!(error = chain(&error), "the audit could not be numbered and told of"),
        }
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            () = scribe.context.events.listened() => {}
            () = sleep(wait) => {}
        }
    }
}

struct Scribe {
    context: Arc<Context>,
    /// The last entry that was told of; `None` while nobody listens.
    told: Option<i64>,
}

impl Scribe {
    async fn turn(&mut self) -> Result<(), StoreError> {
        let context = &self.context;
        while context.store.sequence_audit(BATCH).await?.len() == BATCH {}
        if !context.events.is_heard() {
            self.told = None;
            return Ok(());
        }
        let mut told = match self.told {
            Some(told) => told,
            // The last entry is told of once more: whoever read the Store before it came notices so.
            None => (context.store.audit_head().await? - 1).max(0),
        };
        loop {
            let news = context.store.audit_news(told, BATCH).await?;
            let full = news.len() == BATCH;
            for entry in news {
                told = entry.seq.unwrap_or(told);
                self.told = Some(told);
                context.events.send(Event::Audit(Arc::new(entry)));
            }
            if !full {
                self.told = Some(told);
                return Ok(());
            }
        }
    }
}
