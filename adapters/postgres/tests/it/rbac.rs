//! Roles and grants: races, guards that must hold under them, and the version that caches go by.

use crate::support::{START, TestDatabase};
use certctl_apikey::{CreateKey, RotateKey, authenticate, create_key, delete_key, issue_agent_key, rotate_key};
use certctl_audit::AuditFilter;
use certctl_kernel::{Actor, ActorType, DomainError, ListQuery, RequestContext, Timestamp};
use certctl_postgres::Postgres;
use certctl_rbac::{
    ADMIN_ROLE, Caller, CreateRole, EditPermission, Explain, GrantRole, Obstacle, Permission, PermissionUse,
    ReplaceRoles, RevokeRole, Scope, WantedRole, add_permission, create_role, delete_role, expire_grants,
    explain_access, grant_role, replace_roles, revoke_role, suggest_scope_down,
};
use certctl_unit_of_work::Database as _;
use serde_json::Value;
use std::sync::Arc;
use time::Duration;

async fn with_catalogue() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    db
}

fn product() -> Caller {
    Caller::system("it")
}

fn key_actor(name: &str) -> Actor {
    Actor::new(name, ActorType::APIKey)
}

/// A key with these roles; gives its text.
async fn key(db: &TestDatabase, name: &str, roles: &[&str]) -> (String, String) {
    let mut tx = db.begin().await;
    let roles = roles.iter().map(ToString::to_string).collect();
    let command = CreateKey { name: name.to_owned(), roles, expires_at: None, owner_user_id: None };
    let made = create_key(tx.stores(), &db.ambient, &product(), command).await.expect("a key");
    tx.save().await.expect("a commit");
    (made.id, made.secret.expose().clone())
}

/// The caller that a key makes.
async fn caller(db: &TestDatabase, presented: &str) -> Caller {
    let found = authenticate(db.read().await.stores(), presented, db.ambient.now()).await.expect("a lookup");
    let found = found.expect("recognised");
    let context = RequestContext { actor: found.actor, request_id: "req-it".to_owned(), source_ip: None };
    Caller { context, roles: found.roles, permissions: Arc::new(found.permissions) }
}

fn grant(name: &str, role: &str, scope: Scope, expires_at: Option<Timestamp>) -> GrantRole {
    GrantRole { actor: key_actor(name), role: role.to_owned(), scope, expires_at }
}

async fn give(db: &TestDatabase, by: &Caller, command: GrantRole) -> Result<(), DomainError> {
    let mut tx = db.begin().await;
    let outcome = grant_role(tx.stores(), &db.ambient, by, command).await.map(|_| ());
    if outcome.is_ok() {
        tx.save().await.expect("a commit");
    }
    outcome
}

async fn take(
    db: &Postgres,
    ambient: &certctl_ports::Ambient,
    by: &Caller,
    name: &str,
    role: &str,
) -> Result<(), DomainError> {
    let mut tx = db.begin().await.expect("a transaction");
    let command = RevokeRole { actor: key_actor(name), role: role.to_owned(), scope: None };
    let outcome = revoke_role(tx.stores(), ambient, by, command).await;
    if outcome.is_ok() {
        tx.save().await.expect("a commit");
    }
    outcome
}

fn code(outcome: &Result<(), DomainError>) -> &'static str {
    match outcome {
        Ok(()) => "ok",
        Err(DomainError::Conflict { code, .. }) => code,
        Err(DomainError::Forbidden { .. }) => "forbidden",
        Err(DomainError::NotFound { .. }) => "not_found",
        Err(DomainError::PreconditionFailed) => "precondition",
        Err(_) => "other",
    }
}

async fn version(db: &TestDatabase) -> i64 {
    db.read().await.rbac_version().await.expect("a version")
}

async fn events(db: &TestDatabase, action: &str) -> Vec<Value> {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    let page = db.read().await.audit_page(&filter, &ListQuery::default()).await.expect("the trail");
    page.rows.into_iter().map(|event| event.details).collect()
}

async fn admins(db: &TestDatabase) -> i64 {
    db.read().await.working_admins(None, db.ambient.now()).await.expect("a count")
}

#[tokio::test]
async fn of_two_concurrent_revokes_of_the_last_two_administrators_one_is_refused() {
    for _ in 0..8 {
        let db = with_catalogue().await;
        let (_, first) = key(&db, "first", &["admin"]).await;
        let (_, second) = key(&db, "second", &["admin"]).await;
        let callers = [caller(&db, &first).await, caller(&db, &second).await];
        // Each takes the other's role.
        let runs: Vec<_> = callers
            .into_iter()
            .zip(["second", "first"])
            .map(|(by, name)| {
                let (replica, ambient) = (db.replica(), db.ambient.clone());
                tokio::spawn(async move { take(&replica, &ambient, &by, name, ADMIN_ROLE).await })
            })
            .collect();
        let mut outcomes = Vec::new();
        for run in runs {
            outcomes.push(run.await.expect("no panic"));
        }
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert_eq!(admins(&db).await, 1);
    }
}

