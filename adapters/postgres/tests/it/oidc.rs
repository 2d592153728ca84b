//! Providers, mappings and what must not be used twice.

use crate::support::{START, TestDatabase};
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::{IdKind, ListQuery, RequestContext, StoreError};
use certctl_oidc::{
    AtHashPolicy, GroupMapping, GroupsClaimFormat, GroupsOverage, MappingFilter, Provider, ProviderFilter,
};
use certctl_rbac::Scope;
use certctl_unit_of_work::{Database as _, UnitOfWork};
use serde_json::json;
use time::Duration;

/// A database with the default roles.
pub async fn with_catalogue() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    db
}

/// Saves a transaction that a test made by hand.
pub async fn save(mut tx: Box<dyn UnitOfWork>) {
    let event = AuditEvent::new(Action::OidcProviderUpdated, &RequestContext::system("it"), "it", json!({}));
    tx.record(event).await.expect("an event");
    tx.save().await.expect("a commit");
}

/// A provider with a value of its own in every column.
pub fn sample(db: &TestDatabase, name: &str) -> Provider {
    Provider {
        id: db.ambient.id(IdKind::OidcProvider),
        tenant_id: "t-default".to_owned(),
        name: name.to_owned(),
        issuer_url: format!("https://idp.example/{name}"),
        client_id: "certctl".to_owned(),
        sealed_client_secret: vec![4, 1, 2, 3],
        redirect_uri: "https://pki.example/auth/oidc/callback".to_owned(),
        groups_claim_path: "/resource_access/certctl/roles".to_owned(),
        groups_claim_format: GroupsClaimFormat::JsonPath,
        more_groups_claim_paths: vec!["roles".to_owned()],
        fetch_userinfo: true,
        scopes: vec!["openid".to_owned(), "groups".to_owned()],
        allowed_email_domains: vec!["corp.example".to_owned()],
        require_verified_email: false,
        iat_window_seconds: 120,
        jwks_cache_ttl_seconds: 900,
        at_hash_policy: AtHashPolicy::Require,
        groups_overage: GroupsOverage::Graph,
        hosted_domain: "corp.example".to_owned(),
        default_role_id: Some("r-viewer".to_owned()),
        rp_initiated_logout: true,
        ca_bundle_pem: "-----BEGIN CERTIFICATE-----".to_owned(),
        enabled: true,
        archived_at: None,
        row_version: 1,
        created_at: START,
        updated_at: START,
    }
}

/// A stored provider.
pub async fn provider(db: &TestDatabase, name: &str) -> Provider {
    let made = sample(db, name);
    let mut tx = db.begin().await;
    tx.insert_provider(&made).await.expect("a provider");
    save(tx).await;
    made
}

fn mapping(db: &TestDatabase, provider: &Provider, group: &str, role: &str, scope: Scope) -> GroupMapping {
    GroupMapping {
        id: db.ambient.id(IdKind::GroupRoleMapping),
        tenant_id: "t-default".to_owned(),
        provider_id: provider.id.clone(),
        group_name: group.to_owned(),
        role_id: role.to_owned(),
        scope,
        description: "on call".to_owned(),
        created_by: "alice".to_owned(),
        created_at: START,
        row_version: 1,
    }
}

