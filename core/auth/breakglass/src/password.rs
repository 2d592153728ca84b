//! Passwords: the rule, and Argon2id (RFC 9106) under bounds, as PHC strings.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use certctl_kernel::{DomainError, Secret};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Octets that a password has at least.
pub const SHORTEST: usize = 12;
/// Octets that a password has at most.
pub const LONGEST: usize = 256;
/// Octets of a salt.
pub const SALT: usize = 16;
const TAG: usize = 32;

/// What Argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// What passwords are stored with: 64 MiB, three passes, four lanes.
    pub const FULL: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// What a stored string may ask for at most: whoever can write one must not make the server take all memory.
    pub const MOST: Self = Self { memory_kib: 256 * 1024, passes: 10, lanes: 16 };

    fn within(params: &Params) -> bool {
        params.m_cost() <= Self::MOST.memory_kib
            && params.t_cost() <= Self::MOST.passes
            && params.p_cost() <= Self::MOST.lanes
    }
}

/// A password that may be stored.
#[derive(Debug, Clone)]
pub struct Password(Secret<String>);

impl Password {
    /// Refuses what is shorter than 12 or longer than 256 octets.
    pub fn new(text: Secret<String>) -> Result<Self, DomainError> {
        if (SHORTEST..=LONGEST).contains(&text.expose().len()) {
            return Ok(Self(text));
        }
        let rule = "password fails strength requirements (min 12 bytes, max 256 bytes)";
        Err(DomainError::invalid("password", "invalid_length", rule))
    }

    /// For hashing.
    pub const fn secret(&self) -> &Secret<String> {
        &self.0
    }
}

/// Argon2id could not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Too many passwords wait to be looked at.
    #[error("too many passwords are being checked")]
    Busy,
    /// The memory could not be had, or the work was cut off.
    #[error("the password could not be hashed")]
    Failed,
}

/// The PHC string of `password`: `$argon2id$v=19$m=…,t=…,p=…$salt$tag`. Works for as long as the cost says.
pub fn hash(password: &Secret<String>, salt: &[u8; SALT], cost: Cost) -> Result<Secret<String>, HashError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(TAG)).map_err(|_| HashError::Failed)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let made = argon2::PasswordHasher::hash_password_with_salt(&hasher, password.expose().as_bytes(), salt);
    made.map(|hash: PasswordHash| Secret::new(hash.to_string())).map_err(|_| HashError::Failed)
}

/// A stored string, parsed and found within bounds.
pub struct StoredHash(PasswordHash, Params);

impl StoredHash {
    /// Reads a PHC string. `None` for everything that is not Argon2id v=19 with a whole salt and tag and parameters
    /// that this server would itself bear; nothing is allocated for it.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&parsed).ok()?;
        let plain = parsed.algorithm == Algorithm::Argon2id.ident()
            && parsed.version == Some(Version::V0x13.into())
            && params.keyid().is_empty()
            && params.data().is_empty();
        let whole = parsed.salt.as_ref().is_some_and(|salt| salt.len() >= SALT)
            && parsed.hash.as_ref().is_some_and(|tag| tag.len() == TAG);
        (plain && whole && Cost::within(&params)).then_some(Self(parsed, params))
    }

    /// Whether `password` is the one; works for as long as the stored parameters say.
    pub fn verify(&self, password: &Secret<String>) -> Result<bool, HashError> {
        let Self(parsed, params) = self;
        let (Some(salt), Some(tag)) = (&parsed.salt, &parsed.hash) else { return Ok(false) };
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut made = Zeroizing::new([0u8; TAG]);
        hasher.hash_password_into(password.expose().as_bytes(), salt, made.as_mut()).map_err(|_| HashError::Failed)?;
        Ok(made.as_slice().ct_eq(tag.as_bytes()).into())
    }
}

/// One Argon2id whatever is stored: against the stored string, or where there is none or no sound one, at full cost
/// with `salt` and for nothing, so that no failure is told from another by its time.
pub fn verify_or_burn(
    password: &Secret<String>,
    stored: Option<&Secret<String>>,
    salt: &[u8; SALT],
    cost: Cost,
) -> Result<bool, HashError> {
    match stored.and_then(|text| StoredHash::parse(text.expose())) {
        Some(stored) => stored.verify(password),
        None => hash(password, salt, cost).map(|_| false),
    }
}

