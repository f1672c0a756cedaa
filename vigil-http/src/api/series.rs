//! `GET /api/v1/series` and `GET /api/v1/query`: what is measured, and how it went.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vigil_core::clock::Timestamp;
use vigil_core::metric::{MetricName, Tags};
use vigil_core::store::{Aggregate, Line, Point, Range, RangeQuery, Series, SeriesFilter, SeriesKey};
use vigil_core::target::Target;

use crate::extract::{Caller, Page, cursor};
use crate::params::{Params, count, named, time};
use crate::problem::ApiError;
use crate::router::App;
use crate::schema;

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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Series, examples(json!({
    "name": "cpu_percent", "target": "web-1", "tags": {"core": "1"}, "value": 85.5, "at": "2026-01-20T12:00:00Z"
})))]
pub(crate) struct SeriesDto {
    /// What is measured.
    #[schema(value_type = schema::Name)]
    name: MetricName,
    /// On what; null when no tag named a target.
    #[schema(value_type = Option<schema::Name>, required)]
    target: Option<Target>,
    /// What tells it from others of that name and target.
    #[schema(value_type = schema::Tags)]
    tags: Tags,
    /// The newest value.
    value: f64,
    /// When that was measured.
    #[schema(value_type = schema::Time)]
    at: Timestamp,
}

impl From<Series> for SeriesDto {
    fn from(series: Series) -> Self {
        let Series { name, target, tags, value, at } = series;
        Self { name, target, tags, value, at }
    }
}

/// A page of series.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"count": 1, "series": [{
    "name": "cpu_percent", "target": "web-1", "tags": {}, "value": 85.5, "at": "2026-01-20T12:00:00Z"
}], "next_cursor": null})))]
pub(crate) struct SeriesList {
    /// How many are on this page.
    count: usize,
    /// The series.
    series: Vec<SeriesDto>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

schema::parameters! {
    /// The filters of series.
    Filters = [
        {"name": "name", "description": "Only those of this metric", "example": "cpu_percent",
            "schema": {"$ref": "#/components/schemas/Name"}},
        {"name": "prefix", "description": "Only those of metrics whose names begin so", "example": "cpu",
            "schema": {"type": "string", "pattern": schema::NO_NUL}},
        {"name": "target", "description": "Only those of this target", "example": "web-1",
            "schema": {"$ref": "#/components/schemas/Name"}},
    ];

    /// What is asked of a metric.
    Asked = [
        {"name": "metric", "required": true, "description": "The metric's name", "example": "cpu_percent",
            "schema": {"$ref": "#/components/schemas/Name"}},
        {"name": "target", "description": "Only its series on this target", "example": "web-1",
            "schema": {"$ref": "#/components/schemas/Name"}},
        {"name": "tag", "description": "Only its series with this tag, as `key=value`; may stand often", "example": ["core=1"],
            "schema": {"type": "array", "maxItems": 64, "items": {"type": "string", "pattern": TAG}}},
        {"name": "from", "description": "Where it begins; an hour before the end if it does not say",
            "example": "2026-01-20T12:00:00Z", "schema": schema::time_in_query()},
        {"name": "to", "description": "Where it ends, without that moment; now if it does not say",
            "example": "2026-01-20T12:10:00Z", "schema": schema::time_in_query()},
        {"name": "step", "description": "How many seconds one point stands for; a 300th of the whole if it does not say",
            "example": 60, "schema": {"type": "integer", "minimum": 1, "maximum": MAX_STEP}},
        {"name": "agg", "description": "What one point is made by; `avg` if it does not say", "example": "max",
            "schema": {"$ref": "#/components/schemas/Aggregate"}},
    ];
}

/// A tag as one word.
const TAG: &str = r"^[^=\u0000-\u001f\u007f-\u009f]{1,128}=[^\u0000-\u001f\u007f-\u009f]{0,1024}$";

/// List what is measured
///
/// Every series with its newest sample, by name, then by target.
#[utoipa::path(
    get, path = "/api/v1/series", tag = "History", operation_id = "list_series", params(Filters, Page),
    responses((status = 200, description = "A page of them", body = SeriesList))
)]
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

/// The samples of a metric over a span of time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Range, examples(json!({
    "metric": "cpu_percent", "from": "2026-01-20T12:00:00Z", "to": "2026-01-20T12:10:00Z", "step": 60, "agg": "max", "count": 1,
    "series": [{"target": "web-1", "tags": {}, "points": [{"at": "2026-01-20T12:03:00Z", "value": 85.5}]}]
})))]
pub(crate) struct RangeDto {
    /// What was measured.
    #[schema(value_type = schema::Name)]
    metric: MetricName,
    /// Where it begins.
    #[schema(value_type = schema::Time)]
    from: Timestamp,
    /// Where it ends, without that moment.
    #[schema(value_type = schema::Time)]
    to: Timestamp,
    /// How many seconds one point stands for.
    step: u64,
    /// What one point is made by.
    #[schema(value_type = schema::Aggregate)]
    agg: Aggregate,
    /// How many points all series have together: at most 11,000.
    count: usize,
    /// The series that have samples there.
    series: Vec<LineDto>,
}

/// One series of a range.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Line)]
struct LineDto {
    /// On what it was measured; null when no tag named a target.
    #[schema(value_type = Option<schema::Name>, required)]
    target: Option<Target>,
    /// What tells it from others of that target.
    #[schema(value_type = schema::Tags)]
    tags: Tags,
    /// Its points, the oldest first. A step without samples has none.
    points: Vec<PointDto>,
}

/// One step of a series.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Point)]
struct PointDto {
    /// Where the step begins.
    #[schema(value_type = schema::Time)]
    at: Timestamp,
    /// The value of all its samples.
    value: f64,
}

impl From<Line> for LineDto {
    fn from(line: Line) -> Self {
        let points = line.points.into_iter().map(|Point { at, value }| PointDto { at, value }).collect();
        Self { target: line.target, tags: line.tags, points }
    }
}

/// Read a metric over a span of time
///
/// One point a step, made by the store: charts need no second system. What would be more than 11,000 points is refused, with the
/// smallest step that fits.
#[utoipa::path(
    get, path = "/api/v1/query", tag = "History", operation_id = "query", params(Asked),
    responses(
        (status = 200, description = "Its series", body = RangeDto),
        (status = 400, description = "The aggregate does not exist"),
        (status = 422, description = "A parameter is wrong, or it would be too many points"),
    )
)]
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
