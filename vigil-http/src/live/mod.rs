//! What happens, as it happens: `GET /api/v1/events` (server-sent events) and `GET /api/v1/ws` (WebSocket).
//!
//! Both carry the same [`Message`]s out of a [`Feed`]. What the audit holds has a sequence number: a client that comes back with the
//! last one it saw misses nothing and sees nothing twice, whatever server it comes to.

mod closing;
mod feed;
mod filter;
mod message;
pub(crate) mod socket;
pub(crate) mod stream;

pub(crate) use closing::Closing;

use feed::Feed;
use filter::{Filters, LastSeen, LiveQuery};
use message::Message;
