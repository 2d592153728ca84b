//! Sessions of people at browsers: signed cookies, limits of time, CSRF tokens, and the keys behind them.
//!
//! A cookie is checked without the database first; what it names is then looked up with one query and remembered by
//! the edge for seconds, until anything about access changes.

mod collect;
mod cookie;
mod create;
mod csrf;
mod error;
mod keys;
mod manage;
mod model;
mod ports;
mod renew;
mod validate;

pub use collect::{collect, rotate_when_due};
pub use cookie::{CookieError, Purpose};
pub use create::{Maker, create};
pub use error::{Refusal, SessionError};
pub use keys::{Rotation, SessionKeys, StoredSigningKey, Verified, ensure_signing_key, rotate_signing_key};
pub use manage::{Whose, list_sessions, log_out, revoke_of, revoke_others, revoke_session};
pub use model::{Minted, NewSession, RevokedReason, SameSite, Session, SessionSettings, Standing, Way};
pub use ports::{Collected, SessionFilter, SessionSecrets, SessionStore};
pub use renew::{GRACE, renew};
pub use validate::{AuthenticatedSession, authenticate_session, check_binding};
