//! Signing in through an identity provider (OpenID Connect Core 1.0, authorization code flow with PKCE).

pub mod claims;
mod failure;
mod groups;
mod outbound;
mod relying_party;
pub mod strict_json;

pub use claims::Algorithm;
pub use failure::Failure;
pub use groups::{GroupsError, LONGEST_GROUP, MOST_GROUPS, groups_at, groups_at_all};
pub use outbound::{OutboundPolicy, Reserved};
pub use relying_party::{
    AuthorizationRequest, KeyStatus, Probe, ProbeRequest, ProviderError, PublishedKey, Registration, RelyingParty,
    SignedToken, Tokens,
};