#[tokio::test]
async fn of_two_administrators_who_revoke_themselves_at_once_one_stays() {
    let db = with_catalogue().await;
    for name in ["first", "second"] {
        key(&db, name, &["admin"]).await;
    }
    let runs: Vec<_> = ["first", "second"]
        .into_iter()
        .map(|name| {
            let (replica, ambient) = (db.replica(), db.ambient.clone());
            tokio::spawn(async move { take(&replica, &ambient, &product(), name, ADMIN_ROLE).await })
        })
        .collect();
    let mut codes = Vec::new();
    for run in runs {
        codes.push(code(&run.await.expect("no panic")));
    }
    codes.sort_unstable();
    assert_eq!(codes, ["last_admin", "ok"]);
    assert_eq!(admins(&db).await, 1);
}

#[tokio::test]
async fn the_last_administrator_is_kept_on_every_path() {
    let db = with_catalogue().await;
    let (id, _) = key(&db, "root", &["admin"]).await;
    let soon = Some(START + Duration::HOUR);
    assert_eq!(code(&take(&db.postgres, &db.ambient, &product(), "root", "admin").await), "last_admin");
    // The grant from the key's creation is the manual one: giving it an end would end the last administrator.
    assert_eq!(code(&give(&db, &product(), grant("root", "admin", Scope::Global, soon)).await), "last_admin");
    let mut tx = db.begin().await;
    let outcome = delete_key(tx.stores(), &db.ambient, &product(), &id).await;
    tx.discard().await.expect("a rollback");
    assert_eq!(code(&outcome), "last_admin");
    let rotated = RotateKey { overlap: Duration::ZERO, expires_at: soon, owner_user_id: None };
    let mut tx = db.begin().await;
    let outcome = rotate_key(tx.stores(), &db.ambient, &product(), &id, rotated).await.map(|_| ());
    tx.discard().await.expect("a rollback");
    assert_eq!(code(&outcome), "last_admin");
    let swap = |roles| ReplaceRoles { actor: key_actor("root"), roles };
    let viewer = WantedRole { role: "viewer".to_owned(), scope: Scope::Global, expires_at: None };
    for roles in [vec![], vec![viewer]] {
        let mut tx = db.begin().await;
        let outcome = replace_roles(tx.stores(), &db.ambient, &product(), swap(roles)).await.map(|_| ());
        tx.discard().await.expect("a rollback");
        assert_eq!(code(&outcome), "last_admin");
    }
    // One whose grant ends does not count as one who stays, and neither does one in a scope.
    key(&db, "helper", &["viewer"]).await;
    assert_eq!(code(&give(&db, &product(), grant("helper", "admin", Scope::Global, soon)).await), "ok");
    assert_eq!(code(&take(&db.postgres, &db.ambient, &product(), "root", "admin").await), "last_admin");
    assert_eq!(code(&give(&db, &product(), grant("helper", "admin", Scope::Global, None)).await), "ok");
    assert_eq!(code(&take(&db.postgres, &db.ambient, &product(), "root", "admin").await), "ok");
    assert_eq!(admins(&db).await, 1);
}

#[tokio::test]
async fn an_agent_with_the_administrator_role_does_not_count_as_the_last_one() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    let mut tx = db.begin().await;
    issue_agent_key(tx.stores(), &db.ambient, "agt-1").await.expect("a key");
    tx.save_unaudited("part of an enrolment").await.expect("a commit");
    let agent = GrantRole { actor: Actor::new("agt-1", ActorType::Agent), ..grant("", "admin", Scope::Global, None) };
    assert_eq!(code(&give(&db, &product(), agent).await), "ok");
    assert_eq!(code(&take(&db.postgres, &db.ambient, &product(), "root", "admin").await), "last_admin");
}

