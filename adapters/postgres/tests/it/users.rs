//! People: signing in, races of it, and secrets of the installation.

use crate::oidc::{provider, save, with_catalogue};
use crate::secrets::ring;
use crate::support::{START, TestDatabase};
use certctl_kernel::{ListQuery, Secret};
use certctl_secrets::installation_secret;
use certctl_unit_of_work::Database as _;
use certctl_user::{SignIn, SignInError, SignedIn, SubjectPepper, User, UserFilter, UserState, sign_in};
use time::Duration;

/// What people are recognised by in tests.
pub fn pepper() -> SubjectPepper {
    SubjectPepper::new(Secret::new([7; 32]))
}

/// What a provider tells of somebody.
pub fn told<'a>(provider_id: &'a str, subject: &'a str) -> SignIn<'a> {
    SignIn {
        provider_id,
        subject,
        email: Some("ada@corp.example"),
        name: Some("Ada"),
        preferred_username: None,
        groups: &[],
    }
}

/// Signs somebody in and commits.
pub async fn signed_in(db: &TestDatabase, command: SignIn<'_>) -> Result<SignedIn, SignInError> {
    let mut tx = db.begin().await;
    let outcome = sign_in(tx.stores(), &db.ambient, &pepper(), command).await;
    match outcome {
        Ok(_) => save(tx).await,
        Err(_) => tx.discard().await.expect("a rollback"),
    }
    outcome
}

async fn principal(db: &TestDatabase, id: &str) -> (String, bool) {
    let sql = "SELECT display, disabled_at IS NOT NULL FROM iam.principals WHERE kind = 'User' AND id = $1";
    let row = db.session().await.query_one(sql, &[&id]).await.expect("a principal");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_person_is_made_at_the_first_sign_in_and_follows_the_provider_afterwards() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    let groups = ["eng".to_owned()];
    let first = signed_in(&db, SignIn { groups: &groups, ..told(&idp.id, "s-1") }).await.expect("let in");
    assert!(first.first_time && first.user.id.starts_with("u-"));
    assert_eq!(first.user.last_login_at, Some(START));
    db.clock.set(db.ambient.now() + Duration::HOUR);
    let later = SignIn { email: None, name: None, preferred_username: Some("ada"), ..told(&idp.id, "s-1") };
    let again = signed_in(&db, later).await.expect("let in");
    assert!(!again.first_time);
    let stored = db.read().await.user(&first.user.id).await.expect("read").expect("a row");
    assert_eq!(stored, again.user);
    assert_eq!((stored.email.as_str(), stored.display_name.as_str(), stored.row_version), ("", "ada", 2));
    assert_eq!((stored.created_at, stored.last_login_at), (START, Some(START + Duration::HOUR)));
    assert_eq!((stored.oidc_subject.as_deref(), stored.idp_groups.len()), (Some("s-1"), 0));
    assert_eq!(principal(&db, &stored.id).await, ("ada".to_owned(), false));
}

#[tokio::test]
async fn first_sign_ins_of_one_person_at_once_find_one_row() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let (replica, ambient, id) = (db.replica(), db.ambient.clone(), idp.id.clone());
            tokio::spawn(async move {
                let mut tx = replica.begin().await.expect("a transaction");
                let found = sign_in(tx.stores(), &ambient, &pepper(), told(&id, "s-1")).await.expect("let in");
                save(tx).await;
                found
            })
        })
        .collect();
    let (mut ids, mut first) = (Vec::new(), 0);
    for run in runs {
        let found = run.await.expect("no panic");
        first += usize::from(found.first_time);
        ids.push(found.user.id);
    }
    ids.dedup();
    assert_eq!((ids.len(), first), (1, 1));
    let count = |table| format!("SELECT count(*) FROM {table}");
    for (table, rows) in [("iam.users", 1_i64), ("iam.principals WHERE kind = 'User'", 1)] {
        let row = db.session().await.query_one(&count(table), &[]).await.expect("a count");
        assert_eq!(row.get::<_, i64>(0), rows, "{table}");
    }
}

#[tokio::test]
async fn ic_04_the_subject_of_another_provider_is_another_person_whatever_the_address() {
    let db = with_catalogue().await;
    let (here, there) = (provider(&db, "here").await, provider(&db, "there").await);
    let first = signed_in(&db, told(&here.id, "s-1")).await.expect("let in").user;
    let second = signed_in(&db, told(&there.id, "s-1")).await.expect("let in").user;
    assert_ne!(first.id, second.id);
    assert_eq!(first.email, second.email);
}

