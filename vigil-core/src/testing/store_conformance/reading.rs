//! What people look at: series, ranges of samples, single episodes, the filtered audit.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::time::Duration;

use super::StoreBench;
use super::bench::{ALL, SECOND, actor, by_policy, cancel, name, start};
use crate::clock::Timestamp;
use crate::metric::Tags;
use crate::store::{Aggregate, AuditEntry, AuditFilter, Note, Point, Range, RangeQuery, Series, SeriesFilter};
use crate::tenant::TenantId;
use crate::testing::{metric, policy_name, target, tenant};

async fn series(t: &StoreBench, filter: SeriesFilter) -> Vec<Series> {
    t.store().series(&TenantId::default(), &SeriesFilter { limit: filter.limit.max(1), ..filter }).await.unwrap()
}

fn all() -> SeriesFilter {
    SeriesFilter { limit: ALL, ..SeriesFilter::default() }
}

/// Each as `name@target`, several series of one as one.
fn words(series: &[Series]) -> Vec<String> {
    let target = |series: &Series| series.target.as_ref().map_or(String::new(), ToString::to_string);
    let mut words: Vec<_> = series.iter().map(|s| format!("{}@{}", s.name, target(s))).collect();
    words.dedup();
    words
}

/// Three metrics on two targets, one of them with two series, and one that names no target.
async fn a_handful(t: &StoreBench) {
    t.record([
        metric("cpu", 1.0).on("web-1").tag("core", "0"),
        metric("cpu", 2.0).on("web-1").tag("core", "1"),
        metric("cpu", 3.0).on("web-2"),
        metric("cpv", 4.0).on("web-1"),
        metric("cp", 5.0).on("web-1"),
        metric("memory", 6.0).on("web-2"),
        metric("memory", 7.0),
    ])
    .await;
}

pub async fn series_are_listed_by_name_and_target_with_their_newest_sample(t: &mut StoreBench) {
    a_handful(t).await;
    let later = t.pass(SECOND);
    t.record([metric("cpu", 9.5).on("web-2").at(later)]).await;
    let listed = series(t, all()).await;
    let wanted = ["cp@web-1", "cpu@web-1", "cpu@web-2", "cpv@web-1", "memory@", "memory@web-2"];
    assert_eq!(words(&listed), wanted);
    assert_eq!(listed.len(), 7);
    let newest = listed.iter().find(|s| s.name == name("cpu") && s.target == Some(target("web-2"))).unwrap();
    assert_eq!((newest.value, newest.at), (9.5, later));
}

pub async fn series_are_filtered_by_name_prefix_and_target(t: &mut StoreBench) {
    a_handful(t).await;
    let by_name = series(t, SeriesFilter { name: Some(name("cpu")), ..all() }).await;
    assert_eq!(words(&by_name), ["cpu@web-1", "cpu@web-2"]);
    let by_prefix = series(t, SeriesFilter { prefix: Some("cpu".to_owned()), ..all() }).await;
    assert_eq!(by_prefix, by_name, "neither cp nor cpv begins with it");
    let by_target = series(t, SeriesFilter { target: Some(target("web-1")), ..all() }).await;
    assert_eq!(words(&by_target), ["cp@web-1", "cpu@web-1", "cpv@web-1"]);
    let both = SeriesFilter { target: Some(target("web-1")), prefix: Some("cpu".to_owned()), ..all() };
    assert_eq!(series(t, both).await.len(), 2);
    assert_eq!(series(t, SeriesFilter { name: Some(name("disk")), ..all() }).await, []);
}

