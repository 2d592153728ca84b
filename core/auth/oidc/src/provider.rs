//! Identity providers.

use certctl_kernel::{Id, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Declares an enum with its wire and database spelling.
macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire and database spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// Parses the wire spelling.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

spelled! {
    /// How the path of the groups claim is written.
    GroupsClaimFormat {
        /// A name, names joined by dots, or a URL that is one name.
        StringArray = "string-array",
        /// The same, or a JSON Pointer (RFC 6901).
        JsonPath = "json-path",
    }
}

spelled! {
    /// What is asked of `at_hash` (OpenID Connect Core 1.0 §3.1.3.8): the claim is optional in the code flow.
    AtHashPolicy {
        /// It must be right when it is there.
        IfPresent = "if_present",
        /// It must be there and right.
        Require = "require",
    }
}

spelled! {
    /// What happens when a provider has too many groups to tell them in the token (Entra ID).
    GroupsOverage {
        /// The sign-in is refused with a reason of its own.
        Refuse = "refuse",
        /// They are asked for with the person's own access token.
        Graph = "graph",
    }
}

/// An identity provider, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// `op-…`
    pub id: Id,
    /// Whose.
    pub tenant_id: Id,
    /// Unique without regard to case.
    pub name: String,
    /// Issuer identifier; compared octet by octet with `iss` and with the discovery document.
    pub issuer_url: String,
    /// What the provider knows certctl as.
    pub client_id: String,
    /// The client's secret, sealed for `SealedColumn::OIDC_CLIENT_SECRET`.
    pub sealed_client_secret: Vec<u8>,
    /// Where the provider sends browsers back to.
    pub redirect_uri: String,
    /// Where groups stand in the claims.
    pub groups_claim_path: String,
    /// How that is written.
    pub groups_claim_format: GroupsClaimFormat,
    /// Claims whose groups are added to those.
    pub more_groups_claim_paths: Vec<String>,
    /// Whether the userinfo endpoint is asked when the ID token names no groups.
    pub fetch_userinfo: bool,
    /// Scopes asked for; `openid` is among them.
    pub scopes: Vec<String>,
    /// Domains of e-mail addresses that are let in; empty means all.
    pub allowed_email_domains: Vec<String>,
    /// Whether such an address must be verified (`email_verified`).
    pub require_verified_email: bool,
    /// How old an ID token may be, in seconds, 1 to 600.
    pub iat_window_seconds: i32,
    /// How long the provider's keys are kept, in seconds, 60 at least.
    pub jwks_cache_ttl_seconds: i32,
    /// What is asked of `at_hash`.
    pub at_hash_policy: AtHashPolicy,
    /// What happens when there are too many groups for the token.
    pub groups_overage: GroupsOverage,
    /// Hosted domain (`hd`) that people must belong to; empty means any.
    pub hosted_domain: String,
    /// Role of everybody within `hosted_domain`, for providers that know no groups.
    pub default_role_id: Option<Id>,
    /// Whether signing out here signs out there as well (OpenID Connect RP-Initiated Logout 1.0).
    pub rp_initiated_logout: bool,
    /// Certificates that the provider's TLS is checked against, PEM; empty means those of the system.
    pub ca_bundle_pem: String,
    /// Whether people may sign in through it.
    pub enabled: bool,
    /// Since when it is out of use for good.
    pub archived_at: Option<Timestamp>,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Provider {
    /// Whether people may sign in through it now.
    pub const fn usable(&self) -> bool {
        self.enabled && self.archived_at.is_none()
    }
}

/// Filters of the list of providers; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProviderFilter {
    /// Part of id, name or issuer, without regard to case.
    pub q: Option<String>,
    /// Whether enabled.
    pub enabled: Option<bool>,
    /// Whether archived.
    pub archived: Option<bool>,
}

impl ProviderFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("oidc_providers", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
