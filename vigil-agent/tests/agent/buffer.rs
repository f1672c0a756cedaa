//! What waits, in which order, and what has to go.

use vigil_agent::Buffer;

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
    let mut buffer = Buffer::open(folder.path().to_owned(), PLENTY).unwrap();
    buffer.push(&samples(0..10)).unwrap();
    let one = buffer.size().2;
    drop(buffer);
    let mut buffer = Buffer::open(folder.path().to_owned(), one * 3 + one / 2).unwrap();
    let dropped: u64 = (1..10).map(|n| buffer.push(&samples(n * 10..n * 10 + 10)).unwrap()).sum();
    let (batches, waiting, bytes) = buffer.size();
    assert_eq!((waiting + dropped, waiting), (100, batches * 10));
    assert!(batches >= 2 && bytes <= one * 3 + one / 2, "{batches} batches, {bytes} bytes");
    let oldest = buffer.oldest().unwrap();
    let body = buffer.read(&oldest).unwrap();
    let body: serde_json::Value = serde_json::from_reader(flate2::read::GzDecoder::new(&*body)).unwrap();
    assert_eq!(body["metrics"][0]["value"].as_f64().unwrap() as u64, dropped, "the newest are there");
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
