//! What waits, in which order, and what has to go.

use vigil_agent::{Batch, Buffer};

use crate::hub::samples;

const PLENTY: u64 = 1_000_000;

fn drain(buffer: &mut Buffer) -> Vec<(u64, String)> {
    let mut drained = Vec::new();
    while let Some(batch) = buffer.oldest() {
        drained.push((batch.samples(), batch.key().to_owned()));
        buffer.remove(&batch).unwrap();
    }
    drained
}

#[test]
fn batches_come_out_in_the_order_they_went_in_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    for count in 1..=20 {
        // All of the same moment, as after the clock was set back.
        assert_eq!(buffer.push(&samples(0..count)).unwrap(), 0);
    }
    let size = buffer.size();
    assert_eq!((size.0, size.1), (20, 210));
    drop(buffer);
    let mut buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    assert_eq!(buffer.size(), size);
    let drained = drain(&mut buffer);
    assert_eq!(drained.iter().map(|(count, _)| *count).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    let mut keys: Vec<_> = drained.into_iter().map(|(_, key)| key).collect();
    keys.dedup();
    assert_eq!(keys.len(), 20, "each has a key of its own");
    assert_eq!(buffer.size(), (0, 0, 0));
}

#[test]
fn when_it_is_full_the_oldest_go_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let limit = 3 * 4096 + 2000;
    let mut buffer = Buffer::open(folder.path().to_owned(), limit).unwrap();
    let dropped: u64 = (0..10).map(|n| buffer.push(&samples(n * 10..n * 10 + 10)).unwrap()).sum();
    assert_eq!((dropped, buffer.size()), (70, (3, 30, 3 * 4096)), "a small file takes a whole block");
    let oldest = buffer.oldest().unwrap();
    assert_eq!(first_value(&buffer, &oldest), 70, "the newest are there");
}

fn first_value(buffer: &Buffer, batch: &Batch) -> u64 {
    let body = buffer.read(batch).unwrap();
    let body: serde_json::Value = serde_json::from_reader(flate2::read::GzDecoder::new(&*body)).unwrap();
    body["metrics"][0]["value"].as_f64().unwrap() as u64
}

/// A disk of its own that is soon full, as long as it is mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn when_the_disk_is_full_the_oldest_go_and_the_newest_is_kept() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: no disk can be mounted");
        return;
    };
    let mut buffer = Buffer::open(disk.0.path().to_owned(), PLENTY).unwrap();
    let dropped: u64 = (0..100).map(|n| buffer.push(&samples(n * 10..n * 10 + 10)).unwrap()).sum();
    let (batches, waiting, _) = buffer.size();
    assert!(dropped > 0 && batches > 3, "{dropped} dropped, {batches} there");
    assert_eq!(dropped + waiting, 1000);
    let mut last = 0;
    while let Some(batch) = buffer.oldest() {
        last = first_value(&buffer, &batch);
        buffer.remove(&batch).unwrap();
    }
    assert_eq!(last, 990);
}

#[test]
fn what_cannot_be_read_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    buffer.push(&samples(0..3)).unwrap();
    buffer.push(&samples(3..5)).unwrap();
    let first = buffer.oldest().unwrap();
    assert!(buffer.set_aside(&first) && !buffer.set_aside(&first));
    assert_eq!((buffer.size().1, buffer.oldest().unwrap().samples()), (2, 2));
    drop(buffer);
    let buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    assert_eq!(buffer.size().1, 2, "it stays aside");
}

#[test]
fn half_a_file_is_none_and_one_agent_has_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    let second = Buffer::open(folder.path().to_owned(), PLENTY).unwrap_err();
    assert_eq!(second.to_string(), "another agent has this buffer open");
    drop(buffer);
    std::fs::write(folder.path().join("next.part"), "half").unwrap();
    let buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    assert_eq!(buffer.size().0, 0);
    assert!(!folder.path().join("next.part").exists());
}
