#![doc = include_str!("../README.md")]

mod declaration;
mod diff;
mod pointer;
mod source;

#[cfg(feature = "compose")]
pub mod compose;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(feature = "units")]
pub mod units;

pub use declaration::{Comparison, Drift, Item, ItemKey, ItemState, Origin, Problem};
pub use diff::{diff, missing, surplus};
pub use pointer::{Ignore, Pointer};
pub use source::{Source, SourceError};
