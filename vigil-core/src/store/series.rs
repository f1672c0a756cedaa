//! [`Series`] and [`RangeQuery`]: what is measured, and how it went.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::word;
use crate::clock::Timestamp;
use crate::invalid::InvalidValue;
use crate::metric::{MetricName, Tags};
use crate::target::Target;

/// A series with its newest sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What is measured.
    pub name: MetricName,
    /// On what; `None` if its samples name no target.
    pub target: Option<Target>,
    /// Its tags, without the one that names the target.
    pub tags: Tags,
    /// The newest value.
    pub value: f64,
    /// When that was.
    pub at: Timestamp,
}

/// Names one series of a tenant: where a page of series ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesKey {
    /// What is measured.
    pub name: MetricName,
    /// On what.
    pub target: Option<Target>,
    /// Its tags.
    pub tags: Tags,
}

impl Series {
    /// What names it.
    pub fn key(&self) -> SeriesKey {
        SeriesKey { name: self.name.clone(), target: self.target.clone(), tags: self.tags.clone() }
    }
}

/// Which series to list.
#[derive(Debug, Clone, Default)]
pub struct SeriesFilter {
    /// Only of this metric.
    pub name: Option<MetricName>,
    /// Only of metrics whose names begin with this.
    pub prefix: Option<String>,
    /// Only of this target.
    pub target: Option<Target>,
    /// Only those behind this one: the end of the page before.
    pub after: Option<SeriesKey>,
    /// At most so many.
    pub limit: usize,
}

impl SeriesFilter {
    /// The first text, byte by byte, that is behind all that begin with the prefix; `None` if there is no prefix, or no such
    /// text.
    pub fn behind_prefix(&self) -> Option<String> {
        let mut chars: Vec<char> = self.prefix.as_deref()?.chars().collect();
        while let Some(last) = chars.pop() {
            // The number behind the last one below the surrogates is above them.
            let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(u32::from(last) + 1) };
            if let Some(next) = next {
                chars.push(next);
                return Some(chars.into_iter().collect());
            }
        }
        None
    }
}

/// What becomes of the samples of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Aggregate {
    /// Their mean.
    #[default]
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their sum.
    Sum,
    /// How many they are.
    Count,
    /// The newest.
    Last,
}

impl Aggregate {
    /// All six.
    pub const ALL: [Self; 6] = [Self::Avg, Self::Min, Self::Max, Self::Sum, Self::Count, Self::Last];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Last => "last",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`InvalidValue`] on `agg`, naming the six.
    pub fn parse(word: &str) -> Result<Self, InvalidValue> {
        let known = Self::ALL.into_iter().find(|aggregate| aggregate.as_str() == word);
        known.ok_or_else(|| InvalidValue::new("agg", "must be one of avg, min, max, sum, count, last"))
    }
}

word!(Aggregate);

/// The samples of one metric over a span of time, one point a step.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeQuery {
    /// Of which metric.
    pub metric: MetricName,
    /// Only of this target.
    pub target: Option<Target>,
    /// Only of series that carry all of these tags.
    pub tags: Tags,
    /// From when on.
    pub from: Timestamp,
    /// Until before when.
    pub to: Timestamp,
    /// How long a step is. Steps begin at whole multiples of it since 1970.
    pub step: Duration,
    /// What becomes of the samples of one step.
    pub aggregate: Aggregate,
    /// How many points all series together may have.
    pub max_points: usize,
}

impl RangeQuery {
    /// How many steps are tried for one that fits.
    const LOOKS: usize = 10_000;

    /// A step as microseconds, at least one.
    pub fn step_micros(&self) -> i64 {
        i64::try_from(self.step.as_micros()).unwrap_or(i64::MAX).max(1)
    }

    /// When the step begins that `at` is in.
    pub fn begin_of_step(&self, at: Timestamp) -> Timestamp {
        let step = self.step_micros();
        Timestamp::from_micros(at.as_micros().div_euclid(step).saturating_mul(step))
    }

    /// How many points one series can have.
    pub fn steps(&self) -> u64 {
        if self.to <= self.from {
            return 0;
        }
        let step = self.step_micros();
        let (first, last) = (self.from.as_micros().div_euclid(step), (self.to.as_micros() - 1).div_euclid(step));
        last.abs_diff(first).saturating_add(1)
    }

