//! No sequence of grants, revocations, edits and the passing of time lets anybody hold a permission that nobody gave who
//! held it and was entitled to give.
//!
//! The use cases run over a store in memory. After every step that succeeds, what anybody holds newly must have been
//! held, where it now holds, by the one who took the step, and that one must have had the right to assign; what the
//! store lets through is not looked at by the rules of the product, but by the plain sets before and after.

use async_trait::async_trait;
use certctl_audit::{AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, Id, RequestContext, StoreError, Timestamp};
use certctl_ports::Ambient;
use certctl_ports::fakes::{CountingRandom, FixedClock};
use certctl_rbac::{
    ADMIN_ROLE, ActorRoles, AdminsUntil, Caller, CreateRole, DefaultRole, EditPermission, EffectivePermission, Grant,
    GrantRole, GrantedRole, Permission, PermissionUse, RbacStore, ReplaceRoles, RevokeRole, Role, RolePermission,
    RoleUsage, Scope, WantedRole, add_permission, create_role, delete_role, effective_permissions, expire_grants,
    grant_role, remove_permission, replace_roles, revoke_role,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use time::{Duration, OffsetDateTime};

const START: Timestamp = OffsetDateTime::UNIX_EPOCH;

/// Roles and grants in memory. It checks nothing: the guards under test are the use cases' own.
#[derive(Clone, Default)]
struct Memory {
    roles: Vec<Role>,
    entries: Vec<RolePermission>,
    grants: Vec<Grant>,
    actors: Vec<Actor>,
    events: usize,
}

fn same(entry: &RolePermission, role_id: &str, held: &EffectivePermission) -> bool {
    entry.role_id == role_id && entry.permission == held.permission && entry.scope == held.scope
}

impl Memory {
    fn new(actors: &[Actor]) -> Self {
        let mut memory = Self { actors: actors.to_vec(), ..Self::default() };
        for role in DefaultRole::ALL {
            memory.roles.push(Role {
                id: role.id().to_owned(),
                tenant_id: "t-default".to_owned(),
                name: role.name().to_owned(),
                description: String::new(),
                system: true,
                row_version: 1,
                created_at: START,
                updated_at: START,
            });
            memory.entries.extend(role.permissions().into_iter().map(|permission| RolePermission {
                role_id: role.id().to_owned(),
                permission,
                scope: Scope::Global,
            }));
        }
        memory
    }

    fn held(&self, actor: &Actor, now: Timestamp) -> BTreeSet<EffectivePermission> {
        let grants: Vec<GrantedRole> =
            self.grants.iter().filter(|grant| grant.actor == *actor).map(Grant::granted).collect();
        effective_permissions(&grants, &self.entries, now)
    }

    fn caller(&self, actor: &Actor, now: Timestamp) -> Caller {
        Caller {
            context: RequestContext { actor: actor.clone(), request_id: "req".to_owned(), source_ip: None },
            roles: Vec::new(),
            permissions: Arc::new(self.held(actor, now)),
        }
    }

    fn holdings(&self, now: Timestamp) -> BTreeMap<String, BTreeSet<EffectivePermission>> {
        self.actors.iter().map(|actor| (actor.id.clone(), self.held(actor, now))).collect()
    }
}

#[async_trait]
impl AuditLog for Memory {
    async fn record(&mut self, _: AuditEvent) -> Result<(), StoreError> {
        self.events += 1;
        Ok(())
    }
}

#[async_trait]
impl RbacStore for Memory {
    async fn lock_identity(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
    async fn rbac_version(&mut self) -> Result<i64, StoreError> {
        Ok(0)
    }
    async fn roles(&mut self) -> Result<Vec<Role>, StoreError> {
        Ok(self.roles.clone())
    }
    async fn role(&mut self, id: &str) -> Result<Option<Role>, StoreError> {
        Ok(self.roles.iter().find(|role| role.id == id).cloned())
    }
    async fn role_for_update(&mut self, id: &str) -> Result<Option<Role>, StoreError> {
        self.role(id).await
    }
    async fn insert_role(&mut self, role: &Role) -> Result<(), StoreError> {
        self.roles.push(role.clone());
        Ok(())
    }
    async fn update_role(&mut self, role: &Role) -> Result<(), StoreError> {
        self.roles.retain(|stored| stored.id != role.id);
        self.roles.push(role.clone());
        Ok(())
    }
    async fn delete_role(&mut self, id: &str) -> Result<(), StoreError> {
        self.roles.retain(|role| role.id != id);
        self.entries.retain(|entry| entry.role_id != id);
        Ok(())
    }
    async fn role_usage(&mut self, id: &str, now: Timestamp) -> Result<RoleUsage, StoreError> {
        let held: Vec<&Grant> = self.grants.iter().filter(|grant| grant.role_id == id).collect();
        let count = |n: usize| i64::try_from(n).expect("few");
        Ok(RoleUsage {
            grants: count(held.len()),
            live_grants: count(held.iter().filter(|grant| grant.live(now)).count()),
        })
    }
    async fn permissions_of(&mut self, role_ids: &[String]) -> Result<Vec<RolePermission>, StoreError> {
        Ok(self.entries.iter().filter(|entry| role_ids.contains(&entry.role_id)).cloned().collect())
    }
    async fn add_role_permissions(&mut self, role_id: &str, added: &[EffectivePermission]) -> Result<u64, StoreError> {
        let mut new = 0;
        for held in added {
            if !self.entries.iter().any(|entry| same(entry, role_id, held)) {
                self.entries.push(RolePermission {
                    role_id: role_id.to_owned(),
                    permission: held.permission,
                    scope: held.scope.clone(),
                });
                new += 1;
            }
        }
        Ok(new)
    }
    async fn remove_role_permission(
        &mut self,
        role_id: &str,
        removed: &EffectivePermission,
    ) -> Result<bool, StoreError> {
        let before = self.entries.len();
        self.entries.retain(|entry| !same(entry, role_id, removed));
        Ok(self.entries.len() < before)
    }
    async fn actor_known(&mut self, actor: &Actor) -> Result<bool, StoreError> {
        Ok(self.actors.contains(actor))
    }
    async fn scope_known(&mut self, _: &Scope) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn grants_of(&mut self, actor: &Actor) -> Result<Vec<GrantedRole>, StoreError> {
        Ok(self.grants.iter().filter(|grant| grant.actor == *actor).map(Grant::granted).collect())
    }
    async fn grants(&mut self, actor: &Actor) -> Result<Vec<Grant>, StoreError> {
        Ok(self.grants.iter().filter(|grant| grant.actor == *actor).cloned().collect())
    }
    async fn add_grant(
        &mut self,
        actor: &Actor,
        role_id: &str,
        scope: &Scope,
        source: &str,
        granted_by: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let id = format!("gra-{}", self.grants.len());
        self.put_grant(&Grant {
            id,
            actor: actor.clone(),
            role_id: role_id.to_owned(),
            scope: scope.clone(),
            source: source.to_owned(),
            granted_by: granted_by.to_owned(),
            granted_at: START,
            expires_at,
        })
        .await
    }
    async fn put_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        self.grants.retain(|old| {
            old.actor != grant.actor
                || old.role_id != grant.role_id
                || old.scope != grant.scope
                || old.source != grant.source
        });
        self.grants.push(grant.clone());
        Ok(())
    }
    async fn remove_grants(&mut self, ids: &[Id]) -> Result<(), StoreError> {
        self.grants.retain(|grant| !ids.contains(&grant.id));
        Ok(())
    }
    async fn revoke_grants(&mut self, actor: &Actor) -> Result<Vec<String>, StoreError> {
        self.grants.retain(|grant| grant.actor != *actor);
        Ok(Vec::new())
    }
    async fn take_expired_grants(&mut self, now: Timestamp, _: i64) -> Result<Vec<Grant>, StoreError> {
        let (ended, live) = std::mem::take(&mut self.grants).into_iter().partition(|grant| !grant.live(now));
        self.grants = live;
        Ok(ended)
    }
    async fn actors_with_roles(&mut self, _: Timestamp) -> Result<Vec<ActorRoles>, StoreError> {
        Ok(Vec::new())
    }
    async fn admins_until(&mut self, now: Timestamp) -> Result<AdminsUntil, StoreError> {
        let admins = self
            .grants
            .iter()
            .filter(|grant| grant.role_id == ADMIN_ROLE && grant.scope == Scope::Global && grant.live(now));
        let ends = admins.map(|grant| grant.expires_at.map_or(AdminsUntil::ForGood, AdminsUntil::Until));
        Ok(ends.max().unwrap_or(AdminsUntil::Nobody))
    }
    async fn rotate_csrf_of(&mut self, _: &Actor, _: Option<&str>, _: Timestamp) -> Result<Vec<Id>, StoreError> {
        // Nobody has a browser here.
        Ok(Vec::new())
    }
    async fn add_permission_uses(&mut self, _: &[PermissionUse]) -> Result<(), StoreError> {
        Ok(())
    }
    async fn permission_uses(&mut self, _: &Actor, _: Timestamp) -> Result<Vec<PermissionUse>, StoreError> {
        Ok(Vec::new())
    }
}

/// What a caller tries. Roles and actors are numbers into what there is at that moment.
#[derive(Debug, Clone)]
enum Step {
    Grant { to: usize, role: usize, scope: Scope, hours: Option<i64> },
    Revoke { from: usize, role: usize },
    Replace { of: usize, roles: Vec<(usize, Scope)> },
    Create { clone_of: Option<usize> },
    Add { role: usize, permission: Permission, scope: Scope },
    Remove { role: usize, permission: Permission },
    Delete { role: usize },
    Wait { hours: i64 },
    Sweep,
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        3 => Just(Scope::Global),
        1 => "[ab]".prop_map(Scope::Profile),
        1 => "[ab]".prop_map(Scope::Issuer),
    ]
}

