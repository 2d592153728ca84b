//! The way in when the identity provider is down: emergency accounts with a password of their own, and a security key
//! once one is registered; absent unless switched on, and open only for a time that is set beforehand.

mod account;
mod lockout;
mod login;
pub mod password;
mod ports;
mod security_key;
mod window;

pub use account::{
    CreateAccount, create_account, list_credentials, remove_account, remove_credential, set_password, unlock,
};
pub use lockout::{Lockout, LockoutSettings};
pub use login::{
    Answer, Attempt, CHALLENGE_LIFETIME, Failure, Outcome, begin, finish, finish_second_factor, keep_challenge,
    may_sign_in, presented_actor, refuse,
};
pub use password::{Cost, HashError, Password, Passwords};
pub use ports::{BreakglassStore, Challenge, Counted, Person, Purpose, SecurityKey, StoredCredential};
pub use security_key::{
    Ceremony, MOST_KEYS, NotGood, Registered, WebAuthn, list_keys, register, registrant, remove_key,
};
pub use window::{OpenedBy, Window, close_window, open_at_boot, open_window, tell_of_end};