pub async fn series_are_paged_without_gap_or_repetition(t: &mut StoreBench) {
    a_handful(t).await;
    let filters = [
        all(),
        SeriesFilter { prefix: Some("cp".to_owned()), ..all() },
        SeriesFilter { target: Some(target("web-1")), ..all() },
        SeriesFilter { name: Some(name("cpu")), ..all() },
    ];
    for filter in filters {
        let whole = series(t, filter.clone()).await;
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = series(t, SeriesFilter { after, limit: 2, ..filter.clone() }).await;
            let Some(last) = page.last() else { break };
            after = Some(last.key());
            paged.extend(page);
            assert!(paged.len() <= whole.len(), "a page repeats the one before");
        }
        assert_eq!(paged, whole);
    }
}

pub async fn series_of_one_tenant_are_not_listed_for_another(t: &mut StoreBench) {
    a_handful(t).await;
    assert_eq!(t.store().series(&tenant("other"), &all()).await.unwrap(), []);
    let range = t.store().range(&tenant("other"), &ranged(t, 60, Aggregate::Avg)).await.unwrap();
    assert_eq!(range, Range::Lines(vec![]));
}

/// `cpu` of an hour around the beginning, by steps of so many seconds.
fn ranged(t: &StoreBench, step: u64, aggregate: Aggregate) -> RangeQuery {
    let hour = Duration::from_secs(3600);
    RangeQuery {
        metric: name("cpu"),
        target: None,
        tags: Tags::default(),
        from: t.now() - hour,
        to: t.now() + hour,
        step: Duration::from_secs(step),
        aggregate,
        max_points: 100,
    }
}

async fn points(t: &StoreBench, query: &RangeQuery) -> Vec<(String, Vec<(u64, f64)>)> {
    let Range::Lines(lines) = t.store().range(&TenantId::default(), query).await.unwrap() else {
        panic!("not too many points")
    };
    let of = |points: Vec<Point>| points.into_iter().map(|p| (p.at.since(query.from).as_secs(), p.value)).collect();
    let target = |target: Option<crate::target::Target>| target.map_or_else(String::new, |target| target.to_string());
    lines.into_iter().map(|line| (target(line.target), of(line.points))).collect()
}

/// The next time that is a whole multiple of an hour: where steps of any length begin.
fn to_the_hour(t: &StoreBench) -> Timestamp {
    let hour = 3_600_000_000;
    let past = t.now().as_micros().rem_euclid(hour);
    t.pass(Duration::from_micros((hour - past).unsigned_abs()))
}

pub async fn each_step_of_a_range_comes_to_what_was_asked_of_its_samples(t: &mut StoreBench) {
    let begin = to_the_hour(t);
    for (second, value) in [(0, 1.0), (59, 6.0), (30, 2.0), (180, -4.0)] {
        let at = begin + SECOND * second;
        t.record([metric("cpu", value).on("web-1").late(at, at)]).await;
    }
    for (aggregate, first, last) in [
        (Aggregate::Avg, 3.0, -4.0),
        (Aggregate::Min, 1.0, -4.0),
        (Aggregate::Max, 6.0, -4.0),
        (Aggregate::Sum, 9.0, -4.0),
        (Aggregate::Count, 3.0, 1.0),
        (Aggregate::Last, 6.0, -4.0),
    ] {
        let query = ranged(t, 60, aggregate);
        let wanted = vec![("web-1".to_owned(), vec![(3600, first), (3780, last)])];
        assert_eq!(points(t, &query).await, wanted, "{aggregate}: aligned, and steps without a sample left out");
    }
}

pub async fn the_last_of_a_step_is_of_one_time_the_one_recorded_last(t: &mut StoreBench) {
    let at = to_the_hour(t);
    let of = |value: f64| metric("cpu", value).on("web-1").late(at, at);
    let query = ranged(t, 60, Aggregate::Last);
    for values in [&[3.0, 1.0, 2.0][..], &[0.0]] {
        t.record(values.iter().map(|value| of(*value)).collect::<Vec<_>>()).await;
        let last = *values.last().unwrap();
        assert_eq!(points(t, &query).await, [("web-1".to_owned(), vec![(3600, last)])]);
    }
}

