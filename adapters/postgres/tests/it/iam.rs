//! Principals, credentials, roles and grants.

use crate::support::{START, TestDatabase};
use certctl_apikey::{
    CreateKey, EnvironmentKey, RotateKey, SeedReport, authenticate, create_key, delete_key, issue_agent_key,
    list_actors, revoke_agent_keys, rotate_key, seed_environment_keys,
};
use certctl_audit::AuditFilter;
use certctl_bootstrap::{BootstrapError, available, consume};
use certctl_kernel::{ActorType, DomainError, ListQuery, RequestContext, Secret};
use certctl_rbac::{Caller, DefaultRole, Permission};
use certctl_unit_of_work::Database as _;
use std::collections::BTreeSet;
use time::Duration;

const TOKEN: &str = "a-bootstrap-token-of-at-least-32-bytes";

async fn with_catalogue() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    assert!(tx.sync_catalogue().await.expect("a catalogue"));
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    db
}

fn command(name: &str, roles: &[&str]) -> CreateKey {
    CreateKey {
        name: name.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        expires_at: None,
        owner_user_id: None,
    }
}

/// The product itself may do everything without a grant.
fn product() -> Caller {
    Caller::system("it")
}

async fn make_key(db: &TestDatabase, name: &str, roles: &[&str]) -> certctl_apikey::MintedKey {
    let mut tx = db.begin().await;
    let key = create_key(tx.stores(), &db.ambient, &product(), command(name, roles)).await.expect("a key");
    tx.save().await.expect("a commit");
    key
}

async fn who(db: &TestDatabase, presented: &str) -> Option<certctl_apikey::AuthenticatedKey> {
    authenticate(db.read().await.stores(), presented, db.ambient.now()).await.expect("a lookup")
}

async fn actions(db: &TestDatabase) -> Vec<String> {
    let page = db.read().await.audit_page(&AuditFilter::default(), &ListQuery::default()).await.expect("the trail");
    page.rows.into_iter().map(|event| event.action).collect()
}

