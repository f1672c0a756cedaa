//! [`Scrapes`]: metrics that others already expose, in the text format of Prometheus.

use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::timeout;
use vigil_core::clock::{Clock, Timestamp};

use super::CollectorError;
use super::client::Clients;
use crate::sample::{Reading, Tags};

/// One endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// Where it is, such as `http://127.0.0.1:9100/metrics`.
    pub url: String,
    /// The names that are sent on: exact, or the beginning with a `*`.
    pub include: Vec<String>,
    /// Of those, the names that are not.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How long it may take. 5, and never longer than the interval.
    #[serde(default = "super::five")]
    pub timeout_seconds: f64,
    /// More tags. The labels of a metric are tags too, and these win.
    #[serde(default)]
    pub tags: Tags,
}

/// How much is read of an answer.
const LIMIT: usize = 16 * 1024 * 1024;

pub(super) struct Scrapes(Vec<Scrape>);

struct Scrape {
    config: ScrapeConfig,
    client: Client,
    url: Url,
    timeout: Duration,
    /// The URL without what may be secret in it.
    name: String,
}

impl Scrapes {
    pub(super) fn new(configs: Vec<ScrapeConfig>, clients: &mut Clients) -> Result<Self, CollectorError> {
        let scrapes = configs.into_iter().map(|config| {
            let wrong = |wrong: String| CollectorError { what: format!("the scrape of {}", config.url), wrong };
            let url = Url::parse(&config.url).map_err(|error| wrong(format!("has no URL: {error}")))?;
            let client = clients.of(&url).map_err(wrong)?;
            let timeout = super::timeout(config.timeout_seconds).map_err(wrong)?;
            let name = format!("{}{}", url.origin().ascii_serialization(), url.path());
            Ok(Scrape { client, url, timeout, name, config })
        });
        scrapes.collect::<Result<_, _>>().map(Self)
    }

    /// What each endpoint exposes, or why it cannot be read.
    pub(super) async fn collect(
        &self,
        limit: Duration,
        clock: &dyn Clock,
    ) -> Vec<(String, Result<Vec<Reading>, String>)> {
        let scraped = self.0.iter().map(|scrape| async move {
            let read = timeout(limit.min(scrape.timeout), scrape.read(clock)).await;
            (scrape.name.clone(), read.unwrap_or_else(|_| Err("it gives no answer in time".to_owned())))
        });
        futures_util::future::join_all(scraped).await
    }
}

impl Scrape {
    async fn read(&self, clock: &dyn Clock) -> Result<Vec<Reading>, String> {
        let answer = self.client.get(self.url.clone()).send().await;
        let mut answer = answer.map_err(|error| vigil_program::chain(&error.without_url()))?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            body.extend_from_slice(&chunk);
            if body.len() > LIMIT {
                return Err(format!("it has more than {LIMIT} bytes"));
            }
        }
        let (text, now) = (String::from_utf8_lossy(&body), clock.now());
        let wanted = text.lines().filter_map(|line| parse(line, now)).filter(|reading| self.wants(&reading.name));
        Ok(wanted.map(|reading| reading.with(&self.config.tags)).collect())
    }

    fn wants(&self, name: &str) -> bool {
        let is_in = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        is_in(&self.config.include) && !is_in(&self.config.exclude)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |beginning| name.starts_with(beginning))
}

/// One line of the text format (Prometheus, "Exposition formats"): `name{label="value",...} value [timestamp]`. `None` for
/// comments, for what is no number that can be sent (NaN, infinities), and for what is broken. What has no time, or one that is
/// still to come, was read now.
fn parse(line: &str, now: Timestamp) -> Option<Reading> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let name_ends = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(name_ends);
    let mut tags = Tags::new();
    if let Some(labels) = rest.strip_prefix('{') {
        let mut labels = labels.trim_start();
        while !labels.starts_with('}') {
            let (label, behind) = labels.split_once('=')?;
            let (value, behind) = quoted(behind.trim_start())?;
            tags.insert(label.trim().to_owned(), value);
            labels = behind.trim_start();
            labels = labels.strip_prefix(',').unwrap_or(labels).trim_start();
        }
        rest = &labels[1..];
    }
    let mut rest = rest.split_whitespace();
    let value: f64 = rest.next()?.parse().ok()?;
    let at = match rest.next() {
        Some(milliseconds) => Timestamp::from_micros(milliseconds.parse::<i64>().ok()?.checked_mul(1000)?).min(now),
        None => now,
    };
    value.is_finite().then(|| Reading { name: name.to_owned(), value, tags, at })
}

/// A quoted text with its escapes undone, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_text_format_are_read() {
        let now = Timestamp::from_micros(1_700_000_001_000_000);
        let line = |text| {
            parse(text, now).map(|reading| (reading.name, reading.value, reading.tags.into_iter().collect::<Vec<_>>()))
        };
        let tags =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        assert_eq!(line("up 1"), Some(("up".to_owned(), 1.0, vec![])));
        assert_eq!(line("up  1.5e3 1700000000000 "), Some(("up".to_owned(), 1500.0, vec![])));
        assert_eq!(
            line(r#"a{b="c, d}",e="f\"g\\h\n",} -2"#),
            Some(("a".to_owned(), -2.0, tags(&[("b", "c, d}"), ("e", "f\"g\\h\n")])))
        );
        assert_eq!(line("a{} 1"), Some(("a".to_owned(), 1.0, vec![])));
        for none in ["", "# HELP up", "up", "up NaN", "up +Inf", "up x", r#"a{b="c} 1"#, "a{b} 1", "a{", "up 1 soon"] {
            assert_eq!(line(none), None, "{none}");
        }
        let at = |text| parse(text, now).unwrap().at.as_micros();
        assert_eq!(at("up 1 1700000000123"), 1_700_000_000_123_000, "when it says that it was measured");
        assert_eq!((at("up 1"), at("up 1 1900000000000")), (now.as_micros(), now.as_micros()));
    }

    #[test]
    fn a_star_stands_for_any_end() {
        assert!(matches("node_*", "node_load1") && matches("up", "up") && matches("*", "anything"));
        assert!(!matches("node_", "node_load1") && !matches("up", "uptime"));
    }
}
