//! Profiles and renewal policies.

use crate::support::{TestDatabase, alice};
use certctl_inventory::{CreateRenewalPolicy, PolicyFilter};
use certctl_kernel::{DomainError, ListQuery, StoreError};
use certctl_profile::{
    CreateProfile, KeyRuleInput, Patch, Profile, ProfileInput, UpdateProfile, create_profile, delete_profile,
    plan_update, save_update,
};
use certctl_unit_of_work::UnitOfWork;
use std::collections::BTreeMap;

async fn profile(db: &TestDatabase, name: &str, input: ProfileInput) -> Profile {
    let mut unit = db.begin().await;
    let command = CreateProfile { id: None, name: name.to_owned(), input };
    let made = create_profile(unit.stores(), &db.ambient, &alice(), command).await.expect("a profile");
    unit.save().await.expect("saved");
    made
}

async fn policy(unit: &mut Box<dyn UnitOfWork>, db: &TestDatabase, name: &str) -> Result<String, DomainError> {
    let command = CreateRenewalPolicy { name: name.to_owned(), ..CreateRenewalPolicy::default() };
    certctl_inventory::create_renewal_policy(unit.stores(), &db.ambient, &alice(), command).await.map(|made| made.id)
}

#[tokio::test]
async fn every_member_of_a_profile_survives_storage() {
    let db = TestDatabase::new().await;
    let input = ProfileInput {
        description: Patch::Set("for the edge".to_owned()),
        allowed_key_algorithms: Patch::Set(vec![KeyRuleInput { algorithm: "Ed25519".to_owned(), min_size: 0 }]),
        max_ttl_seconds: Patch::Set(1800),
        allowed_ekus: Patch::Set(vec!["clientAuth".to_owned(), "serverAuth".to_owned()]),
        required_san_patterns: Patch::Set(vec![r".*\.example\.com".to_owned()]),
        spiffe_uri_pattern: Patch::Set("spiffe://example.org/ns/*".to_owned()),
        allow_short_lived: Some(true),
        must_staple: Some(true),
        required_csr_attributes: Patch::Set(vec!["serialNumber".to_owned()]),
        acme_auth_mode: Patch::Set("challenge".to_owned()),
        requires_approval: Some(true),
        allow_wildcards: Some(false),
        enabled: Some(false),
        default_policy_id: Patch::Set("rp-default".to_owned()),
        ..ProfileInput::default()
    };
    let made = profile(&db, "edge", input).await;
    let stored = db.read().await.profile(&made.id).await.expect("read");
    assert_eq!(stored, Some(made));
}

#[tokio::test]
async fn a_profile_that_requires_approval_can_be_neither_loosened_nor_taken_away() {
    let db = TestDatabase::new().await;
    let input = ProfileInput { requires_approval: Some(true), ..ProfileInput::default() };
    let gated = profile(&db, "gated", input).await;
    let mut unit = db.begin().await;
    let change = UpdateProfile {
        id: gated.id.clone(),
        input: ProfileInput { requires_approval: Some(false), ..ProfileInput::default() },
        ..UpdateProfile::default()
    };
    let plan = plan_update(unit.stores(), &db.ambient, &alice(), change).await.expect("it keeps every rule");
    let refused = save_update(unit.stores(), &alice(), plan).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "approval_required", .. })), "{refused:?}");
    let command = CreateRenewalPolicy {
        name: "bound".to_owned(),
        certificate_profile_id: Some(gated.id.clone()),
        ..CreateRenewalPolicy::default()
    };
    certctl_inventory::create_renewal_policy(unit.stores(), &db.ambient, &alice(), command).await.expect("a policy");
    let forced = delete_profile(unit.stores(), &alice(), &gated.id, None, true).await;
    assert!(matches!(forced, Err(DomainError::Conflict { code: "approval_required", .. })), "{forced:?}");
}