#[tokio::test]
async fn a_role_granted_to_an_agent_adds_to_what_it_is() {
    let db = with_catalogue().await;
    let mut tx = db.begin().await;
    let secret = issue_agent_key(tx.stores(), &db.ambient, "agt-1").await.expect("a key");
    tx.save_unaudited("part of an enrolment").await.expect("a commit");
    let agent = GrantRole { actor: Actor::new("agt-1", ActorType::Agent), ..grant("", "viewer", Scope::Global, None) };
    assert_eq!(code(&give(&db, &product(), agent).await), "ok");
    let caller = caller(&db, secret.expose()).await;
    assert!(caller.may(Permission::AgentHeartbeat, &[]) && caller.may(Permission::TeamRead, &[]));
    assert_eq!(caller.roles, ["r-agent", "r-viewer"]);
}

#[tokio::test]
async fn nobody_gives_what_it_does_not_hold() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    key(&db, "other", &["viewer"]).await;
    // One who may assign and revoke, and reads; nothing else.
    let mut tx = db.begin().await;
    let command =
        CreateRole { name: "helpdesk".to_owned(), clone_of: Some("viewer".to_owned()), ..CreateRole::default() };
    let helpdesk = create_role(tx.stores(), &db.ambient, &product(), command).await.expect("a role").id;
    tx.save().await.expect("a commit");
    let edit = |role_id: &str, permission, scope| EditPermission {
        role_id: role_id.to_owned(),
        expected_version: None,
        permission,
        scope,
    };
    for permission in [
        Permission::AuthRoleAssign,
        Permission::AuthRoleEdit,
        Permission::AuthRoleCreate,
        Permission::AuthKeyCreate,
        Permission::AuthKeyRotate,
    ] {
        let mut tx = db.begin().await;
        add_permission(tx.stores(), &db.ambient, &product(), edit(&helpdesk, permission, Scope::Global))
            .await
            .expect("added");
        tx.save().await.expect("a commit");
    }
    let (_, text) = key(&db, "desk", &[&helpdesk]).await;
    let desk = caller(&db, &text).await;

    assert_eq!(code(&give(&db, &desk, grant("desk", "admin", Scope::Global, None)).await), "forbidden");
    assert_eq!(code(&give(&db, &desk, grant("other", "operator", Scope::Global, None)).await), "forbidden");
    assert_eq!(code(&give(&db, &desk, grant("other", "viewer", Scope::Global, None)).await), "ok");
    let mut tx = db.begin().await;
    let widened = edit(&helpdesk, Permission::CertRevoke, Scope::Global);
    let outcome = add_permission(tx.stores(), &db.ambient, &desk, widened).await.map(|_| ());
    assert_eq!(code(&outcome), "forbidden");
    let clone = CreateRole { name: "mine".to_owned(), clone_of: Some("admin".to_owned()), ..CreateRole::default() };
    assert_eq!(code(&create_role(tx.stores(), &db.ambient, &desk, clone).await.map(|_| ())), "forbidden");
    let made = CreateKey {
        name: "back-door".to_owned(),
        roles: vec!["operator".to_owned()],
        expires_at: None,
        owner_user_id: None,
    };
    assert_eq!(code(&create_key(tx.stores(), &db.ambient, &desk, made).await.map(|_| ())), "forbidden");
    let wanted = WantedRole { role: "operator".to_owned(), scope: Scope::Global, expires_at: None };
    let swap = ReplaceRoles { actor: key_actor("desk"), roles: vec![wanted] };
    assert_eq!(code(&replace_roles(tx.stores(), &db.ambient, &desk, swap).await.map(|_| ())), "forbidden");
}

#[tokio::test]
async fn adding_to_a_role_that_somebody_holds_is_granting() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    let role = async |name: &str, permissions: &[Permission]| {
        let mut tx = db.begin().await;
        let command = CreateRole { name: name.to_owned(), ..CreateRole::default() };
        let id = create_role(tx.stores(), &db.ambient, &product(), command).await.expect("a role").id;
        for permission in permissions {
            let command = EditPermission {
                role_id: id.clone(),
                expected_version: None,
                permission: *permission,
                scope: Scope::Global,
            };
            add_permission(tx.stores(), &db.ambient, &product(), command).await.expect("added");
        }
        tx.save().await.expect("a commit");
        id
    };
    let editors = role("editors", &[Permission::AuthRoleEdit, Permission::CertRevoke]).await;
    let target = role("target", &[Permission::CertRead]).await;
    let (_, text) = key(&db, "editor", &[&editors]).await;
    let editor = caller(&db, &text).await;
    let add = |permission| EditPermission {
        role_id: target.clone(),
        expected_version: None,
        permission,
        scope: Scope::Global,
    };
    let mut tx = db.begin().await;
    add_permission(tx.stores(), &db.ambient, &editor, add(Permission::CertRevoke)).await.expect("nobody holds it");
    tx.discard().await.expect("a rollback");
    key(&db, "holder", &[&target]).await;
    let mut tx = db.begin().await;
    let outcome = add_permission(tx.stores(), &db.ambient, &editor, add(Permission::CertRevoke)).await.map(|_| ());
    assert_eq!(outcome, Err(DomainError::Forbidden { permission: "auth.role.assign".to_owned() }));
}

