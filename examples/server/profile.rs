//! `server profile`: what a running server was busy with for some seconds, as its /metrics tell.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Fatal;
use crate::ask::Place;

/// The counters, gauges and buckets of one scrape, by their whole name with labels.
type Scrape = BTreeMap<String, f64>;

/// Watches a server for so many seconds and prints what it did.
///
/// # Errors
/// One sentence when its metrics cannot be read.
pub(crate) async fn profile(place: &Place, key: Option<&str>, seconds: u64) -> Result<(), Fatal> {
    let before = scrape(place, key).await?;
    let (mut longest, mut after) = (gauge(&before, "vigil_queue_length"), before.clone());
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        after = scrape(place, key).await?;
        longest = longest.max(gauge(&after, "vigil_queue_length"));
    }
    print!("{}", Report { before: &before, after: &after, seconds: seconds as f64, longest }.text(&place.url));
    Ok(())
}

async fn scrape(place: &Place, key: Option<&str>) -> Result<Scrape, Fatal> {
    let url = &place.url;
    let (status, text) = place.get("/metrics", key).await?;
    match status {
        200 => Ok(parse(&text)),
        401 | 403 => Err(format!("{url}/metrics needs a key: give one with --key or VIGIL_API_KEY").into()),
        404 => Err(format!("{url} serves no /metrics: METRICS_ENABLED is false there").into()),
        _ => Err(format!("{url}/metrics answered {status}").into()),
    }
}

fn parse(text: &str) -> Scrape {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn gauge(scrape: &Scrape, name: &str) -> f64 {
    scrape.get(name).copied().unwrap_or(0.0)
}

/// Two scrapes and the time in between.
struct Report<'a> {
    before: &'a Scrape,
    after: &'a Scrape,
    seconds: f64,
    longest: f64,
}

impl Report<'_> {
    fn text(&self, url: &str) -> String {
        let mut lines = vec![format!("{url}, {} s", self.seconds)];
        let requests = self.grown("vigil_requests_total", "endpoint");
        let statuses = self.grown("vigil_requests_total", "status");
        let failed = total(statuses.iter().filter(|(status, _)| status.starts_with('5')));
        let all = total(&requests);
        let share = if all > 0.0 { failed / all * 100.0 } else { 0.0 };
        lines.push(format!("requests     {:.1}/s, {share:.1} % failed", all / self.seconds));
        for (endpoint, count) in &requests {
            let quantile = |q| self.quantile("vigil_request_latency_seconds", &format!("endpoint=\"{endpoint}\""), q);
            lines.push(format!(
                "  {endpoint:<40} {:>8.1}/s  p50 {}  p95 {}",
                count / self.seconds,
                quantile(0.5),
                quantile(0.95)
            ));
        }
        for (title, name, label) in [
            ("samples", "vigil_ingest_total", "metric_name"),
            ("evaluations", "vigil_policy_evaluation_total", "policy_name"),
            ("violations", "vigil_policy_violations_total", "policy_name"),
            ("decisions", "vigil_decisions_total", "decision"),
            ("blocked for", "vigil_decisions_total", "reason"),
            ("actions", "vigil_actions_total", "status"),
            ("remediator", "vigil_remediator_answers_total", "answer"),
            ("verdicts", "vigil_verification_latency_seconds_count", "verification"),
        ] {
            let grown = self.grown(name, label);
            let total = total(&grown);
            let words = grown.iter().take(8).map(|(word, count)| format!("{word} {count}"));
            lines.push(format!("{title:<12} {:.1}/s  {}", total / self.seconds, words.collect::<Vec<_>>().join(", ")));
        }
        lines.push(format!(
            "loop         p50 {}  p95 {} from sample to remediator",
            self.quantile("vigil_loop_latency_seconds", "", 0.5),
            self.quantile("vigil_loop_latency_seconds", "", 0.95)
        ));
        lines.push(format!(
            "queue        {} waiting, {} at most, {} dead letters; workers {}",
            gauge(self.after, "vigil_queue_length"),
            self.longest,
            gauge(self.after, "vigil_queue_dead_letters"),
            if gauge(self.after, "vigil_worker_active") > 0.0 { "run here" } else { "do not run here" }
        ));
        lines.join("\n") + "\n"
    }

    /// What was counted in between, by the values of one label, the most first.
    fn grown(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let mut grown = BTreeMap::<String, f64>::new();
        for (series, value) in self.after.iter().filter(|(series, _)| family(series) == name) {
            let more = value - gauge(self.before, series);
            if let Some(word) = labelled(series, label).filter(|_| more > 0.0) {
                *grown.entry(word.to_owned()).or_default() += more;
            }
        }
        let mut grown: Vec<_> = grown.into_iter().collect();
        grown.sort_by(|a, b| b.1.total_cmp(&a.1));
        grown
    }

    /// Below which time so many of the observations in between stayed, as far as the buckets tell.
    fn quantile(&self, histogram: &str, label: &str, q: f64) -> String {
        let bucket = format!("{histogram}_bucket");
        let mut buckets: Vec<(f64, f64)> = self
            .after
            .iter()
            .filter(|(series, _)| family(series) == bucket && series.contains(label))
            .filter_map(|(series, value)| {
                let bound = labelled(series, "le")?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, value - gauge(self.before, series)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        match buckets.iter().find(|(_, count)| *count >= all * q) {
            Some((bound, _)) if all > 0.0 && bound.is_finite() => format!("<{} ms", bound * 1000.0),
            Some((_, _)) if all > 0.0 => "beyond the last bucket".to_owned(),
            _ => "-".to_owned(),
        }
    }
}

/// All counts together; 0 of none, where `sum` says -0.
fn total<'a>(counts: impl IntoIterator<Item = &'a (String, f64)>) -> f64 {
    counts.into_iter().fold(0.0, |all, (_, count)| all + count)
}

fn family(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

/// The value of a label, as written.
fn labelled<'a>(series: &'a str, label: &str) -> Option<&'a str> {
    let at = series.find(&format!("{{{label}=\"")).or_else(|| series.find(&format!(",{label}=\"")))?;
    let value = series[at..].split_once("=\"")?.1;
    value.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str =
        "# HELP vigil_requests_total x\nvigil_requests_total{endpoint=\"/a\",method=\"GET\",status=\"200\"} 10\n";
    const AFTER: &str = "vigil_requests_total{endpoint=\"/a\",method=\"GET\",status=\"200\"} 25\n\
        vigil_requests_total{endpoint=\"/a\",method=\"GET\",status=\"503\"} 5\n\
        vigil_request_latency_seconds_bucket{endpoint=\"/a\",le=\"0.005\"} 12\n\
        vigil_request_latency_seconds_bucket{endpoint=\"/a\",le=\"0.5\"} 20\n\
        vigil_request_latency_seconds_bucket{endpoint=\"/a\",le=\"+Inf\"} 20\n\
        vigil_queue_length 7\n";

    #[test]
    fn it_tells_what_happened_between_two_scrapes() {
        let (before, after) = (parse(BEFORE), parse(AFTER));
        let text = Report { before: &before, after: &after, seconds: 10.0, longest: 9.0 }.text("http://x");
        assert!(text.contains("requests     2.0/s, 25.0 % failed"), "{text}");
        assert!(text.contains("/a") && text.contains("p50 <5 ms  p95 <500 ms"), "{text}");
        assert!(text.contains("queue        7 waiting, 9 at most"), "{text}");
        assert!(text.contains("samples      0.0/s") && !text.contains("-0.0"), "{text}");
    }
}
