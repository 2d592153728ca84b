//! Issuers.

use crate::support::{TestDatabase, alice};
use certctl_inventory::{CreateIssuer, Issuer, IssuerFilter, Patch, UpdateIssuer, test_status};
use certctl_kernel::{DomainError, ListQuery, StoreError};
use serde_json::{Value, json};

/// A local CA to create.
pub fn local(name: &str, config: Value) -> CreateIssuer {
    CreateIssuer {
        id: None,
        name: name.to_owned(),
        kind: "local".to_owned(),
        config,
        enabled: true,
        hierarchy_mode: None,
        source: "database",
    }
}

/// A stored local CA.
pub async fn issuer(db: &TestDatabase, name: &str) -> Issuer {
    let mut unit = db.begin().await;
    let made = certctl_inventory::create_issuer(unit.stores(), &db.ambient, &alice(), local(name, json!({})))
        .await
        .expect("an issuer");
    unit.save().await.expect("saved");
    made
}

#[tokio::test]
async fn an_issuer_reads_back_and_a_new_configuration_forgets_the_old_test() {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    let made = certctl_inventory::create_issuer(
        unit.stores(),
        &db.ambient,
        &alice(),
        local("Local", json!({"validity_days": 30, "ca_common_name": null})),
    )
    .await
    .expect("an issuer");
    assert_eq!((made.kind.as_str(), &made.config), ("GenericCA", &json!({"validity_days": 30})));
    assert_eq!(unit.issuer(&made.id).await, Ok(Some(made.clone())));
    unit.set_issuer_test_result(&made.id, test_status::SUCCESS, db.ambient.now()).await.expect("kept");
    let rename = UpdateIssuer { id: made.id.clone(), name: Some("Root".to_owned()), ..UpdateIssuer::default() };
    let renamed =
        certctl_inventory::update_issuer(unit.stores(), &db.ambient, &alice(), rename).await.expect("renamed");
    assert_eq!((renamed.test_status.as_str(), renamed.config_version), (test_status::SUCCESS, 1));
    let change = UpdateIssuer {
        id: made.id.clone(),
        config: Patch::Set(json!({"validity_days": 60})),
        ..UpdateIssuer::default()
    };
    let changed =
        certctl_inventory::update_issuer(unit.stores(), &db.ambient, &alice(), change).await.expect("changed");
    assert_eq!((changed.test_status.as_str(), changed.config_version), (test_status::UNTESTED, 2));
    assert_eq!(unit.issuer(&made.id).await, Ok(Some(changed)));
    let other = UpdateIssuer { id: made.id, kind: Some("acme".to_owned()), ..UpdateIssuer::default() };
    let refused = certctl_inventory::update_issuer(unit.stores(), &db.ambient, &alice(), other).await;
    assert!(matches!(refused, Err(DomainError::Validation(errors)) if errors[0].field == "type"));
    unit.save().await.expect("saved");
    let told =
        "SELECT jsonb_agg(details -> 'changes' ORDER BY insert_id) FROM audit.events WHERE action = 'update_issuer'";
    let told: serde_json::Value = db.session().await.query_one(told, &[]).await.expect("events").get(0);
    let config = json!([{"validity_days": 30}, {"validity_days": 60}]);
    assert_eq!(told, json!([{"name": ["Local", "Root"]}, {"config": config}]));
}

#[tokio::test]
async fn lists_filter_by_type_and_by_whether_they_sign() {
    let db = TestDatabase::new().await;
    let first = issuer(&db, "One").await;
    issuer(&db, "Two").await;
    let mut unit = db.begin().await;
    let change = UpdateIssuer { id: first.id.clone(), enabled: Some(false), ..UpdateIssuer::default() };
    certctl_inventory::update_issuer(unit.stores(), &db.ambient, &alice(), change).await.expect("changed");
    unit.save().await.expect("saved");
    let count = async |filter: IssuerFilter| {
        db.read().await.issuers_page(&filter, &ListQuery::default()).await.expect("a page").total
    };
    assert_eq!(count(IssuerFilter::default()).await, 2);
    assert_eq!(count(IssuerFilter { enabled: Some(false), ..IssuerFilter::default() }).await, 1);
    assert_eq!(count(IssuerFilter { kind: Some("ACME".to_owned()), ..IssuerFilter::default() }).await, 0);
    let both =
        IssuerFilter { kind: Some("GenericCA".to_owned()), enabled: Some(true), q: Some("tw".to_owned()), ids: None };
    assert_eq!(count(both).await, 1);
}

#[tokio::test]
async fn an_issuer_with_certificates_stays() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let mut unit = db.begin().await;
    let refused = certctl_inventory::delete_issuer(unit.stores(), &alice(), &certificate.issuer_id, None).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "dependency_blocked", .. })), "{refused:?}");
    assert_eq!(unit.delete_issuer(&certificate.issuer_id).await, Err(StoreError::InUse));
    let free = issuer(&db, "free").await;
    let mut unit = db.begin().await;
    certctl_inventory::delete_issuer(unit.stores(), &alice(), &free.id, Some(1)).await.expect("removed");
    unit.save().await.expect("saved");
    assert_eq!(db.read().await.issuer(&free.id).await, Ok(None));
}