#[tokio::test]
async fn what_the_edge_remembers_of_a_caller_does_not_let_it_give_on() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    key(&db, "other", &["viewer"]).await;
    let (_, text) = key(&db, "former", &["admin"]).await;
    let remembered = caller(&db, &text).await;
    take(&db.postgres, &db.ambient, &product(), "former", "admin").await.expect("revoked");
    assert_eq!(code(&give(&db, &remembered, grant("other", "admin", Scope::Global, None)).await), "forbidden");
    let swap = ReplaceRoles { actor: key_actor("root"), roles: vec![] };
    let mut tx = db.begin().await;
    assert_eq!(code(&replace_roles(tx.stores(), &db.ambient, &remembered, swap).await.map(|_| ())), "forbidden");
}

#[tokio::test]
async fn a_role_that_is_granted_meanwhile_is_not_deleted() {
    for _ in 0..6 {
        let db = with_catalogue().await;
        key(&db, "other", &["viewer"]).await;
        let mut tx = db.begin().await;
        let command =
            CreateRole { name: "short".to_owned(), clone_of: Some("viewer".to_owned()), ..CreateRole::default() };
        let id = create_role(tx.stores(), &db.ambient, &product(), command).await.expect("a role").id;
        tx.save().await.expect("a commit");
        let (replica, ambient, role) = (db.replica(), db.ambient.clone(), id.clone());
        let deleting = tokio::spawn(async move {
            let mut tx = replica.begin().await.expect("a transaction");
            let outcome = delete_role(tx.stores(), &ambient, &product(), &role, None).await;
            if outcome.is_ok() {
                tx.save().await.expect("a commit");
            }
            outcome
        });
        let granted = give(&db, &product(), grant("other", &id, Scope::Global, None)).await;
        let deleted = deleting.await.expect("no panic");
        let codes = (code(&granted), code(&deleted));
        assert!(matches!(codes, ("ok", "dependency_blocked") | ("not_found", "ok")), "{codes:?}");
    }
}

#[tokio::test]
async fn a_grant_ends_by_itself_and_the_sweep_tells_of_it_once() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    let (_, text) = key(&db, "temp", &["viewer"]).await;
    let end = START + Duration::HOUR;
    give(&db, &product(), grant("temp", "operator", Scope::Global, Some(end))).await.expect("granted");
    assert!(caller(&db, &text).await.may(Permission::CertRevoke, &[]));
    db.clock.set(end);
    assert!(!caller(&db, &text).await.may(Permission::CertRevoke, &[]), "without any sweep");
    let sweep = async || {
        let mut tx = db.begin().await;
        let swept = expire_grants(tx.stores(), &db.ambient, &RequestContext::system("it")).await.expect("swept");
        tx.save_unaudited("a sweep may find nothing").await.expect("a commit");
        swept
    };
    assert_eq!((sweep().await, sweep().await), (1, 0));
    let told = events(&db, "actor_role.expired").await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["actor_id"], &told[0]["role_id"]), (&"temp".into(), &"r-operator".into()));
}

#[tokio::test]
async fn every_change_of_access_counts_once_in_its_own_transaction() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    let mut before = version(&db).await;
    let mut moved = async |what: &str| {
        let now = version(&db).await;
        assert_eq!(now, before + 1, "{what}");
        before = now;
    };
    let (id, _) = key(&db, "other", &["viewer", "operator"]).await;
    moved("two grants of one transaction").await;
    take(&db.postgres, &db.ambient, &product(), "other", "operator").await.expect("revoked");
    moved("a revocation").await;
    db.session()
        .await
        .execute("UPDATE iam.principals SET disabled_at = now() WHERE id = 'other'", &[])
        .await
        .expect("an update");
    moved("a change behind the product's back").await;
    let mut tx = db.begin().await;
    rotate_key(tx.stores(), &db.ambient, &product(), &id, RotateKey::DEFAULT).await.expect("rotated");
    tx.save().await.expect("a commit");
    moved("an old key that got an end").await;
    let mut tx = db.begin().await;
    grant_role(tx.stores(), &db.ambient, &product(), grant("other", "cli", Scope::Global, None))
        .await
        .expect("granted");
    tx.discard().await.expect("a rollback");
    assert_eq!(version(&db).await, before, "what was discarded never happened");
}

