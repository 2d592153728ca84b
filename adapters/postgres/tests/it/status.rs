//! Issuing, revoking, and what CRL and OCSP say about it.

use crate::ca::{registry, sealer};
use crate::support::{TestDatabase, alice};
use certctl_ca::Lend;
use certctl_inventory::{Certificate, CertificateStatus, CertificateVersion};
use certctl_issuance::{IssueFromCsr, Outcome, issue_from_csr};
use certctl_issuers::LocalIssuers;
use certctl_kernel::DomainError;
use certctl_port_issuer::{IssuerRegistry as _, StatusAuthority};
use certctl_ports::{KeyAlgorithm, KeyGenerator as _};
use certctl_revocation::{
    Freshness, Replace, ResponderKeys, RevocationReason, Revoke, Revoked, SerialStatus, StatusSettings,
    ensure_responder, publish_crl, published_crl, revoke,
};
use certctl_signers::RingKeys;
use certctl_unit_of_work::Database as _;
use certctl_x509::{San, ca, crl, csr};
use std::sync::Arc;
use time::Duration;

/// A request with a fresh key for the certificate's own names.
pub fn request(names: &[String]) -> String {
    let keys = RingKeys::new();
    let key = keys.load_der(&keys.generate(KeyAlgorithm::EcdsaP256).expect("a key")).expect("loads");
    let names: Vec<San> = names.iter().map(|name| San::parse(name).expect("a name")).collect();
    csr::build(key.as_ref(), None, &names).expect("a request")
}

async fn issue_with(
    db: &TestDatabase,
    issuers: &LocalIssuers,
    certificate: &Certificate,
    csr_pem: String,
) -> Result<CertificateVersion, DomainError> {
    let mut unit = db.begin().await;
    let command = IssueFromCsr {
        certificate_id: certificate.id.clone(),
        csr_pem,
        job_id: None,
        source: certctl_inventory::sources::API.to_owned(),
    };
    let settings = certctl_approval::ApprovalSettings::default();
    match issue_from_csr(unit.stores(), issuers, &db.ambient, &settings, &alice(), command).await {
        Ok(Outcome::Issued(version)) => {
            unit.save().await.expect("committed");
            Ok(*version)
        }
        Ok(Outcome::Pending(request)) => panic!("no profile demands an approval: {request:?}"),
        Err(error) => {
            unit.discard().await.expect("discarded");
            Err(error)
        }
    }
}

async fn issue(db: &TestDatabase, issuers: &LocalIssuers, certificate: &Certificate) -> CertificateVersion {
    issue_with(db, issuers, certificate, request(&certificate.sans)).await.expect("issued")
}

pub fn command(certificate: &Certificate, reason: RevocationReason) -> Revoke {
    Revoke {
        certificate_id: certificate.id.clone(),
        reason,
        serial: None,
        invalidity_date: None,
        comment: None,
        block_key: None,
    }
}

async fn revoke_now(db: &TestDatabase, command: Revoke) -> Result<Revoked, DomainError> {
    let mut unit = db.begin().await;
    let outcome = revoke(unit.stores(), &db.ambient, &alice(), command).await;
    match &outcome {
        Ok(revoked) if !revoked.already => unit.save().await.expect("committed"),
        _ => unit.discard().await.expect("discarded"),
    }
    outcome
}

async fn authority(db: &TestDatabase, issuers: &LocalIssuers, issuer_id: &str) -> Arc<dyn StatusAuthority> {
    let mut unit = db.read().await;
    let mut all = issuers.authorities(&mut Lend(unit.stores()), issuer_id).await.expect("authorities");
    all.remove(0)
}

async fn statuses(db: &TestDatabase, version: &CertificateVersion) -> Vec<SerialStatus> {
    let ca_id = version.ca_id.as_deref().expect("a local CA");
    let serials = [version.serial_number.clone(), "0".repeat(40)];
    db.read().await.serial_statuses(&version.issuer_id, ca_id, &serials).await.expect("statuses")
}

async fn state(db: &TestDatabase, certificate: &Certificate) -> CertificateStatus {
    db.read().await.certificate(&certificate.id).await.expect("a row").expect("a certificate").status
}

