//! The rules that hold for one issuance: the profile's, or the built-in ones.

use crate::ProfileFacts;
use certctl_profile::{Eku, KeyAlgorithm, Profile};
use certctl_x509::{KeyFacts, KeyType, San};
use time::Duration;

pub(crate) struct Rules<'a> {
    profile: Option<&'a Profile>,
    pub(crate) profile_id: Option<String>,
    pub(crate) ekus: Vec<Eku>,
    pub(crate) max_ttl: Option<Duration>,
    pub(crate) must_staple: bool,
    pub(crate) short_lived: bool,
}

impl<'a> Rules<'a> {
    pub(crate) fn of(facts: ProfileFacts<'a>) -> Self {
        let profile = match facts {
            ProfileFacts::Found(profile) => Some(profile),
            ProfileFacts::None | ProfileFacts::Missing(_) => None,
        };
        Self {
            profile,
            profile_id: profile.map(|profile| profile.id.clone()),
            ekus: profile.map_or_else(|| vec![Eku::ServerAuth], |profile| profile.allowed_ekus.clone()),
            max_ttl: profile
                .filter(|profile| profile.max_ttl_seconds > 0)
                .map(|profile| Duration::seconds(i64::from(profile.max_ttl_seconds))),
            must_staple: profile.is_some_and(|profile| profile.must_staple),
            short_lived: profile.is_some_and(Profile::is_short_lived),
        }
    }

    pub(crate) fn allows_key(&self, key: KeyFacts) -> bool {
        let algorithm = match key.key_type {
            KeyType::Rsa => KeyAlgorithm::Rsa,
            KeyType::Ecdsa => KeyAlgorithm::Ecdsa,
            KeyType::Ed25519 => KeyAlgorithm::Ed25519,
        };
        self.profile.map_or_else(
            || match key.key_type {
                KeyType::Rsa => key.size >= 2048,
                KeyType::Ecdsa => key.size >= 256,
                KeyType::Ed25519 => false,
            },
            |profile| profile.allows_key(algorithm, key.size),
        )
    }

    /// A SPIFFE pattern without wildcard names the one URI there can be.
    pub(crate) fn implied_uri(&self, sans: &[San]) -> Option<&'a str> {
        let pattern = self.profile?.spiffe_uri_pattern.as_str();
        let named = sans.iter().any(|name| matches!(name, San::Uri(_)));
        (!pattern.is_empty() && !pattern.contains('*') && !named).then_some(pattern)
    }
}