pub async fn a_range_begins_with_its_first_moment_and_ends_before_its_last(t: &mut StoreBench) {
    let begin = to_the_hour(t);
    for second in 0..4 {
        let at = begin + SECOND * second;
        t.record([metric("cpu", f64::from(second)).on("web-1").late(at, at)]).await;
    }
    let query = RangeQuery { from: begin + SECOND, to: begin + SECOND * 3, ..ranged(t, 1, Aggregate::Sum) };
    assert_eq!(points(t, &query).await, [("web-1".to_owned(), vec![(0, 1.0), (1, 2.0)])]);
}

pub async fn a_range_shows_a_late_sample_at_its_own_time(t: &mut StoreBench) {
    let begin = to_the_hour(t);
    for minute in 1..5_u32 {
        let at = begin + SECOND * (minute * 60);
        t.record((0..400).map(|n| metric("cpu", 1.0).on("web-1").tag("core", &n.to_string()).late(at, at))).await;
    }
    t.record([metric("cpu", 7.0).on("web-2").late(begin, begin + SECOND * 300)]).await;
    let first = RangeQuery { from: begin, to: begin + SECOND * 60, ..ranged(t, 60, Aggregate::Sum) };
    assert_eq!(points(t, &first).await, [("web-2".to_owned(), vec![(0, 7.0)])]);
    let of = RangeQuery { target: Some(target("web-2")), to: begin + SECOND * 301, ..first };
    assert_eq!(points(t, &of).await, [("web-2".to_owned(), vec![(0, 7.0)])]);
}

