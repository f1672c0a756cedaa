//! [`Buffer`]: samples on their way to the server, on disk, the oldest dropped first when there are too many.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::sample::Sample;

/// Batches of samples, each a file of its own that is there whole or not at all, and is named by when it was written, how many
/// samples it holds, and by chance. The name is also the batch's idempotency key: sent again after a crash, it counts once.
#[derive(Debug)]
pub struct Buffer {
    folder: PathBuf,
    max_bytes: u64,
    /// By name, which is by age; what each takes of the disk.
    batches: BTreeMap<String, u64>,
    bytes: u64,
    /// Held as long as this lives: two agents would send each other's samples.
    _lock: File,
}

/// One file of the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    name: String,
}

impl Batch {
    /// What tells the server that it has this one already.
    pub fn key(&self) -> &str {
        self.name.trim_end_matches(END)
    }

    /// How many samples it holds.
    pub fn samples(&self) -> u64 {
        self.name.split('-').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    metrics: &'a [Sample],
}

const END: &str = ".json.gz";
/// What file systems give out at a time: a smaller file takes as much of the disk.
const BLOCK: u64 = 4096;

impl Buffer {
    /// Opens a folder, with what a former run left in it.
    ///
    /// # Errors
    /// What the operating system says, also if another agent has it open.
    pub fn open(folder: PathBuf, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|_| io::Error::other("another agent has this buffer open"))?;
        let mut batches = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(END) {
                batches.insert(name, blocks(entry.metadata()?.len()));
            } else if name.ends_with(".part") {
                // It was being written when the agent died.
                fs::remove_file(entry.path())?;
            }
        }
        let bytes = batches.values().sum();
        Ok(Self { folder, max_bytes, batches, bytes, _lock: lock })
    }

    /// Writes samples behind those there are, and says how many of the oldest had to go for them: because the buffer is full, or
    /// the disk.
    ///
    /// # Errors
    /// What the operating system says; then nothing is written.
    pub fn push(&mut self, samples: &[Sample]) -> io::Result<u64> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        serde_json::to_writer(&mut encoder, &Body { metrics: samples })?;
        let (body, name) = (encoder.finish()?, self.next_name(samples)?);
        let mut dropped = 0;
        while let Err(error) = self.write(&name, &body) {
            let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            match self.oldest().filter(|_| is_full) {
                Some(oldest) => dropped += self.drop_batch(&oldest),
                None => return Err(error),
            }
        }
        let bytes = blocks(body.len() as u64);
        self.bytes += bytes;
        self.batches.insert(name, bytes);
        while self.bytes > self.max_bytes
            && let Some(oldest) = self.oldest()
        {
            dropped += self.drop_batch(&oldest);
        }
        Ok(dropped)
    }

    /// Whole or not at all.
    fn write(&self, name: &str, body: &[u8]) -> io::Result<()> {
        let part = self.folder.join("next.part");
        let written = File::create(&part).and_then(|mut file| file.write_all(body));
        written.and_then(|()| fs::rename(&part, self.folder.join(name))).inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
    }

    fn drop_batch(&mut self, batch: &Batch) -> u64 {
        if let Err(error) = self.remove(batch) {
            tracing::warn!(%error, file = batch.name, "a batch that is dropped cannot be deleted");
        }
        batch.samples()
    }

    /// The next to be sent.
    pub fn oldest(&self) -> Option<Batch> {
        self.batches.keys().next().map(|name| Batch { name: name.clone() })
    }

    /// What is sent of it: JSON, compressed by gzip.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read(&self, batch: &Batch) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(&batch.name))
    }

    /// Takes a batch out, for good.
    ///
    /// # Errors
    /// What the operating system says; it is forgotten all the same, until the next start.
    pub fn remove(&mut self, batch: &Batch) -> io::Result<()> {
        if let Some(bytes) = self.batches.remove(&batch.name) {
            self.bytes -= bytes;
            fs::remove_file(self.folder.join(&batch.name))?;
        }
        Ok(())
    }

    /// Takes a batch out that cannot be read, so that those behind it can be sent; its file stays, under another name. Says whether
    /// it was there.
    pub fn set_aside(&mut self, batch: &Batch) -> bool {
        let Some(bytes) = self.batches.remove(&batch.name) else { return false };
        self.bytes -= bytes;
        let file = self.folder.join(&batch.name);
        let _ = fs::rename(&file, file.with_extension("unreadable"));
        true
    }

    /// How many batches, samples and bytes of the disk wait.
    pub fn size(&self) -> (u64, u64, u64) {
        let samples = self.batches.keys().map(|name| Batch { name: name.clone() }.samples()).sum();
        (self.batches.len() as u64, samples, self.bytes)
    }

    /// Later than all that are there, also when the clock was set back.
    fn next_name(&self, samples: &[Sample]) -> io::Result<String> {
        let now = samples.first().map_or(0, |sample| sample.timestamp.as_micros().max(0));
        let newest = self.batches.keys().next_back().and_then(|name| name.split('-').next()?.parse::<i64>().ok());
        let at = newest.map_or(now, |newest| now.max(newest + 1));
        let (high, low) = (getrandom::u64(), getrandom::u64());
        let (high, low) = (high.map_err(io::Error::other)?, low.map_err(io::Error::other)?);
        Ok(format!("{at:020}-{}-{high:016x}{low:016x}{END}", samples.len()))
    }
}

/// What a file of a length takes of the disk.
fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1) * BLOCK
}
