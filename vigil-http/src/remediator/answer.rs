//! [`Answer`]: what came back, and what it says became of a remediation.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use vigil_core::clock::Timestamp;
use vigil_core::remediator::{Outcome, Probe, RemediatorError};

/// How much of an answer is read.
const BODY_LIMIT: usize = 64 * 1024;
/// How much of a foreign body is kept, in characters.
const EXCERPT: usize = 200;
/// How much of the remediator's own words is kept, in characters.
const DETAILS: usize = 4000;
/// The wait when the remediator asks for one without saying how long.
const SOME_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that is believed: by then every action has expired.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The head of an answer and as much of its body as is of use.
pub(super) struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    end: End,
}

/// How the body ended.
enum End {
    Whole,
    /// It is longer than what is read of it.
    TooLong,
    /// It broke off, or took too long.
    Broken(reqwest::Error),
}

/// The words of the protocol, those of the probe included.
enum Word {
    Succeeded,
    Failed,
    InProgress,
    NeverSeen,
}

impl Answer {
    /// Reads an answer that has begun; an error on the way is part of it.
    pub(super) async fn read(mut response: Response, now: Timestamp) -> Self {
        let (status, retry_after) = (response.status(), retry_after(response.headers(), now));
        let mut body = Vec::new();
        let end = loop {
            match response.chunk().await {
                Ok(None) => break End::Whole,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(error) => break End::Broken(error.without_url()),
            }
            if body.len() > BODY_LIMIT {
                break End::TooLong;
            }
        };
        Self { status, retry_after, body, end }
    }

    /// The answer to a remediation.
    pub(super) fn outcome(self) -> Result<Outcome, RemediatorError> {
        match (self.status.as_u16(), self.retry_after) {
            (200..=299, _) => self.success(),
            (409, _) => Err(RemediatorError::Stale),
            (429, wait) => Err(RemediatorError::Throttled { retry_after: wait.unwrap_or(SOME_WAIT) }),
            (503, Some(retry_after)) => Err(RemediatorError::Throttled { retry_after }),
            (408 | 425, _) => Err(RemediatorError::Indeterminate(self.in_words().into())),
            (300..=499, _) => Ok(Outcome::Rejected { reason: self.in_words() }),
            _ => Err(RemediatorError::Indeterminate(self.in_words().into())),
        }
    }

    fn success(self) -> Result<Outcome, RemediatorError> {
        if let End::Broken(error) = self.end {
            return Err(RemediatorError::Indeterminate(error.into()));
        }
        Ok(match self.protocol() {
            Some((Word::Succeeded, json)) => Outcome::Succeeded { details: text_of(&json) },
            Some((Word::Failed, json)) => failed(&json),
            Some((Word::InProgress, _)) => Outcome::InProgress,
            Some((Word::NeverSeen, _)) | None => {
                Outcome::Succeeded { details: Some(format!("unconfirmed: {}", self.in_words())) }
            }
        })
    }

    /// The answer to a probe.
    pub(super) fn probe(self) -> Result<Probe, RemediatorError> {
        if let End::Broken(error) = self.end {
            return if error.is_timeout() {
                Ok(Probe::Unknown)
            } else {
                Err(RemediatorError::Unavailable(error.into()))
            };
        }
        Ok(match (self.status.as_u16(), self.protocol()) {
            (200..=299, Some((Word::Succeeded, json))) => Probe::Done(Outcome::Succeeded { details: text_of(&json) }),
            (200..=299, Some((Word::Failed, json))) => Probe::Done(failed(&json)),
            (200..=299, Some((Word::InProgress, _))) => Probe::InProgress,
            (404, Some((Word::NeverSeen, _))) => Probe::NotDone,
            (429, _) => {
                return Err(RemediatorError::Throttled { retry_after: self.retry_after.unwrap_or(SOME_WAIT) });
            }
            (502..=504, _) => return Err(RemediatorError::Unavailable(self.in_words().into())),
            _ => Probe::Unknown,
        })
    }

    /// The body, if it is a JSON object whose `status` is a word of the protocol.
    fn protocol(&self) -> Option<(Word, Value)> {
        let json: Value = serde_json::from_slice(&self.body).ok().filter(|_| matches!(self.end, End::Whole))?;
        let word = match json.get("status")?.as_str()? {
            "succeeded" | "done" => Word::Succeeded,
            "failed" => Word::Failed,
            "in_progress" => Word::InProgress,
            "unknown" | "never_seen" => Word::NeverSeen,
            _ => return None,
        };
        Some((word, json))
    }

    /// For people: the status and the beginning of the body.
    fn in_words(&self) -> String {
        let excerpt = one_line(&String::from_utf8_lossy(&self.body), EXCERPT);
        let colon = if excerpt.is_empty() { "" } else { ": " };
        format!("the remediator answered {}{colon}{excerpt}", self.status)
    }
}

fn failed(json: &Value) -> Outcome {
    Outcome::Failed {
        reason: text_of(json).unwrap_or_else(|| "the remediator gave no reason".to_owned()),
        retryable: json.get("retryable") == Some(&Value::Bool(true)),
    }
}

/// What the remediator says in words, under any of the usual names.
fn text_of(json: &Value) -> Option<String> {
    let text = ["details", "error", "reason", "message"].iter().find_map(|field| json.get(field)?.as_str())?;
    Some(text.chars().take(DETAILS).collect())
}

fn one_line(text: &str, limit: usize) -> String {
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// How long an answer asks to wait, an hour at most: `Retry-After` in either of its forms, seconds or a date. `None` if there is none,
/// or it makes no sense.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        true => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        false => {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            (Timestamp::from_micros(0) + date).since(now)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}