    /// The smallest whole number of seconds with which so many series have no more points than they may; `None` if there is
    /// none.
    pub fn fitting_step(&self, series: usize) -> Option<Duration> {
        let each = u64::try_from(self.max_points / series.max(1)).unwrap_or(u64::MAX);
        // Begin and end of the span are rarely those of a step: two at least are touched.
        if each < 2 {
            return None;
        }
        let span = self.to.since(self.from);
        let seconds = |parts: u64| {
            let parts = u128::from(parts) * 1_000_000;
            u64::try_from(span.as_micros().div_ceil(parts)).unwrap_or(u64::MAX).max(1)
        };
        let fits = |seconds: &u64| Self { step: Duration::from_secs(*seconds), ..self.clone() }.steps() <= each;
        // The greatest surely fits; far from the least the smallest is not worth looking for.
        let (least, greatest) = (seconds(each), seconds(each - 1));
        let found = (least..=greatest).take(Self::LOOKS).find(fits);
        Some(Duration::from_secs(found.unwrap_or(greatest)))
    }
}

/// One series of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Of which target; `None` if its samples name none.
    pub target: Option<Target>,
    /// Its tags, without the one that names the target.
    pub tags: Tags,
    /// Oldest first; a step without a sample has no point.
    pub points: Vec<Point>,
}

/// What the samples of one step came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When the step begins.
    pub at: Timestamp,
    /// What its samples came to.
    pub value: f64,
}

/// The Store's answer to a [`RangeQuery`].
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// All points, of each series with any.
    Lines(Vec<Line>),
    /// There are more points than there may be.
    TooMany {
        /// How many series have any.
        series: usize,
    },
}

impl Range {
    /// Of points in the order of their series, and then of their time.
    pub fn of_points(points: impl IntoIterator<Item = (Option<Target>, Tags, Point)>) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for (target, tags, point) in points {
            match lines.last_mut() {
                Some(line) if line.target == target && line.tags == tags => line.points.push(point),
                _ => lines.push(Line { target, tags, points: vec![point] }),
            }
        }
        Self::Lines(lines)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that panics has failed
mod tests {
    use super::*;

    fn query(from: i64, to: i64, step: u64, max_points: usize) -> RangeQuery {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        RangeQuery {
            metric: MetricName::new("cpu").unwrap(),
            target: None,
            tags: Tags::default(),
            from: at(from),
            to: at(to),
            step: Duration::from_secs(step),
            aggregate: Aggregate::Avg,
            max_points,
        }
    }

    #[test]
    fn steps_are_those_that_the_span_touches() {
        for (from, to, step, steps) in [
            (0, 60, 60, 1),
            (0, 61, 60, 2),
            (59, 61, 60, 2),
            (59, 60, 60, 1),
            (-1, 1, 60, 2),
            (7, 7, 1, 0),
            (7, 3, 1, 0),
        ] {
            assert_eq!(query(from, to, step, 1).steps(), steps, "{from}..{to} by {step}");
        }
    }

    #[test]
    fn the_fitting_step_fits_and_no_smaller_one_does() {
        for (from, to, max, series) in
            [(0, 86_400, 11_000, 1), (13, 86_411, 11_000, 7), (5, 604_805, 100, 3), (0, 3, 11_000, 2), (7, 107, 11, 1)]
        {
            let each = (max / series) as u64;
            let step = query(from, to, 1, max).fitting_step(series).unwrap().as_secs();
            assert!(query(from, to, step, max).steps() <= each, "{step} for {from}..{to}");
            assert!(
                (1..step).all(|less| query(from, to, less, max).steps() > each),
                "less than {step} for {from}..{to}"
            );
        }
        assert_eq!(query(0, 10, 1, 11_000).fitting_step(11_000), None);
    }

    #[test]
    fn what_begins_with_a_prefix_lies_before_what_is_behind_it() {
        let behind =
            |prefix: &str| SeriesFilter { prefix: Some(prefix.to_owned()), ..Default::default() }.behind_prefix();
        assert_eq!(behind("cpu").as_deref(), Some("cpv"));
        assert_eq!(behind("a\u{D7FF}").as_deref(), Some("a\u{E000}"));
        assert_eq!(behind("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(behind("\u{10FFFF}"), None);
        assert_eq!(behind(""), None);
    }
}
