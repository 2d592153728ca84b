//! Identifiers: `<prefix>-<26 characters of lower-case Crockford base32 of a UUIDv7>`; operators may choose their own.

use data_encoding::{Encoding, Specification};
use std::sync::OnceLock;

/// The agent that stands for scans made by the server itself; never retirable.
pub const SERVER_SCANNER_AGENT: &str = "server-scanner";

/// An object's public identifier, as text.
pub type Id = String;

/// Families of identifiers with their generated prefix (data model §14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// `mc-`
    Certificate,
    /// `cv-`
    CertificateVersion,
    /// `cr-`
    Revocation,
    /// `prof-`
    Profile,
    /// `rp-`
    RenewalPolicy,
    /// `issuer-`
    Issuer,
    /// `ica-`
    CertificateAuthority,
    /// `agt-`
    Agent,
    /// `target-`
    Target,
    /// `job-`
    Job,
    /// `team-`
    Team,
    /// `owner-`
    Owner,
    /// `ak-`
    ApiKey,
    /// `gra-`
    Grant,
    /// `r-`
    Role,
    /// `audit-`
    AuditEvent,
    /// `dep-`
    Deployment,
    /// `ver-`
    Verification,
    /// `apr-`
    Approval,
    /// `op-`
    OidcProvider,
    /// `grm-`
    GroupRoleMapping,
    /// `u-`
    User,
    /// `ses-`
    Session,
    /// `sk-`
    SessionSigningKey,
    /// `pl-`
    PreLogin,
    /// `bg-`
    BreakglassCredential,
    /// `wk-`
    SecurityKey,
    /// `wc-`
    WebauthnChallenge,
}

impl IdKind {
    /// The prefix without its hyphen.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Certificate => "mc",
            Self::CertificateVersion => "cv",
            Self::Revocation => "cr",
            Self::Profile => "prof",
            Self::RenewalPolicy => "rp",
            Self::Issuer => "issuer",
            Self::CertificateAuthority => "ica",
            Self::Agent => "agt",
            Self::Target => "target",
            Self::Job => "job",
            Self::Team => "team",
            Self::Owner => "owner",
            Self::ApiKey => "ak",
            Self::Grant => "gra",
            Self::Role => "r",
            Self::AuditEvent => "audit",
            Self::Deployment => "dep",
            Self::Verification => "ver",
            Self::Approval => "apr",
            Self::OidcProvider => "op",
            Self::GroupRoleMapping => "grm",
            Self::User => "u",
            Self::Session => "ses",
            Self::SessionSigningKey => "sk",
            Self::PreLogin => "pl",
            Self::BreakglassCredential => "bg",
            Self::SecurityKey => "wk",
            Self::WebauthnChallenge => "wc",
        }
    }

    /// Builds an identifier from the time and ten random octets (RFC 9562 §5.7).
    pub fn generate(self, unix_millis: u64, random: &[u8; 10]) -> Id {
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_millis, random).into_uuid();
        format!("{}-{}", self.prefix(), crockford().encode(uuid.as_bytes()))
    }
}

fn crockford() -> &'static Encoding {
    static ENCODING: OnceLock<Encoding> = OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut spec = Specification::new();
        spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
        spec.encoding().expect("the Crockford alphabet has 32 distinct symbols")
    })
}

/// A chosen identifier broke the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must match ^[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}$, such as web-frontend-1")]
pub struct IdError;

impl IdKind {
    /// Checks an identifier that a caller chose. It becomes a path segment and, on agents, a file name.
    pub fn check_supplied(text: &str) -> Result<(), IdError> {
        let mut bytes = text.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_ok = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if first_ok && rest_ok && text.len() <= 128 { Ok(()) } else { Err(IdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_sort_by_time_and_pass_the_rule_for_chosen_ones() {
        let early = IdKind::Certificate.generate(1_700_000_000_000, &[7; 10]);
        let late = IdKind::Certificate.generate(1_700_000_000_001, &[0; 10]);
        assert!(early < late);
        assert_eq!(early.len(), "mc-".len() + 26);
        assert_eq!(IdKind::check_supplied(&early), Ok(()));
    }

    #[test]
    fn chosen_ids_that_could_leave_a_directory_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "-x", "a b", "ä", &"x".repeat(129)] {
            assert_eq!(IdKind::check_supplied(bad), Err(IdError), "{bad}");
        }
    }
}
