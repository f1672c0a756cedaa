//! What the tests of all sources need.

use std::path::Path;

use vigil_core::remediator::{Outcome, RemediatorError};
use vigil_gitops::{Comparison, ItemKey, ItemState};

/// Whether a test that needs `name` can run: `variable` says where it is.
pub(crate) fn have(name: &str, variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    let required = std::env::var("VIGIL_REQUIRE_BACKENDS").unwrap_or_default();
    assert!(
        value.is_some() || !required.split(',').any(|one| one == name),
        "{name} is required, and {variable} is not set"
    );
    if value.is_none() {
        println!("skipped: {variable} is not set");
    }
    value
}

pub(crate) fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Every item in a line: its key, the word of its state, and what there is to say of it.
pub(crate) fn said(comparison: &Comparison) -> Vec<String> {
    let line = |item: &vigil_gitops::Item| {
        let why = match &item.state {
            ItemState::Same => "",
            ItemState::Drifted(drift) => &drift.summary,
            ItemState::Suspended(why) | ItemState::Unknown(why) => why,
        };
        format!("{} {}: {why}", item.key(), item.state.word()).trim_end_matches(": ").to_owned()
    };
    comparison.items.iter().map(line).collect()
}

/// The patch of the item that drifted, as text.
pub(crate) fn patch(comparison: &Comparison, key: &ItemKey) -> String {
    let item = comparison.items.iter().find(|item| item.key() == *key).unwrap();
    match &item.state {
        ItemState::Drifted(drift) => drift.patch.to_string(),
        other => panic!("{other:?}"),
    }
}

/// An answer to a heal in a line.
pub(crate) fn word(answer: &Result<Outcome, RemediatorError>) -> String {
    match answer {
        Ok(Outcome::Succeeded { details }) => format!("succeeded: {}", details.as_deref().unwrap_or_default()),
        Ok(Outcome::Rejected { reason }) => format!("rejected: {reason}"),
        Ok(Outcome::Failed { reason, retryable }) => format!("failed ({retryable}): {reason}"),
        Ok(Outcome::InProgress) => "in progress".to_owned(),
        Err(RemediatorError::Throttled { retry_after }) => format!("throttled: {}", retry_after.as_secs()),
        Err(RemediatorError::Indeterminate(_)) => "indeterminate".to_owned(),
        Err(RemediatorError::Unavailable(_)) => "unavailable".to_owned(),
        Err(_) => "another error".to_owned(),
    }
}
