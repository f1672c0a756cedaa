//! [`Watch`]: tells at once when a declared file changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Watches files and folders. What cannot be watched is compared every interval all the same.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    wanted: Vec<PathBuf>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Rings `changed` from now on when something changes.
    pub(crate) fn new(wanted: Vec<PathBuf>, changed: Arc<Notify>) -> Self {
        let ring = move |event: notify::Result<Event>| {
            // A look is no change: the comparison itself would ring.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(ring)
            .map_err(|error| tracing::warn!(%error, "files cannot be watched: they are compared every interval"));
        let mut watch = Self { watcher: watcher.ok(), wanted, watched: BTreeSet::new() };
        watch.renew();
        watch
    }

    /// Watches what was not there before, or was not for a while.
    pub(crate) fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|path| path.exists());
        for path in &self.wanted {
            if self.watched.contains(path) || !path.exists() {
                continue;
            }
            // Editors put a new file in the place of the old one: its folder sees that.
            let (place, mode) = if path.is_dir() {
                (path.as_path(), RecursiveMode::Recursive)
            } else {
                (
                    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
                    RecursiveMode::NonRecursive,
                )
            };
            if let Err(error) = watcher.watch(place, mode) {
                tracing::warn!(%error, path = %path.display(), "cannot be watched: it is compared every interval");
            }
            self.watched.insert(path.clone());
        }
    }
}