#[tokio::test]
async fn a_provider_reads_back_whole_and_changes_whole() {
    let db = with_catalogue().await;
    let made = provider(&db, "corp").await;
    let mut unit = db.read().await;
    assert_eq!(unit.provider(&made.id).await, Ok(Some(made.clone())));
    assert_eq!(unit.provider_by_name("CORP").await, Ok(Some(made.clone())));
    assert_eq!(unit.provider("op-none").await, Ok(None));
    let changed = Provider {
        name: "corp2".to_owned(),
        issuer_url: "https://other.example".to_owned(),
        client_id: "c2".to_owned(),
        sealed_client_secret: vec![4, 9],
        redirect_uri: "https://b.example/auth/oidc/callback".to_owned(),
        groups_claim_path: "groups".to_owned(),
        groups_claim_format: GroupsClaimFormat::StringArray,
        more_groups_claim_paths: vec![],
        fetch_userinfo: false,
        scopes: vec!["openid".to_owned()],
        allowed_email_domains: vec![],
        require_verified_email: true,
        iat_window_seconds: 300,
        jwks_cache_ttl_seconds: 3600,
        at_hash_policy: AtHashPolicy::IfPresent,
        groups_overage: GroupsOverage::Refuse,
        hosted_domain: String::new(),
        default_role_id: None,
        rp_initiated_logout: false,
        ca_bundle_pem: String::new(),
        enabled: false,
        archived_at: Some(START + Duration::HOUR),
        updated_at: START + Duration::HOUR,
        ..made
    };
    let mut tx = db.begin().await;
    tx.update_provider(&changed).await.expect("written");
    save(tx).await;
    let stored = db.read().await.provider(&changed.id).await.expect("read");
    assert_eq!(stored, Some(Provider { row_version: 2, ..changed }));
}

#[tokio::test]
async fn names_are_unique_without_regard_to_case_and_the_holder_is_told() {
    let db = with_catalogue().await;
    let first = provider(&db, "corp").await;
    let second = provider(&db, "other").await;
    let clash = |existing: &Provider| {
        Err(StoreError::Duplicate { field: "name".to_owned(), existing_id: Some(existing.id.clone()) })
    };
    let mut tx = db.begin().await;
    assert_eq!(tx.insert_provider(&sample(&db, "Corp")).await, clash(&first));
    assert_eq!(tx.update_provider(&Provider { name: "CORP".to_owned(), ..second }).await, clash(&first));
}

#[tokio::test]
async fn lists_filter_and_page_and_only_usable_providers_are_offered() {
    let db = with_catalogue().await;
    let mut made = Vec::new();
    for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let minutes = i64::try_from(n).expect("small");
        made.push(Provider { created_at: START + Duration::minutes(minutes), ..sample(&db, name) });
    }
    made[1].enabled = false;
    made[2].archived_at = Some(START);
    let mut tx = db.begin().await;
    for provider in &made {
        tx.insert_provider(provider).await.expect("a provider");
    }
    save(tx).await;
    let mut unit = db.read().await;
    let names = |rows: Vec<Provider>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    let present = ProviderFilter { archived: Some(false), ..ProviderFilter::default() };
    let page = unit.providers_page(&present, &ListQuery { per_page: 2, ..ListQuery::default() }).await.expect("a page");
    assert_eq!((names(page.rows), page.total), (vec!["a".to_owned(), "b".to_owned()], 3));
    let rest = ListQuery { per_page: 2, page: 1, cursor: page.next };
    let page = unit.providers_page(&present, &rest).await.expect("a page");
    assert_eq!((names(page.rows), page.next), (vec!["d".to_owned()], None));
    let off = ProviderFilter { enabled: Some(false), q: Some("idp.example".to_owned()), archived: None };
    assert_eq!(names(unit.providers_page(&off, &ListQuery::default()).await.expect("a page").rows), ["b"]);
    assert_eq!(names(unit.usable_providers().await.expect("a list")), ["a", "d"]);
    assert_eq!(unit.count_providers().await, Ok(3));
    let of = |name: &str| format!("https://idp.example/{name}");
    assert_eq!(names(unit.providers_of_issuer(&of("b")).await.expect("a list")), ["b"], "its logouts still count");
    assert_eq!(names(unit.providers_of_issuer(&of("c")).await.expect("a list")), Vec::<String>::new());
}

