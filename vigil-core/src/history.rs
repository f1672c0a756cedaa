//! [`History`]: the stored samples of what a policy reads on a target, oldest first, read page by page and whole.

use crate::clock::Timestamp;
use crate::context::{Context, scopes};
use crate::metric::{MetricName, Sample};
use crate::policy::Policy;
use crate::store::{Scope, Store, StoreError};
use crate::target::Target;

/// Pages over the samples of every scope that a policy judges a target by. Samples of one time are in one page.
#[derive(Debug)]
pub(crate) struct History<'c> {
    store: &'c dyn Store,
    reads: &'c [MetricName],
    sources: Vec<Source>,
}

/// One scope's samples that were read and not handed out yet.
#[derive(Debug)]
struct Source {
    scope: Scope,
    /// What is to be read next.
    from: Timestamp,
    samples: Vec<Sample>,
    page: usize,
    at_end: bool,
}

impl<'c> History<'c> {
    /// How many samples of a scope are read at a time.
    const PAGE: usize = 20_000;
    /// The most samples of a scope that may have the same time.
    const MAX_PAGE: usize = 1 << 20;

    /// The samples from `since` on.
    pub(crate) fn new(context: &'c Context, policy: &'c Policy, target: &Target, since: Timestamp) -> Self {
        let scopes = scopes(&policy.tenant, Some(policy), target);
        Self::paged(&*context.store, policy.condition.reads(), scopes, since, Self::PAGE)
    }

    fn paged(store: &'c dyn Store, reads: &'c [MetricName], scopes: Vec<Scope>, since: Timestamp, page: usize) -> Self {
        let source = |scope| Source { scope, from: since, samples: Vec::new(), page, at_end: false };
        Self { store, reads, sources: scopes.into_iter().map(source).collect() }
    }

    /// The next samples in the order of their time; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known of the rest.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Sample>>, StoreError> {
        for source in &mut self.sources {
            source.fill(self.store, self.reads).await?;
        }
        // Later samples of a scope that is not read to its end may still be missing.
        let unfinished = self.sources.iter().filter(|source| !source.at_end);
        let complete = unfinished.filter_map(|source| source.samples.last().map(|last| last.at)).min();
        let mut page = Vec::new();
        for source in &mut self.sources {
            let count = complete.map_or(source.samples.len(), |at| source.samples.partition_point(|s| s.at <= at));
            page.extend(source.samples.drain(..count));
        }
        page.sort_by_key(|sample| sample.at);
        Ok((!page.is_empty()).then_some(page))
    }
}

impl Source {
    /// Reads a page if none is left. The samples of its last time may go on in the next one, which begins with them.
    async fn fill(&mut self, store: &dyn Store, reads: &[MetricName]) -> Result<(), StoreError> {
        while self.samples.is_empty() && !self.at_end {
            let mut samples = store.samples(&self.scope, reads, self.from, self.page).await?;
            if samples.len() < self.page {
                self.at_end = true;
            } else if let Some(last) = samples.last().map(|last| last.at) {
                samples.truncate(samples.partition_point(|sample| sample.at < last));
                self.from = last;
                if samples.is_empty() {
                    self.grow()?;
                }
            }
            self.samples = samples;
        }
        Ok(())
    }

    fn grow(&mut self) -> Result<(), StoreError> {
        if self.page >= History::MAX_PAGE {
            return Err(StoreError::Invalid(format!("more than {} samples have the same time", self.page)));
        }
        self.page *= 2;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that panics has failed
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::store::MemoryStore;
    use crate::tenant::TenantId;
    use crate::testing::{ManualClock, batch, metric, target};

    async fn read(seconds: &[(bool, u64)], page: usize) -> (Vec<Vec<Sample>>, usize) {
        let store = MemoryStore::new();
        for (number, (named, second)) in seconds.iter().enumerate() {
            let at = ManualClock::START + Duration::from_secs(*second);
            let sample = metric("cpu", number as f64).late(at, at);
            store.record_metrics(batch([if *named { sample.on("web-1") } else { sample }])).await.unwrap();
        }
        let (tenant, reads) = (TenantId::default(), [MetricName::new("cpu").unwrap()]);
        let scopes = vec![Scope { tenant: tenant.clone(), target: None }, Scope::of(&tenant, &target("web-1"))];
        let mut history = History::paged(&store, &reads, scopes, ManualClock::START, page);
        let mut pages = Vec::new();
        while let Some(page) = history.next().await.unwrap() {
            pages.push(page);
        }
        (pages, seconds.len())
    }

    proptest! {
        #[test]
        fn pages_are_the_whole_history_in_order_and_split_no_moment(
            seconds in prop::collection::vec((any::<bool>(), 0_u64..12), 0..60),
            page in 1_usize..9,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (pages, count) = runtime.block_on(read(&seconds, page));
            for pair in pages.windows(2) {
                prop_assert!(pair[0].last().unwrap().at < pair[1][0].at, "a moment is in one page");
            }
            let all: Vec<_> = pages.concat();
            prop_assert!(all.is_sorted_by_key(|sample| sample.at));
            let mut values: Vec<_> = all.iter().map(|sample| sample.value as usize).collect();
            values.sort_unstable();
            prop_assert_eq!(values, (0..count).collect::<Vec<_>>(), "each sample once");
        }
    }
}