/// Few permissions, so that steps meet: those of giving, and some to be given.
fn any_permission() -> impl Strategy<Value = Permission> {
    proptest::sample::select(vec![
        Permission::AuthRoleAssign,
        Permission::AuthRoleEdit,
        Permission::AuthRoleRevoke,
        Permission::AuthRoleCreate,
        Permission::CertRead,
        Permission::CertRevoke,
        Permission::CrlAdmin,
    ])
}

fn any_step() -> impl Strategy<Value = Step> {
    let role = 0..12_usize;
    let actor = 0..4_usize;
    prop_oneof![
        4 => (actor.clone(), role.clone(), any_scope(), proptest::option::of(1..5_i64))
            .prop_map(|(to, role, scope, hours)| Step::Grant { to, role, scope, hours }),
        2 => (actor.clone(), role.clone()).prop_map(|(from, role)| Step::Revoke { from, role }),
        2 => (actor, proptest::collection::vec((role.clone(), any_scope()), 0..3))
            .prop_map(|(of, roles)| Step::Replace { of, roles }),
        3 => proptest::option::of(role.clone()).prop_map(|clone_of| Step::Create { clone_of }),
        5 => (role.clone(), any_permission(), any_scope())
            .prop_map(|(role, permission, scope)| Step::Add { role, permission, scope }),
        1 => (role.clone(), any_permission()).prop_map(|(role, permission)| Step::Remove { role, permission }),
        1 => role.prop_map(|role| Step::Delete { role }),
        1 => (1..4_i64).prop_map(|hours| Step::Wait { hours }),
        1 => Just(Step::Sweep),
    ]
}

