//! People.

use certctl_kernel::{Actor, ActorType, Id, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// What stands in the place of an address that was removed.
pub const PURGED_EMAIL: &str = "purged@redacted.local";
/// What stands in the place of a name that was removed.
pub const PURGED_NAME: &str = "[purged]";

/// A person. Emergency accounts have no provider, no subject and no lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `u-…`; the id of the person's principal as well.
    pub id: Id,
    /// Whose.
    pub tenant_id: Id,
    /// As the provider last told it; empty where it tells none. Never links accounts.
    pub email: String,
    /// For people.
    pub display_name: String,
    /// The provider that vouches for the person.
    pub oidc_provider_id: Option<Id>,
    /// The provider's name for the person (`sub`), until personal data is removed.
    pub oidc_subject: Option<String>,
    /// What the person is recognised by for ever: a keyed hash of provider and subject, hex.
    pub subject_lookup: Option<String>,
    /// Groups that the last sign-in told of, for people who look into why a role is or is not held.
    pub idp_groups: Vec<String>,
    /// When the person last signed in.
    pub last_login_at: Option<Timestamp>,
    /// When the person was shut out.
    pub deactivated_at: Option<Timestamp>,
    /// When personal data was removed.
    pub purged_at: Option<Timestamp>,
    /// Bumped by each update.
    pub row_version: i64,
    /// When the person first signed in, or the account was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// The principal that grants, sessions and events name.
    pub fn actor(&self) -> Actor {
        Actor { id: self.id.clone(), kind: ActorType::User, tenant_id: self.tenant_id.clone() }
    }

    /// Where the account stands.
    pub const fn state(&self) -> UserState {
        if self.purged_at.is_some() {
            UserState::Purged
        } else if self.deactivated_at.is_some() {
            UserState::Deactivated
        } else {
            UserState::Active
        }
    }
}

/// Where an account stands, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserState {
    /// May sign in.
    Active,
    /// Shut out; can be let in again.
    Deactivated,
    /// Shut out for good: personal data is gone.
    Purged,
}

impl UserState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Deactivated, Self::Purged];

    /// The wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Purged => "purged",
        }
    }
}

/// Filters of the list of people; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UserFilter {
    /// Part of id, address or name, without regard to case.
    pub q: Option<String>,
    /// The provider that vouches for them.
    pub oidc_provider_id: Option<Id>,
    /// Where the account stands.
    pub state: Option<UserState>,
}

impl UserFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("users", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
