//! [`Secret`]: what calls to the remediator are signed with.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vigil_core::clock::Timestamp;

/// A secret shared with the remediator. `Debug` hides it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret as it is, white space included.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The value of `X-Vigil-Signature`: `t=<unix seconds>,v1=<hex>`, where the hex is the HMAC-SHA-256 of the seconds, a
    /// dot and the body. A call without a body is signed as one with an empty body.
    pub fn sign(&self, at: Timestamp, body: &[u8]) -> String {
        let seconds = at.as_micros().div_euclid(1_000_000).to_string();
        let hex: String = self.mac(&seconds, body).finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        format!("t={seconds},v1={hex}")
    }

    /// Whether a signature is of this secret and this body, and not more than `tolerance` from `now`: an older one may have
    /// been recorded. Takes as long for a wrong one as for a right one.
    pub fn has_signed(&self, signature: &str, body: &[u8], now: Timestamp, tolerance: Duration) -> bool {
        let part = |name: &str| signature.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (Some(seconds), Some(hex)) = (part("t"), part("v1")) else { return false };
        let (Ok(at), Some(code)) = (seconds.parse::<i64>(), bytes(hex)) else { return false };
        let age = now.as_micros().div_euclid(1_000_000).saturating_sub(at).unsigned_abs();
        self.mac(seconds, body).verify_slice(&code).is_ok() && age <= tolerance.as_secs()
    }

    fn mac(&self, seconds: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(seconds.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac
    }
}

/// Hexadecimal digits as bytes.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);

    #[test]
    fn what_it_signed_it_knows_again() {
        let (secret, at) = (Secret::new("a secret"), Timestamp::from_micros(1_700_000_000_000_000));
        let signature = secret.sign(at, b"{}");
        assert!(secret.has_signed(&signature, b"{}", at + TOLERANCE, TOLERANCE));
        assert!(!secret.has_signed(&signature, b"{ }", at, TOLERANCE), "another body");
        assert!(!Secret::new("another").has_signed(&signature, b"{}", at, TOLERANCE), "another secret");
        let late = at + TOLERANCE + Duration::from_secs(1);
        assert!(!secret.has_signed(&signature, b"{}", late, TOLERANCE), "recorded");
        assert!(!secret.has_signed(&signature, b"{}", at - TOLERANCE * 2, TOLERANCE), "from the future");
        for nonsense in ["", "t=1", "v1=00", "t=x,v1=00", "t=1700000000,v1=zz", "t=1700000000,v1=0", "t=1700000000,v1="]
        {
            assert!(!secret.has_signed(nonsense, b"{}", at, TOLERANCE), "{nonsense}");
        }
    }
}