#[tokio::test]
async fn a_profile_in_use_goes_only_when_it_is_detached_on_purpose() {
    let db = TestDatabase::new().await;
    let plain = profile(&db, "plain", ProfileInput::default()).await;
    let mut unit = db.begin().await;
    let command = CreateRenewalPolicy {
        name: "bound".to_owned(),
        certificate_profile_id: Some(plain.id.clone()),
        ..CreateRenewalPolicy::default()
    };
    let bound =
        certctl_inventory::create_renewal_policy(unit.stores(), &db.ambient, &alice(), command).await.expect("bound");
    let refused = delete_profile(unit.stores(), &alice(), &plain.id, None, false).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "dependency_blocked", .. })), "{refused:?}");
    delete_profile(unit.stores(), &alice(), &plain.id, None, true).await.expect("detached");
    let policy = unit.renewal_policy(&bound.id).await.expect("read").expect("the policy stays");
    assert_eq!((policy.certificate_profile_id, policy.row_version), (None, 2));
    unit.save().await.expect("saved");
}

#[tokio::test]
async fn the_default_policy_is_there_once_and_within_its_own_rules() {
    let db = TestDatabase::new().await;
    let default = db.read().await.renewal_policy("rp-default").await.expect("read").expect("the baseline row");
    assert_eq!((default.renewal_window_days, default.auto_renew, default.max_retries), (30, true, 3));
    assert_eq!((default.retry_interval_seconds, default.alert_thresholds_days), (60, vec![30, 14, 7, 0]));
}

#[tokio::test]
async fn ids_made_from_names_step_aside_and_taken_names_do_not() {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    assert_eq!(policy(&mut unit, &db, "Two Weeks").await, Ok("rp-two-weeks".to_owned()));
    assert_eq!(policy(&mut unit, &db, "Two-Weeks").await, Ok("rp-two-weeks-2".to_owned()));
    for number in 3..=10 {
        let name = format!("two weeks{}", "!".repeat(number));
        assert_eq!(policy(&mut unit, &db, &name).await, Ok(format!("rp-two-weeks-{number}")));
    }
    let exhausted = policy(&mut unit, &db, "two weeks?").await;
    assert!(matches!(&exhausted, Err(DomainError::Store(StoreError::Duplicate { field, .. })) if field == "id"));
    let clash = policy(&mut unit, &db, "TWO WEEKS").await;
    let taken = StoreError::Duplicate { field: "name".to_owned(), existing_id: Some("rp-two-weeks".to_owned()) };
    assert_eq!(clash, Err(DomainError::Store(taken)));
    unit.save().await.expect("saved");
    let page = db.read().await.renewal_policies_page(&PolicyFilter::default(), &ListQuery::default()).await;
    let names: Vec<_> = page.expect("a page").rows.into_iter().map(|row| row.name).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names.len(), 11);
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>(), sorted.iter().collect());
}

#[tokio::test]
async fn the_database_holds_the_bounds_that_the_rules_state() {
    let db = TestDatabase::new().await;
    let default = db.read().await.renewal_policy("rp-default").await.expect("read").expect("the baseline row");
    let wrong = [
        ("renewal_window_days", certctl_inventory::RenewalPolicy { renewal_window_days: 366, ..default.clone() }),
        ("max_retries", certctl_inventory::RenewalPolicy { max_retries: 11, ..default.clone() }),
        ("retry_interval_seconds", certctl_inventory::RenewalPolicy { retry_interval_seconds: 59, ..default.clone() }),
        ("alert_thresholds_days", certctl_inventory::RenewalPolicy { alert_thresholds_days: vec![-1], ..default }),
    ];
    for (member, policy) in wrong {
        let mut unit = db.begin().await;
        let constraint = format!("renewal_policies_{member}_check");
        assert_eq!(unit.update_renewal_policy(&policy).await, Err(StoreError::CheckFailed { constraint }));
    }
}

#[tokio::test]
async fn channels_and_severities_read_back() {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    let command = CreateRenewalPolicy {
        name: "loud".to_owned(),
        alert_channels: BTreeMap::from([("critical".to_owned(), vec!["PagerDuty".to_owned()])]),
        alert_severity_map: BTreeMap::from([("3".to_owned(), "critical".to_owned())]),
        ..CreateRenewalPolicy::default()
    };
    let made =
        certctl_inventory::create_renewal_policy(unit.stores(), &db.ambient, &alice(), command).await.expect("made");
    assert_eq!(unit.renewal_policy(&made.id).await, Ok(Some(made)));
}
