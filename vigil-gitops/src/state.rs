//! [`Memory`]: what must survive a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vigil_core::clock::Timestamp;

use crate::backoff::Backoff;
use crate::series::Series;

/// What was said to the server and must be taken back some day, and what may not be tried again yet; in one file.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    kept: Mutex<Kept>,
}

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// The series that say that something has drifted.
    pub(crate) open: BTreeSet<Series>,
    /// Those that are taken back, and until when that is repeated.
    pub(crate) closing: Vec<(Series, Timestamp)>,
    /// Heals that failed, by target.
    pub(crate) failed: BTreeMap<String, Backoff>,
    /// The sources that have a policy of the daemon's.
    pub(crate) policies: BTreeSet<String>,
}

impl Memory {
    /// Reads what a former run left in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// What the operating system says, or that the file makes no sense.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("state.json");
        let kept = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, kept: Mutex::new(kept) })
    }

    /// What is known now.
    pub(crate) fn kept(&self) -> Kept {
        self.lock().clone()
    }

    /// Changes it and writes it down. What cannot be written is known until the end of the process, and said.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.lock();
        let before = kept.clone();
        let answer = change(&mut kept);
        if *kept != before
            && let Err(error) = self.write(&kept)
        {
            tracing::error!(%error, path = %self.path.display(), "the state cannot be written: a restart would not know it");
        }
        answer
    }

    /// Whole or not at all.
    fn write(&self, kept: &Kept) -> io::Result<()> {
        let part = self.path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_all()?;
        fs::rename(part, &self.path)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner) // no change to it can panic half way
    }
}
