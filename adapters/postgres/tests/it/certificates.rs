//! Certificates and their versions.

use crate::support::{START, TestDatabase, alice};
use certctl_inventory::{
    Certificate, CertificateFilter, CertificateSort, CertificateSortKey, CertificateStatus, CertificateVersion,
    CreateCertificate, Patch, UpdateCertificate,
};
use certctl_kernel::{Cursor, DomainError, ListQuery, SortOrder, StoreError};
use certctl_rbac::{Caller, EffectivePermission, Permission, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use time::Duration;

/// A certificate declared with a team, owner and issuer of its own.
pub async fn declared(db: &TestDatabase, name: &str) -> Certificate {
    let team = crate::org::team(db, &format!("{name}-team")).await;
    let owner = crate::org::owner(db, &team).await;
    let issuer = crate::issuers::issuer(db, &format!("{name}-ca")).await;
    let mut unit = db.begin().await;
    let command = CreateCertificate {
        name: name.to_owned(),
        common_name: format!("{name}.example.com"),
        sans: vec![format!("{name}.example.com"), "192.0.2.1".to_owned()],
        environment: "production".to_owned(),
        owner_id: owner.id,
        team_id: team.id,
        issuer_id: issuer.id,
        renewal_policy_id: "rp-default".to_owned(),
        tags: BTreeMap::from([("tier".to_owned(), "1".to_owned())]),
        ..CreateCertificate::default()
    };
    let made = certctl_inventory::create_certificate(unit.stores(), &db.ambient, &alice(), command)
        .await
        .expect("a certificate");
    unit.save().await.expect("saved");
    made
}

fn version(certificate: &Certificate, number: u8) -> CertificateVersion {
    let days = Duration::days(i64::from(number));
    CertificateVersion {
        id: format!("{}-v{number}", certificate.id),
        certificate_id: certificate.id.clone(),
        issuer_id: certificate.issuer_id.clone(),
        ca_id: None,
        seq: 0,
        serial_number: format!("{number:040x}"),
        not_before: START + days,
        not_after: START + days + Duration::days(90),
        fingerprint_sha256: format!("{number:064x}"),
        pem_chain: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(),
        csr_pem: "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n".to_owned(),
        key_algorithm: "ECDSA".to_owned(),
        key_size: 256,
        profile_id: None,
        source: "API".to_owned(),
        job_id: None,
        requested_by: "alice".to_owned(),
        spki_sha256: "ab".repeat(32),
        subject_dn: "CN=web.example.com".to_owned(),
        issuer_dn: "CN=ca".to_owned(),
        sans: certificate.sans.clone(),
        revocation_exempt: false,
        created_at: START + days,
    }
}

#[tokio::test]
async fn a_certificate_reads_back_as_declared() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    assert_eq!((made.status, made.source.as_str()), (CertificateStatus::Pending, "API"));
    assert_eq!(db.read().await.certificate(&made.id).await, Ok(Some(made)));
}

#[tokio::test]
async fn recording_versions_counts_them_and_moves_the_certificate_along() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    let next = START + Duration::days(60);
    for number in [1, 2] {
        let mut unit = db.begin().await;
        unit.certificate_for_update(&made.id).await.expect("held");
        unit.record_version(&version(&made, number), Some(next)).await.expect("recorded");
        unit.save_unaudited("a test").await.expect("saved");
    }
    let mut read = db.read().await;
    let now = read.certificate(&made.id).await.expect("read").expect("the certificate");
    assert_eq!(now.status, CertificateStatus::Active);
    assert_eq!(now.current_version_id, Some(version(&made, 2).id));
    assert_eq!(now.expires_at, Some(START + Duration::days(92)));
    assert_eq!((now.last_renewal_at, now.next_renewal_at), (Some(START + Duration::days(2)), Some(next)));
    assert_eq!(now.row_version, 3);
    let latest = read.latest_version(&made.id).await.expect("read").expect("a version");
    assert_eq!(latest, CertificateVersion { seq: 2, ..version(&made, 2) });
    let first = read.version_by_serial(&made.issuer_id, &format!("{:040x}", 1)).await.expect("read");
    assert_eq!(first.map(|v| v.seq), Some(1));
    let list = ListQuery { per_page: 1, ..ListQuery::default() };
    let page = read.versions(&made.id, &list).await.expect("a page");
    assert_eq!((page.rows[0].seq, page.total), (2, 2), "newest first");
    let rest = ListQuery { cursor: page.next, ..list };
    let page = read.versions(&made.id, &rest).await.expect("a page");
    assert_eq!((page.rows[0].seq, page.next), (1, None));
    let live = read.unexpired_versions(&made.id, START + Duration::days(91)).await.expect("read");
    assert_eq!(live.iter().map(|v| v.seq).collect::<Vec<_>>(), [2], "the first ends on day 91");
}