/// The store in memory never waits, so a future is ready when it is first asked.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the store in memory waits for nothing"),
    }
}

/// Takes one step; false when it was refused.
fn take(memory: &mut Memory, ambient: &Ambient, caller: &Caller, step: &Step) -> bool {
    let now = ambient.now();
    let role = |memory: &Memory, n: usize| memory.roles[n % memory.roles.len()].id.clone();
    let actor = |memory: &Memory, n: usize| memory.actors[n % memory.actors.len()].clone();
    let names = memory.roles.len();
    match step.clone() {
        Step::Grant { to, role: n, scope, hours } => {
            let expires_at = hours.map(|hours| now + Duration::hours(hours));
            let command = GrantRole { actor: actor(memory, to), role: role(memory, n), scope, expires_at };
            ready(grant_role(memory, ambient, caller, command)).is_ok()
        }
        Step::Revoke { from, role: n } => {
            let command = RevokeRole { actor: actor(memory, from), role: role(memory, n), scope: None };
            ready(revoke_role(memory, ambient, caller, command)).is_ok()
        }
        Step::Replace { of, roles } => {
            let roles = roles
                .into_iter()
                .map(|(n, scope)| WantedRole { role: role(memory, n), scope, expires_at: None })
                .collect();
            ready(replace_roles(memory, ambient, caller, ReplaceRoles { actor: actor(memory, of), roles })).is_ok()
        }
        Step::Create { clone_of } => {
            let clone_of = clone_of.map(|n| role(memory, n));
            let command = CreateRole { name: format!("role {names}"), clone_of, ..CreateRole::default() };
            ready(create_role(memory, ambient, caller, command)).is_ok()
        }
        Step::Add { role: n, permission, scope } => {
            let command = EditPermission { role_id: role(memory, n), expected_version: None, permission, scope };
            ready(add_permission(memory, ambient, caller, command)).is_ok()
        }
        Step::Remove { role: n, permission } => {
            let scope = Scope::Global;
            let command = EditPermission { role_id: role(memory, n), expected_version: None, permission, scope };
            ready(remove_permission(memory, ambient, caller, command)).is_ok()
        }
        Step::Delete { role: n } => {
            let id = role(memory, n);
            ready(delete_role(memory, ambient, caller, &id, None)).is_ok()
        }
        Step::Wait { .. } => true,
        Step::Sweep => ready(expire_grants(memory, ambient, &RequestContext::system("sweep"))).is_ok(),
    }
}

/// Whether `holder` had `wanted`, itself or everywhere.
fn had(holder: &BTreeSet<EffectivePermission>, wanted: &EffectivePermission) -> bool {
    let everywhere = EffectivePermission { permission: wanted.permission, scope: Scope::Global };
    holder.contains(wanted) || holder.contains(&everywhere)
}

