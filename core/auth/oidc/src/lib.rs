//! Signing in through an identity provider (OpenID Connect Core 1.0, authorization code flow with PKCE): the providers,
//! what their groups are worth, and how a person comes in.

mod admit;
mod begin;
pub mod claims;
mod failure;
mod groups;
mod manage_mappings;
mod manage_providers;
mod mapping;
mod outbound;
mod pending;
mod ports;
mod provider;
mod relying_party;
mod return_to;
pub mod strict_json;
mod validation;
mod vouch;

pub use admit::{Admission, AdmitError, Door, FailedSignIn, admit};
pub use begin::{BeginError, BeginSignIn, Begun, begin_sign_in, provider_to_begin_with};
pub use claims::Algorithm;
pub use failure::Failure;
pub use groups::{GroupsError, LONGEST_GROUP, MOST_GROUPS, groups_at, groups_at_all};
pub use manage_mappings::{
    AddMappings, EditMapping, MOST_AT_ONCE, NewMapping, add_mappings, get_mapping, list_mappings, remove_mapping,
    update_mapping,
};
pub use manage_providers::{
    EditProvider, archive_provider, check_edit, check_new_provider, create_provider, delete_provider, get_provider,
    list_providers, revoke_provider_sessions, update_provider,
};
pub use mapping::{GroupMapping, MappedRole, MappingFilter};
pub use outbound::{OutboundPolicy, Reserved};
pub use pending::{Bound, PENDING_LIFETIME, Pending};
pub use ports::{OidcStore, ProviderUsage};
pub use provider::{AtHashPolicy, GroupsClaimFormat, GroupsOverage, Provider, ProviderFilter};
pub use relying_party::{
    AuthorizationRequest, KeyStatus, Probe, ProbeRequest, ProviderError, PublishedKey, Registration, RelyingParty,
    SignedToken, Tokens,
};
pub use return_to::{NotHere, check_return_to};
pub use validation::{ProviderSettings, check_bundle, check_issuer};
pub use vouch::{Answer, Browser, BrowserBinding, Refused, Vouched, check_browser, registration, vouch};