#[tokio::test]
async fn the_database_holds_the_catalogue_of_the_code() {
    let db = with_catalogue().await;
    let session = db.session().await;
    let stored: BTreeSet<(String, String, String)> = session
        .query("SELECT id, name, namespace FROM iam.permissions", &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let wanted: BTreeSet<_> =
        Permission::ALL.iter().map(|p| (p.id(), p.as_str().to_owned(), p.namespace().to_owned())).collect();
    assert_eq!(stored, wanted);

    let held: BTreeSet<(String, String)> = session
        .query("SELECT role_id, permission_id FROM iam.role_permissions WHERE scope_type = 'global'", &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let wanted: BTreeSet<_> = DefaultRole::ALL
        .iter()
        .flat_map(|role| role.permissions().into_iter().map(|p| (role.id().to_owned(), p.id())))
        .collect();
    assert_eq!(held, wanted);

    let grants: i64 = session.query_one("SELECT count(*) FROM iam.grants", &[]).await.expect("a count").get(0);
    assert_eq!(grants, 0, "nobody is granted anything by an empty installation");
}

#[tokio::test]
async fn bringing_the_catalogue_in_line_repairs_drift_and_otherwise_changes_nothing() {
    let db = with_catalogue().await;
    let session = db.session().await;
    let version = async || -> i64 {
        session.query_one("SELECT version FROM iam.rbac_version", &[]).await.expect("a version").get(0)
    };
    let before = version().await;
    let mut tx = db.begin().await;
    assert!(!tx.sync_catalogue().await.expect("a catalogue"));
    tx.save_unaudited("nothing to tell").await.expect("a commit");
    assert_eq!(version().await, before);

    session
        .batch_execute(
            "DELETE FROM iam.role_permissions WHERE permission_id = 'p-cert-read' AND role_id = 'r-viewer'; \
             INSERT INTO iam.role_permissions (role_id, permission_id) VALUES ('r-viewer', 'p-cert-issue'); \
             INSERT INTO iam.permissions VALUES ('p-gone', 'gone', 'gone')",
        )
        .await
        .expect("drift");
    let before = version().await;
    let mut tx = db.begin().await;
    assert!(tx.sync_catalogue().await.expect("a catalogue"));
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    assert_eq!(version().await, before + 1, "once a transaction");
    let viewer: BTreeSet<String> = session
        .query("SELECT permission_id FROM iam.role_permissions WHERE role_id = 'r-viewer'", &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(viewer, DefaultRole::Viewer.permissions().into_iter().map(Permission::id).collect());
    let gone = session.query("SELECT FROM iam.permissions WHERE id = 'p-gone'", &[]).await.expect("rows");
    assert!(gone.is_empty());
}

#[tokio::test]
async fn a_key_opens_what_its_roles_permit_until_it_is_deleted() {
    let db = with_catalogue().await;
    let key = make_key(&db, "ci-deploy", &["viewer"]).await;
    let known = who(&db, key.secret.expose()).await.expect("recognised");
    assert_eq!(
        (known.actor.id.as_str(), known.actor.kind, known.key_id.as_str()),
        ("ci-deploy", ActorType::APIKey, key.id.as_str())
    );
    assert_eq!(known.roles, ["r-viewer"]);
    assert_eq!(known.permissions.len(), DefaultRole::Viewer.permissions().len());

    let mut wrong = key.secret.expose().clone();
    wrong.pop();
    wrong.push('~');
    assert!(who(&db, &wrong).await.is_none(), "the right id with the wrong secret");

    let mut tx = db.begin().await;
    delete_key(tx.stores(), &db.ambient, &product(), &key.id).await.expect("a deletion");
    tx.save().await.expect("a commit");
    assert!(who(&db, key.secret.expose()).await.is_none());
    assert_eq!(actions(&db).await, ["api_key.revoked", "api_key.created"]);
    assert!(list_actors(db.read().await.stores(), &db.ambient, &product()).await.expect("actors").is_empty());

    let mut tx = db.begin().await;
    let again = delete_key(tx.stores(), &db.ambient, &product(), &key.id).await;
    assert!(matches!(again, Err(DomainError::NotFound { .. })), "{again:?}");
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let db = with_catalogue().await;
    let mut tx = db.begin().await;
    let expires_at = Some(START + Duration::HOUR);
    let command = CreateKey { expires_at, ..command("short", &["viewer"]) };
    let key = create_key(tx.stores(), &db.ambient, &product(), command).await.expect("a key");
    tx.save().await.expect("a commit");
    assert_eq!(who(&db, key.secret.expose()).await.expect("recognised").valid_until, expires_at);
    db.clock.set(START + Duration::HOUR);
    assert!(who(&db, key.secret.expose()).await.is_none());
}

#[tokio::test]
async fn both_keys_work_during_a_rotation_and_then_only_the_new_one() {
    let db = with_catalogue().await;
    let old = make_key(&db, "ci-deploy", &["operator"]).await;
    let mut tx = db.begin().await;
    let new = rotate_key(tx.stores(), &db.ambient, &product(), &old.id, RotateKey::DEFAULT).await.expect("a new key");
    tx.save().await.expect("a commit");
    assert_eq!(new.rotated_from.as_deref(), Some(old.id.as_str()));
    db.clock.set(START + Duration::hours(23));
    for key in [&old, &new] {
        assert_eq!(who(&db, key.secret.expose()).await.expect("recognised").roles, ["r-operator"]);
    }
    db.clock.set(START + Duration::hours(24));
    assert!(who(&db, old.secret.expose()).await.is_none());
    assert!(who(&db, new.secret.expose()).await.is_some());
}

#[tokio::test]
async fn a_key_names_the_person_who_holds_it_and_no_rotation_changes_that() {
    let db = with_catalogue().await;
    let mut tx = db.begin().await;
    let owned = CreateKey { owner_user_id: Some("ada".into()), ..command("ada-laptop", &["viewer"]) };
    let key = create_key(tx.stores(), &db.ambient, &product(), owned).await.expect("a key");
    let loud = CreateKey { owner_user_id: Some("Ada".into()), ..command("ada-phone", &["viewer"]) };
    let refused = create_key(tx.stores(), &db.ambient, &product(), loud).await;
    assert!(matches!(refused, Err(DomainError::Validation(ref errors)) if errors[0].field == "owner_user_id"));
    let to_bob = RotateKey { owner_user_id: Some("bob".into()), ..RotateKey::DEFAULT };
    let refused = rotate_key(tx.stores(), &db.ambient, &product(), &key.id, to_bob.clone()).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "owner_fixed", .. })), "{refused:?}");
    let next =
        rotate_key(tx.stores(), &db.ambient, &product(), &key.id, RotateKey::DEFAULT).await.expect("a successor");
    assert_eq!(next.owner_user_id.as_deref(), Some("ada"));
    let nobodys =
        create_key(tx.stores(), &db.ambient, &product(), command("nobody", &["viewer"])).await.expect("a key");
    let bobs = rotate_key(tx.stores(), &db.ambient, &product(), &nobodys.id, to_bob).await.expect("a successor");
    assert_eq!((nobodys.owner_user_id, bobs.owner_user_id.as_deref()), (None, Some("bob")));
    let stored = tx.key_for_update(&next.id).await.expect("read").expect("there");
    assert_eq!(stored.owner_user_id.as_deref(), Some("ada"));
}

