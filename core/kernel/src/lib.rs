//! What every domain shares, and nothing else: identifiers, time, tenants, actors, pages, secrets and the
//! error taxonomy. A type moves in here only when two domains truly mean the same thing by it.

mod actor;
mod error;
mod id;
mod page;
mod secret;
pub mod timestamp;

pub use actor::{Actor, ActorType, RequestContext};
pub use error::{DomainError, FieldError, StoreError};
pub use id::{Id, IdError, IdKind, SERVER_SCANNER_AGENT};
pub use page::{Cursor, CursorError, ListQuery, MAX_PAGE_SIZE, Page, SortOrder};
pub use secret::Secret;
pub use timestamp::Timestamp;

/// The one tenant every installation has.
pub const DEFAULT_TENANT: &str = "t-default";
