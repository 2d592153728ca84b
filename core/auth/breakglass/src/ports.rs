//! What the emergency way in needs from a store.

use crate::{Lockout, LockoutSettings, Window};
use async_trait::async_trait;
use certctl_kernel::{Id, Secret, StoreError, Timestamp};

/// A person as far as the emergency way in cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The actor's id.
    pub id: Id,
    /// Whether the person may still sign in.
    pub active: bool,
    /// Whether an identity provider vouches for the person; emergency accounts stand alone.
    pub federated: bool,
}

/// A credential as stored, without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// Whose.
    pub person: Person,
    /// For people.
    pub display_name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the password was last set.
    pub last_password_change_at: Timestamp,
    /// Failures and locks.
    pub lockout: Lockout,
    /// How many security keys are registered.
    pub security_keys: i64,
}

/// What became of counting an attempt.
#[derive(Debug, Clone)]
pub enum Counted {
    /// The actor has no credential.
    NoCredential,
    /// The credential is locked, and unchanged.
    Locked,
    /// Counted; here is what the password is to be checked against.
    Open(Secret<String>),
}

/// A security key that somebody registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityKey {
    /// `wk-…`
    pub id: Id,
    /// Whose.
    pub actor_id: String,
    /// What its owner calls it.
    pub name: String,
    /// The credential's own id, base64url; no two keys share one.
    pub credential_id: String,
    /// Public key, counter and flags, as the WebAuthn library keeps them.
    pub state: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last signed somebody in.
    pub last_used_at: Option<Timestamp>,
}

/// What a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Registering a key.
    Register,
    /// Signing in, after the password was right.
    SignIn,
}

impl Purpose {
    /// The database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::SignIn => "sign_in",
        }
    }
}

/// A challenge that was given out; good once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// `wc-…`
    pub id: Id,
    /// To whom.
    pub actor_id: String,
    /// What for.
    pub purpose: Purpose,
    /// What the WebAuthn library must know again at the end.
    pub state: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Keeps emergency accounts, their credentials and security keys, and the window.
#[async_trait]
pub trait BreakglassStore: Send {
    /// The last window.
    async fn breakglass_window(&mut self) -> Result<Option<Window>, StoreError>;
    /// The same, locked until the end of the transaction, even when there is none.
    async fn breakglass_window_for_update(&mut self) -> Result<Option<Window>, StoreError>;
    /// Writes the window over the last one.
    async fn put_breakglass_window(&mut self, window: &Window) -> Result<(), StoreError>;

    /// A person, who stays as it is until the end of the transaction.
    async fn person(&mut self, id: &str) -> Result<Option<Person>, StoreError>;
    /// Adds a person whom no provider vouches for, with the principal.
    async fn insert_emergency_person(&mut self, id: &str, name: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Deactivates a person whom no provider vouches for, with the principal.
    async fn end_emergency_person(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Every credential, by actor.
    async fn breakglass_credentials(&mut self) -> Result<Vec<StoredCredential>, StoreError>;
    /// One credential, locked.
    async fn breakglass_credential(&mut self, actor_id: &str) -> Result<Option<StoredCredential>, StoreError>;
    /// What a credential's password is checked against.
    async fn breakglass_hash(&mut self, actor_id: &str) -> Result<Option<Secret<String>>, StoreError>;
    /// Sets a credential's password and forgets its failures; makes the credential where there is none. Returns when
    /// it was made.
    async fn put_breakglass_password(
        &mut self,
        actor_id: &str,
        hash: &Secret<String>,
        at: Timestamp,
    ) -> Result<Timestamp, StoreError>;
    /// Forgets failures and lock.
    async fn forget_failures(&mut self, actor_id: &str) -> Result<(), StoreError>;
    /// Removes a credential.
    async fn remove_breakglass_credential(&mut self, actor_id: &str) -> Result<(), StoreError>;
    /// Counts an attempt as [`Lockout::counted`] does, in one statement.
    async fn count_attempt(
        &mut self,
        actor_id: &str,
        settings: &LockoutSettings,
        now: Timestamp,
    ) -> Result<Counted, StoreError>;

    /// The security keys of a person, oldest first, locked.
    async fn security_keys(&mut self, actor_id: &str) -> Result<Vec<SecurityKey>, StoreError>;
    /// Whether anybody has a security key.
    async fn any_security_key(&mut self) -> Result<bool, StoreError>;
    /// Adds a security key.
    async fn insert_security_key(&mut self, key: &SecurityKey) -> Result<(), StoreError>;
    /// Notes that a key was used, with its new state.
    async fn use_security_key(&mut self, id: &str, state: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Removes a key of a person; false when there was none.
    async fn remove_security_key(&mut self, actor_id: &str, id: &str) -> Result<bool, StoreError>;
    /// Keeps a challenge.
    async fn keep_challenge(&mut self, challenge: &Challenge) -> Result<(), StoreError>;
    /// Takes a challenge that is good at `now`: nobody gets it again.
    async fn take_challenge(
        &mut self,
        id: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError>;
    /// Forgets challenges that ran out by `now`; returns how many.
    async fn sweep_challenges(&mut self, now: Timestamp) -> Result<u64, StoreError>;
}