#[tokio::test]
async fn a_serial_and_a_leaf_are_recorded_once() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    let mut unit = db.begin().await;
    unit.record_version(&version(&made, 1), None).await.expect("recorded");
    unit.save_unaudited("a test").await.expect("saved");
    let again = CertificateVersion { serial_number: version(&made, 1).serial_number, ..version(&made, 2) };
    let duplicate = |field: &str| Err(StoreError::Duplicate { field: field.to_owned(), existing_id: None });
    assert_eq!(db.begin().await.record_version(&again, None).await, duplicate("serial_number"));
    let again = CertificateVersion { fingerprint_sha256: version(&made, 1).fingerprint_sha256, ..version(&made, 2) };
    assert_eq!(db.begin().await.record_version(&again, None).await, duplicate("fingerprint_sha256"));
}

#[tokio::test]
async fn a_private_key_never_gets_into_the_inventory() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    for text in [
        "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n".to_owned(),
        format!("{}-----BEGIN EC PRIVATE KEY-----\n", version(&made, 1).csr_pem),
    ] {
        let leak = CertificateVersion { csr_pem: text, ..version(&made, 1) };
        let constraint = "certificate_versions_csr_pem_check".to_owned();
        let refused = db.begin().await.record_version(&leak, None).await;
        assert_eq!(refused, Err(StoreError::CheckFailed { constraint }));
    }
}

#[tokio::test]
async fn states_move_only_from_where_they_are_said_to_be() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    let mut unit = db.begin().await;
    let to = CertificateStatus::RenewalInProgress;
    let moved = |from: CertificateStatus| [from];
    assert_eq!(unit.set_certificate_status(&made.id, &moved(CertificateStatus::Active), to, START).await, Ok(false));
    assert_eq!(unit.set_certificate_status(&made.id, &moved(CertificateStatus::Pending), to, START).await, Ok(true));
    unit.record_version(&version(&made, 1), None).await.expect("recorded");
    unit.mark_revoked(&made.id, START, "keyCompromise").await.expect("revoked");
    let revoked = unit.certificate(&made.id).await.expect("read").expect("the certificate");
    assert_eq!(revoked.status, CertificateStatus::Revoked);
    assert_eq!((revoked.revoked_at, revoked.revocation_reason.as_deref()), (Some(START), Some("keyCompromise")));
    certctl_inventory::archive_certificate(unit.stores(), &db.ambient, &alice(), &made.id, None).await.expect("gone");
    let archived = unit.certificate(&made.id).await.expect("read").expect("the row stays");
    assert_eq!((archived.status, archived.revoked_at), (CertificateStatus::Archived, Some(START)));
    let change = UpdateCertificate { id: made.id.clone(), ..UpdateCertificate::default() };
    let refused = certctl_inventory::update_certificate(unit.stores(), &db.ambient, &alice(), change).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "archived", .. })), "{refused:?}");
    unit.save().await.expect("saved");
    let late = db.begin().await.record_version(&version(&made, 2), None).await;
    let constraint = "certificates_archived_at_check".to_owned();
    assert_eq!(late, Err(StoreError::CheckFailed { constraint }), "an archived certificate takes no version");
}

#[tokio::test]
async fn references_to_nothing_name_their_member() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    let none = || "none".to_owned();
    let wrong = [
        ("owner_id", Certificate { owner_id: none(), ..made.clone() }),
        ("team_id", Certificate { team_id: none(), ..made.clone() }),
        ("issuer_id", Certificate { issuer_id: none(), ..made.clone() }),
        ("renewal_policy_id", Certificate { renewal_policy_id: none(), ..made.clone() }),
        ("certificate_profile_id", Certificate { certificate_profile_id: Some(none()), ..made.clone() }),
    ];
    for (field, row) in wrong {
        let refused = db.begin().await.update_certificate(&row).await;
        assert_eq!(refused, Err(StoreError::UnknownReference { field: field.to_owned() }));
    }
}

