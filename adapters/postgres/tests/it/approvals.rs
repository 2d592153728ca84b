//! Two-person approval over the real stores: who may decide, what one approval is good for, and what a race leaves.

use crate::fleet::{as_agent, issued, served, told};
use crate::support::{START, TestDatabase, alice};
use certctl_apikey::{CreateKey, RotateKey, create_key, rotate_key};
use certctl_approval::{
    ApprovalError, ApprovalFilter, ApprovalRequest, ApprovalSettings, ApprovalState, ExpirySettings, approve,
    approve_job, cancel_job, expire_due, reject, withdraw,
};
use certctl_deployment::request_to_answer;
use certctl_inventory::{Certificate, CertificateStatus, CertificateVersion, archive_certificate, sources};
use certctl_issuance::{IssueFromCsr, Outcome, issue_from_csr};
use certctl_issuers::LocalIssuers;
use certctl_jobs::{JobStatus, SweepSettings, reap_timeouts, retry_due};
use certctl_kernel::{Actor, ActorType, DomainError, ListQuery};
use certctl_profile::{CreateProfile, Profile, ProfileInput, create_profile};
use certctl_rbac::Caller;
use certctl_renewal::{Ordered, ScanSettings, renew, renewal_scan};
use certctl_revocation::{RevocationReason, revoke};
use certctl_unit_of_work::UnitOfWork;
use std::sync::Arc;
use time::Duration;

pub const SETTINGS: ApprovalSettings = ApprovalSettings { timeout: Duration::WEEK, bypass: false };

/// A key with every permission, held by a person or by nobody.
pub async fn keyed(db: &TestDatabase, name: &str, person: Option<&str>) -> Caller {
    let mut unit = db.begin().await;
    unit.sync_catalogue().await.expect("a catalogue");
    let command = CreateKey {
        name: name.to_owned(),
        roles: vec!["admin".to_owned()],
        expires_at: None,
        owner_user_id: person.map(ToOwned::to_owned),
    };
    create_key(unit.stores(), &db.ambient, &Caller::system("it"), command).await.expect("a key");
    unit.save().await.expect("saved");
    let mut caller = alice();
    caller.context.actor = Actor::new(name, ActorType::APIKey);
    caller
}

async fn gated_profile(db: &TestDatabase) -> Profile {
    let mut unit = db.begin().await;
    let input = ProfileInput { requires_approval: Some(true), ..ProfileInput::default() };
    let command = CreateProfile { id: Some("prof-strict".to_owned()), name: "strict".to_owned(), input };
    let made = create_profile(unit.stores(), &db.ambient, &alice(), command).await.expect("a profile");
    unit.save().await.expect("saved");
    made
}

/// What most tests start from.
pub struct Scene {
    pub db: Arc<TestDatabase>,
    pub issuers: Arc<LocalIssuers>,
    pub certificate: Certificate,
    pub agent: String,
    pub ada: Caller,
    pub bob: Caller,
}

impl Scene {
    /// A certificate under a profile that demands approval, on one target of one agent, and two persons.
    pub async fn set() -> Self {
        let db = Arc::new(TestDatabase::new().await);
        let (certificate, agent, _) = served(&db, "web").await;
        gated_profile(&db).await;
        let session = db.session().await;
        session
            .batch_execute("UPDATE inventory.certificates SET certificate_profile_id = 'prof-strict'")
            .await
            .expect("under the profile");
        let issuers = Arc::new(crate::ca::registry(&db.ambient, &crate::ca::sealer()));
        let (ada, bob) = (keyed(&db, "ada-laptop", Some("ada")).await, keyed(&db, "bob-laptop", Some("bob")).await);
        Self { db, issuers, certificate, agent, ada, bob }
    }

    pub async fn order(&self, by: &Caller) -> Result<Ordered, DomainError> {
        let mut unit = self.db.begin().await;
        let ordered = renew(unit.stores(), &self.db.ambient, &SETTINGS, by, &self.certificate.id, false).await?;
        unit.save().await?;
        Ok(ordered)
    }

