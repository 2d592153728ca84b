//! The profile.

use certctl_kernel::{Id, Timestamp};

/// Families of keys that a profile can name, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA; sizes are bits of the modulus.
    Rsa,
    /// ECDSA; sizes are bits of the curve.
    Ecdsa,
    /// Ed25519; it has one size.
    Ed25519,
}

impl KeyAlgorithm {
    /// Every family.
    pub const ALL: [Self; 3] = [Self::Rsa, Self::Ecdsa, Self::Ed25519];

    /// The wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// The smallest size that a rule may name.
    pub const fn least_size(self) -> i32 {
        match self {
            Self::Rsa => 2048,
            Self::Ecdsa => 256,
            Self::Ed25519 => 0,
        }
    }
}

/// Keys that a profile allows: one family from a size on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRule {
    /// The family.
    pub algorithm: KeyAlgorithm,
    /// The smallest size in bits.
    pub min_size: i32,
}

/// Extended key usages that a profile can name, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Eku {
    /// TLS servers.
    ServerAuth,
    /// TLS clients.
    ClientAuth,
    /// Signed code.
    CodeSigning,
    /// S/MIME.
    EmailProtection,
    /// RFC 3161 time stamps.
    TimeStamping,
}

impl Eku {
    /// Every usage.
    pub const ALL: [Self; 5] =
        [Self::ServerAuth, Self::ClientAuth, Self::CodeSigning, Self::EmailProtection, Self::TimeStamping];

    /// The wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
            Self::CodeSigning => "codeSigning",
            Self::EmailProtection => "emailProtection",
            Self::TimeStamping => "timeStamping",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|eku| eku.as_str() == text)
    }
}

/// How the ACME server treats requests under a profile, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcmeAuthMode {
    /// An authenticated account may have any name that the profile allows.
    TrustAuthenticated,
    /// Control over each name must be proved.
    Challenge,
}

impl AcmeAuthMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::TrustAuthenticated, Self::Challenge];

    /// The wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TrustAuthenticated => "trust_authenticated",
            Self::Challenge => "challenge",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Constraints on what may be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `prof-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Keys allowed; a key passes when it passes one rule.
    pub allowed_key_algorithms: Vec<KeyRule>,
    /// Longest life of a certificate in seconds; 0 means no cap.
    pub max_ttl_seconds: i32,
    /// Exactly the usages that each certificate gets.
    pub allowed_ekus: Vec<Eku>,
    /// Patterns of which each name must match one.
    pub required_san_patterns: Vec<String>,
    /// `spiffe://<trust domain>/<path>`, or empty.
    pub spiffe_uri_pattern: String,
    /// Whether certificates under an hour are left out of revocation.
    pub allow_short_lived: bool,
    /// Whether certificates carry the TLS feature extension.
    pub must_staple: bool,
    /// Attributes that enrolment clients are asked to put into their CSR.
    pub required_csr_attributes: Vec<String>,
    /// How the ACME server treats requests.
    pub acme_auth_mode: AcmeAuthMode,
    /// Whether a second person must approve issuance.
    pub requires_approval: bool,
    /// Whether wildcard names may be issued.
    pub allow_wildcards: bool,
    /// Whether anything may be issued at all.
    pub enabled: bool,
    /// Owner of certificates that protocol enrolments create.
    pub default_owner_id: Option<Id>,
    /// Team of such certificates.
    pub default_team_id: Option<Id>,
    /// Renewal policy of such certificates.
    pub default_policy_id: Option<Id>,
    /// Issuer of such certificates.
    pub default_issuer_id: Option<Id>,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Profile {
    /// Whether a key of this family and size may be certified.
    pub fn allows_key(&self, algorithm: KeyAlgorithm, bits: u32) -> bool {
        self.allowed_key_algorithms.is_empty()
            || self
                .allowed_key_algorithms
                .iter()
                .any(|rule| rule.algorithm == algorithm && i64::from(bits) >= i64::from(rule.min_size))
    }

    /// Whether certificates under this profile are short-lived: left out of CRLs, decided at issuance and frozen on
    /// the version.
    pub const fn is_short_lived(&self) -> bool {
        self.allow_short_lived && self.max_ttl_seconds > 0 && self.max_ttl_seconds < crate::validation::SHORT_LIVED
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A profile that allows the usual.
    pub(crate) fn profile() -> Profile {
        let at = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        Profile {
            id: "prof-1".to_owned(),
            tenant_id: "t-default".to_owned(),
            name: "web".to_owned(),
            description: String::new(),
            allowed_key_algorithms: vec![KeyRule { algorithm: KeyAlgorithm::Ecdsa, min_size: 256 }],
            max_ttl_seconds: 0,
            allowed_ekus: vec![Eku::ServerAuth],
            required_san_patterns: Vec::new(),
            spiffe_uri_pattern: String::new(),
            allow_short_lived: false,
            must_staple: false,
            required_csr_attributes: Vec::new(),
            acme_auth_mode: AcmeAuthMode::TrustAuthenticated,
            requires_approval: false,
            allow_wildcards: true,
            enabled: true,
            default_owner_id: None,
            default_team_id: None,
            default_policy_id: None,
            default_issuer_id: None,
            row_version: 1,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn a_key_passes_when_it_passes_one_rule() {
        let both = Profile {
            allowed_key_algorithms: vec![
                KeyRule { algorithm: KeyAlgorithm::Ecdsa, min_size: 384 },
                KeyRule { algorithm: KeyAlgorithm::Rsa, min_size: 3072 },
            ],
            ..profile()
        };
        assert!(both.allows_key(KeyAlgorithm::Ecdsa, 384) && both.allows_key(KeyAlgorithm::Rsa, 4096));
        assert!(!both.allows_key(KeyAlgorithm::Ecdsa, 256) && !both.allows_key(KeyAlgorithm::Rsa, 2048));
        assert!(!both.allows_key(KeyAlgorithm::Ed25519, 256));
    }

    #[test]
    fn short_lived_means_allowed_and_capped_under_an_hour() {
        let lives = |allowed, cap| Profile { allow_short_lived: allowed, max_ttl_seconds: cap, ..profile() };
        assert!(lives(true, 3599).is_short_lived());
        assert!(!lives(true, 3600).is_short_lived() && !lives(true, 0).is_short_lived());
        assert!(!lives(false, 60).is_short_lived());
    }
}