fn scene(clock: &Arc<FixedClock>) -> (Memory, Ambient) {
    let actors: Vec<Actor> =
        ["root", "desk", "editor", "reader"].iter().map(|name| Actor::new(*name, ActorType::APIKey)).collect();
    let mut memory = Memory::new(&actors);
    let ambient = Ambient { clock: clock.clone(), random: Arc::new(CountingRandom::new(7)) };
    let root = Caller::system("set-up");
    // One who may give, one who may edit, neither of them everything.
    for (name, holder, permissions) in [
        ("desk", 1, &[Permission::AuthRoleAssign, Permission::AuthRoleRevoke, Permission::CertRead][..]),
        ("editors", 2, &[Permission::AuthRoleEdit, Permission::AuthRoleCreate, Permission::CertRevoke][..]),
    ] {
        let command = CreateRole { name: name.to_owned(), ..CreateRole::default() };
        let role = ready(create_role(&mut memory, &ambient, &root, command)).expect("a role");
        for permission in permissions {
            let command = EditPermission {
                role_id: role.id.clone(),
                expected_version: None,
                permission: *permission,
                scope: Scope::Global,
            };
            ready(add_permission(&mut memory, &ambient, &root, command)).expect("added");
        }
        let command =
            GrantRole { actor: actors[holder].clone(), role: role.id, scope: Scope::Global, expires_at: None };
        ready(grant_role(&mut memory, &ambient, &root, command)).expect("granted");
    }
    for (holder, role) in [(0, "admin"), (3, "viewer")] {
        let actor = actors[holder].clone();
        let command = GrantRole { actor, role: role.to_owned(), scope: Scope::Global, expires_at: None };
        ready(grant_role(&mut memory, &ambient, &root, command)).expect("granted");
    }
    (memory, ambient)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gains_what_no_entitled_holder_gave(
        steps in proptest::collection::vec((0..4_usize, any_step(), any::<bool>()), 1..40)
    ) {
        let clock = Arc::new(FixedClock::new(START));
        let (mut memory, ambient) = scene(&clock);
        let mut stale: BTreeMap<usize, Caller> = BTreeMap::new();
        for (by, step, from_memory) in steps {
            if let Step::Wait { hours } = step {
                clock.set(ambient.now() + Duration::hours(hours));
            }
            let now = ambient.now();
            let actor = memory.actors[by].clone();
            // Now and then a caller comes with what the edge remembered of it from an earlier step.
            let fresh = memory.caller(&actor, now);
            let caller = if from_memory { stale.entry(by).or_insert(fresh).clone() } else { fresh };
            let before = memory.holdings(now);
            let mut attempt = memory.clone();
            if !take(&mut attempt, &ambient, &caller, &step) {
                // A refused step is rolled back.
                continue;
            }
            memory = attempt;
            let giver = &before[&actor.id];
            for (name, held) in memory.holdings(now) {
                for gained in held.difference(&before[&name]) {
                    if had(&before[&name], gained) {
                        continue;
                    }
                    prop_assert!(had(giver, gained), "{} gave {name} {gained:?} by {step:?}", actor.id);
                    let assign = EffectivePermission { permission: Permission::AuthRoleAssign, scope: Scope::Global };
                    prop_assert!(had(giver, &assign), "{} may not assign, yet {name} gained by {step:?}", actor.id);
                }
            }
            let admins = memory.grants.iter().any(|grant| {
                grant.role_id == ADMIN_ROLE && grant.scope == Scope::Global && grant.expires_at.is_none()
            });
            prop_assert!(admins, "no administrator is left after {step:?}");
        }
    }
}

#[test]
fn the_steps_reach_both_ends() {
    // A property that never lets anything through, or never refuses, would prove nothing.
    let clock = Arc::new(FixedClock::new(START));
    let (mut memory, ambient) = scene(&clock);
    let caller = |memory: &Memory, n: usize| memory.caller(&memory.actors[n], START);
    let give = |to, role| Step::Grant { to, role, scope: Scope::Global, hours: None };
    let index = |memory: &Memory, id: &str| memory.roles.iter().position(|role| role.id == id).expect("a role");
    let (admin, viewer) = (index(&memory, "r-admin"), index(&memory, "r-viewer"));
    let root = caller(&memory, 0);
    assert!(take(&mut memory, &ambient, &root, &give(3, viewer)));
    let desk = caller(&memory, 1);
    assert!(!take(&mut memory, &ambient, &desk, &give(1, admin)));
    assert!(
        !take(&mut memory, &ambient, &desk, &give(3, viewer)),
        "it reads certificates, not all that a viewer reads"
    );
}
