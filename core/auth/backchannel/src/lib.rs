//! Logout that the identity provider asks for (OpenID Connect Back-Channel Logout 1.0): sessions end without the
//! browser taking part.

mod act;
mod token;

pub use act::{Outcome, log_out};
pub use token::{Claimed, Invalid, LOGOUT_EVENT, LogoutToken, check, peek};
