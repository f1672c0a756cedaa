//! Series and ranges of samples, for people to look at.

use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use vigil_core::metric::{MetricName, Tags};
use vigil_core::store::{Aggregate, Point, Range, RangeQuery, Series, SeriesFilter};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::error::Error;
use crate::metrics::SINCE;
use crate::row::{Reader, to_json};

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    filter: &SeriesFilter,
) -> Result<Vec<Series>, Error> {
    let mut query = sqlx::query(AssertSqlSafe(list_statement(filter))).bind(tenant.as_str());
    if let Some(target) = &filter.target {
        query = query.bind(target.as_str());
    }
    if let Some(name) = &filter.name {
        query = query.bind(name.as_str());
    }
    if let Some(prefix) = &filter.prefix {
        query = query.bind(prefix.as_str());
    }
    if let Some(behind) = filter.behind_prefix() {
        query = query.bind(behind);
    }
    if let Some(after) = &filter.after {
        let target = after.target.as_ref().map_or("", Target::as_str);
        query = query.bind(after.name.as_str()).bind(target).bind(to_json(&after.tags)?);
    }
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let rows = query.bind(limit).fetch_all(connection).await?;
    let mut series = Vec::with_capacity(rows.len());
    for row in &rows {
        let reader = Reader::new(row, "series");
        series.push(Series {
            name: reader.word("name", MetricName::new)?,
            target: target(&reader)?,
            tags: reader.json("series")?,
            value: row.try_get("value")?,
            at: reader.time("at")?,
        });
    }
    Ok(series)
}

/// One statement per combination of filters, so that each uses its index.
pub(crate) fn list_statement(filter: &SeriesFilter) -> String {
    let mut statement = "SELECT name, target, series, value, at FROM series_latest WHERE tenant = ?".to_owned();
    for (there, condition) in [
        (filter.target.is_some(), " AND target = ?"),
        (filter.name.is_some(), " AND name = ?"),
        (filter.prefix.is_some(), " AND name >= ?"),
        (filter.behind_prefix().is_some(), " AND name < ?"),
        (filter.after.is_some(), " AND (name, target, series) > (?, ?, ?)"),
    ] {
        if there {
            statement.push_str(condition);
        }
    }
    statement + " ORDER BY name, target, series LIMIT ?"
}

pub(crate) async fn range(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    range: &RangeQuery,
) -> Result<Range, Error> {
    let limit = i64::try_from(range.max_points).unwrap_or(i64::MAX).saturating_add(1);
    let (points, counted) = (points_statement(range), count_statement(range));
    let tags = to_json(&range.tags)?;
    let bind = |statement: String| {
        sqlx::query::<sqlx::Sqlite>(AssertSqlSafe(statement))
            .bind(range.from.as_micros())
            .bind(range.to.as_micros())
            .bind(tenant.as_str())
            .bind(range.metric.as_str())
            .bind(range.step_micros())
            .bind(tags.clone())
            .bind(range.target.as_ref().map_or("", Target::as_str))
            .bind(limit)
    };
    let rows = bind(points).fetch_all(&mut *connection).await?;
    if rows.len() > range.max_points {
        let series: i64 = bind(counted).fetch_one(connection).await?.try_get(0)?;
        return Ok(Range::TooMany { series: usize::try_from(series).unwrap_or(usize::MAX) });
    }
    let mut points = Vec::with_capacity(rows.len());
    for row in &rows {
        let reader = Reader::new(row, "range");
        let point = Point { at: reader.time("step")?, value: row.try_get("value")? };
        points.push((target(&reader)?, reader.json::<Tags>("series")?, point));
    }
    Ok(Range::of_points(points))
}

/// `?1` from, `?2` to, `?3` tenant, `?4` name, `?5` step, `?6` tags, `?7` target, `?8` how many points.
pub(crate) fn points_statement(range: &RangeQuery) -> String {
    let mut samples = samples(range);
    let value = match range.aggregate {
        Aggregate::Avg => "avg(value) AS value",
        Aggregate::Min => "min(value) AS value",
        Aggregate::Max => "max(value) AS value",
        Aggregate::Sum => "sum(value) AS value",
        Aggregate::Count => "CAST(count(*) AS REAL) AS value",
        Aggregate::Last => {
            // Of those of one time the one that was recorded last. SQLite takes a bare column from the row of the greatest:
            // https://sqlite.org/lang_select.html#bareagg
            samples = format!("(SELECT target, series, at, value, max(id) FROM {samples} GROUP BY target, series, at)");
            "value, max(at) AS newest"
        }
    };
    format!(
        "SELECT target, series, (at / ?5) * ?5 AS step, {value} FROM {samples} \
         GROUP BY target, series, at / ?5 ORDER BY target, series, at / ?5 LIMIT ?8"
    )
}

fn count_statement(range: &RangeQuery) -> String {
    format!("SELECT count(*), ?5, ?8 FROM (SELECT DISTINCT m.target, m.series FROM {})", samples(range))
}

/// The samples of a range. Without a target those of each that has such a series; `+`, so that no chunk is asked for each of them.
fn samples(range: &RangeQuery) -> String {
    let target = match &range.target {
        Some(_) => "m.target = ?7",
        None => "+m.target IN (SELECT target FROM series_latest WHERE tenant = ?3 AND name = ?4) AND ?7 = ''",
    };
    let tags = if range.tags.iter().next().is_some() {
        "NOT EXISTS (SELECT 1 FROM json_each(?6) AS w WHERE NOT EXISTS \
           (SELECT 1 FROM json_each(m.series) AS h WHERE h.key = w.key AND h.value = w.value))"
    } else {
        "?6 IS NOT NULL"
    };
    format!(
        "{SINCE} AND c.first <= ?2 / 1000000 AND m.at < ?2 AND m.tenant = ?3 AND m.name = ?4 AND {target} AND {tags}"
    )
}

fn target(row: &Reader<'_>) -> Result<Option<Target>, Error> {
    if row.text("target")?.is_empty() { Ok(None) } else { row.word("target", Target::new).map(Some) }
}
