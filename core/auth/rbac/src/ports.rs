//! Where roles, grants and the use of permissions are kept.

use crate::{EffectivePermission, GrantedRole, Permission, RolePermission, Scope};
use async_trait::async_trait;
use certctl_kernel::{Actor, Id, StoreError, Timestamp};

/// Where grants come from: who made them takes them back.
pub mod grant_source {
    /// A person, through the API.
    pub const MANUAL: &str = "manual";
    /// The beginning of the source of grants that follow a federated sign-in; the provider's id comes after it.
    pub const OIDC: &str = "oidc:";
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// `r-…`
    pub id: Id,
    /// Whose.
    pub tenant_id: Id,
    /// Unique without regard to case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Comes with the product, and can't be changed.
    pub system: bool,
    /// Counts changes of the role and of its permissions.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it or its permissions were last changed.
    pub updated_at: Timestamp,
}

/// What stands in the way of a role's removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleUsage {
    /// Grants of it, ended ones included.
    pub grants: i64,
    /// Grants of it that hold at the moment.
    pub live_grants: i64,
}

/// A grant with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `gra-…`
    pub id: Id,
    /// Who holds it.
    pub actor: Actor,
    /// The role.
    pub role_id: Id,
    /// Where it holds.
    pub scope: Scope,
    /// `manual`, `env`, `bootstrap`, `oidc:<provider>` or `approval:<request>`.
    pub source: String,
    /// Who gave it.
    pub granted_by: String,
    /// When.
    pub granted_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    /// Whether it holds at `now`.
    pub fn live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    /// The part that decides.
    pub fn granted(&self) -> GrantedRole {
        GrantedRole { role_id: self.role_id.clone(), scope: self.scope.clone(), expires_at: self.expires_at }
    }
}

/// An actor with the roles it holds through live grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorRoles {
    /// Who.
    pub actor: Actor,
    /// Role ids, sorted, each once.
    pub roles: Vec<String>,
}

/// For how long the installation has an administrator who can sign in, as things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminsUntil {
    /// There is none.
    Nobody,
    /// The last of them ends by itself then.
    Until(Timestamp),
    /// One of them does not end by itself.
    ForGood,
}

/// How often an actor used a permission, and when last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionUse {
    /// Who.
    pub actor: Actor,
    /// What for.
    pub permission: Permission,
    /// When last.
    pub last_used: Timestamp,
    /// How often.
    pub count: i64,
}

/// Keeps roles, grants and the use of permissions. The store counts every change of what anybody may do, and of who
/// may sign in, in one version, within the same transaction.
#[async_trait]
pub trait RbacStore: Send {
    /// Serialises changes of who may do what; held until the transaction ends.
    async fn lock_identity(&mut self) -> Result<(), StoreError>;
    /// How often anything about access changed.
    async fn rbac_version(&mut self) -> Result<i64, StoreError>;

    /// Every role, by name.
    async fn roles(&mut self) -> Result<Vec<Role>, StoreError>;
    /// The role with this id.
    async fn role(&mut self, id: &str) -> Result<Option<Role>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn role_for_update(&mut self, id: &str) -> Result<Option<Role>, StoreError>;
    /// Adds a role.
    async fn insert_role(&mut self, role: &Role) -> Result<(), StoreError>;
    /// Writes name and description over the stored ones and bumps the row version.
    async fn update_role(&mut self, role: &Role) -> Result<(), StoreError>;
    /// Removes a role with its permissions.
    async fn delete_role(&mut self, id: &str) -> Result<(), StoreError>;
    /// What refers to the role.
    async fn role_usage(&mut self, id: &str, now: Timestamp) -> Result<RoleUsage, StoreError>;
    /// What these roles permit.
    async fn permissions_of(&mut self, role_ids: &[String]) -> Result<Vec<RolePermission>, StoreError>;
    /// Adds permissions to a role; returns how many it did not have.
    async fn add_role_permissions(&mut self, role_id: &str, added: &[EffectivePermission]) -> Result<u64, StoreError>;
    /// Takes a permission from a role; false when it did not have it.
    async fn remove_role_permission(
        &mut self,
        role_id: &str,
        removed: &EffectivePermission,
    ) -> Result<bool, StoreError>;

    /// Whether the principal exists; it then stays until the end of the transaction.
    async fn actor_known(&mut self, actor: &Actor) -> Result<bool, StoreError>;
    /// Whether the profile or issuer of the scope exists; it then stays until the end of the transaction.
    async fn scope_known(&mut self, scope: &Scope) -> Result<bool, StoreError>;
    /// Live and ended grants of an actor, as far as they decide.
    async fn grants_of(&mut self, actor: &Actor) -> Result<Vec<GrantedRole>, StoreError>;
    /// Live and ended grants of an actor with where they came from, by role, scope and source.
    async fn grants(&mut self, actor: &Actor) -> Result<Vec<Grant>, StoreError>;
    /// Grants a role; does nothing when the same grant stands. `source` tells who takes it back.
    async fn add_grant(
        &mut self,
        actor: &Actor,
        role_id: &str,
        scope: &Scope,
        source: &str,
        granted_by: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;
    /// Writes a grant over the one of the same actor, role, scope and source, if there is one.
    async fn put_grant(&mut self, grant: &Grant) -> Result<(), StoreError>;
    /// Takes grants back by their ids.
    async fn remove_grants(&mut self, ids: &[Id]) -> Result<(), StoreError>;
    /// Takes every grant of an actor back; returns the role ids.
    async fn revoke_grants(&mut self, actor: &Actor) -> Result<Vec<String>, StoreError>;
    /// Takes grants back that ended at `now` or before, at most `limit`, and returns them.
    async fn take_expired_grants(&mut self, now: Timestamp, limit: i64) -> Result<Vec<Grant>, StoreError>;
    /// Actors with a live grant, by id and kind.
    async fn actors_with_roles(&mut self, now: Timestamp) -> Result<Vec<ActorRoles>, StoreError>;
    /// For how long somebody who can sign in holds the administrator role everywhere.
    async fn admins_until(&mut self, now: Timestamp) -> Result<AdminsUntil, StoreError>;

    /// Gives the live sessions of an actor, but one, another CSRF epoch, and with their next request another id;
    /// returns their ids.
    async fn rotate_csrf_of(
        &mut self,
        actor: &Actor,
        except: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Id>, StoreError>;

    /// Adds to the counts of use.
    async fn add_permission_uses(&mut self, uses: &[PermissionUse]) -> Result<(), StoreError>;
    /// What an actor used since `since`, by permission.
    async fn permission_uses(&mut self, actor: &Actor, since: Timestamp) -> Result<Vec<PermissionUse>, StoreError>;
}