#[tokio::test]
async fn what_is_issued_is_recorded_with_its_ca_and_becomes_current() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let version = issue(&db, &issuers, &certificate).await;
    let stored = db.read().await.certificate(&certificate.id).await.expect("a row").expect("a certificate");
    assert_eq!(stored.status, CertificateStatus::Active);
    assert_eq!(stored.current_version_id, Some(version.id.clone()));
    assert_eq!(stored.expires_at, Some(version.not_after));
    assert!(stored.next_renewal_at.is_some_and(|at| at < version.not_after));
    assert_eq!(version.sans, ["web.example.com", "192.0.2.1"]);
    assert_eq!(statuses(&db, &version).await, [SerialStatus::Good, SerialStatus::Unknown]);
    let second = issue(&db, &issuers, &certificate).await;
    assert_ne!(version.serial_number, second.serial_number);
    assert_eq!(db.read().await.latest_version(&certificate.id).await.expect("a row").map(|v| v.seq), Some(2));
}

#[tokio::test]
async fn a_refused_request_changes_nothing() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let foreign = request(&["evil.example".to_owned()]);
    let refused = issue_with(&db, &issuers, &certificate, foreign).await.expect_err("a foreign name");
    assert!(
        matches!(&refused, DomainError::Unprocessable(errors) if errors[0].code == "san_not_authorised"),
        "{refused}"
    );
    let garbage = issue_with(&db, &issuers, &certificate, "garbage".to_owned()).await.expect_err("no request");
    assert!(matches!(&garbage, DomainError::Validation(errors) if errors[0].code == "csr_malformed"), "{garbage}");
    assert_eq!(state(&db, &certificate).await, CertificateStatus::Pending);
    assert_eq!(db.read().await.latest_version(&certificate.id).await, Ok(None));
}

#[tokio::test]
async fn revoking_covers_every_live_version_and_is_shown_at_once() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let (first, second) = (issue(&db, &issuers, &certificate).await, issue(&db, &issuers, &certificate).await);
    let authority = authority(&db, &issuers, &certificate.issuer_id).await;
    let settings = StatusSettings::default();
    let publish = async || {
        let mut unit = db.begin().await;
        let (crl, new) = publish_crl(unit.stores(), authority.as_ref(), &db.ambient, &settings, Freshness::Serving)
            .await
            .expect("a CRL");
        if new {
            unit.save().await.expect("saved");
        } else {
            unit.discard().await.expect("discarded");
        }
        (crl, new)
    };
    let (empty, _) = publish().await;
    assert_eq!((empty.revoked_count, publish().await.1), (0, false), "a list that shows everything serves on");

    let revoked = revoke_now(&db, command(&certificate, RevocationReason::Superseded)).await.expect("revoked");
    let mut serials = [first.serial_number.clone(), second.serial_number.clone()];
    serials.sort();
    assert_eq!((revoked.already, revoked.serials.as_slice(), revoked.changes.len()), (false, serials.as_slice(), 2));
    assert_eq!(state(&db, &certificate).await, CertificateStatus::Revoked);
    for version in [&first, &second] {
        assert!(matches!(
            statuses(&db, version).await[0],
            SerialStatus::Revoked { reason: RevocationReason::Superseded, .. }
        ));
    }
    let stale = published_crl(db.read().await.stores(), &authority.ca().id, db.ambient.now(), Freshness::Serving).await;
    assert_eq!(stale, Ok(None), "the older list shows too little");
    let (full, new) = publish().await;
    assert!(new && full.number > empty.number);
    let ca = ca::load(&authority.ca().full_pem(), db.ambient.now()).expect("a CA");
    let mut listed: Vec<_> = crl::inspect(&full.der, &ca.issuer()).expect("verifies").entries;
    listed.sort();
    assert_eq!(listed, serials.map(|serial| (serial, 4)));

    let refused = issue_with(&db, &issuers, &certificate, request(&certificate.sans)).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "revoked", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_repetition_is_told_a_compromise_replaces_the_reason_and_nothing_replaces_a_compromise() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let never = revoke_now(&db, command(&certificate, RevocationReason::Unspecified)).await;
    assert!(matches!(never, Err(DomainError::Conflict { code: "never_issued", .. })), "{never:?}");
    let csr_pem = request(&certificate.sans);
    let version = issue_with(&db, &issuers, &certificate, csr_pem.clone()).await.expect("issued");
    let other = crate::certificates::declared(&db, "other").await;

    let reason = RevocationReason::CessationOfOperation;
    assert!(!revoke_now(&db, command(&certificate, reason)).await.expect("revoked").already);
    let again = revoke_now(&db, command(&certificate, reason)).await.expect("told");
    assert_eq!((again.already, again.serials), (true, vec![version.serial_number.clone()]));
    let upgraded = revoke_now(&db, command(&certificate, RevocationReason::KeyCompromise)).await.expect("replaced");
    assert!(!upgraded.already && upgraded.changes.len() == 1);
    assert!(matches!(
        statuses(&db, &version).await[0],
        SerialStatus::Revoked { reason: RevocationReason::KeyCompromise, .. }
    ));
    let downgraded = revoke_now(&db, command(&certificate, RevocationReason::Superseded)).await;
    assert!(matches!(downgraded, Err(DomainError::Conflict { code: "already_revoked", .. })), "{downgraded:?}");
    assert_eq!(db.begin().await.key_is_barred(&version.spki_sha256).await, Ok(true));
    let names = csr::parse(&csr_pem).expect("sound");
    assert_eq!(names.spki_sha256, version.spki_sha256);
    let reused = issue_with(&db, &issuers, &other, csr_pem).await.expect_err("the lost key");
    assert!(
        matches!(&reused, DomainError::Unprocessable(errors) if errors.iter().any(|e| e.code == "key_blocked")),
        "{reused}"
    );
    let events: i64 = db
        .session()
        .await
        .query_one("SELECT count(*) FROM audit.events WHERE action = 'certificate_revoked'", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(events, 2, "one for the revocation, one for the new reason");
}

