//! [`Signatures`]: who may act.

use std::collections::HashMap;
use std::time::Duration;

use vigil_core::action::IdempotencyKey;
use vigil_core::clock::Timestamp;
use vigil_http::Secret;

/// The secret shared with the servers, and the one before it: while the new one is rolled out either is good.
#[derive(Debug, Clone)]
pub struct Secrets {
    current: Secret,
    previous: Option<Secret>,
}

/// How old a signature may be, and how far two clocks may be apart.
const TOLERANCE: Duration = Duration::from_secs(300);
/// How many characters a secret must have.
const SHORTEST: usize = 16;

impl Secrets {
    /// A pair of secrets; the previous one may be missing.
    ///
    /// # Errors
    /// A sentence, if one is too short to be one.
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, String> {
        if [Some(current), previous].into_iter().flatten().any(|secret| secret.chars().count() < SHORTEST) {
            return Err(format!("a secret must have at least {SHORTEST} characters"));
        }
        Ok(Self { current: Secret::new(current), previous: previous.map(Secret::new) })
    }

    fn have_signed(&self, signature: &str, body: &[u8], now: Timestamp) -> bool {
        let both = [Some(&self.current), self.previous.as_ref()];
        both.into_iter().flatten().any(|secret| secret.has_signed(signature, body, now, TOLERANCE))
    }
}

/// Checks signatures. One covers the time and the body, not the key beside it, so each is good for one key only: whoever
/// records a request cannot have it carried out again under another.
pub(super) struct Signatures {
    secrets: Secrets,
    seen: HashMap<String, (IdempotencyKey, Timestamp)>,
    swept_at: Timestamp,
    /// What was signed before is not known here: it may have been used.
    started_at: Timestamp,
}

/// Why a request is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsigned {
    /// It never will be.
    Refused(&'static str),
    /// Signed before this program started: a new signature will do.
    Old,
}

impl Signatures {
    pub(super) fn new(secrets: Secrets, started_at: Timestamp) -> Self {
        Self { secrets, seen: HashMap::new(), swept_at: Timestamp::MIN, started_at }
    }

    pub(super) fn check(
        &mut self,
        header: Option<&str>,
        body: &[u8],
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<(), Unsigned> {
        use Unsigned::{Old, Refused};
        let signature =
            header.ok_or(Refused("the header X-Vigil-Signature is missing: set the same secret on the server"))?;
        if !self.secrets.have_signed(signature, body, now) {
            return Err(Refused(
                "the signature is of another secret or body, or more than 300 s old by this machine's clock",
            ));
        }
        // Probes have no body: one signature is that of any probe of its second, and none of them acts.
        if body.is_empty() {
            return Ok(());
        }
        let part = |name: &str| signature.split(',').find_map(|part| part.trim().strip_prefix(name));
        let signed_at = part("t=").and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or(i64::MIN);
        if signed_at < self.started_at.as_micros().div_euclid(1_000_000) {
            return Err(Old);
        }
        if now.since(self.swept_at) > TOLERANCE {
            self.seen.retain(|_, (_, at)| now.since(*at) <= TOLERANCE * 2);
            self.swept_at = now;
        }
        // What may be written around the parts must not make it another one.
        let code = part("v1=").unwrap_or_default();
        let (first, _) = self.seen.entry(code.to_ascii_lowercase()).or_insert_with(|| (key.clone(), now));
        if first == key { Ok(()) } else { Err(Refused("the signature was used with another key")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the old secret, long enough";
    const NEW: &str = "the new secret, long enough";

    fn now() -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000)
    }

    fn key(key: &str) -> IdempotencyKey {
        IdempotencyKey(key.to_owned())
    }

    #[test]
    fn either_of_the_pair_is_good_and_no_other() {
        let mut signatures = Signatures::new(Secrets::new(NEW, Some(OLD)).unwrap(), now());
        for (secret, good) in [(NEW, true), (OLD, true), ("an unknown secret, long", false)] {
            let signature = Secret::new(secret).sign(now(), secret.as_bytes());
            assert_eq!(signatures.check(Some(&signature), secret.as_bytes(), &key(secret), now()).is_ok(), good);
        }
        assert!(signatures.check(None, b"{}", &key("k"), now()).is_err());
    }

    #[test]
    fn a_recorded_request_is_not_carried_out_under_another_key() {
        let mut signatures = Signatures::new(Secrets::new(NEW, None).unwrap(), now());
        let signature = Secret::new(NEW).sign(now(), b"{}");
        assert!(signatures.check(Some(&signature), b"{}", &key("k1"), now()).is_ok());
        assert!(signatures.check(Some(&signature), b"{}", &key("k1"), now()).is_ok(), "sent twice");
        let disguised = signature.replace(",v1", ", v1").to_uppercase().replace("T=", "t=").replace("V1=", "v1=");
        for signature in [signature, disguised] {
            assert!(signatures.check(Some(&signature), b"{}", &key("k2"), now()).is_err());
        }
    }

    #[test]
    fn what_was_signed_before_the_start_may_have_been_used() {
        let mut signatures = Signatures::new(Secrets::new(NEW, None).unwrap(), now());
        let before = Secret::new(NEW).sign(now() - Duration::from_secs(1), b"{}");
        assert_eq!(signatures.check(Some(&before), b"{}", &key("k"), now()), Err(Unsigned::Old));
        let probe = Secret::new(NEW).sign(now() - Duration::from_secs(1), b"");
        assert!(signatures.check(Some(&probe), b"", &key("k"), now()).is_ok(), "a probe does nothing");
    }

    #[test]
    fn short_secrets_are_none() {
        assert!(Secrets::new("short", None).is_err());
        assert!(Secrets::new(NEW, Some("")).is_err());
    }
}