    /// A request that waits for a decision, with its job.
    pub async fn asked(&self) -> (ApprovalRequest, String) {
        let ordered = self.order(&self.ada).await.expect("ordered");
        (ordered.approval.expect("the profile demands it"), ordered.job.id)
    }

    pub async fn approve(&self, by: &Caller, id: &str) -> Result<ApprovalRequest, ApprovalError> {
        approved(&self.db, by, id).await
    }

    pub async fn reject(&self, by: &Caller, id: &str) -> Result<ApprovalRequest, ApprovalError> {
        let mut unit = self.db.begin().await;
        let note = Some("not this week".to_owned());
        let decided = reject(unit.stores(), &self.db.ambient, by, id, note).await?;
        unit.save().await?;
        Ok(decided)
    }

    /// Sends a CSR, in answer to a job or not; what comes of it is kept as the edge keeps it.
    pub async fn send(&self, csr_pem: &str, job_id: Option<&str>) -> Result<Outcome, DomainError> {
        sent(&self.db, &self.issuers, &self.ada, &self.certificate.id, csr_pem, job_id).await
    }

    pub fn csr(&self) -> String {
        crate::status::request(&self.certificate.sans)
    }

    pub async fn request(&self, id: &str) -> ApprovalRequest {
        self.db.read().await.approval(id).await.expect("read").expect("the request")
    }

    pub async fn job_status(&self, id: &str) -> JobStatus {
        self.db.read().await.job(id).await.expect("read").expect("the job").status
    }

    pub async fn status(&self) -> CertificateStatus {
        self.db.read().await.certificate(&self.certificate.id).await.expect("read").expect("there").status
    }

    pub async fn versions(&self) -> Vec<CertificateVersion> {
        let list = ListQuery::default();
        self.db.read().await.versions(&self.certificate.id, &list).await.expect("a page").rows
    }

    pub async fn sweep(&self) -> i64 {
        let mut unit = self.db.begin().await;
        let ended = expire_due(unit.stores(), &self.db.ambient, &ExpirySettings::default()).await.expect("swept");
        unit.save_unaudited("the sweep may find nothing").await.expect("saved");
        ended
    }
}

async fn approved(db: &TestDatabase, by: &Caller, id: &str) -> Result<ApprovalRequest, ApprovalError> {
    let mut unit = db.begin().await;
    let decided = approve(unit.stores(), &db.ambient, &SETTINGS, by, id, None).await?;
    unit.save().await?;
    Ok(decided)
}

async fn sent(
    db: &TestDatabase,
    issuers: &LocalIssuers,
    by: &Caller,
    certificate_id: &str,
    csr_pem: &str,
    job_id: Option<&str>,
) -> Result<Outcome, DomainError> {
    let mut unit = db.begin().await;
    let command = IssueFromCsr {
        certificate_id: certificate_id.to_owned(),
        csr_pem: csr_pem.to_owned(),
        job_id: job_id.map(ToOwned::to_owned),
        source: sources::API.to_owned(),
    };
    let outcome = issue_from_csr(unit.stores(), issuers, &db.ambient, &SETTINGS, by, command).await?;
    unit.save().await?;
    Ok(outcome)
}

