//! `GET /api/v1/ws`: the same messages over a WebSocket.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::http::request::Parts;
use axum::response::Response;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::{Closing, Feed, Filters, LastSeen, LiveQuery, Message};
use crate::extract::Caller;
use crate::problem::{ApiError, Kind};
use crate::router::App;

/// How often the client is asked whether it lives; two answers may be missing.
const PING: Duration = Duration::from_secs(20);
/// What a client may send: it has nothing to say but pongs.
const MAX_FRAME: usize = 64 * 1024;
/// How much may wait to be sent to a slow client.
const MAX_UNSENT: usize = 1024 * 1024;

/// Follow what happens, over a WebSocket
///
/// The same messages as those of `/api/v1/events`, as JSON texts. Clients have nothing to say.
#[utoipa::path(
    get, path = "/api/v1/ws", tag = "Live", operation_id = "websocket", params(Filters, LastSeen),
    responses(
        (status = 101, description = "The WebSocket begins; its texts are like this", body = Message),
        (status = 400, description = "A kind does not exist, or the query cannot be read"),
        (status = 426, description = "This is no WebSocket"),
        (status = 503, description = "As many live views as may be are open, or the store is down"),
    )
)]
pub(crate) async fn socket(
    State(app): State<App>,
    caller: Caller,
    query: LiveQuery,
    Closing(closing): Closing,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    parts: Parts,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(Kind::UpgradeRequired, "This is a WebSocket: connect to it with one, or take /api/v1/events.")
    })?;
    let last = LastSeen::of(&parts, &query);
    let feed = Feed::open(&app, caller, query, last).await?;
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).max_write_buffer_size(MAX_UNSENT);
    // The task that this begins ends with the connection, or when the server stops.
    Ok(upgrade.on_upgrade(move |socket| talk(socket, feed, closing)))
}

async fn talk(mut socket: WebSocket, mut feed: Feed, closing: CancellationToken) {
    let mut pings = interval_at(Instant::now() + PING, PING);
    let mut unanswered = 0;
    let code = loop {
        tokio::select! {
            () = closing.cancelled() => break close_code::AWAY,
            message = feed.next() => {
                let Some(message) = message else { break close_code::AGAIN };
                let text = serde_json::to_string(&message).expect("a message is made of JSON");
                // A client that takes nothing for so long is gone.
                if !matches!(timeout(2 * PING, socket.send(Frame::text(text))).await, Ok(Ok(()))) {
                    return;
                }
            }
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                Some(Ok(Frame::Pong(_))) => unanswered = 0,
                Some(Ok(_)) => {}
            },
            _ = pings.tick() => {
                unanswered += 1;
                if unanswered > 2 || socket.send(Frame::Ping(axum::body::Bytes::new())).await.is_err() {
                    return;
                }
            }
        }
    };
    let _ = timeout(PING, socket.send(Frame::Close(Some(CloseFrame { code, reason: "".into() })))).await; // it is over either way
}
