//! Series and ranges of samples, for people to look at.

use std::collections::BTreeMap;

use super::series::{Series as Samples, SeriesTable};
use crate::clock::Timestamp;
use crate::metric::{MetricName, Tags};
use crate::store::{Aggregate, Point, Range, RangeQuery, Scope, Series, SeriesFilter};
use crate::target::Target;
use crate::tenant::TenantId;

impl SeriesTable {
    /// In the order of name, target and tags.
    pub(super) fn list(&self, tenant: &TenantId, filter: &SeriesFilter) -> Vec<Series> {
        let mut found: BTreeMap<(MetricName, Option<Target>, Tags), Series> = BTreeMap::new();
        let after = filter.after.clone().map(|key| (key.name, key.target, key.tags));
        for (scope, name, tags, series) in self.all(tenant) {
            let wanted = filter.name.as_ref().is_none_or(|wanted| wanted == name)
                && filter.prefix.as_ref().is_none_or(|prefix| name.as_str().starts_with(prefix))
                && filter.target.as_ref().is_none_or(|target| scope.target.as_ref() == Some(target));
            let key = (name.clone(), scope.target.clone(), tags.clone());
            if !wanted || after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            if let Some(newest) = series.newest {
                let (name, target, tags) = key.clone();
                found.insert(key, Series { name, target, tags, value: newest.value, at: newest.at });
            }
        }
        found.into_values().take(filter.limit).collect()
    }

    pub(super) fn range(&self, tenant: &TenantId, query: &RangeQuery) -> Range {
        let carries = |tags: &Tags| query.tags.iter().all(|(key, value)| tags.get(key) == Some(value));
        let mut lines: BTreeMap<(Option<Target>, Tags), Vec<Point>> = BTreeMap::new();
        for (scope, name, tags, series) in self.all(tenant) {
            let of_target = query.target.as_ref().is_none_or(|target| scope.target.as_ref() == Some(target));
            if *name != query.metric || !of_target || !carries(tags) {
                continue;
            }
            let points = downsample(query, series);
            if !points.is_empty() {
                lines.insert((scope.target.clone(), tags.clone()), points);
            }
        }
        if lines.values().map(Vec::len).sum::<usize>() > query.max_points {
            return Range::TooMany { series: lines.len() };
        }
        let flat = lines.into_iter().flat_map(|((target, tags), points)| {
            points.into_iter().map(move |point| (target.clone(), tags.clone(), point))
        });
        Range::of_points(flat)
    }

    /// All series of a tenant.
    fn all(&self, tenant: &TenantId) -> impl Iterator<Item = (&Scope, &MetricName, &Tags, &Samples)> {
        let scopes = self.0.iter().filter(move |(scope, _)| scope.tenant == *tenant);
        scopes.flat_map(|(scope, all)| all.iter().map(move |((name, tags), series)| (scope, name, tags, series)))
    }
}

/// One point for each step that has a value.
fn downsample(query: &RangeQuery, series: &Samples) -> Vec<Point> {
    let mut steps: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
    for sample in series.samples.iter().filter(|sample| query.from <= sample.at && sample.at < query.to) {
        steps.entry(query.begin_of_step(sample.at)).or_default().push(sample.value);
    }
    let aggregate = |values: &[f64]| match query.aggregate {
        Aggregate::Avg => values.iter().sum::<f64>() / values.len() as f64,
        Aggregate::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        Aggregate::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Aggregate::Sum => values.iter().sum(),
        Aggregate::Count => values.len() as f64,
        Aggregate::Last => values.last().copied().unwrap_or_default(),
    };
    steps.into_iter().map(|(at, values)| Point { at, value: aggregate(&values) }).collect()
}