/// Hashes and checks passwords away from the threads that serve requests, a bounded number at a time.
///
/// Contract: [`Passwords::verify`] costs one Argon2id whatever `stored` is, and says yes only to the password that a
/// sound `stored` was made from; beyond the bound callers wait, and beyond a second bound they are told
/// [`HashError::Busy`] at once.
#[async_trait]
pub trait Passwords: Send + Sync {
    /// The PHC string of a password, at full cost.
    async fn hash(&self, password: &Secret<String>, salt: [u8; SALT]) -> Result<Secret<String>, HashError>;
    /// See [`verify_or_burn`].
    async fn verify(
        &self,
        password: &Secret<String>,
        stored: Option<&Secret<String>>,
        salt: [u8; SALT],
    ) -> Result<bool, HashError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEAK: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn lengths_are_counted_in_octets_from_12_to_256() {
        for (length, sound) in [(0, false), (11, false), (12, true), (256, true), (257, false)] {
            assert_eq!(Password::new(secret(&"x".repeat(length))).is_ok(), sound, "{length}");
        }
        assert!(Password::new(secret("äöüäöü")).is_ok(), "six characters of two octets");
    }

    #[test]
    fn what_is_hashed_is_recognised_and_nothing_else() {
        let stored =
            hash(&secret("correct horse"), &[7; SALT], Cost { memory_kib: 64, passes: 2, lanes: 2 }).expect("a hash");
        assert!(stored.expose().starts_with("$argon2id$v=19$m=64,t=2,p=2$"), "its own parameters are in it");
        let parsed = StoredHash::parse(stored.expose()).expect("sound");
        assert_eq!(parsed.verify(&secret("correct horse")), Ok(true));
        assert_eq!(parsed.verify(&secret("correct horsf")), Ok(false));
        let other = hash(&secret("correct horse"), &[8; SALT], WEAK).expect("a hash");
        assert_ne!(stored.expose(), other.expose());
    }

    /// RFC 9106 has no vector without secret and data; this one was made with the reference implementation:
    /// `printf password | argon2 somesalt12345678 -id -t 2 -k 256 -p 1 -l 32 -e`.
    #[test]
    fn a_string_of_the_reference_implementation_is_recognised() {
        let stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$gRDhFl6w4RFO431f8BdXO6AIS4NmtBCNtEdJlUuNmHE";
        assert_eq!(StoredHash::parse(stored).expect("sound").verify(&secret("password")), Ok(true));
    }

    #[test]
    fn bg_12_what_is_malformed_of_another_kind_or_absurd_is_no_hash() {
        let sound = hash(&secret("correct horse"), &[7; SALT], WEAK).expect("a hash");
        let sound = sound.expose();
        let swap = |from: &str, to: &str| sound.replace(from, to);
        let cut = |n: usize| sound[..sound.len() - n].to_owned();
        for bad in [
            String::new(),
            "plain".to_owned(),
            swap("argon2id", "argon2i"),
            swap("argon2id", "argon2d"),
            swap("v=19", "v=16"),
            swap("$v=19", ""),
            swap("m=8,t=1,p=1", "m=4294967295,t=1,p=1"),
            swap("m=8,t=1,p=1", "m=4194304,t=3,p=4"),
            swap("m=8,t=1,p=1", "m=8,t=4294967295,p=1"),
            swap("m=8,t=1,p=1", "m=8,t=0,p=1"),
            swap("m=8,t=1,p=1", "m=8388608,t=1,p=16777215"),
            swap("m=8,t=1,p=1", "m=0,t=1,p=1"),
            swap("m=8,t=1,p=1", "m=-8,t=1,p=1"),
            swap("m=8,t=1,p=1", "m=99999999999999999999,t=1,p=1"),
            swap("m=8,t=1,p=1", "m=8,t=1,p=1,data=AAAA"),
            swap("m=8,t=1,p=1", ""),
            cut(1),
            cut(20),
            cut(43),
            format!("{sound}="),
            format!("{sound}$x"),
            format!("{sound}\n"),
        ] {
            assert!(StoredHash::parse(&bad).is_none(), "{bad}");
            let burnt = verify_or_burn(&secret("correct horse"), Some(&secret(&bad)), &[1; SALT], WEAK);
            assert_eq!(burnt, Ok(false), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,120}", head in prop::sample::select(vec!["", "$argon2id$v=19$m=8,t=1,p=1$"])) {
            let _parsed = StoredHash::parse(&format!("{head}{text}"));
        }
    }
}
