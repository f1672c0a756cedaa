//! Series and ranges of samples, for people to look at.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use vigil_core::metric::{MetricName, Tags};
use vigil_core::store::{Aggregate, Point, Range, RangeQuery, Series, SeriesFilter};
use vigil_core::target::Target;
use vigil_core::tenant::TenantId;

use crate::digest;
use crate::error::Error;
use crate::row::{self, Reader, target_text, to_json};
use crate::time::At;

pub(crate) async fn list(
    connection: &mut PgConnection,
    tenant: &TenantId,
    filter: &SeriesFilter,
) -> Result<Vec<Series>, Error> {
    let statement = list_statement(filter);
    let mut query = sqlx::query(AssertSqlSafe(statement)).bind(tenant.as_str()).bind(row::limit(filter.limit));
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
        let digest = digest::bytes(&to_json(&after.tags)?);
        query = query.bind(after.name.as_str()).bind(target_text(after.target.as_ref())).bind(digest);
    }
    let rows = query.fetch_all(connection).await?;
    let mut series = Vec::with_capacity(rows.len());
    for row in &rows {
        let reader = Reader::new(row, "series");
        series.push(Series {
            name: reader.word("name", MetricName::new)?,
            target: target(&reader)?,
            tags: tags(&reader)?,
            value: row.try_get("value")?,
            at: reader.time("at")?,
        });
    }
    Ok(series)
}

/// One statement per combination of filters, so that each uses its index. `$1` tenant, `$2` limit, then what is there.
pub(crate) fn list_statement(filter: &SeriesFilter) -> String {
    let mut statement = "SELECT name, target, series, value, at FROM series_latest WHERE tenant = $1".to_owned();
    let mut place = 2;
    let mut next = || {
        place += 1;
        format!("${place}")
    };
    for (there, condition) in [
        (filter.target.is_some(), "target ="),
        (filter.name.is_some(), "name ="),
        (filter.prefix.is_some(), "name >="),
        (filter.behind_prefix().is_some(), "name <"),
    ] {
        if there {
            statement += &format!(" AND {condition} {}", next());
        }
    }
    if filter.after.is_some() {
        statement += &format!(" AND (name, target, digest) > ({}, {}, {})", next(), next(), next());
    }
    statement + " ORDER BY name, target, digest LIMIT $2"
}

pub(crate) async fn range(
    connection: &mut PgConnection,
    tenant: &TenantId,
    range: &RangeQuery,
) -> Result<Range, Error> {
    let wanted = to_json(&range.tags)?;
    let bind = |statement: String, limit: i64| {
        sqlx::query::<sqlx::Postgres>(AssertSqlSafe(statement))
            .bind(tenant.as_str())
            .bind(range.metric.as_str())
            .bind(At(range.from))
            .bind(At(range.to))
            .bind(range.step_micros())
            .bind(wanted.clone())
            .bind(target_text(range.target.as_ref()))
            .bind(limit)
    };
    let limit = row::limit(range.max_points).saturating_add(1);
    let rows = bind(points_statement(range), limit).fetch_all(&mut *connection).await?;
    if rows.len() > range.max_points {
        let series: i64 = bind(count_statement(range), limit).fetch_one(connection).await?.try_get(0)?;
        return Ok(Range::TooMany { series: usize::try_from(series).unwrap_or(usize::MAX) });
    }
    let mut points = Vec::with_capacity(rows.len());
    for row in &rows {
        let reader = Reader::new(row, "range");
        let point = Point { at: reader.time("step")?, value: row.try_get("value")? };
        points.push((target(&reader)?, tags(&reader)?, point));
    }
    Ok(Range::of_points(points))
}

/// `$1` tenant, `$2` name, `$3` from, `$4` to, `$5` step, `$6` tags, `$7` target, `$8` how many points. The samples of each
/// target by themselves, so that an index leads to them.
pub(crate) fn points_statement(range: &RangeQuery) -> String {
    let value = match range.aggregate {
        Aggregate::Avg => "avg(value)",
        Aggregate::Min => "min(value)",
        Aggregate::Max => "max(value)",
        Aggregate::Sum => "sum(value)",
        Aggregate::Count => "count(*)::float8",
        Aggregate::Last => "(array_agg(value ORDER BY at DESC, id DESC))[1]",
    };
    format!(
        "SELECT t.target, m.series, m.step, m.value FROM {} CROSS JOIN LATERAL (SELECT series, \
           date_bin($5::bigint * interval '1 microsecond', at, timestamptz '1970-01-01 00:00:00Z') AS step, {value} AS value \
           FROM {} GROUP BY 1, 2) AS m ORDER BY 1, 2, 3 LIMIT $8",
        targets(range),
        samples(range)
    )
}

fn count_statement(range: &RangeQuery) -> String {
    format!(
        "SELECT count(*) FROM {} CROSS JOIN LATERAL (SELECT DISTINCT series FROM {}) AS m \
         WHERE $5::bigint IS NOT NULL AND $8::bigint IS NOT NULL",
        targets(range),
        samples(range)
    )
}

fn targets(range: &RangeQuery) -> &'static str {
    match range.target {
        Some(_) => "(SELECT $7::text AS target) AS t",
        None => {
            "(SELECT DISTINCT target FROM series_latest WHERE tenant = $1 AND name = $2 AND $7::text IS NOT NULL) AS t"
        }
    }
}

/// No sample is later than its receipt: what is not older than the range lies in the partitions from then on.
fn samples(range: &RangeQuery) -> String {
    let tags =
        if range.tags.iter().next().is_some() { "series::jsonb @> $6::text::jsonb" } else { "$6::text IS NOT NULL" };
    format!(
        "metrics WHERE tenant = $1 AND target = t.target COLLATE \"C\" AND name = $2 AND at >= $3 AND at < $4 \
         AND created_at >= $3 AND {tags}"
    )
}

fn target(row: &Reader<'_>) -> Result<Option<Target>, Error> {
    if row.text("target")?.is_empty() { Ok(None) } else { row.word("target", Target::new).map(Some) }
}

fn tags(row: &Reader<'_>) -> Result<Tags, Error> {
    row.word("series", |text: &str| serde_json::from_str::<Tags>(text))
}