#[tokio::test]
async fn nobody_gives_more_than_it_has() {
    let db = with_catalogue().await;
    let cli = make_key(&db, "automation", &["cli"]).await;
    let boss = make_key(&db, "boss", &["admin"]).await;
    let known = who(&db, cli.secret.expose()).await.expect("recognised");
    let mut caller = product();
    (caller.context.actor, caller.roles) = (known.actor, known.roles);
    caller.permissions = std::sync::Arc::new(known.permissions);

    let mut tx = db.begin().await;
    let widened = create_key(tx.stores(), &db.ambient, &caller, command("mine", &["admin"])).await;
    assert!(matches!(widened, Err(DomainError::Forbidden { .. })), "{widened:?}");
    let taken_over = rotate_key(tx.stores(), &db.ambient, &caller, &boss.id, RotateKey::DEFAULT).await;
    assert!(matches!(taken_over, Err(DomainError::Forbidden { .. })), "{taken_over:?}");
    create_key(tx.stores(), &db.ambient, &caller, command("reader", &["viewer"])).await.expect("a smaller key");
}

#[tokio::test]
async fn a_name_whose_grants_outlived_its_key_is_not_taken_over() {
    let db = with_catalogue().await;
    let environment =
        [EnvironmentKey { name: "root".into(), key: Secret::new("an-old-admin-key".into()), admin: true }];
    let context = RequestContext::system("start");
    for keys in [&environment[..], &[]] {
        let mut tx = db.begin().await;
        seed_environment_keys(tx.stores(), &db.ambient, &context, keys).await.expect("seeded");
        tx.save().await.expect("a commit");
    }
    let cli = make_key(&db, "automation", &["cli"]).await;
    let known = who(&db, cli.secret.expose()).await.expect("recognised");
    let mut caller = product();
    (caller.context.actor, caller.permissions) = (known.actor, std::sync::Arc::new(known.permissions));
    let mut tx = db.begin().await;
    let taken = create_key(tx.stores(), &db.ambient, &caller, command("root", &["viewer"])).await;
    assert!(matches!(taken, Err(DomainError::Forbidden { .. })), "{taken:?}");
}

#[tokio::test]
async fn the_last_administrator_key_stays() {
    let db = with_catalogue().await;
    let first = make_key(&db, "first", &["admin"]).await;
    let mut tx = db.begin().await;
    let refused = delete_key(tx.stores(), &db.ambient, &product(), &first.id).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "last_admin", .. })), "{refused:?}");
    drop(tx);
    make_key(&db, "second", &["admin"]).await;
    let mut tx = db.begin().await;
    delete_key(tx.stores(), &db.ambient, &product(), &first.id).await.expect("another administrator remains");
}

#[tokio::test]
async fn an_agent_key_is_its_agent_until_it_is_revoked() {
    let db = with_catalogue().await;
    let mut tx = db.begin().await;
    // Enrolment records its own event; none is needed here.
    let secret = issue_agent_key(tx.stores(), &db.ambient, "agt-1").await.expect("a key");
    tx.save_unaudited("part of an enrolment").await.expect("a commit");
    let known = who(&db, secret.expose()).await.expect("recognised");
    assert_eq!((known.actor.kind, known.actor.id.as_str()), (ActorType::Agent, "agt-1"));
    assert_eq!(known.roles, ["r-agent"]);
    assert_eq!(known.permissions.len(), DefaultRole::Agent.permissions().len());
    let mut tx = db.begin().await;
    revoke_agent_keys(tx.stores(), &db.ambient, "agt-1").await.expect("a revocation");
    tx.save_unaudited("part of a retirement").await.expect("a commit");
    assert!(who(&db, secret.expose()).await.is_none());
}

#[tokio::test]
async fn a_use_is_noted_once_a_minute() {
    let db = with_catalogue().await;
    let key = make_key(&db, "ci-deploy", &["viewer"]).await;
    let noted = async |ip: &str| {
        let known = who(&db, key.secret.expose()).await.expect("recognised");
        let Some(credential) = known.touch else { return false };
        let mut tx = db.begin().await;
        tx.touch(&credential, db.ambient.now(), Some(ip)).await.expect("noted");
        tx.save_unaudited("a use is no change").await.expect("a commit");
        true
    };
    assert!(noted("192.0.2.1").await);
    db.clock.set(START + Duration::seconds(59));
    assert!(!noted("192.0.2.2").await);
    db.clock.set(START + Duration::MINUTE);
    assert!(noted("192.0.2.3").await);
    let row = db.session().await.query_one("SELECT last_used_at, last_used_ip FROM iam.api_keys", &[]).await;
    let row = row.expect("a row");
    assert_eq!((row.get(0), row.get::<_, &str>(1)), (START + Duration::MINUTE, "192.0.2.3"));
}

