//! [`Ledger`]: the keys that were taken and what became of them, on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vigil_core::action::IdempotencyKey;
use vigil_core::clock::Timestamp;
use vigil_core::remediator::{Outcome, Probe};

use crate::job::Job;

/// A [`Record`] as JSON by its key.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");

/// Remembers keys across a crash of the program: what was written is on the disk before `write` returns.
///
/// One program at a time has the file. A ledger is a handle: clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Arc<Database>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The newest attempt of it.
    pub(crate) job: Job,
    /// The name of the executor; empty if no route took it.
    pub(crate) executor: String,
    /// What the executor saw before.
    pub(crate) before: Value,
    pub(crate) state: State,
    pub(crate) taken_at: Timestamp,
}

impl Record {
    /// What became of it, unless only the executor can tell.
    pub(crate) fn known(&self) -> Option<Probe> {
        match &self.state {
            State::Done(outcome) => Some(Probe::Done(outcome.clone())),
            State::NotDone => Some(Probe::NotDone),
            State::Taken => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It may have been done: the executor was, or is, at it.
    Taken,
    /// It was taken and certainly not done.
    NotDone,
    /// This became of it.
    Done(Outcome),
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another program has it open.
    #[error("{path} is open in another program: one remediator per file")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("{path} cannot be opened")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It cannot be read or written: the disk is full, say.
    #[error("the ledger of keys cannot be read or written")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it says of a key makes no sense.
    #[error("the ledger's record of '{key}' cannot be read")]
    Corrupt {
        /// Which key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl Ledger {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] or [`LedgerError::Open`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let opened = match Database::create(path) {
            Ok(database) => Self::new(database).map_err(Into::into),
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(LedgerError::InUse { path: path.to_owned() }),
            Err(error) => Err(error.into()),
        };
        opened.map_err(|source| LedgerError::Open { path: path.to_owned(), source })
    }

    /// One that is forgotten with the process: for tests and examples.
    pub fn in_memory() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        database.map_err(redb::Error::from).and_then(Self::new).expect("memory can be written")
    }

    fn new(database: Database) -> Result<Self, redb::Error> {
        // So that it can be read before anything was written.
        let transaction = database.begin_write()?;
        transaction.open_table(KEYS)?;
        transaction.commit()?;
        Ok(Self { database: Arc::new(database) })
    }

    pub(crate) async fn read(&self, key: &IdempotencyKey) -> Result<Option<Record>, LedgerError> {
        let key = key.clone();
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(KEYS)?;
            Ok(table.get(key.0.as_str())?.map(|json| parse(&key.0, json.value())))
        })
        .await?
        .transpose()
    }

    /// Writes a record, over the one there is, and waits for the disk.
    pub(crate) async fn write(&self, record: Record) -> Result<(), LedgerError> {
        let json = serde_json::to_vec(&record).map_err(|error| LedgerError::Storage(error.into()))?;
        self.blocking(move |database| {
            let transaction = database.begin_write()?;
            transaction.open_table(KEYS)?.insert(record.job.key.0.as_str(), json.as_slice())?;
            Ok(transaction.commit()?)
        })
        .await
    }

    /// The records whose end nobody saw. One that cannot be read is left out, and said: nothing is done under its key.
    pub(crate) async fn unfinished(&self) -> Result<Vec<Record>, LedgerError> {
        let records = self.blocking(|database| {
            let table = database.begin_read()?.open_table(KEYS)?;
            let mut records = Vec::new();
            for row in table.iter()? {
                let (key, json) = row?;
                records.push(parse(key.value(), json.value()));
            }
            Ok(records)
        });
        let readable = records.await?.into_iter().filter_map(|record| {
            record
                .inspect_err(|error| tracing::error!(error = crate::envelope::chain(error), "a key is passed over"))
                .ok()
        });
        Ok(readable.filter(|record| record.state == State::Taken).collect())
    }

    /// Forgets what was taken before a time, and says how many that were.
    pub(crate) async fn forget(&self, before: Timestamp) -> Result<usize, LedgerError> {
        self.blocking(move |database| {
            let transaction = database.begin_write()?;
            let mut forgotten = 0;
            transaction.open_table(KEYS)?.retain(|key, json| {
                // What cannot be read is kept: its key must not be taken for one never seen.
                let keep = !parse(key, json).is_ok_and(|record| record.taken_at < before);
                forgotten += usize::from(!keep);
                keep
            })?;
            transaction.commit()?;
            Ok(forgotten)
        })
        .await
    }

    /// How many keys it knows.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub async fn count(&self) -> Result<u64, LedgerError> {
        self.blocking(|database| Ok(database.begin_read()?.open_table(KEYS)?.len()?)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.map_err(|error| LedgerError::Storage(error.into()))?.map_err(|error| LedgerError::Storage(error.into()))
    }
}

fn parse(key: &str, json: &[u8]) -> Result<Record, LedgerError> {
    serde_json::from_slice(json).map_err(|source| LedgerError::Corrupt { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_record_that_cannot_be_read_does_not_stop_the_start() {
        let ledger = Ledger::in_memory();
        let transaction = ledger.database.begin_write().unwrap();
        transaction.open_table(KEYS).unwrap().insert("broken", b"{".as_slice()).unwrap();
        transaction.commit().unwrap();
        assert_eq!(ledger.unfinished().await.unwrap(), []);
        assert!(ledger.read(&IdempotencyKey("broken".to_owned())).await.is_err(), "nothing is done under it");
        assert_eq!(ledger.forget(Timestamp::MAX).await.unwrap(), 0, "it is kept");
    }
}