#[tokio::test]
async fn who_is_shut_out_is_refused_before_anything_is_written_and_a_purged_person_stays_known() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    let user = signed_in(&db, told(&idp.id, "s-1")).await.expect("let in").user;
    let shut = User { deactivated_at: Some(START), ..user.clone() };
    let mut tx = db.begin().await;
    tx.update_user(&shut).await.expect("written");
    save(tx).await;
    assert_eq!(principal(&db, &user.id).await, ("Ada".to_owned(), true));
    db.clock.set(db.ambient.now() + Duration::HOUR);
    let refused = SignInError::Deactivated { user_id: user.id.clone() };
    // Not even a broken address tells that the account would be let in.
    let command = SignIn { email: Some("broken"), ..told(&idp.id, "s-1") };
    assert_eq!(signed_in(&db, command).await, Err(refused.clone()));
    let stored = db.read().await.user(&user.id).await.expect("read").expect("a row");
    assert_eq!((stored.last_login_at, stored.row_version), (Some(START), 2));
    let purged = User { oidc_subject: None, purged_at: Some(START), ..shut };
    let mut tx = db.begin().await;
    tx.update_user(&purged).await.expect("written");
    save(tx).await;
    assert_eq!(signed_in(&db, told(&idp.id, "s-1")).await, Err(refused));
    let lookup = pepper().lookup(&idp.id, "s-1");
    let found = db.read().await.user_by_lookup(&lookup).await.expect("read").expect("a row");
    assert_eq!((found.state(), found.id, found.oidc_subject), (UserState::Purged, user.id, None));
}

#[tokio::test]
async fn broken_claims_write_nothing() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    let long = "s".repeat(256);
    for (command, error) in [
        (told(&idp.id, ""), SignInError::Subject),
        (told(&idp.id, &long), SignInError::Subject),
        (SignIn { email: Some("ada@corp"), ..told(&idp.id, "s") }, SignInError::Email),
        (SignIn { email: Some(" ada@corp.example"), ..told(&idp.id, "s") }, SignInError::Email),
    ] {
        assert_eq!(signed_in(&db, command).await, Err(error), "{command:?}");
    }
    let page = db.read().await.users_page(&UserFilter::default(), &ListQuery::default()).await.expect("a page");
    assert_eq!(page.total, 0);
}

#[tokio::test]
async fn people_are_listed_oldest_first_and_filtered() {
    let db = with_catalogue().await;
    let (here, there) = (provider(&db, "here").await, provider(&db, "there").await);
    for (idp, subject, name) in [(&here, "1", "Ada"), (&here, "2", "Bob"), (&there, "3", "Cleo")] {
        signed_in(&db, SignIn { name: Some(name), ..told(&idp.id, subject) }).await.expect("let in");
        db.clock.set(db.ambient.now() + Duration::MINUTE);
    }
    let list =
        async |filter: UserFilter, query: ListQuery| db.read().await.users_page(&filter, &query).await.expect("a page");
    let names = |rows: &[User]| rows.iter().map(|user| user.display_name.clone()).collect::<Vec<_>>();
    let two = ListQuery { per_page: 2, ..ListQuery::default() };
    let page = list(UserFilter::default(), two.clone()).await;
    assert_eq!((names(&page.rows), page.total), (vec!["Ada".to_owned(), "Bob".to_owned()], 3));
    let rest = list(UserFilter::default(), ListQuery { cursor: page.next, ..two }).await;
    assert_eq!((names(&rest.rows), rest.next), (vec!["Cleo".to_owned()], None));
    let of = UserFilter { oidc_provider_id: Some(here.id.clone()), ..UserFilter::default() };
    assert_eq!(list(of, ListQuery::default()).await.total, 2);
    let mut tx = db.begin().await;
    tx.update_user(&User { deactivated_at: Some(START), ..rest.rows[0].clone() }).await.expect("written");
    save(tx).await;
    for (state, expected) in [(UserState::Active, 2), (UserState::Deactivated, 1), (UserState::Purged, 0)] {
        let filter = UserFilter { state: Some(state), q: Some("corp.example".to_owned()), ..UserFilter::default() };
        assert_eq!(list(filter, ListQuery::default()).await.total, expected, "{state:?}");
    }
}

#[tokio::test]
async fn a_secret_of_the_installation_is_made_once_by_whoever_asks_first() {
    let db = with_catalogue().await;
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let (replica, ambient) = (db.replica(), db.ambient.clone());
            tokio::spawn(async move {
                let mut tx = replica.begin().await.expect("a transaction");
                let secret =
                    installation_secret::<32>(tx.stores(), &ambient, &ring(&[("k1", crate::secrets::OLD)]), "it").await;
                tx.save_unaudited("a secret is nobody's change").await.expect("a commit");
                *secret.expect("a secret").expose()
            })
        })
        .collect();
    let mut seen = Vec::new();
    for run in runs {
        seen.push(run.await.expect("no panic"));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
    let stored: Vec<u8> = db
        .session()
        .await
        .query_one("SELECT value_encrypted FROM iam.installation_secrets WHERE id = 'it'", &[])
        .await
        .expect("one row")
        .get(0);
    assert!(!stored.windows(32).any(|window| window == seen[0]), "sealed");
    let other =
        installation_secret::<32>(db.read().await.stores(), &db.ambient, &ring(&[("k1", crate::secrets::NEW)]), "it")
            .await;
    other.expect_err("another key does not open it");
}

/// A session through a provider, to be made another's.
pub fn session_row(provider_id: &str) -> certctl_session::Session {
    certctl_session::Session {
        id: "ses-it".to_owned(),
        actor: certctl_kernel::Actor::system(),
        signing_key_id: "sk-it".to_owned(),
        way: "oidc".to_owned(),
        provider_id: Some(provider_id.to_owned()),
        csrf_epoch: 0,
        ip_address: String::new(),
        user_agent: String::new(),
        created_at: START,
        last_seen_at: START,
        absolute_expires_at: START + Duration::hours(8),
        revoked: None,
        renew: false,
        replaced: None,
    }
}
