//! [`SeriesTable`]: the samples of every series, in order of their time.

use std::collections::{HashMap, VecDeque};

use super::MemoryStore;
use crate::clock::Timestamp;
use crate::metric::{Metric, MetricName, Sample, Tags};
use crate::store::Scope;
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct SeriesTable(pub(super) HashMap<Scope, HashMap<(MetricName, Tags), Series>>);

/// The samples of one series in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) samples: VecDeque<Stored>,
    /// Not always the last: one that a wrong clock stamped gives way to any later received one.
    pub(super) newest: Option<Stored>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) value: f64,
    pub(super) at: Timestamp,
    received_at: Timestamp,
}

impl SeriesTable {
    pub(super) fn record(&mut self, scope: Scope, metric: Metric) {
        let series = self.0.entry(scope).or_default().entry((metric.name, metric.series)).or_default();
        // Behind its equals: of two samples of one time, the later recorded one is the newest.
        let place = series.samples.partition_point(|stored| stored.at <= metric.at);
        let stored = Stored { value: metric.value, at: metric.at, received_at: metric.received_at };
        series.samples.insert(place, stored);
        if series.samples.len() > MemoryStore::SAMPLES_PER_SERIES {
            series.samples.pop_front();
        }
        let latest = stored.received_at + Metric::CLOCK_TOLERANCE;
        if series.newest.is_none_or(|newest| newest.at <= stored.at || newest.at > latest) {
            series.newest = Some(stored);
        }
    }

    pub(super) fn snapshot(&self, scope: &Scope, since: Timestamp) -> Vec<Sample> {
        let newest = |((name, tags), series): (&(MetricName, Tags), &Series)| {
            series.newest.filter(|stored| stored.at >= since).map(|stored| stored.sample(name, tags))
        };
        self.0.get(scope).into_iter().flatten().filter_map(newest).collect()
    }

    pub(super) fn samples(&self, scope: &Scope, metrics: &[MetricName], since: Timestamp, limit: usize) -> Vec<Sample> {
        let mut samples = Vec::new();
        for ((name, tags), series) in self.0.get(scope).into_iter().flatten() {
            if metrics.contains(name) {
                let from = series.samples.partition_point(|stored| stored.at < since);
                samples.extend(series.samples.range(from..).take(limit).map(|stored| stored.sample(name, tags)));
            }
        }
        samples.sort_by_key(|sample| sample.at);
        samples.truncate(limit);
        samples
    }

    pub(super) fn count(&self, tenant: &TenantId) -> usize {
        self.0.iter().filter(|(scope, _)| scope.tenant == *tenant).map(|(_, series)| series.len()).sum()
    }

    pub(super) fn has(&self, scope: &Scope) -> bool {
        self.0.contains_key(scope)
    }

    /// Removes up to `limit` samples received before `before`, and what is empty then.
    pub(super) fn prune(&mut self, before: Timestamp, limit: usize) -> usize {
        let mut gone = 0;
        for scope in self.0.values_mut() {
            for series in scope.values_mut() {
                series.samples.retain(|stored| {
                    let keep = gone == limit || stored.received_at >= before;
                    gone += usize::from(!keep);
                    keep
                });
                series.newest =
                    series.newest.filter(|newest| newest.received_at >= before).or(series.samples.back().copied());
            }
            scope.retain(|_, series| !series.samples.is_empty());
        }
        self.0.retain(|_, scope| !scope.is_empty());
        gone
    }
}

impl Stored {
    fn sample(&self, metric: &MetricName, tags: &Tags) -> Sample {
        Sample { metric: metric.clone(), tags: tags.clone(), value: self.value, at: self.at }
    }
}
