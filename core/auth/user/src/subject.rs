//! What a person is recognised by when personal data is gone.

use certctl_kernel::{DomainError, Secret};
use certctl_ports::{Ambient, Sealer};
use certctl_secrets::{InstallationSecretStore, installation_secret};
use data_encoding::HEXLOWER;
use ring::hmac;

/// The secret's name among those of the installation.
const PEPPER: &str = "subject-pepper";

/// The installation's own key of the keyed hash. Without it a subject, which can be guessed, can't be found from what
/// is stored.
#[derive(Debug, Clone)]
pub struct SubjectPepper(Secret<[u8; 32]>);

impl SubjectPepper {
    /// Takes the key in.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// HMAC-SHA-256 over provider and subject, each behind its length, hex.
    pub fn lookup(&self, provider_id: &str, subject: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let mut context = hmac::Context::with_key(&key);
        for part in [provider_id, subject] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        HEXLOWER.encode(context.sign().as_ref())
    }
}

/// The installation's pepper; made when there is none, for which the transaction must be saved.
pub async fn subject_pepper(
    tx: &mut (impl InstallationSecretStore + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
) -> Result<SubjectPepper, DomainError> {
    Ok(SubjectPepper(installation_secret(tx, ambient, sealer, PEPPER).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_subject_and_pepper_all_count_and_do_not_run_into_one_another() {
        let pepper = |n| SubjectPepper::new(Secret::new([n; 32]));
        let here = pepper(1).lookup("op-a", "bc");
        assert_eq!(here.len(), 64);
        assert_eq!(here, pepper(1).lookup("op-a", "bc"));
        for other in [pepper(2).lookup("op-a", "bc"), pepper(1).lookup("op-ab", "c"), pepper(1).lookup("op-a", "b")] {
            assert_ne!(here, other);
        }
    }

    #[test]
    fn the_hash_is_the_one_of_rfc_2104() {
        // Made with Python's hmac module.
        let lookup = SubjectPepper::new(Secret::new([7; 32])).lookup("op-1", "sub");
        assert_eq!(lookup, "ed1f139fc1ecec7e659dacc5213e180bec66b08df8690cd2916fbb4dc24fa8a0");
    }
}
