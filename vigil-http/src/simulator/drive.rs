//! [`Drive`]: sends the events of a load at their moments.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Body, Client, StatusCode, Url};
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::figures::{Counting, Fate};
use super::plan::{Load, SimulatedEvent};

pub(super) struct Drive {
    client: Client,
    url: Url,
    headers: HeaderMap,
    load: Load,
    counting: Arc<Counting>,
}

impl Drive {
    /// How many requests may be on their way; beyond that the load waits, as clients that wait for answers do.
    const IN_FLIGHT: usize = 256;
    /// How long an answer is waited for.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// How long half a request is kept.
    const HALTED: Duration = Duration::from_millis(250);

    pub(super) fn new(client: Client, url: Url, headers: HeaderMap, load: Load, counting: Arc<Counting>) -> Self {
        Self { client, url, headers, load, counting }
    }

    /// Sends until the load ends or is stopped, and waits for what is on its way.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let began = Instant::now();
        let mut on_their_way = FuturesUnordered::new();
        for planned in self.load.events() {
            let due = began + planned.at;
            // Until its moment has come, and there is room.
            loop {
                let room = on_their_way.len() < Self::IN_FLIGHT;
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    () = sleep_until(due), if room => break,
                    Some(fate) = on_their_way.next(), if !on_their_way.is_empty() => self.counting.became(fate),
                }
            }
            if stop.is_cancelled() {
                break;
            }
            self.counting.generated();
            on_their_way.push(self.send(planned.event));
        }
        while let Some(fate) = on_their_way.next().await {
            self.counting.became(fate);
        }
    }

    async fn send(&self, event: SimulatedEvent) -> Fate {
        let (body, patience) = match &event {
            SimulatedEvent::Sample { name, value, target } => {
                let sample = json!({"name": name, "value": value, "tags": {"host": target, "source": "simulator"}});
                (Body::from(sample.to_string()), Self::PATIENCE)
            }
            SimulatedEvent::Failing => (Body::from(r#"{"name":"cpu_percent","value":"much"}"#), Self::PATIENCE),
            SimulatedEvent::Malformed => (Body::from(r#"{"name":"cpu_percent","#), Self::PATIENCE),
            SimulatedEvent::Halting => (half(), Self::HALTED),
        };
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let sent = Instant::now();
        let answer = request.header(CONTENT_TYPE, "application/json").timeout(patience).body(body).send().await;
        match answer {
            _ if event == SimulatedEvent::Malformed => Fate::Malformed,
            Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => Fate::RateLimited,
            Ok(answer) if answer.status().is_success() => Fate::Succeeded(sent.elapsed()),
            Err(error) if error.is_timeout() => Fate::TimedOut,
            Ok(_) | Err(_) => Fate::Failed,
        }
    }
}

/// The first half of a sample; the second never comes.
fn half() -> Body {
    let first = Ok::<_, Infallible>(Frame::data(Bytes::from_static(br#"{"name":"cpu_percent","#)));
    Body::wrap(StreamBody::new(stream::iter([first]).chain(stream::pending())))
}
