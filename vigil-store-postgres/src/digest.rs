//! Short stand-ins for long texts: SHA-256, so that nobody can make two texts share one.

use sha2::{Digest, Sha256};

/// Stands for a series' tags in its key.
pub(crate) fn bytes(text: &str) -> [u8; 16] {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|index| digest[index])
}

/// Names an advisory lock. Two that share a number only wait for each other.
pub(crate) fn number(parts: &[&str]) -> i64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    let digest = digest.finalize();
    i64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}
