//! [`Complaints`]: what cannot be measured is said once, not every ten seconds.

use std::collections::BTreeSet;

/// What was complained about and is not well again.
#[derive(Debug, Default)]
pub(crate) struct Complaints(BTreeSet<String>);

impl Complaints {
    /// Says it the first time.
    pub(crate) fn about(&mut self, what: &str, why: impl std::fmt::Display) {
        if self.0.insert(what.to_owned()) {
            tracing::warn!(what, why = %why, "cannot be measured, and is not sent");
        }
    }

    /// What could be read; what could not is complained about.
    pub(crate) fn without<T, E: std::fmt::Display>(&mut self, what: &str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(read) => {
                self.settle(what);
                Some(read)
            }
            Err(why) => {
                self.about(what, why);
                None
            }
        }
    }

    /// Says that it is well again, if it was complained about.
    pub(crate) fn settle(&mut self, what: &str) {
        if self.0.remove(what) {
            tracing::info!(what, "can be measured again");
        }
    }
}