pub async fn a_range_has_a_line_for_each_series_and_is_filtered_by_target_and_tags(t: &mut StoreBench) {
    let begin = to_the_hour(t);
    let at = |metric: crate::testing::MetricBuilder| metric.late(begin, begin);
    t.record([
        at(metric("cpu", 1.0).on("web-1").tag("core", "0").tag("zone", "a")),
        at(metric("cpu", 2.0).on("web-1").tag("core", "1").tag("zone", "a")),
        at(metric("cpu", 3.0).on("web-2").tag("core", "0").tag("zone", "b")),
        at(metric("cpu", 4.0)),
        at(metric("memory", 5.0).on("web-1")),
    ])
    .await;
    let values = async |query: RangeQuery| {
        let mut values: Vec<f64> = points(t, &query).await.into_iter().map(|(_, points)| points[0].1).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let query = || ranged(t, 60, Aggregate::Avg);
    let tags = |pairs: &[(&str, &str)]| Tags::new(pairs.iter().copied()).unwrap();
    assert_eq!(values(query()).await, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values(RangeQuery { target: Some(target("web-1")), ..query() }).await, [1.0, 2.0]);
    assert_eq!(values(RangeQuery { tags: tags(&[("core", "0")]), ..query() }).await, [1.0, 3.0]);
    let one = RangeQuery { tags: tags(&[("zone", "a"), ("core", "1")]), ..query() };
    assert_eq!(values(one.clone()).await, [2.0]);
    assert_eq!(values(RangeQuery { target: Some(target("web-2")), ..one }).await, [0.0; 0]);
    assert_eq!(values(RangeQuery { tags: tags(&[("core", "' OR 1")]), ..query() }).await, [0.0; 0]);
}

pub async fn a_range_of_too_many_points_says_of_how_many_series(t: &mut StoreBench) {
    let begin = to_the_hour(t);
    let mut samples = Vec::new();
    for second in 0..6 {
        let at = begin + SECOND * second;
        for on in ["web-1", "web-2", "web-3"] {
            samples.push(metric("cpu", 1.0).on(on).late(at, at));
        }
    }
    t.record(samples).await;
    let query = RangeQuery { max_points: 18, ..ranged(t, 1, Aggregate::Avg) };
    assert_eq!(points(t, &query).await.len(), 3);
    let less = RangeQuery { max_points: 17, ..query };
    assert_eq!(t.store().range(&TenantId::default(), &less).await.unwrap(), Range::TooMany { series: 3 });
}

pub async fn an_episode_is_found_by_its_id_and_tenant(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    let find = async |of: TenantId, id| t.store().episode(&of, id).await.unwrap();
    assert_eq!(find(TenantId::default(), episode.id).await, Some(episode.clone()));
    assert_eq!(find(tenant("other"), episode.id).await, None);
    assert_eq!(find(TenantId::default(), crate::episode::EpisodeId(episode.id.0 + 1)).await, None);
}

pub async fn the_audit_is_filtered_by_policy_target_kind_and_time(t: &mut StoreBench) {
    t.put(crate::testing::policy("p").build()).await;
    t.open_episode("p", "web-1").await;
    t.change(&t.admit(by_policy("q", "web-1")).await, start()).await;
    t.pass(Duration::from_secs(3600));
    t.change(&t.running("web-2").await, cancel()).await;
    let everything = t.audit().await;
    let mut seen = 0;
    let mut check = async |what: &str, filter: AuditFilter, wanted: &dyn Fn(&AuditEntry) -> bool| {
        let wanted: Vec<AuditEntry> = everything.iter().filter(|entry| wanted(entry)).cloned().collect();
        assert!(!wanted.is_empty() && wanted.len() < everything.len(), "{what}");
        let listed =
            t.store().audit(&TenantId::default(), &AuditFilter { limit: ALL, ..filter.clone() }).await.unwrap();
        assert_eq!(listed, wanted, "{what}");
        let after = wanted[0].seq.unwrap();
        let rest = AuditFilter { limit: 1, after, ..filter };
        let rest = t.store().audit(&TenantId::default(), &rest).await.unwrap();
        assert_eq!(rest, wanted[1..].iter().take(1).cloned().collect::<Vec<_>>(), "{what}: behind the first");
        seen += 1;
    };
    let none = AuditFilter::default;
    let (p, q, web, now) = (policy_name("p"), policy_name("q"), target("web-1"), t.now());
    check("policy", AuditFilter { policy: Some(p.clone()), ..none() }, &|e: &AuditEntry| e.policy.as_ref() == Some(&p))
        .await;
    check("target", AuditFilter { target: Some(web.clone()), ..none() }, &|e: &AuditEntry| {
        e.target.as_ref() == Some(&web)
    })
    .await;
    check("kind", AuditFilter { kind: Some("action.started".to_owned()), ..none() }, &|e: &AuditEntry| {
        e.kind == "action.started"
    })
    .await;
    check("rare kind", AuditFilter { kind: Some("policy.put".to_owned()), ..none() }, &|e: &AuditEntry| {
        e.kind == "policy.put"
    })
    .await;
    check("since", AuditFilter { since: Some(now), ..none() }, &|e: &AuditEntry| e.at >= now).await;
    let several = AuditFilter {
        policy: Some(q.clone()),
        target: Some(web.clone()),
        kind: Some("action.started".to_owned()),
        ..none()
    };
    check("several", several, &|e: &AuditEntry| e.policy.as_ref() == Some(&q) && e.kind == "action.started").await;
    assert_eq!(seen, 6);
}

pub async fn a_note_is_an_entry_of_the_audit(t: &mut StoreBench) {
    let action = t.admit(by_policy("p", "web-1")).await;
    let note = Note {
        kind: "dead_letter.retry".to_owned(),
        action: Some(action.id),
        episode: None,
        reason: Some("by hand".to_owned()),
        detail: serde_json::json!({"task_id": "task_1"}),
    };
    t.store().note(&TenantId::default(), note.clone(), &actor()).await.unwrap();
    let audit = t.audit().await;
    let entry = &audit[1];
    assert_eq!((&entry.kind, entry.action, &entry.reason), (&note.kind, note.action, &note.reason));
    assert_eq!((&entry.detail, &entry.actor, entry.at), (&note.detail, &actor(), t.now()));
}
