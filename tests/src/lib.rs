//! What the tests of several crates share.

pub mod fake_remediator;
pub mod fault_proxy;
pub mod http;
pub mod private;

/// The front page's code must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct FrontPage;