#[tokio::test]
async fn environment_keys_are_granted_once_and_leave_with_the_environment() {
    let db = with_catalogue().await;
    let context = RequestContext::system("start");
    let key = |name: &str, text: &str, admin| EnvironmentKey {
        name: name.to_owned(),
        key: Secret::new(text.to_owned()),
        admin,
    };
    let start = async |keys: &[EnvironmentKey]| {
        let mut tx = db.begin().await;
        let report = seed_environment_keys(tx.stores(), &db.ambient, &context, keys).await.expect("seeded");
        if report.changed() {
            tx.save().await.expect("a commit");
        }
        report
    };
    let both = [key("ops", "old-key-of-ops", true), key("ops", "new-key-of-ops", true)];
    assert_eq!(start(&both).await.added, ["ops", "ops"]);
    for text in ["old-key-of-ops", "new-key-of-ops"] {
        let known = who(&db, text).await.expect("recognised");
        assert_eq!((known.actor.id.as_str(), known.roles), ("ops", vec!["r-admin".to_owned()]));
    }
    assert_eq!(start(&both).await, SeedReport::default());

    let only_new = [key("ops", "new-key-of-ops", true)];
    assert_eq!(start(&only_new).await.withdrawn, ["ops"]);
    assert!(who(&db, "old-key-of-ops").await.is_none());
    assert!(who(&db, "new-key-of-ops").await.is_some());

    // An administrator scopes the key down: the next start does not undo it, and says so.
    db.session().await.execute("UPDATE iam.grants SET role_id = 'r-viewer'", &[]).await.expect("a change");
    let report = start(&only_new).await;
    assert_eq!((report.drifted, report.added), (vec!["ops".to_owned()], vec![]));
    assert_eq!(who(&db, "new-key-of-ops").await.expect("recognised").roles, ["r-viewer"]);
    assert_eq!(start(&both).await.added, ["ops"], "a key that comes back works again");
    assert_eq!(who(&db, "old-key-of-ops").await.expect("recognised").roles, ["r-viewer"]);
}

#[tokio::test]
async fn of_eight_first_administrators_at_once_one_wins() {
    let db = with_catalogue().await;
    let runs: Vec<_> = (0..8)
        .map(|n| {
            let (replica, ambient) = (db.replica(), db.ambient.clone());
            tokio::spawn(async move {
                let token = Secret::new(TOKEN.to_owned());
                let mut tx = replica.begin().await.expect("a transaction");
                let name = format!("admin-{n}");
                let context = RequestContext::system("race");
                let made = consume(tx.stores(), &ambient, &context, Some(&token), TOKEN, &name).await;
                if made.is_ok() {
                    tx.save().await.expect("a commit");
                } else {
                    tx.discard().await.expect("a rollback");
                }
                made
            })
        })
        .collect();
    let mut winners = Vec::new();
    for run in runs {
        match run.await.expect("no panic") {
            Ok(admin) => winners.push(admin),
            Err(BootstrapError::Closed) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    let known = who(&db, winners[0].key.expose()).await.expect("recognised");
    assert_eq!((known.actor.id, known.roles), (winners[0].actor_id.clone(), vec!["r-admin".to_owned()]));
    assert_eq!(actions(&db).await, ["bootstrap.consume"]);
}

#[tokio::test]
async fn br_09_the_bootstrap_token_tells_nothing_once_an_administrator_exists() {
    let db = with_catalogue().await;
    make_key(&db, "reader", &["viewer"]).await;
    let token = Secret::new(TOKEN.to_owned());
    let context = RequestContext::system("day-0");
    let attempt = async |presented: &str, name: &str| {
        let mut tx = db.begin().await;
        let made = consume(tx.stores(), &db.ambient, &context, Some(&token), presented, name).await;
        if made.is_ok() {
            tx.save().await.expect("a commit");
        }
        made.map(|admin| admin.actor_id)
    };
    assert!(matches!(attempt(TOKEN, "No Name").await, Err(BootstrapError::Name)));
    for presented in ["wrong", ""] {
        assert!(matches!(attempt(presented, "admin").await, Err(BootstrapError::Token)));
    }
    assert!(matches!(attempt(TOKEN, "reader").await, Err(BootstrapError::NameTaken)));
    assert!(available(db.read().await.stores(), Some(&token), db.ambient.now()).await);
    assert_eq!(attempt(TOKEN, "admin").await.expect("still usable"), "admin");
    assert!(!available(db.read().await.stores(), Some(&token), db.ambient.now()).await);
    for presented in [TOKEN, "wrong"] {
        assert!(matches!(attempt(presented, "second").await, Err(BootstrapError::Closed)));
    }
}
