//! [`Credential`]: an API key as its holder has it, and [`Pepper`]: what its digest is made with.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vigil_core::clock::Timestamp;
use vigil_core::invalid::InvalidValue;
use vigil_core::key::{KeyDigest, KeyId, KeyName, KeyWrite, Role};

/// The secret of the installation that goes into the digest of every API key: who reads the database alone can check no
/// guess. The same on all replicas; with another one no key is known any more. `Debug` hides it.
#[derive(Clone)]
pub struct Pepper(String);

impl Pepper {
    /// How short one may be.
    const MIN: usize = 16;

    /// Takes the text as it is.
    ///
    /// # Errors
    /// [`InvalidValue`] if it has fewer than 16 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let text = text.into();
        if text.len() < Self::MIN {
            return Err(InvalidValue::new("pepper", format!("must be at least {} bytes", Self::MIN)));
        }
        Ok(Self(text))
    }

    /// HMAC-SHA-256 of a secret. One of 256 random bits needs no slower digest, and a slow one could be used against us.
    pub(crate) fn digest(&self, secret: &str) -> KeyDigest {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(secret.as_bytes());
        KeyDigest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(hidden)")
    }
}

/// An API key as its holder has it: `vgl_<id>_<secret>`. `Debug` hides the secret.
#[derive(Clone)]
pub struct Credential {
    id: KeyId,
    secret: String,
}

impl Credential {
    /// How many bytes a secret has.
    const SECRET: std::ops::RangeInclusive<usize> = 32..=128;

    /// A new one, of 256 random bits.
    ///
    /// # Panics
    /// If the operating system gives no random bytes, which it does once the program has started.
    pub fn random() -> Self {
        let mut bytes = [0; 40];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes once the program has started");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, secret) = hex.split_at(16);
        let id = KeyId::new(id).expect("16 hexadecimal digits are an id");
        Self { id, secret: secret.to_owned() }
    }

    /// Another secret under the same id.
    pub(crate) fn random_of(id: KeyId) -> Self {
        Self { id, ..Self::random() }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`InvalidValue`] if it is not `vgl_<id>_<secret>`, the secret being 32 to 128 letters and digits. The error shows
    /// nothing of it.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let wrong =
            || InvalidValue::new("key", "must be vgl_<id>_<secret>, the secret of 32 to 128 letters and digits");
        let (id, secret) = text.trim().strip_prefix("vgl_").and_then(|rest| rest.split_once('_')).ok_or_else(wrong)?;
        let sane = Self::SECRET.contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let id = KeyId::new(id).map_err(|_| wrong())?;
        if sane { Ok(Self { id, secret: secret.to_owned() }) } else { Err(wrong()) }
    }

    /// Its public part.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole of it: shown once, to whoever asked for it.
    pub fn reveal(&self) -> String {
        format!("vgl_{}_{}", self.id, self.secret)
    }

    /// What is to be stored of it.
    pub fn digest(&self, pepper: &Pepper) -> KeyDigest {
        pepper.digest(&self.secret)
    }

    /// The write that makes it a key.
    pub fn creation(&self, pepper: &Pepper, name: KeyName, role: Role, expires_at: Option<Timestamp>) -> KeyWrite {
        KeyWrite::Create { id: self.id.clone(), name, role, digest: self.digest(pepper), expires_at }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, hidden)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_one_is_read_again_and_no_two_are_alike() {
        let (one, other) = (Credential::random(), Credential::random());
        assert_ne!(one.reveal(), other.reveal());
        let pepper = Pepper::new("a pepper of the tests").unwrap();
        let again = Credential::parse(&one.reveal()).unwrap();
        assert_eq!((again.id(), again.digest(&pepper)), (one.id(), one.digest(&pepper)));
        assert_ne!(one.digest(&pepper), one.digest(&Pepper::new("another one of them").unwrap()));
    }

    #[test]
    fn what_is_not_one_is_refused_without_being_shown() {
        let secret = "s".repeat(32);
        assert!(Credential::parse(&format!(" vgl_a1_{secret}\n")).is_ok());
        for wrong in ["", "vgl_", "vgl_a1", "vgl_a1_short", &format!("vgl_A_{secret}"), &format!("vgl_a_{secret}_")] {
            let error = Credential::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains(&secret), "{error}");
        }
        assert!(Pepper::new("too short").is_err());
    }

    #[test]
    fn secrets_are_in_no_log() {
        let (one, pepper) = (Credential::random(), Pepper::new("a pepper of the tests").unwrap());
        assert!(!format!("{one:?}").contains(&one.secret));
        assert_eq!(format!("{pepper:?}"), "Pepper(hidden)");
    }
}