#[tokio::test]
async fn one_serial_can_be_revoked_and_the_certificate_lives_on() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let (old, current) = (issue(&db, &issuers, &certificate).await, issue(&db, &issuers, &certificate).await);
    let one = |serial: &str| Revoke {
        serial: Some(serial.to_owned()),
        ..command(&certificate, RevocationReason::Superseded)
    };
    let shouted = old.serial_number.to_uppercase();
    assert_eq!(
        revoke_now(&db, one(&shouted)).await.expect("revoked").serials,
        std::slice::from_ref(&old.serial_number)
    );
    assert_eq!(state(&db, &certificate).await, CertificateStatus::Active);
    assert_eq!(statuses(&db, &current).await[0], SerialStatus::Good);
    assert!(matches!(revoke_now(&db, one("ff")).await, Err(DomainError::NotFound { .. })));
    assert!(matches!(revoke_now(&db, one("xyz")).await, Err(DomainError::Validation(_))));
}

#[tokio::test]
async fn revocations_at_the_same_time_change_the_state_once() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    issue(&db, &issuers, &certificate).await;
    let attempts = (0..6).map(|_| revoke_now(&db, command(&certificate, RevocationReason::Superseded)));
    let outcomes = futures_util::future::join_all(attempts).await;
    let fresh = outcomes.iter().filter(|outcome| matches!(outcome, Ok(revoked) if !revoked.already)).count();
    let told = outcomes.iter().filter(|outcome| matches!(outcome, Ok(revoked) if revoked.already)).count();
    assert_eq!((fresh, told), (1, 5));
}

#[tokio::test]
async fn r01_crl_numbers_rise_strictly_whoever_publishes() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    issue(&db, &issuers, &certificate).await;
    let authority = authority(&db, &issuers, &certificate.issuer_id).await;
    let publish = async || {
        let mut unit = db.replica().begin().await.expect("a transaction");
        let made =
            publish_crl(unit.stores(), authority.as_ref(), &db.ambient, &StatusSettings::default(), Freshness::New)
                .await;
        unit.save().await.expect("published");
        made.expect("a CRL").0.number
    };
    let mut numbers = futures_util::future::join_all((0..8).map(|_| publish())).await;
    numbers.sort_unstable();
    let first = numbers[0];
    assert_eq!(first, db.ambient.now().unix_timestamp());
    assert_eq!(numbers, (first..first + 8).collect::<Vec<_>>());
    let overview = db.read().await.crl_overview().await.expect("an overview");
    assert_eq!((overview.len(), overview[0].events.len()), (1, 5));
    assert_eq!(overview[0].crl.as_ref().map(|state| (state.crl.number, state.dirty)), Some((first + 7, false)));
    assert_eq!(overview[0].events[0].crl_number, first + 7);
}

