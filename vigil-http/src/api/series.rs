//! `GET /api/v1/series` and `GET /api/v1/query`: what is measured, and how it went.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use vigil_core::clock::Timestamp;
use vigil_core::metric::{MetricName, Tags};
use vigil_core::store::{Aggregate, Line, Point, Range, RangeQuery, Series, SeriesFilter, SeriesKey};
use vigil_core::target::Target;

use crate::extract::{Caller, cursor};
use crate::params::{Params, count, named, time};
use crate::problem::ApiError;
use crate::router::App;

/// How many series a page has when the client does not say.
const PAGE: usize = 100;
/// How many points all series of an answer have at most.
const MAX_POINTS: usize = 11_000;
/// How far a query looks back when the client does not say.
const SPAN: Duration = Duration::from_secs(3600);
/// How long a step may be, in seconds: a year.
const MAX_STEP: u64 = 365 * 86_400;
/// How many steps a query has when the client does not say.
const STEPS: u64 = 300;

/// A series with its newest sample.
#[derive(Debug, Serialize)]
pub(crate) struct SeriesDto {
    name: MetricName,
    target: Option<Target>,
    tags: Tags,
    value: f64,
    at: Timestamp,
}

impl From<Series> for SeriesDto {
    fn from(series: Series) -> Self {
        let Series { name, target, tags, value, at } = series;
        Self { name, target, tags, value, at }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct SeriesList {
    count: usize,
    series: Vec<SeriesDto>,
    next_cursor: Option<String>,
}

/// By name, then by target.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<SeriesList>, ApiError> {
    params.only(&["name", "target", "prefix", "limit", "cursor"], &[]);
    let filter = SeriesFilter {
        name: params.optional("name", named(MetricName::new)),
        prefix: params.optional("prefix", |text| Ok(text.to_owned())).filter(|prefix| !prefix.is_empty()),
        target: params.optional("target", named(Target::new)),
        after: params.optional("cursor", after),
        limit: 0,
    };
    let limit = params.limit(PAGE);
    params.end()?;
    // One more than asked for tells whether there is a next page.
    let filter = SeriesFilter { limit: limit + 1, ..filter };
    let mut series = app.vigil.store().series(&caller.tenant, &filter).await?;
    let more = series.len() > limit;
    series.truncate(limit);
    let next_cursor = series.last().filter(|_| more).map(|last| {
        let key = serde_json::to_string(&last.key()).expect("names and tags are JSON");
        cursor::of_name(&key)
    });
    let series: Vec<SeriesDto> = series.into_iter().map(SeriesDto::from).collect();
    Ok(Json(SeriesList { count: series.len(), series, next_cursor }))
}

fn after(text: &str) -> Result<SeriesKey, String> {
    let key = cursor::name(text).ok().and_then(|json| serde_json::from_str(&json).ok());
    key.ok_or_else(|| cursor::NOT_OURS.to_owned())
}

#[derive(Debug, Serialize)]
pub(crate) struct RangeDto {
    metric: MetricName,
    from: Timestamp,
    to: Timestamp,
    /// In seconds.
    step: u64,
    agg: Aggregate,
    /// How many points all series have together.
    count: usize,
    series: Vec<LineDto>,
}

#[derive(Debug, Serialize)]
struct LineDto {
    target: Option<Target>,
    tags: Tags,
    points: Vec<PointDto>,
}

#[derive(Debug, Serialize)]
struct PointDto {
    at: Timestamp,
    value: f64,
}

impl From<Line> for LineDto {
    fn from(line: Line) -> Self {
        let points = line.points.into_iter().map(|Point { at, value }| PointDto { at, value }).collect();
        Self { target: line.target, tags: line.tags, points }
    }
}

/// The samples of a metric over a span of time, one point a step.
pub(crate) async fn query(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<RangeDto>, ApiError> {
    params.only(&["metric", "target", "from", "to", "step", "agg"], &["tag"]);
    let aggregate = params.word("agg", Aggregate::parse)?.unwrap_or_default();
    let metric = params.required("metric", named(MetricName::new));
    let target = params.optional("target", named(Target::new));
    let tags = tags(&mut params);
    let (from, to) = (params.optional("from", time), params.optional("to", time));
    let step = params.optional("step", count);
    if step.is_some_and(|step| !(1..=MAX_STEP).contains(&step)) {
        params.refuse("step", format!("must be from 1 to {MAX_STEP}, in seconds"));
    }
    let end = match to {
        Some(to) => to,
        None => app.vigil.store().now().await?,
    };
    let from = from.unwrap_or(end - SPAN);
    if end <= from {
        params.refuse("to", "must be later than from");
    }
    let (Some(metric), Some(tags), ()) = (metric, tags, params.end()?) else {
        return Err(ApiError::field("/metric", "is required"));
    };
    let step = step.unwrap_or_else(|| end.since(from).as_secs().div_ceil(STEPS).clamp(1, MAX_STEP));
    let (length, max_points) = (Duration::from_secs(step), MAX_POINTS);
    let mut query = RangeQuery { metric, target, tags, from, to: end, step: length, aggregate, max_points };
    if to.is_none() {
        query.to = query.begin_of_step(end) + length; // the step that is now belongs to it
    }
    if query.steps() > max_points as u64 {
        return Err(too_many(&query, 1));
    }
    let lines = match app.vigil.store().range(&caller.tenant, &query).await? {
        Range::Lines(lines) => lines,
        Range::TooMany { series } => return Err(too_many(&query, series)),
    };
    let count = lines.iter().map(|line| line.points.len()).sum();
    let series = lines.into_iter().map(LineDto::from).collect();
    Ok(Json(RangeDto { metric: query.metric, from, to: query.to, step, agg: aggregate, count, series }))
}

/// `tag=key=value`, as often as wanted; `None` if one is wrong, which is then told.
fn tags(params: &mut Params) -> Option<Tags> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in params.all("tag") {
        match pair.split_once('=') {
            Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
            None => {
                params.refuse("tag", "must be key=value");
                return None;
            }
        }
    }
    match Tags::new(pairs) {
        Ok(tags) => Some(tags),
        Err(invalid) => {
            params.refuse("tag", invalid.problem);
            None
        }
    }
}

fn too_many(query: &RangeQuery, series: usize) -> ApiError {
    match query.fitting_step(series) {
        Some(step) => ApiError::field(
            "/step",
            format!(
                "gives more than {MAX_POINTS} points for {series} series; the smallest step that fits is {} seconds",
                step.as_secs()
            ),
        ),
        None => ApiError::field(
            "/metric",
            format!("has {series} series, more than {MAX_POINTS} points can show; name a target or tags"),
        ),
    }
}