pub fn code<T: std::fmt::Debug>(result: Result<T, ApprovalError>) -> &'static str {
    match result {
        Err(ApprovalError::TwoPersons(_)) => "two_person_integrity",
        Err(ApprovalError::NotRequester) => "not_requester",
        Err(ApprovalError::Domain(DomainError::Conflict { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

pub fn refusal<T: std::fmt::Debug>(result: Result<T, DomainError>) -> String {
    match result {
        Err(DomainError::Unprocessable(errors)) => errors[0].code.clone(),
        Err(DomainError::Conflict { code, .. }) => code.to_owned(),
        other => panic!("{other:?}"),
    }
}

pub fn version(outcome: Result<Outcome, DomainError>) -> CertificateVersion {
    match outcome {
        Ok(Outcome::Issued(version)) => *version,
        other => panic!("{other:?}"),
    }
}

fn waiting(outcome: Result<Outcome, DomainError>) -> ApprovalRequest {
    match outcome {
        Ok(Outcome::Pending(request)) => *request,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_waits_until_another_person_grants_it_and_then_serves_once() {
    let scene = Scene::set().await;
    let (request, job) = scene.asked().await;
    assert_eq!(scene.job_status(&job).await, JobStatus::AwaitingApproval);
    assert_eq!(scene.status().await, CertificateStatus::RenewalInProgress);
    let mut unit = scene.db.begin().await;
    let agent = as_agent(&scene.agent);
    let polled = request_to_answer(unit.stores(), &agent, &scene.agent, Some(&scene.certificate.id)).await;
    assert_eq!(refusal(polled), "no_job_awaiting_csr");
    drop(unit);
    assert_eq!(refusal(scene.send(&scene.csr(), Some(&job)).await), "approval_required");
    assert_eq!(refusal(scene.send(&scene.csr(), None).await), "approval_pending");
    assert!(scene.versions().await.is_empty());

    let phone = keyed(&scene.db, "ada-phone", Some("ada")).await;
    let nobody = keyed(&scene.db, "ci-deploy", None).await;
    for caller in [&scene.ada, &phone, &nobody, &Caller::system("loop"), &as_agent(&scene.agent)] {
        let mut caller = caller.clone();
        caller.permissions = alice().permissions;
        assert_eq!(code(scene.approve(&caller, &request.id).await), "two_person_integrity", "{caller:?}");
        assert_eq!(code(scene.reject(&caller, &request.id).await), "two_person_integrity", "{caller:?}");
    }
    let granted = scene.approve(&scene.bob, &request.id).await.expect("another person");
    assert_eq!(granted.state, ApprovalState::Approved);
    assert_eq!(scene.job_status(&job).await, JobStatus::AwaitingCSR);
    assert_eq!(told(&scene.db, &request.id).await, ["approval_requested", "approval_approved"]);

    let made = version(scene.send(&scene.csr(), Some(&job)).await);
    let used = scene.request(&request.id).await;
    assert_eq!(used.consumed.map(|consumed| consumed.version_id), Some(made.id));
    assert_eq!(scene.job_status(&job).await, JobStatus::Completed);
    let (second, job) = scene.asked().await;
    assert_ne!(second.id, request.id, "the next issuance needs an approval of its own");
    assert_eq!(refusal(scene.send(&scene.csr(), Some(&job)).await), "approval_required");
    assert_eq!(scene.versions().await.len(), 1);
}

#[tokio::test]
async fn an_unowned_key_counts_as_its_makers() {
    let scene = Scene::set().await;
    let mut unit = scene.db.begin().await;
    let command = CreateKey {
        name: "ci-deploy".to_owned(),
        roles: vec!["operator".to_owned()],
        expires_at: None,
        owner_user_id: None,
    };
    let key = create_key(unit.stores(), &scene.db.ambient, &scene.bob, command).await.expect("a key");
    unit.save().await.expect("saved");
    let mut ci = scene.ada.clone();
    ci.context.actor = Actor::new("ci-deploy", ActorType::APIKey);
    let request = scene.order(&ci).await.expect("ordered").approval.expect("demanded");
    assert_eq!(code(scene.approve(&scene.bob, &request.id).await), "two_person_integrity", "bob made the key");
    // The key turns out to be carol's.
    let carol = keyed(&scene.db, "carol-laptop", Some("carol")).await;
    let mut unit = scene.db.begin().await;
    let command = RotateKey { owner_user_id: Some("carol".to_owned()), overlap: Duration::ZERO, expires_at: None };
    rotate_key(unit.stores(), &scene.db.ambient, &Caller::system("it"), &key.id, command).await.expect("a successor");
    unit.save().await.expect("saved");
    assert_eq!(code(scene.approve(&carol, &request.id).await), "two_person_integrity", "it is her key now");
    scene.approve(&scene.ada, &request.id).await.expect("ada has nothing to do with it");
}

#[tokio::test]
async fn of_several_deciders_one_decides() {
    let scene = Scene::set().await;
    let (request, job) = scene.asked().await;
    let mut deciders = vec![scene.bob.clone()];
    for (name, person) in [("carol-laptop", "carol"), ("dan-laptop", "dan"), ("eve-laptop", "eve")] {
        deciders.push(keyed(&scene.db, name, Some(person)).await);
    }
    let runs: Vec<_> = deciders
        .into_iter()
        .enumerate()
        .map(|(index, caller)| {
            let (db, id) = (scene.db.clone(), request.id.clone());
            tokio::spawn(async move {
                if index % 2 == 0 {
                    return approved(&db, &caller, &id).await.map(|decided| decided.state);
                }
                let mut unit = db.begin().await;
                let decided = reject(unit.stores(), &db.ambient, &caller, &id, None).await?;
                unit.save().await?;
                Ok(decided.state)
            })
        })
        .collect();
    let mut decided = Vec::new();
    for run in runs {
        match run.await.expect("no panic") {
            Ok(state) => decided.push(state),
            refused => assert_eq!(code(refused), "already_decided"),
        }
    }
    let [state] = decided.as_slice() else { panic!("{decided:?}") };
    let kept = scene.request(&request.id).await;
    assert_eq!(kept.state, *state);
    let expected = match state {
        ApprovalState::Approved => (JobStatus::AwaitingCSR, "approval_approved"),
        _ => (JobStatus::Cancelled, "approval_rejected"),
    };
    assert_eq!(scene.job_status(&job).await, expected.0);
    assert_eq!(told(&scene.db, &request.id).await, ["approval_requested", expected.1]);
}

#[tokio::test]
async fn a_decision_and_the_sweep_never_both_have_their_way() {
    for round in 0..6 {
        let scene = Scene::set().await;
        let (request, job) = scene.asked().await;
        // In even rounds the time is over, in odd ones the job was called off behind the workflow's back.
        if round % 2 == 0 {
            scene.db.clock.set(START + Duration::WEEK);
        } else {
            let sql = "UPDATE work.jobs SET status = 'Cancelled', completed_at = now()";
            scene.db.session().await.batch_execute(sql).await.expect("called off");
        }
        let (db, id, bob) = (scene.db.clone(), request.id.clone(), scene.bob.clone());
        let deciding = tokio::spawn(async move { approved(&db, &bob, &id).await.map(|decided| decided.state) });
        let ended = scene.sweep().await;
        let refused = code(deciding.await.expect("no panic"));
        assert!(["approval_expired", "job_not_waiting", "already_decided"].contains(&refused), "{refused}");
        assert_eq!(ended, 1);
        let kept = scene.request(&request.id).await.state;
        let expected = if round % 2 == 0 { ApprovalState::Expired } else { ApprovalState::Withdrawn };
        assert_eq!((kept, scene.job_status(&job).await), (expected, JobStatus::Cancelled));
        assert!(!told(&scene.db, &request.id).await.contains(&"approval_approved".to_owned()));
    }
}

#[tokio::test]
async fn a_request_that_nobody_decides_expires_with_its_job_and_nothing_is_ever_issued() {
    let scene = Scene::set().await;
    let (request, job) = scene.asked().await;
    scene.db.clock.set(START + Duration::hours(167));
    let mut unit = scene.db.begin().await;
    let sweeps = SweepSettings::default();
    assert_eq!(reap_timeouts(unit.stores(), &scene.db.ambient, &sweeps).await, Ok(0), "the wait is no CSR's");
    drop(unit);
    assert_eq!(scene.sweep().await, 0);
    scene.db.clock.set(START + Duration::hours(168));
    assert_eq!((scene.sweep().await, scene.sweep().await), (1, 0));
    let ended = scene.request(&request.id).await;
    assert_eq!(
        ended.decision.as_ref().map(|d| (d.by.id.as_str(), d.by.kind)),
        Some(("system-reaper", ActorType::System))
    );
    assert_eq!((ended.state, scene.job_status(&job).await), (ApprovalState::Expired, JobStatus::Cancelled));
    assert_eq!(scene.status().await, CertificateStatus::Pending, "never issued");
    assert_eq!(told(&scene.db, &request.id).await, ["approval_requested", "approval_expired"]);
    scene.db.clock.set(START + Duration::days(30));
    let mut unit = scene.db.begin().await;
    assert_eq!(retry_due(unit.stores(), &scene.db.ambient, &sweeps).await, Ok(0));
    drop(unit);
    assert_eq!(scene.job_status(&job).await, JobStatus::Cancelled, "what was called off is never tried again");
    assert_eq!(code(scene.approve(&scene.bob, &request.id).await), "already_decided");
}

#[tokio::test]
async fn an_operators_request_is_bound_to_its_key_and_issued_once() {
    let scene = Scene::set().await;
    let csr = scene.csr();
    let request = waiting(scene.send(&csr, None).await);
    assert_eq!(waiting(scene.send(&csr, None).await).id, request.id, "sent again it asks for nothing more");
    assert_eq!(refusal(scene.send(&scene.csr(), None).await), "approval_pending", "another key meanwhile");
    assert_eq!(refusal(scene.order(&scene.ada).await), "approval_pending");
    scene.approve(&scene.bob, &request.id).await.expect("another person");
    let other = waiting(scene.send(&scene.csr(), None).await);
    assert_ne!(other.id, request.id, "another key needs another approval");

    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (db, ada, id, csr) = (scene.db.clone(), scene.ada.clone(), scene.certificate.id.clone(), csr.clone());
            let issuers = scene.issuers.clone();
            tokio::spawn(async move { sent(&db, &issuers, &ada, &id, &csr, None).await })
        })
        .collect();
    let mut made = 0;
    for run in runs {
        match run.await.expect("no panic") {
            Ok(Outcome::Issued(_)) => made += 1,
            refused => assert_eq!(refusal(refused), "approval_pending"),
        }
    }
    assert_eq!((made, scene.versions().await.len()), (1, 1));
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_refused_and_bothers_nobody() {
    let scene = Scene::set().await;
    let csr = crate::status::request(&["evil.example".to_owned()]);
    assert_eq!(refusal(scene.send(&csr, None).await), "san_not_authorised");
    let page = scene.db.read().await.approvals_page(&ApprovalFilter::default(), &ListQuery::default()).await;
    assert_eq!(page.expect("a page").total, 0);
}

#[tokio::test]
async fn an_approval_ends_unused() {
    let scene = Scene::set().await;
    let csr = scene.csr();
    let request = waiting(scene.send(&csr, None).await);
    scene.approve(&scene.bob, &request.id).await.expect("another person");
    scene.db.clock.set(START + Duration::WEEK);
    assert_ne!(waiting(scene.send(&csr, None).await).id, request.id, "its time was over");
    assert!(scene.versions().await.is_empty());
}

async fn scan(scene: &Scene) -> i64 {
    let mut unit = scene.db.begin().await;
    let scanned = renewal_scan(unit.stores(), &scene.db.ambient, &SETTINGS, &ScanSettings::default()).await;
    unit.save_unaudited("the scan may find nothing").await.expect("saved");
    scanned.expect("scanned")
}

#[tokio::test]
async fn the_scheduler_asks_like_everybody_else_and_takes_no_for_a_day() {
    let scene = Scene::set().await;
    issued(&scene.db, &scene.certificate, 1).await;
    scene.db.clock.set(START + Duration::days(61));
    scan(&scene).await;
    scan(&scene).await;
    let all = async || {
        let list = ListQuery::default();
        scene.db.read().await.approvals_page(&ApprovalFilter::default(), &list).await.expect("a page").rows
    };
    let asked = all().await;
    let [request] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((request.requester.id.as_str(), request.requester.kind), ("system", ActorType::System));
    let job = request.job_id.clone().expect("its job");
    assert_eq!(scene.job_status(&job).await, JobStatus::AwaitingApproval);
    assert_eq!(refusal(scene.send(&scene.csr(), Some(&job)).await), "approval_required");
    scene.reject(&scene.bob, &request.id).await.expect("a person decides on what the server asks");
    let cancelled = scene.db.read().await.job(&job).await.expect("read").expect("there");
    assert_eq!(cancelled.last_error.as_deref(), Some("approval rejected: not this week"));
    assert_eq!(scene.status().await, CertificateStatus::Expiring, "its dates decide again");
    scan(&scene).await;
    assert_eq!(all().await.len(), 1);
    scene.db.clock.set(START + Duration::days(62));
    scan(&scene).await;
    assert_eq!(all().await.len(), 2);
}

#[tokio::test]
async fn what_calls_a_job_off_ends_its_request() {
    let scene = Scene::set().await;
    let (first, job) = scene.asked().await;
    let mut unit = scene.db.begin().await;
    cancel_job(unit.stores(), &scene.db.ambient, &scene.bob, &job).await.expect("cancelled");
    unit.save().await.expect("saved");
    assert_eq!(scene.request(&first.id).await.state, ApprovalState::Withdrawn);

    let (second, job) = scene.asked().await;
    let mut unit = scene.db.begin().await;
    assert_eq!(code(withdraw(unit.stores(), &scene.db.ambient, &scene.bob, &second.id, None).await), "not_requester");
    withdraw(unit.stores(), &scene.db.ambient, &scene.ada, &second.id, None).await.expect("taken back");
    unit.save().await.expect("saved");
    assert_eq!(scene.job_status(&job).await, JobStatus::Cancelled);
    assert_eq!(told(&scene.db, &second.id).await, ["approval_requested", "approval_withdrawn"]);

    let (third, _) = scene.asked().await;
    let mut unit = scene.db.begin().await;
    let forced = renew(unit.stores(), &scene.db.ambient, &SETTINGS, &scene.ada, &scene.certificate.id, true).await;
    let fourth = forced.expect("started over").approval.expect("demanded");
    unit.save().await.expect("saved");
    assert_eq!(scene.request(&third.id).await.state, ApprovalState::Withdrawn);
    assert_eq!(scene.request(&fourth.id).await.state, ApprovalState::Pending);

    issued(&scene.db, &scene.certificate, 1).await;
    scene.order(&scene.ada).await.expect_err("the fourth waits");
    let mut unit = scene.db.begin().await;
    let revocation = crate::status::command(&scene.certificate, RevocationReason::Superseded);
    revoke(unit.stores(), &scene.db.ambient, &scene.ada, revocation).await.expect("revoked");
    unit.save().await.expect("saved");
    assert_eq!(scene.request(&fourth.id).await.state, ApprovalState::Withdrawn);
    let mut unit = scene.db.begin().await;
    let forced = renew(unit.stores(), &scene.db.ambient, &SETTINGS, &scene.ada, &scene.certificate.id, true).await;
    let fourth = forced.expect("issued anew by force").approval.expect("demanded");
    unit.save().await.expect("saved");

    let mut unit = scene.db.begin().await;
    let (tx, ambient, id) = (unit.stores(), &scene.db.ambient, &scene.certificate.id);
    archive_certificate(tx, ambient, &scene.ada, id, None).await.expect("archived");
    certctl_approval::call_off(tx, ambient, &scene.ada.context, id, "archived").await.expect("called off");
    unit.save().await.expect("saved");
    assert_eq!(scene.request(&fourth.id).await.state, ApprovalState::Withdrawn);
    assert_eq!(code(scene.approve(&scene.bob, &fourth.id).await), "already_decided");
}

#[tokio::test]
async fn the_old_routes_of_jobs_obey_the_same_rules() {
    let scene = Scene::set().await;
    let (request, job) = scene.asked().await;
    let mut unit = scene.db.begin().await;
    let by = async |unit: &mut Box<dyn UnitOfWork>, caller: &Caller| {
        approve_job(unit.stores(), &scene.db.ambient, &SETTINGS, caller, &job, None).await
    };
    assert_eq!(code(by(&mut unit, &scene.ada).await), "two_person_integrity");
    by(&mut unit, &scene.bob).await.expect("another person");
    assert_eq!(code(by(&mut unit, &scene.bob).await), "already_decided");
    let unknown = approve_job(unit.stores(), &scene.db.ambient, &SETTINGS, &scene.bob, "job-x", None).await;
    assert!(matches!(unknown, Err(ApprovalError::Domain(DomainError::NotFound { .. }))), "{unknown:?}");
    unit.save().await.expect("saved");
    assert_eq!(scene.request(&request.id).await.state, ApprovalState::Approved);
}

#[tokio::test]
async fn an_approval_does_not_outlive_a_change_of_what_was_shown() {
    let scene = Scene::set().await;
    let csr = scene.csr();
    let request = waiting(scene.send(&csr, None).await);
    scene.approve(&scene.bob, &request.id).await.expect("another person");
    // Behind the gate's back, as between two changes of the profile.
    let sql = "UPDATE inventory.certificates SET sans = sans || '{more.example.com}'";
    scene.db.session().await.batch_execute(sql).await.expect("changed");
    assert_ne!(waiting(scene.send(&csr, None).await).id, request.id);
    let sql = "UPDATE inventory.certificates SET sans = sans || '{yet.example.com}'";
    scene.db.session().await.batch_execute(sql).await.expect("changed");
    let list = ListQuery::default();
    let filter = ApprovalFilter { state: Some(ApprovalState::Pending), ..ApprovalFilter::default() };
    let open = scene.db.read().await.approvals_page(&filter, &list).await.expect("a page").rows;
    assert_eq!(code(scene.approve(&scene.bob, &open[0].id).await), "stale", "nor is one given for what was not shown");
}

#[tokio::test]
async fn the_database_itself_keeps_two_persons_apart_and_decisions_as_they_are() {
    let scene = Scene::set().await;
    let (request, _) = scene.asked().await;
    let session = scene.db.session().await;
    let decide = |by: &str, person: &str| {
        format!(
            "UPDATE approval.requests SET state = 'approved', decided_by = '{by}', decided_by_type = 'APIKey', \
             decided_by_person = {person}, decided_at = now()"
        )
    };
    for (by, person) in [("ada-phone", "'ada'"), ("ada-laptop", "'bob'"), ("bob-laptop", "NULL")] {
        assert!(session.batch_execute(&decide(by, person)).await.is_err(), "{by} {person}");
    }
    let timeout = "UPDATE approval.requests SET state = 'expired', decided_by = 'bob', decided_by_type = 'APIKey', \
                   decided_at = now()";
    assert!(session.batch_execute(timeout).await.is_err(), "only the product lets a request expire");
    scene.approve(&scene.bob, &request.id).await.expect("another person");
    for change in ["state = 'rejected'", "expires_at = 'infinity'", "payload = '{}'", "decided_by = 'carol'"] {
        assert!(session.batch_execute(&format!("UPDATE approval.requests SET {change}")).await.is_err(), "{change}");
    }
    assert!(session.batch_execute("DELETE FROM approval.requests").await.is_err());
}

#[tokio::test]
async fn every_move_is_queued_for_delivery_and_wakes_who_delivers() {
    use certctl_ports::Change;
    use certctl_postgres::{Listener, Notice};
    let scene = Scene::set().await;
    let mut listener = Listener::connect(&scene.db.postgres).await.expect("listening");
    assert_eq!(listener.next().await, Some(Notice::Connected));
    let (request, _) = scene.asked().await;
    assert_eq!(listener.next().await, Some(Notice::Changed(Change::Approval(request.id.clone()))));
    scene.reject(&scene.bob, &request.id).await.expect("refused");
    assert_eq!(listener.next().await, Some(Notice::Changed(Change::Approval(request.id.clone()))));
    let sql = "SELECT event FROM approval.outbox WHERE request_id = $1 AND taken_at IS NULL ORDER BY id";
    let rows = scene.db.session().await.query(sql, &[&request.id]).await.expect("the outbox");
    let events: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(events, ["requested", "rejected"]);
}