#[tokio::test]
async fn an_update_records_old_and_new_and_needs_the_permission_at_both_ends() {
    let db = TestDatabase::new().await;
    let made = declared(&db, "web").await;
    let other = crate::issuers::issuer(&db, "other").await;
    let mut scoped = alice();
    scoped.permissions = Arc::new(BTreeSet::from([EffectivePermission {
        permission: Permission::CertEdit,
        scope: Scope::Issuer(made.issuer_id.clone()),
    }]));
    let change = |caller: Caller, issuer: Option<String>| {
        let id = made.id.clone();
        let db = &db;
        async move {
            let mut unit = db.begin().await;
            let command = UpdateCertificate {
                id,
                sans: Patch::Set(vec!["WWW.example.com".to_owned()]),
                issuer_id: issuer,
                ..UpdateCertificate::default()
            };
            let result = certctl_inventory::update_certificate(unit.stores(), &db.ambient, &caller, command).await;
            if result.is_ok() {
                unit.save().await.expect("saved");
            }
            result
        }
    };
    let refused = change(scoped.clone(), Some(other.id)).await;
    assert!(matches!(refused, Err(DomainError::Forbidden { .. })), "{refused:?}");
    let changed = change(scoped, None).await.expect("its own issuer");
    assert_eq!(changed.sans, ["www.example.com"]);
    let details: serde_json::Value = db
        .session()
        .await
        .query_one("SELECT details FROM audit.events WHERE action = 'certificate_updated'", &[])
        .await
        .expect("one event")
        .get(0);
    assert_eq!(
        details["changes"],
        serde_json::json!({"sans": [["web.example.com", "192.0.2.1"], ["www.example.com"]]})
    );
    assert_eq!(db.read().await.certificate(&made.id).await, Ok(Some(changed)));
}

/// A thousand certificates of one owner, ten of them at each instant.
async fn thousand(db: &TestDatabase) -> Certificate {
    let first = declared(db, "seed").await;
    db.session()
        .await
        .execute(
            "INSERT INTO inventory.certificates (id, name, common_name, sans, owner_id, team_id, issuer_id, \
               renewal_policy_id, status, state_entered_at, created_at, updated_at) \
             SELECT 'mc-' || lpad(n::text, 5, '0'), 'bulk-' || n, 'h' || (n % 7) || '.example.com', \
               ARRAY['alt' || n || '.example.com'], c.owner_id, c.team_id, c.issuer_id, c.renewal_policy_id, \
               'Pending', c.created_at, c.created_at + (n / 10) * interval '1 second', c.created_at \
             FROM generate_series(1, 999) n, inventory.certificates c WHERE c.id = $1",
            &[&first.id],
        )
        .await
        .expect("rows");
    first
}