#[tokio::test]
async fn a_revocation_that_commits_while_a_list_is_made_asks_for_the_next() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    issue(&db, &issuers, &certificate).await;
    let authority = authority(&db, &issuers, &certificate.issuer_id).await;
    let mut making = db.begin().await;
    publish_crl(making.stores(), authority.as_ref(), &db.ambient, &StatusSettings::default(), Freshness::New)
        .await
        .expect("a CRL");
    let mut revoking = db.begin().await;
    // Waits for the row of the counters, which the list's transaction holds, and so commits after it.
    let (outcome, saved) = tokio::join!(
        async {
            revoke(revoking.stores(), &db.ambient, &alice(), command(&certificate, RevocationReason::Superseded))
                .await
                .expect("revoked");
            revoking.save().await
        },
        async { making.save().await }
    );
    assert_eq!((outcome, saved), (Ok(()), Ok(())));
    let state = db.read().await.crl(&authority.ca().id).await.expect("a row").expect("a CRL");
    assert!(state.dirty && state.crl.revoked_count == 0);
    let stale = db.read().await.issuers_with_stale_crls(db.ambient.now()).await;
    assert_eq!(stale, Ok(vec![certificate.issuer_id.clone()]));
}

#[tokio::test]
async fn r07_an_expired_certificate_leaves_the_list_after_it_was_listed_once_more() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let version = issue(&db, &issuers, &certificate).await;
    revoke_now(&db, command(&certificate, RevocationReason::Superseded)).await.expect("revoked");
    let authority = authority(&db, &issuers, &certificate.issuer_id).await;
    let mut counts = Vec::new();
    for at in [db.ambient.now(), version.not_after + Duration::days(1), version.not_after + Duration::days(2)] {
        db.clock.set(at);
        let mut unit = db.begin().await;
        let (crl, _) =
            publish_crl(unit.stores(), authority.as_ref(), &db.ambient, &StatusSettings::default(), Freshness::New)
                .await
                .expect("a CRL");
        unit.save().await.expect("published");
        counts.push(crl.revoked_count);
    }
    assert_eq!(counts, [1, 1, 0]);
}

#[tokio::test]
async fn o13_replicas_end_with_one_responder_and_replace_it_in_good_time() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let sealer = sealer();
    let issuers = registry(&db.ambient, &sealer);
    issue(&db, &issuers, &certificate).await;
    let authority = authority(&db, &issuers, &certificate.issuer_id).await;
    let with = ResponderKeys { keys: Arc::new(RingKeys::new()), sealer };
    let settings = StatusSettings::default();
    let ensure = async |replace| {
        let mut unit = db.replica().begin().await.expect("a transaction");
        let made = ensure_responder(unit.stores(), authority.as_ref(), &with, &db.ambient, &settings, replace).await;
        unit.save_unaudited("a test saves whatever was made").await.expect("saved");
        made.expect("a responder")
    };
    let made = futures_util::future::join_all((0..6).map(|_| ensure(Replace::WhenGone))).await;
    assert_eq!(made.iter().filter(|(_, new)| *new).count(), 1);
    assert!(made.iter().all(|(responder, _)| responder.cert_der == made[0].0.cert_der));

    assert!(!ensure(Replace::InGoodTime).await.1, "a fresh one stays");
    db.clock.set(db.ambient.now() + Duration::days(16));
    let deadline = Replace::InGoodTime.deadline(&settings, db.ambient.now());
    let ending = db.read().await.issuers_with_ending_responders(deadline).await;
    assert_eq!(ending, Ok(vec![certificate.issuer_id.clone()]));
    assert!(!ensure(Replace::WhenGone).await.1, "requests do not replace one that serves");
    let (second, new) = ensure(Replace::InGoodTime).await;
    assert!(new && second.cert_der != made[0].0.cert_der);
}