#[tokio::test]
async fn the_explanation_names_the_grant_that_decides_or_what_is_in_the_way() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    let (_, text) = key(&db, "ops", &["viewer"]).await;
    let session = db.session().await;
    session
        .batch_execute(
            "INSERT INTO policy.certificate_profiles (id, name, allowed_key_algorithms, allowed_ekus, \
               created_at, updated_at) \
             SELECT id, id, '[]', '{}', now(), now() FROM unnest(ARRAY['prof-a', 'prof-b']) AS id",
        )
        .await
        .expect("profiles");
    let in_a = Scope::Profile("prof-a".to_owned());
    give(&db, &product(), grant("ops", "operator", in_a.clone(), None)).await.expect("granted");
    let ops = caller(&db, &text).await;
    let ask = async |permission, scope: Scope| {
        let question = Explain { actor: key_actor("ops"), permission, scope: scope.clone() };
        let mut unit = db.read().await;
        let found = explain_access(unit.stores(), &ops, &question, db.ambient.now()).await.expect("an answer");
        assert_eq!(found.allowed_by.is_some(), ops.may(permission, &[scope]), "the decision and its explanation agree");
        found
    };
    let allowed = ask(Permission::CertRevoke, in_a.clone()).await.allowed_by.expect("allowed");
    assert_eq!((allowed.grant.role_id.as_str(), &allowed.grant.scope), ("r-operator", &in_a));
    let allowed = ask(Permission::CertRead, in_a.clone()).await.allowed_by.expect("allowed");
    assert_eq!(allowed.grant.role_id, "r-viewer", "the widest is named");
    let refused = ask(Permission::CertRevoke, Scope::Profile("prof-b".to_owned())).await;
    assert_eq!(refused.near_misses.iter().map(|miss| miss.obstacle).collect::<Vec<_>>(), [Obstacle::OtherScope]);
    assert!(ask(Permission::AuthRoleAssign, Scope::Global).await.near_misses.is_empty());
    // About others only who may list roles.
    let question = Explain { actor: key_actor("root"), permission: Permission::CertRead, scope: Scope::Global };
    let refused = explain_access(db.read().await.stores(), &ops, &question, db.ambient.now()).await;
    assert!(matches!(refused, Err(DomainError::Forbidden { .. })), "{refused:?}");
}

#[tokio::test]
async fn use_adds_up_over_replicas_and_suggests_less() {
    let db = with_catalogue().await;
    key(&db, "root", &["admin"]).await;
    key(&db, "job", &["admin"]).await;
    let entry = |permission, minutes, count| PermissionUse {
        actor: key_actor("job"),
        permission,
        last_used: START + Duration::minutes(minutes),
        count,
    };
    let runs: Vec<_> = [
        vec![entry(Permission::CertRead, 5, 3), entry(Permission::JobRead, 2, 1)],
        vec![entry(Permission::JobRead, 1, 4), entry(Permission::CertRead, 1, 2)],
    ]
    .into_iter()
    .map(|uses| {
        let replica = db.replica();
        tokio::spawn(async move {
            let mut tx = replica.begin().await.expect("a transaction");
            tx.add_permission_uses(&uses).await.expect("written");
            tx.save_unaudited("a use is no change").await.expect("a commit");
        })
    })
    .collect();
    for run in runs {
        run.await.expect("no panic");
    }
    let found = suggest_scope_down(db.read().await.stores(), &product(), &key_actor("job"), START, START)
        .await
        .expect("a suggestion");
    let used: Vec<_> = found.used.iter().map(|entry| (entry.permission, entry.count, entry.last_used)).collect();
    assert_eq!(
        used,
        [
            (Permission::CertRead, 5, START + Duration::minutes(5)),
            (Permission::JobRead, 5, START + Duration::minutes(2))
        ]
    );
    assert_eq!(
        (found.current.clone(), found.suggested.clone()),
        (vec!["r-admin".to_owned()], vec!["r-viewer".to_owned()])
    );
    assert!(found.useful() && found.given_up.contains(&Permission::CertRevoke));

    let wanted = WantedRole { role: "viewer".to_owned(), scope: Scope::Global, expires_at: None };
    let mut tx = db.begin().await;
    let swap = ReplaceRoles { actor: key_actor("job"), roles: vec![wanted] };
    let held = replace_roles(tx.stores(), &db.ambient, &product(), swap).await.expect("swapped");
    tx.save().await.expect("a commit");
    assert_eq!(held.iter().map(|grant| grant.role_id.as_str()).collect::<Vec<_>>(), ["r-viewer"]);
    assert_eq!(events(&db, "actor_role.revoke").await.len(), 1);
}
