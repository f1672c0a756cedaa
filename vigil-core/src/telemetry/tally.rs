//! [`Tally`]: a counter whose first label callers choose, bounded, and never merging two label sets.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

/// Where everything beyond the bound is counted.
pub(super) const OTHER: &str = "other";

/// How many values of the open label are told apart.
const CAP: usize = 1000;

/// A counter with one open label, whose values callers choose, and labels `C` from closed sets.
///
/// The first [`CAP`] values of the open label are counted under their own name, the rest under [`OTHER`], closed labels
/// kept. `prometheus::CounterVec` would do neither: it grows without bound, and it tells label sets apart by a hash of
/// their concatenation, so that `("ab", "c")` and `("a", "bc")` are one series there.
#[derive(Debug)]
pub(super) struct Tally<C> {
    desc: Desc,
    words: fn(&C) -> Vec<String>,
    rows: Mutex<Rows<C>>,
}

type Rows<C> = HashMap<Box<str>, HashMap<C, u64>>;

impl<C: Copy + Eq + Hash + Send + 'static> Tally<C> {
    /// A counter named `name` with the labels `labels`, the open one first; `words` gives the values of the others.
    pub(super) fn new(name: &str, help: &str, labels: &[&str], words: fn(&C) -> Vec<String>) -> Self {
        let labels = labels.iter().map(ToString::to_string).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
            .expect("names, labels and help are constants and valid");
        Self { desc, words, rows: Mutex::default() }
    }

    /// Counts `by` more. Says whether `open` is counted under its own name.
    pub(super) fn add(&self, open: &str, closed: C, by: u64) -> bool {
        let mut rows = self.rows();
        if let Some(row) = rows.get_mut(open) {
            *row.entry(closed).or_default() += by;
            return true;
        }
        let own = rows.len() < CAP;
        let open = if own { open } else { OTHER };
        *rows.entry(open.into()).or_default().entry(closed).or_default() += by;
        own
    }

    /// Everything counted so far, as a family of counters; without metrics when nothing was.
    pub(super) fn family(&self) -> MetricFamily {
        // Copied first, so that a scrape of many series does not hold up those who count.
        let rows = self.rows().clone();
        let counted = rows.iter().flat_map(|(open, row)| row.iter().map(move |(closed, count)| (open, closed, *count)));
        let mut metrics: Vec<_> = counted
            .map(|(open, closed, count)| {
                let values = std::iter::once(open.to_string()).chain((self.words)(closed));
                let labels =
                    self.desc.variable_labels.iter().zip(values).map(|(name, value)| label(name, value)).collect();
                let mut counter = Counter::default();
                counter.set_value(count as f64);
                let mut metric = Metric::from_label(labels);
                metric.set_counter(counter);
                metric
            })
            .collect();
        metrics.sort_by(|a, b| words_of(a).cmp(words_of(b)));
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(metrics);
        family
    }

    fn rows(&self) -> MutexGuard<'_, Rows<C>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner) // counting cannot leave it half done
    }
}

impl<C: Copy + Eq + Hash + Send + 'static> Collector for Tally<C> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        vec![self.family()]
    }
}

fn label(name: &str, value: String) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

fn words_of(metric: &Metric) -> impl Iterator<Item = &str> {
    metric.get_label().iter().map(LabelPair::value)
}
