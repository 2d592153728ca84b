//! Sessions as they are kept, made and refused.

use certctl_kernel::{Actor, Id, Secret, Timestamp};
use time::Duration;

/// `SameSite` of the session's cookies (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Comes along when a link elsewhere is followed.
    Lax,
    /// Never comes along from elsewhere.
    Strict,
}

/// How sessions live.
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// A session that is not used for so long ends.
    pub idle: Duration,
    /// No session lives longer.
    pub absolute: Duration,
    /// A session is good from the address it was made from only.
    pub bind_ip: bool,
    /// A session is good for the browser it was made by only.
    pub bind_user_agent: bool,
    /// Sessions an actor may have at once; the oldest end. 0 means no limit.
    pub max_per_user: u32,
    /// `SameSite` of the cookies.
    pub same_site: SameSite,
}

/// How the person signed in.
#[derive(Debug, Clone)]
pub enum Way {
    /// Through an identity provider.
    Oidc {
        /// The provider's id.
        provider_id: Id,
        /// The provider's own name for its session.
        sid: Option<String>,
        /// The ID token, for a logout that the provider takes part in. Whoever makes the session has checked it.
        id_token: Option<Secret<String>>,
    },
    /// With an emergency account.
    Breakglass,
    /// With an API key, in exchange for which the session stands.
    ApiKey {
        /// The key's id.
        key_id: Id,
    },
}

impl Way {
    /// The database and wire spelling.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Oidc { .. } => "oidc",
            Self::Breakglass => "breakglass",
            Self::ApiKey { .. } => "api_key",
        }
    }
}

/// A session to make.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Whose.
    pub actor: Actor,
    /// How they signed in.
    pub way: Way,
    /// Where from; empty when unknown.
    pub source_ip: &'a str,
    /// What the browser calls itself; cut at 512 characters.
    pub user_agent: &'a str,
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedReason {
    /// Its owner logged out.
    Logout,
    /// Its owner ended it from another one.
    Own,
    /// An administrator ended it.
    Admin,
    /// The identity provider said so.
    Idp,
    /// All sessions of the provider were ended.
    Provider,
    /// Its signing key leaked.
    Rotation,
    /// The person was deactivated.
    Deactivated,
    /// The password was set anew or taken away.
    CredentialChanged,
    /// The person signed in elsewhere too often.
    Limit,
}

impl RevokedReason {
    const ALL: [Self; 9] = [
        Self::Logout,
        Self::Own,
        Self::Admin,
        Self::Idp,
        Self::Provider,
        Self::Rotation,
        Self::Deactivated,
        Self::CredentialChanged,
        Self::Limit,
    ];

    /// The database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Own => "self",
            Self::Admin => "admin",
            Self::Idp => "idp",
            Self::Provider => "provider",
            Self::Rotation => "rotation",
            Self::Deactivated => "deactivated",
            Self::CredentialChanged => "credential_changed",
            Self::Limit => "limit",
        }
    }

    /// Parses the database spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `ses-…`
    pub id: Id,
    /// Whose.
    pub actor: Actor,
    /// The key that signed its cookie.
    pub signing_key_id: Id,
    /// `oidc`, `breakglass` or `api_key`.
    pub way: String,
    /// The provider that vouched.
    pub provider_id: Option<Id>,
    /// Counts changes of its CSRF token.
    pub csrf_epoch: i32,
    /// Where it was made from.
    pub ip_address: String,
    /// What the browser called itself.
    pub user_agent: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its use was last written down, at most a minute ago while it is used.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub absolute_expires_at: Timestamp,
    /// When it was ended before its time, and why.
    pub revoked: Option<(Timestamp, RevokedReason)>,
    /// What its actor may do has changed: its next request gets it another id.
    pub renew: bool,
    /// When another id took over, and which.
    pub replaced: Option<(Timestamp, Id)>,
}

impl Session {
    /// The id that stands for it now.
    pub fn current_id(&self) -> &str {
        self.replaced.as_ref().map_or(&self.id, |(_, id)| id)
    }

    /// When it ends if it is not used again.
    pub fn idle_expires_at(&self, settings: &SessionSettings) -> Timestamp {
        (self.last_seen_at + settings.idle).min(self.absolute_expires_at)
    }
}

/// A session with what else decides whether it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The session.
    pub session: Session,
    /// Whose it is was switched off.
    pub actor_disabled: bool,
    /// The key it stands for was switched off or deleted.
    pub key_disabled: bool,
    /// When that key ends.
    pub key_expires_at: Option<Timestamp>,
}

/// A session just made, with what its browser needs.
pub struct Minted {
    /// The session.
    pub session: Session,
    /// Value of the session cookie.
    pub cookie: Secret<String>,
    /// The CSRF token.
    pub csrf_token: Secret<String>,
}
