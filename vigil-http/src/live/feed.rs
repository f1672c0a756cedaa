//! [`Feed`]: everything that one client wants to know, in order, without a gap and without memory that grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, interval};
use vigil_core::Vigil;
use vigil_core::events::Event;
use vigil_core::metric::Metric;
use vigil_core::store::{AuditEntry, AuditFilter, StoreError};

use super::message::kind_of;
use super::{LastSeen, LiveQuery, Message};
use crate::extract::Caller;
use crate::problem::ApiError;
use crate::router::App;

/// The messages of one client.
///
/// Entries of the audit come by the process's events, which everybody shares. Their sequence has no gap: where one shows, because
/// the client was slow, came late, or comes back, what is missing is read from the Store, a page at a time and only as fast as
/// the client takes it.
pub(crate) struct Feed {
    vigil: Arc<Vigil>,
    caller: Caller,
    query: LiveQuery,
    events: Receiver<Event>,
    samples: Option<Receiver<Arc<Metric>>>,
    ready: VecDeque<Message>,
    /// Everything up to here was told of.
    covered: i64,
    /// What is up to here is in the Store.
    stored: i64,
    /// When it is asked again whether the client may still look.
    looks: Interval,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// How many entries are read at a time.
    const PAGE: usize = 200;
    /// How long a revoked key may go on.
    const LOOK: Duration = Duration::from_millis(500);

    /// Begins behind the last message that the client saw, or now.
    pub(crate) async fn open(
        app: &App,
        caller: Caller,
        query: LiveQuery,
        LastSeen(last): LastSeen,
    ) -> Result<Self, ApiError> {
        let place = app.streams.clone().try_acquire_owned();
        let place =
            place.map_err(|_| ApiError::unavailable("As many live views as may be are open; try again later."))?;
        let vigil = app.vigil.clone();
        // Before the look at the Store, so that nothing can fall between the two.
        let events = vigil.events().subscribe();
        let samples = query.wants("metric").then(|| vigil.events().samples());
        let head = vigil.store().audit_head().await?;
        let covered = last.unwrap_or(head).min(head);
        let mut ready = VecDeque::from([Message::ready(covered)]);
        if last.is_some_and(|last| last > head) {
            ready.push_back(Message::resync(0)); // of another database, or of this one before it was restored
        }
        Ok(Self {
            vigil,
            caller,
            query,
            events,
            samples,
            ready,
            covered,
            stored: head,
            looks: interval(Self::LOOK),
            _place: place,
        })
    }

    /// The next message, when there is one; `None` when nothing can come any more, and the client had better connect anew.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.covered < self.stored {
                if let Err(error) = self.read().await {
                    tracing::warn!(%error, "a live view is closed: the store cannot be read");
                    return None;
                }
                continue;
            }
            let event = tokio::select! {
                event = self.events.recv() => event,
                // A key that is revoked ends what was begun with it.
                _ = self.looks.tick() => {
                    if !self.caller.is_good(&self.vigil) {
                        return None;
                    }
                    continue;
                }
                sample = sample(self.samples.as_mut()) => {
                    if let Some(sample) = sample { self.sampled(&sample) } else { self.samples = None }
                    continue;
                }
            };
            match event {
                Ok(Event::Audit(entry)) => self.audited(&entry),
                Ok(event) => {
                    if let Some((message, target, policy)) = Message::of(&event, &self.caller.tenant)
                        && self.query.wants(message.kind)
                        && self.query.passes(target, policy)
                    {
                        self.ready.push_back(message);
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    self.ready.push_back(Message::resync(missed));
                    // What has a sequence is not missed: it is read now.
                    match self.vigil.store().audit_head().await {
                        Ok(head) => self.stored = head,
                        Err(_) => return None,
                    }
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn audited(&mut self, entry: &AuditEntry) {
        let Some(seq) = entry.seq.filter(|seq| *seq > self.covered) else { return };
        self.stored = seq;
        if seq == self.covered + 1 {
            self.covered = seq;
            self.take(entry);
        }
    }

    fn sampled(&mut self, metric: &Metric) {
        if metric.tenant == self.caller.tenant && self.query.passes(metric.target.as_ref(), None) {
            self.ready.push_back(Message::sample(metric));
        }
    }

    fn take(&mut self, entry: &AuditEntry) {
        let wanted = entry.tenant == self.caller.tenant
            && self.query.wants(kind_of(entry))
            && self.query.passes(entry.target.as_ref(), entry.policy.as_ref());
        if wanted {
            self.ready.push_back(Message::entry(entry));
        }
    }

    /// Reads what is missing from the Store, a page of it.
    async fn read(&mut self) -> Result<(), StoreError> {
        let filter = AuditFilter { after: self.covered, limit: Self::PAGE, ..AuditFilter::default() };
        let entries = self.vigil.store().audit(&self.caller.tenant, &filter).await?;
        let last = entries.last().and_then(|entry| entry.seq).unwrap_or(self.covered);
        // A page that is not full holds all there was; what others did in between is not of this tenant.
        self.covered = if entries.len() == Self::PAGE { last } else { last.max(self.stored) };
        for entry in &entries {
            self.take(entry);
        }
        Ok(())
    }
}

/// The next sample, if there are any; those that the client was too slow for are only a sample less.
async fn sample(samples: Option<&mut Receiver<Arc<Metric>>>) -> Option<Arc<Metric>> {
    let Some(samples) = samples else { return std::future::pending().await };
    loop {
        match samples.recv().await {
            Ok(sample) => return Some(sample),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
