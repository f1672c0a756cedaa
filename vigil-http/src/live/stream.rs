//! `GET /api/v1/events`: server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;

use super::{Closing, Feed, Filters, LastSeen, LiveQuery, Message};
use crate::extract::Caller;
use crate::problem::ApiError;
use crate::router::App;

/// How long nothing may be said before an empty comment shows that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After what time a browser connects anew.
const RETRY: Duration = Duration::from_secs(2);

/// Follow what happens, as server-sent events
///
/// The first event is `ready`. A message's type is the event's, and its place in the audit the event's id: who comes back with it
/// misses nothing and sees nothing twice, whatever replica it comes to. Who is too slow gets `resync`: what has no id is lost.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "Live", operation_id = "events", params(Filters, LastSeen),
    responses(
        (status = 200, description = "Events, without end", body = String, content_type = "text/event-stream",
            example = "event: ready\nid: 118\nretry: 2000\ndata: {\"seq\":118}\n\n"),
        (status = 400, description = "A kind does not exist, or the query cannot be read"),
        (status = 503, description = "As many live views as may be are open, or the store is down"),
    )
)]
pub(crate) async fn stream(
    State(app): State<App>,
    caller: Caller,
    query: LiveQuery,
    Closing(closing): Closing,
    parts: Parts,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let last = LastSeen::of(&parts, &query);
    let feed = Feed::open(&app, caller, query, last).await?;
    let events = futures_util::stream::unfold((feed, closing), async |(mut feed, closing)| {
        let message = closing.run_until_cancelled(feed.next()).await??;
        Some((Ok(event(&message)), (feed, closing)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event(message: &Message) -> Event {
    let mut event = Event::default().event(message.kind).data(message.data.to_string());
    if let Some(seq) = message.seq {
        event = event.id(seq.to_string());
    }
    if message.kind == "ready" { event.retry(RETRY) } else { event }
}