#[tokio::test]
async fn mappings_say_what_groups_are_worth_and_go_with_their_provider() {
    let db = with_catalogue().await;
    let (here, there) = (provider(&db, "here").await, provider(&db, "there").await);
    db.session().await.batch_execute("INSERT INTO iam.roles (id, name) VALUES ('r-own', 'own')").await.expect("a role");
    let in_a = Scope::Profile("prof-a".to_owned());
    let all = [
        mapping(&db, &here, "eng", "r-operator", Scope::Global),
        mapping(&db, &here, "eng", "r-operator", in_a.clone()),
        mapping(&db, &here, "audit", "r-auditor", Scope::Global),
        mapping(&db, &there, "eng", "r-admin", Scope::Global),
    ];
    let mut tx = db.begin().await;
    tx.insert_mappings(&all).await.expect("mappings");
    save(tx).await;
    let mut unit = db.read().await;
    let groups = ["eng".to_owned(), "Audit".to_owned(), "other".to_owned()];
    let found = unit.mapped_roles(&here.id, &groups).await.expect("roles");
    let found: Vec<_> = found.into_iter().map(|m| (m.group_name, m.role_id, m.scope)).collect();
    let eng = |scope| ("eng".to_owned(), "r-operator".to_owned(), scope);
    assert_eq!(found, [eng(Scope::Global), eng(in_a)], "octet by octet, and of this provider only");
    assert_eq!(unit.mapping(&all[1].id).await, Ok(Some(all[1].clone())));
    let filter = MappingFilter { provider_id: here.id.clone(), ..MappingFilter::default() };
    let page = unit.mappings_page(&filter, &ListQuery::default()).await.expect("a page");
    assert_eq!(page.rows.iter().map(|m| m.group_name.as_str()).collect::<Vec<_>>(), ["audit", "eng", "eng"]);
    let narrow = MappingFilter { q: Some("AUD".to_owned()), role_id: Some("r-auditor".to_owned()), ..filter };
    assert_eq!(unit.mappings_page(&narrow, &ListQuery::default()).await.expect("a page").total, 1);
    drop(unit);

    let mut tx = db.begin().await;
    let again = GroupMapping { id: db.ambient.id(IdKind::GroupRoleMapping), ..all[1].clone() };
    let refused = tx.insert_mappings(&[again]).await;
    assert!(matches!(refused, Err(StoreError::Duplicate { .. })), "the same group, role and scope: {refused:?}");
    tx.discard().await.expect("a rollback");

    let changed = GroupMapping { role_id: "r-own".to_owned(), scope: Scope::Global, ..all[2].clone() };
    let mut tx = db.begin().await;
    tx.update_mapping(&changed).await.expect("written");
    tx.delete_provider(&there.id).await.expect("removed");
    save(tx).await;
    let mut unit = db.read().await;
    assert_eq!(unit.mapping(&changed.id).await, Ok(Some(GroupMapping { row_version: 2, ..changed })));
    assert_eq!(unit.mapping(&all[3].id).await, Ok(None));
}

#[tokio::test]
async fn of_two_callbacks_with_one_sign_in_exactly_one_goes_on() {
    let db = with_catalogue().await;
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let replica = db.replica();
            tokio::spawn(async move {
                let mut tx = replica.begin().await.expect("a transaction");
                let first = tx.use_sign_in("pl-1", START + Duration::minutes(10)).await.expect("an answer");
                tx.save_unaudited("the test's own").await.expect("a commit");
                first
            })
        })
        .collect();
    let mut won = 0;
    for run in runs {
        won += usize::from(run.await.expect("no panic"));
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn what_was_used_counts_unless_it_was_discarded() {
    let db = with_catalogue().await;
    let end = START + Duration::minutes(10);
    let mut tx = db.begin().await;
    assert_eq!(tx.consume_logout_jti("https://a.example", "jti-1", START, end).await, Ok(true));
    tx.discard().await.expect("a rollback");
    let mut tx = db.begin().await;
    assert_eq!(tx.consume_logout_jti("https://a.example", "jti-1", START, end).await, Ok(true), "nothing was kept");
    assert_eq!(tx.consume_logout_jti("https://a.example", "jti-1", START, end).await, Ok(false));
    assert_eq!(tx.consume_logout_jti("https://b.example", "jti-1", START, end).await, Ok(true), "another issuer's");
    assert_eq!(tx.use_sign_in("pl-1", end).await, Ok(true));
    assert_eq!(tx.use_sign_in("pl-1", end).await, Ok(false));
    save(tx).await;
}
