//! Who may do what: the permission catalogue, the default roles, scopes, grants and the decision function.

mod caller;
mod permission;
mod role;
mod scope;

pub use caller::{Caller, EffectivePermission, effective_permissions};
pub use permission::Permission;
pub use role::{ADMIN_ROLE, DefaultRole, GrantedRole, RolePermission};
pub use scope::{Scope, ScopeType};
