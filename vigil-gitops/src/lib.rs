#![doc = include_str!("../README.md")]

mod backoff;
mod config;
mod daemon;
mod declaration;
mod diff;
mod executor;
mod git;
mod http;
mod pointer;
mod policies;
mod rounds;
mod series;
mod server;
mod source;
mod standing;
mod state;
mod telemetry;
mod watch;
mod watched;
mod window;

#[cfg(feature = "compose")]
pub mod compose;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(feature = "units")]
pub mod units;

pub use config::{Config, ConfigError, GitConfig, KindConfig, Mode, Place, SourceConfig};
pub use daemon::{Daemon, DaemonError};
pub use declaration::{Comparison, Drift, Item, ItemKey, ItemState, Origin, Problem};
pub use diff::{diff, missing, surplus};
pub use pointer::{Ignore, Pointer};
pub use policies::{PoliciesConfig, PoliciesSource};
pub use rounds::{Report, ShownItem};
pub use source::{Source, SourceError};
pub use watched::Watched;
pub use window::{Day, TimeOfDay, Window};
