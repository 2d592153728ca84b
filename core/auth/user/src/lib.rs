//! People: who they are to the provider that vouches for them, when they are let in, and when their data goes.

mod export;
mod manage;
mod model;
mod ports;
mod purge;
mod sign_in;
mod subject;

pub use export::{KeyTrace, MOST_EVENTS, SessionTrace, SubjectExport, TraceStore, export_user};
pub use manage::{SELF_DEACTIVATE, deactivate_user, get_user, list_users, reactivate_user, self_deactivation};
pub use model::{PURGED_EMAIL, PURGED_NAME, User, UserFilter, UserState};
pub use ports::UserStore;
pub use purge::{Retention, purge_due, purge_user};
pub use sign_in::{SignIn, SignInError, SignedIn, plausible_email, sign_in};
pub use subject::{SubjectPepper, subject_pepper};
