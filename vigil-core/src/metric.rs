//! [`Metric`]: one sample, checked at the border; [`Snapshot`]: the newest fresh samples of one target.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::invalid::{InvalidValue, name_of, pointer_to};
use crate::target::{Target, TargetTags};
use crate::tenant::TenantId;

/// The row id of a stored sample. Unique, not ordered by commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricId(pub i64);

/// The name of a metric: 1 to 255 characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MetricName(Arc<str>);

impl MetricName {
    /// Checks and takes a metric's name; white space around it is dropped.
    ///
    /// # Errors
    /// [`InvalidValue`] if it is empty, longer than 255 characters, or has a control character.
    pub fn new(name: &str) -> Result<Self, InvalidValue> {
        name_of("name", name).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MetricName {
    type Error = InvalidValue;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<MetricName> for String {
    fn from(name: MetricName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// What tells series of one name apart: at most 64 pairs, keys of 1 to 128 and values of up to 1024 characters,
/// no control characters. Sorted by key, so that equal tags are equal text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Tags(Arc<BTreeMap<String, String>>);

impl Tags {
    /// Checks and takes the pairs.
    ///
    /// # Errors
    /// [`InvalidValue`] on `tags` or `tags/<key>` for the first pair that breaks a limit.
    pub fn new<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, InvalidValue> {
        let pairs: BTreeMap<String, String> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        if pairs.len() > 64 {
            return Err(InvalidValue::new("tags", "must be at most 64 pairs"));
        }
        for (key, value) in &pairs {
            if key.is_empty() || key.chars().count() > 128 || key.chars().any(char::is_control) {
                return Err(InvalidValue::new(
                    "tags",
                    "must have keys of 1 to 128 characters, none of them a control character",
                ));
            }
            if value.chars().count() > 1024 || value.chars().any(char::is_control) {
                let problem = "must be at most 1024 characters, none of them a control character";
                return Err(InvalidValue::new(pointer_to("tags", key), problem));
            }
        }
        Ok(Self(Arc::new(pairs)))
    }

    /// The value of one tag.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The same tags without one.
    pub(crate) fn without(&self, key: &str) -> Self {
        let mut rest = (*self.0).clone();
        rest.remove(key);
        Self(Arc::new(rest))
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl TryFrom<BTreeMap<String, String>> for Tags {
    type Error = InvalidValue;
    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        Self::new(pairs)
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        Arc::unwrap_or_clone(tags.0)
    }
}

/// One sample of one series, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is about; `None` if no tag named a target.
    pub target: Option<Target>,
    /// What was measured.
    pub name: MetricName,
    /// The finite value.
    pub value: f64,
    /// The tags as they were sent.
    pub tags: Tags,
    /// The tags that remain when the one that names the target is taken out; with target and name, the series.
    pub series: Tags,
    /// The effective time: the earlier of the sender's timestamp and the receipt. It alone orders, ages and verifies.
    pub at: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
}

impl Metric {
    /// How far ahead of the receipt a sender's timestamp may be.
    pub const MAX_AHEAD: Duration = Duration::from_secs(600);

    /// How far ahead of a new sample's receipt the newest sample of a series may be. One that is further ahead was stamped by
    /// a clock that was wrong then: any new sample replaces it, and no snapshot shows it.
    pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

    /// Checks a sample that was received at `received_at` and finds its target.
    ///
    /// # Errors
    /// [`InvalidValue`] on `value` if it is not finite, on `timestamp` if it is more than ten minutes ahead.
    pub fn new(
        tenant: TenantId,
        name: MetricName,
        value: f64,
        tags: Tags,
        timestamp: Option<Timestamp>,
        received_at: Timestamp,
        target_tags: &TargetTags,
    ) -> Result<Self, InvalidValue> {
        if !value.is_finite() {
            return Err(InvalidValue::new("value", "must be a finite number"));
        }
        let at = timestamp.unwrap_or(received_at);
        if at > received_at + Self::MAX_AHEAD {
            return Err(InvalidValue::new("timestamp", "must not be more than 10 minutes ahead"));
        }
        let (target, series) = target_tags.split(&tags);
        Ok(Self { tenant, target, name, value, tags, series, at: at.min(received_at), received_at })
    }
}

/// The value of one series at one time: what conditions read and what evidence is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What was measured.
    pub metric: MetricName,
    /// The series' tags.
    #[serde(default)]
    pub tags: Tags,
    /// The finite value.
    pub value: f64,
    /// Its effective time.
    pub at: Timestamp,
}

/// The newest fresh sample of each series of one target: what a condition sees.
///
/// Samples older than `since` are not shown, so that stale data is no data.
#[derive(Debug, Clone)]
pub struct Snapshot {
    samples: HashMap<MetricName, Vec<Sample>>,
    since: Timestamp,
    /// Samples from behind it are not shown, and give way to any other.
    until: Timestamp,
}

impl Snapshot {
    /// How many series of one metric a snapshot keeps; beyond that the longest silent one makes room.
    pub const MAX_SERIES: usize = 1024;

    /// An empty snapshot that shows samples from `since` on.
    pub fn empty(since: Timestamp) -> Self {
        Self { samples: HashMap::new(), since, until: Timestamp::MAX }
    }

    /// Takes samples; of one series the newest wins. Those older than `since` are kept but not shown.
    pub fn new(samples: impl IntoIterator<Item = Sample>, since: Timestamp) -> Self {
        let mut snapshot = Self::empty(since);
        for sample in samples {
            snapshot.put(sample);
        }
        snapshot
    }

    /// A snapshot of plain values at one time, as the sandbox and tests have them.
    ///
    /// # Errors
    /// [`InvalidValue`] on `metrics/<name>` if a name is no metric's name or a value is not finite.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, f64)>, at: Timestamp) -> Result<Self, InvalidValue> {
        let mut snapshot = Self::empty(Timestamp::MIN);
        for (name, value) in values {
            if !value.is_finite() {
                return Err(InvalidValue::new(pointer_to("metrics", name), "must be a finite number"));
            }
            let metric =
                MetricName::new(name).map_err(|e| InvalidValue::new(pointer_to("metrics", name), e.problem))?;
            snapshot.put(Sample { metric, tags: Tags::default(), value, at });
        }
        Ok(snapshot)
    }

    /// The same samples, of which only those from `since` on are shown.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.show_since(since);
        self
    }

    /// Shows only samples from `since` on.
    pub fn show_since(&mut self, since: Timestamp) {
        self.since = since;
    }

    /// Shows only samples up to `until`, which also give way to any other: see [`Metric::CLOCK_TOLERANCE`].
    pub fn show_until(&mut self, until: Timestamp) {
        self.until = until;
    }

    /// Puts one sample in, unless its series already has a newer one, or it is the oldest of too many series. Says whether
    /// it was taken.
    pub fn put(&mut self, sample: Sample) -> bool {
        if !sample.value.is_finite() {
            return false;
        }
        let series = self.samples.entry(sample.metric.clone()).or_default();
        if let Some(known) = series.iter_mut().find(|known| known.tags == sample.tags) {
            let newer = known.at <= sample.at || known.at > self.until;
            if newer {
                *known = sample;
            }
            return newer;
        }
        if series.len() >= Self::MAX_SERIES
            && let Some(oldest) = (0..series.len()).min_by_key(|&i| series[i].at)
        {
            if series[oldest].at > sample.at {
                return false;
            }
            series.swap_remove(oldest);
        }
        series.push(sample);
        true
    }

    /// The fresh samples of a metric, one a series.
    pub fn samples(&self, metric: &MetricName) -> impl Iterator<Item = &Sample> {
        self.samples.get(metric).into_iter().flatten().filter(|sample| self.shows(sample))
    }

    /// Every fresh sample.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.values().flatten().filter(|sample| self.shows(sample))
    }

    fn shows(&self, sample: &Sample) -> bool {
        self.since <= sample.at && sample.at <= self.until
    }

    /// Whether it shows a sample of the series of each of these.
    pub fn shows_all(&self, samples: &[Sample]) -> bool {
        let shown: HashSet<_> = self.iter().map(|sample| (&sample.metric, &sample.tags)).collect();
        samples.iter().all(|sample| shown.contains(&(&sample.metric, &sample.tags)))
    }

    /// Drops the samples older than `before`.
    pub fn forget(&mut self, before: Timestamp) {
        self.samples.retain(|_, series| {
            series.retain(|sample| sample.at >= before);
            !series.is_empty()
        });
    }

    /// Whether there is no sample, fresh or not.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

#[cfg(test)]
mod tests;
