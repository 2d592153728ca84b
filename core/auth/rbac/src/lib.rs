//! Who may do what: the permission catalogue, the default roles, scopes, grants, the decision function and the guards
//! against giving away what one does not hold.

mod access;
mod caller;
mod csrf;
mod expiry;
mod explain;
mod federated;
mod grants;
mod guard;
mod permission;
mod ports;
mod replace;
mod role;
mod roles;
mod scope;
mod usage;

pub use access::{Access, access_of};
pub use caller::{Caller, EffectivePermission, builtin_grants, effective_permissions};
pub use csrf::rotate_csrf;
pub use expiry::{expire_grants, remove_demo_residue};
pub use explain::{Deciding, Explain, Explanation, NearMiss, Obstacle, explain, explain_access};
pub use federated::{FollowSignIn, follow_sign_in};
pub use grants::{
    GrantRole, RevokeRole, check_actor, grant_role, guard_grant, list_grants, parse_scope, require_scope, revoke_role,
};
pub use guard::{
    DEMO_ACTOR, current, guard_admins, guard_against_giving_more, guard_against_taking_over, reserved, resolve_role,
};
pub use permission::Permission;
pub use ports::{ActorRoles, AdminsUntil, Grant, PermissionUse, RbacStore, Role, RoleUsage, grant_source};
pub use replace::{ReplaceRoles, WantedRole, replace_roles};
pub use role::{ADMIN_ROLE, DefaultRole, GrantedRole, RolePermission};
pub use roles::{
    CreateRole, EditPermission, RoleInFull, UpdateRole, add_permission, create_role, delete_role, get_role, list_roles,
    remove_permission, update_role,
};
pub use scope::{Scope, ScopeType};
pub use usage::{ScopeDown, minimal_roles, suggest_scope_down};