#[tokio::test]
async fn cursors_walk_a_thousand_rows_without_gap_or_repeat_while_others_insert() {
    let db = TestDatabase::new().await;
    let first = thousand(&db).await;
    let orders = [
        (CertificateSortKey::CreatedAt, SortOrder::Ascending),
        (CertificateSortKey::CreatedAt, SortOrder::Descending),
        (CertificateSortKey::CommonName, SortOrder::Descending),
        (CertificateSortKey::ExpiresAt, SortOrder::Ascending),
        (CertificateSortKey::Status, SortOrder::Ascending),
    ];
    for (round, (key, order)) in orders.into_iter().enumerate() {
        let sort = CertificateSort { key, order };
        let mut list = ListQuery { per_page: 130, ..ListQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page =
                db.read().await.certificates_page(&CertificateFilter::default(), sort, &list).await.expect("a page");
            seen.extend(page.rows.into_iter().map(|row| row.id));
            // Somebody inserts between any two pages, before and after the place of the cursor.
            let mut unit = db.begin().await;
            for at in [START - Duration::days(1), START + Duration::days(1)] {
                let id = format!("mc-new-{round}-{}-{}", seen.len(), at.unix_timestamp());
                let row = Certificate { name: id.clone(), id, created_at: at, updated_at: at, ..first.clone() };
                unit.insert_certificate(&row).await.expect("a row");
            }
            unit.save_unaudited("a test").await.expect("saved");
            match page.next {
                Some(next) => list.cursor = Some(next),
                None => break,
            }
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{key:?} {order:?} repeated a row");
        let old = distinct.iter().filter(|id| !id.starts_with("mc-new-")).count();
        assert_eq!(old, 1000, "{key:?} {order:?} left rows out");
    }
}

#[tokio::test]
async fn filters_find_what_they_name_alone_and_together() {
    let db = TestDatabase::new().await;
    let first = thousand(&db).await;
    let other = declared(&db, "other").await;
    let mut unit = db.begin().await;
    unit.record_version(&version(&first, 1), None).await.expect("recorded");
    unit.save_unaudited("a test").await.expect("saved");
    let count = async |filter: CertificateFilter| {
        let mut read = db.read().await;
        read.certificates_page(&filter, CertificateSort::default(), &ListQuery::default()).await.expect("a page").total
    };
    let all = CertificateFilter::default;
    let day = |n: i64| Some(START + Duration::days(n));
    let cases = [
        (1001, all()),
        (1, CertificateFilter { status: Some(CertificateStatus::Active), ..all() }),
        (1, CertificateFilter { owner_id: Some(other.owner_id.clone()), ..all() }),
        (1000, CertificateFilter { team_id: Some(first.team_id.clone()), ..all() }),
        (2, CertificateFilter { environment: Some("production".to_owned()), ..all() }),
        (0, CertificateFilter { profile_id: Some("none".to_owned()), ..all() }),
        (2, CertificateFilter { source: Some("API".to_owned()), ..all() }),
        (0, CertificateFilter { target_id: Some("none".to_owned()), ..all() }),
        (0, CertificateFilter { agent_id: Some("none".to_owned()), ..all() }),
        (1, CertificateFilter { expires_before: day(92), ..all() }),
        (0, CertificateFilter { expires_before: day(91), ..all() }),
        (1, CertificateFilter { expires_after: day(90), expires_before: day(92), ..all() }),
        (0, CertificateFilter { created_after: day(1), ..all() }),
        (1, CertificateFilter { q: Some("ALT777.".to_owned()), ..all() }),
        (143, CertificateFilter { q: Some("h3.example".to_owned()), hide_archived: true, ..all() }),
        (1, CertificateFilter { within: Some(vec![Scope::Issuer(other.issuer_id.clone())]), ..all() }),
        (0, CertificateFilter { within: Some(vec![Scope::Profile("p".to_owned())]), ..all() }),
        (0, CertificateFilter { owner_id: Some(other.owner_id.clone()), issuer_id: Some(first.issuer_id), ..all() }),
    ];
    for (expected, filter) in cases {
        assert_eq!(count(filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_forged_cursor_is_a_refusal_not_a_fault() {
    let db = TestDatabase::new().await;
    let forged = Cursor { key: "'; DROP".to_owned(), id: "x".to_owned(), filter_hash: String::new() };
    let list = ListQuery { cursor: Some(forged), ..ListQuery::default() };
    let page =
        db.read().await.certificates_page(&CertificateFilter::default(), CertificateSort::default(), &list).await;
    assert_eq!(page, Err(StoreError::CheckFailed { constraint: "cursor".to_owned() }));
}

#[tokio::test]
async fn the_default_list_and_the_expiry_list_are_read_from_their_indexes() {
    let db = TestDatabase::new().await;
    thousand(&db).await;
    let session = db.session().await;
    session.batch_execute("ANALYZE inventory.certificates").await.expect("statistics");
    for (order, index) in [
        ("created_at, id", "certificates_created_at_idx"),
        ("coalesce(expires_at, 'infinity') DESC, id DESC", "certificates_expires_at_idx"),
    ] {
        let sql = format!("EXPLAIN SELECT * FROM inventory.certificates ORDER BY {order} LIMIT 51");
        let plan: Vec<String> = session.query(&sql, &[]).await.expect("a plan").iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:#?}");
    }
}
