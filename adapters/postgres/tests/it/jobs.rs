//! Jobs: orders, claims, reports, attempts, and what the scheduler does to them.

use crate::fleet::{Catalogue, agent, as_agent, attach, issued, leaf, served, target, told};
use crate::support::{START, TestDatabase, alice};
use certctl_approval::ApprovalSettings;
use certctl_deployment::{
    AttachmentState, DeploymentResult, JobReport, LeaseSettings, Step, WorkItem, claim_work, fail_request,
    list_attachments, pickup_certificate, report_job, request_to_answer, work_waiting,
};
use certctl_inventory::CertificateStatus::{self, Active, Expired, Expiring, Pending};
use certctl_jobs::{
    ErrorClass, Job, JobFailure, JobFilter, JobStatus, JobType, SweepSettings, Trigger, VerificationReport,
    VerificationStatus, cancel_job, list_jobs, reap_timeouts, record_verification, retry_due, verification,
};
use certctl_kernel::{DomainError, ListQuery};
use certctl_port_target::TargetCatalogue as _;
use certctl_ports::fakes::TicketSealer;
use certctl_postgres::Postgres;
use certctl_renewal::{ScanSettings, renew, renewal_scan};
use certctl_unit_of_work::Database as _;
use std::collections::BTreeSet;
use time::Duration;

async fn order(db: &TestDatabase, certificate_id: &str, force: bool) -> Result<Job, DomainError> {
    let mut unit = db.begin().await;
    let approvals = ApprovalSettings::default();
    let ordered = renew(unit.stores(), &db.ambient, &approvals, &alice(), certificate_id, force).await?;
    unit.save().await?;
    Ok(ordered.job)
}

/// One poll, as the edge does it.
async fn poll(db: &TestDatabase, postgres: &Postgres, agent: &str) -> Vec<WorkItem> {
    let caller = as_agent(agent);
    let mut reader = postgres.read().await.expect("a connection");
    if !work_waiting(reader.stores(), &db.ambient, &caller, agent).await.expect("a look") {
        return Vec::new();
    }
    drop(reader);
    let mut unit = postgres.begin().await.expect("a transaction");
    let (sealer, leases) = (TicketSealer::default(), LeaseSettings::default());
    let items = claim_work(unit.stores(), &db.ambient, &caller, &sealer, leases, agent).await.expect("a claim");
    if items.is_empty() {
        unit.discard().await.expect("discarded");
    } else {
        unit.save().await.expect("saved");
    }
    items
}

fn report(status: JobStatus) -> JobReport {
    JobReport { status, attempt: None, error: None, result: None }
}

async fn tell(db: &TestDatabase, agent: &str, job: &str, told: JobReport) -> Result<bool, DomainError> {
    let mut unit = db.begin().await;
    let leases = LeaseSettings::default();
    let changed = report_job(unit.stores(), &db.ambient, &as_agent(agent), leases, (agent, job), told).await?;
    if changed {
        unit.save().await?;
    } else {
        unit.discard().await?;
    }
    Ok(changed)
}

async fn job(db: &TestDatabase, id: &str) -> Job {
    db.read().await.job(id).await.expect("read").expect("the job")
}

async fn status(db: &TestDatabase, certificate_id: &str) -> CertificateStatus {
    db.read().await.certificate(certificate_id).await.expect("read").expect("the certificate").status
}

fn code(refused: Result<impl std::fmt::Debug, DomainError>) -> &'static str {
    match refused {
        Err(DomainError::Conflict { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_many_who_order_a_renewal_at_once_one_gets_a_job_and_the_others_its_id() {
    let db = TestDatabase::new().await;
    let (certificate, ..) = served(&db, "web").await;
    let orders: Vec<_> = (0..8)
        .map(|_| {
            let (postgres, ambient, id) = (db.postgres.clone(), db.ambient.clone(), certificate.id.clone());
            tokio::spawn(async move {
                let mut unit = postgres.begin().await.expect("a transaction");
                match renew(unit.stores(), &ambient, &ApprovalSettings::default(), &alice(), &id, false).await {
                    Ok(ordered) => {
                        unit.save().await.expect("saved");
                        Ok(ordered.job.id)
                    }
                    Err(DomainError::Conflict { code: "job_open", existing_id, .. }) => Err(existing_id),
                    Err(other) => panic!("{other}"),
                }
            })
        })
        .collect();
    let mut made = Vec::new();
    let mut met = Vec::new();
    for order in orders {
        match order.await.expect("no panic") {
            Ok(id) => made.push(id),
            Err(existing) => met.push(existing.expect("the open job's id")),
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(met, vec![made[0].clone(); 7]);
    assert_eq!(status(&db, &certificate.id).await, CertificateStatus::RenewalInProgress);
    let open = job(&db, &made[0]).await;
    assert_eq!((open.kind, open.status, open.trigger), (JobType::Issuance, JobStatus::AwaitingCSR, Trigger::Manual));
    assert_eq!(open.max_attempts, 4, "the policy's three retries and the first attempt");
}

#[tokio::test]
async fn a_renewal_follows_the_certificates_state() {
    let db = TestDatabase::new().await;
    let bare = crate::certificates::declared(&db, "bare").await;
    assert_eq!(code(order(&db, &bare.id, false).await), "no_target");
    assert!(matches!(order(&db, "mc-none", false).await, Err(DomainError::NotFound { .. })));

    let (certificate, ..) = served(&db, "web").await;
    let first = order(&db, &certificate.id, false).await.expect("ordered");
    let second = order(&db, &certificate.id, true).await.expect("started over");
    assert_eq!(job(&db, &first.id).await.status, JobStatus::Cancelled);
    let mut unit = db.begin().await;
    cancel_job(unit.stores(), &db.ambient, &alice(), &second.id).await.expect("called off");
    unit.save().await.expect("saved");
    assert_eq!(status(&db, &certificate.id).await, CertificateStatus::Pending, "never issued");
    assert_eq!(told(&db, &second.id).await, ["job_cancelled"]);

    issued(&db, &certificate, 1).await;
    assert_eq!(order(&db, &certificate.id, false).await.expect("ordered").kind, JobType::Renewal);
    let mut unit = db.begin().await;
    unit.mark_revoked(&certificate.id, db.ambient.now(), "keyCompromise").await.expect("revoked");
    unit.save_unaudited("a test").await.expect("saved");
    assert_eq!(code(order(&db, &certificate.id, false).await), "certificate_revoked");
    order(&db, &certificate.id, true).await.expect("issued anew by force");
    let session = db.session().await;
    session
        .batch_execute("UPDATE inventory.certificates SET status = 'Archived', archived_at = now()")
        .await
        .expect("archived");
    assert_eq!(code(order(&db, &certificate.id, true).await), "certificate_archived");
}

#[tokio::test]
async fn eight_pollers_get_five_hundred_jobs_each_exactly_once() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let id = agent(&db, "host").await;
    let sample = target(&db, &id, "sample").await;
    let mut unit = db.begin().await;
    for number in 0..500 {
        let mut one = sample.clone();
        (one.id, one.name) = (format!("target-{number}"), format!("nginx {number}"));
        unit.insert_target(&one).await.expect("a target");
    }
    let all: Vec<String> = (0..500).map(|number| format!("target-{number}")).collect();
    unit.attach_targets(&certificate.id, &all, db.ambient.now()).await.expect("attached");
    unit.save_unaudited("a test").await.expect("saved");
    let (_, jobs) = issued(&db, &certificate, 1).await;
    assert_eq!(jobs.len(), 500);

    let (db, id) = (std::sync::Arc::new(db), id);
    let pollers: Vec<_> = (0..8)
        .map(|_| {
            let (db, id) = (db.clone(), id.clone());
            tokio::spawn(async move {
                let mut got = Vec::new();
                loop {
                    let items = poll(&db, &db.postgres, &id).await;
                    assert!(items.len() <= 50);
                    if items.is_empty() {
                        // Others may hold the rest locked; only a look that sees nothing ends the work.
                        let mut reader = db.read().await;
                        if !work_waiting(reader.stores(), &db.ambient, &as_agent(&id), &id).await.expect("a look") {
                            return got;
                        }
                    }
                    got.extend(items.into_iter().map(|item| item.work.job_id));
                }
            })
        })
        .collect();
    let mut delivered = Vec::new();
    for poller in pollers {
        delivered.extend(poller.await.expect("no panic"));
    }
    delivered.sort();
    let mut expected = jobs;
    expected.sort();
    assert_eq!(delivered, expected);
    let row = db
        .session()
        .await
        .query_one(
            "SELECT (SELECT count(*) FROM work.jobs WHERE status = 'Running' AND attempts = 1), \
               (SELECT count(*) FROM audit.events WHERE action = 'job_claimed'), \
               (SELECT count(*) FROM work.job_events WHERE from_status = 'Pending' AND to_status = 'Running'), \
               (SELECT count(*) FROM inventory.certificate_targets WHERE state = 'deploying')",
            &[],
        )
        .await
        .expect("counts");
    assert_eq!([0, 1, 2, 3].map(|column| row.get::<_, i64>(column)), [500; 4]);
}

#[tokio::test]
async fn a_request_belongs_to_the_first_agent_that_polls_until_its_lease_ends() {
    let db = TestDatabase::new().await;
    let (certificate, first, _) = served(&db, "web").await;
    let second = agent(&db, "other").await;
    let theirs = target(&db, &second, "nginx").await.id;
    let mut unit = db.begin().await;
    let mut both = certificate.target_ids.clone();
    both.extend(db.read().await.certificate(&certificate.id).await.expect("read").expect("it").target_ids);
    both.push(theirs);
    unit.attach_targets(&certificate.id, &both, db.ambient.now()).await.expect("attached");
    unit.save_unaudited("a test").await.expect("saved");
    let request = order(&db, &certificate.id, false).await.expect("ordered");

    let items = poll(&db, &db.postgres, &first).await;
    let work = &items[0].work;
    assert_eq!((items.len(), &work.job_id, work.status), (1, &request.id, JobStatus::AwaitingCSR));
    assert_eq!((work.common_name.as_str(), &work.sans), ("web.example.com", &certificate.sans));
    assert_eq!(poll(&db, &db.postgres, &second).await, []);
    assert_eq!(poll(&db, &db.postgres, &first).await, [], "not again while it is at it");
    let answer = async |agent: &str| {
        let mut unit = db.begin().await;
        request_to_answer(unit.stores(), &as_agent(agent), agent, Some(&certificate.id)).await
    };
    assert_eq!(code(answer(&second).await), "no_job_awaiting_csr");
    assert_eq!(answer(&first).await.expect("its own").job.id, request.id);

    db.clock.set(db.ambient.now() + Duration::minutes(6));
    assert_eq!(poll(&db, &db.postgres, &second).await.len(), 1, "the lease ended");
    assert_eq!(code(answer(&first).await), "no_job_awaiting_csr");
    let stranger = agent(&db, "stranger").await;
    assert!(matches!(answer(&stranger).await, Err(DomainError::NotFound { .. })));
}

#[tokio::test]
async fn a_deployment_runs_from_the_leaf_to_what_the_target_was_seen_to_serve() {
    let db = TestDatabase::new().await;
    let (certificate, agent, target_id) = served(&db, "web").await;
    assert_eq!(poll(&db, &db.postgres, &agent).await, []);
    let (version, jobs) = issued(&db, &certificate, 1).await;
    let items = poll(&db, &db.postgres, &agent).await;
    let work = &items[0].work;
    assert_eq!((&work.job_id, work.status, work.attempts), (&jobs[0], JobStatus::Running, 1));
    assert_eq!(
        (&work.version_id, &work.fingerprint_sha256),
        (&Some(version.id.clone()), &Some(version.fingerprint_sha256.clone()))
    );
    let mut unit = db.begin().await;
    let pem = pickup_certificate(unit.stores(), &as_agent(&agent), &agent, &certificate.id).await.expect("the leaf");
    assert_eq!(pem, version.pem_chain);
    unit.save().await.expect("saved");

    assert_eq!(tell(&db, &agent, &jobs[0], report(JobStatus::Running)).await, Ok(true));
    let wrong = JobReport {
        result: Some(DeploymentResult {
            outcome: "changed".into(),
            new_fingerprint: Some("ee".repeat(32)),
            ..DeploymentResult::default()
        }),
        ..report(JobStatus::Completed)
    };
    assert_eq!(code(tell(&db, &agent, &jobs[0], wrong).await), "fingerprint_mismatch");
    let over = JobReport { attempt: Some(2), ..report(JobStatus::Completed) };
    assert_eq!(code(tell(&db, &agent, &jobs[0], over).await), "lease_lost");
    let done = JobReport {
        attempt: Some(1),
        result: Some(DeploymentResult {
            outcome: "changed".into(),
            steps: vec![Step { step: "reload".into(), ok: true, ms: 12, detail: "nginx -s reload".into() }],
            new_fingerprint: Some(version.fingerprint_sha256.clone()),
            ..DeploymentResult::default()
        }),
        ..report(JobStatus::Completed)
    };
    db.clock.set(db.ambient.now() + Duration::SECOND);
    assert_eq!(tell(&db, &agent, &jobs[0], done.clone()).await, Ok(true));
    assert_eq!(tell(&db, &agent, &jobs[0], done).await, Ok(false), "the same end again changes nothing");
    assert_eq!(code(tell(&db, &agent, &jobs[0], report(JobStatus::Failed)).await), "illegal_transition");

    let standing = async || {
        let mut read = db.read().await;
        let page = list_attachments(read.stores(), &alice(), &certificate.id, &ListQuery::default()).await;
        page.expect("a page").rows.remove(0)
    };
    let row = standing().await;
    assert_eq!((row.state, row.deployed_at), (AttachmentState::Deployed, Some(db.ambient.now())));
    assert_eq!(row.deployed_fingerprint.as_ref(), Some(&version.fingerprint_sha256));
    assert_eq!((row.last_outcome.as_deref(), row.has_drifted()), (Some("changed"), false));
    let stored = db.read().await.certificate(&certificate.id).await.expect("read").expect("the certificate");
    assert_eq!(stored.last_deployment_at, Some(db.ambient.now()));

    let look = async |actual: &str, error: Option<&str>| {
        let seen = VerificationReport {
            target_id: target_id.clone(),
            expected_fingerprint: version.fingerprint_sha256.to_uppercase(),
            actual_fingerprint: actual.to_owned(),
            error: error.map(ToOwned::to_owned),
        };
        let mut unit = db.begin().await;
        let seen = record_verification(unit.stores(), &db.ambient, &as_agent(&agent), &jobs[0], seen).await;
        if seen.is_ok() {
            unit.save().await.expect("saved");
        }
        seen.map(|seen| seen.success)
    };
    assert_eq!(look("", Some("connection refused")).await, Ok(false));
    assert_eq!(standing().await.state, AttachmentState::Deployed, "a target that did not answer tells nothing");
    assert!(matches!(look("", None).await, Err(DomainError::Validation(_))));
    assert_eq!(look(&"ee".repeat(32), None).await, Ok(false));
    assert_eq!(standing().await.state, AttachmentState::Drifted);
    db.clock.set(db.ambient.now() + Duration::SECOND);
    assert_eq!(look(&version.fingerprint_sha256, None).await, Ok(true));
    let row = standing().await;
    assert_eq!((row.state, row.verified_at), (AttachmentState::Verified, Some(db.ambient.now())));
    let seen = verification(db.read().await.stores(), &alice(), &jobs[0]).await.expect("the job");
    assert_eq!(seen.verification_status(), VerificationStatus::Success);
    assert_eq!(
        told(&db, &jobs[0]).await,
        [
            "job_claimed",
            "job_status_reported",
            "deployment_job_completed",
            "job_status_reported",
            "job_verification_failed",
            "job_verification_failed",
            "job_verification_success"
        ]
    );
}

#[tokio::test]
async fn a_newer_leaf_takes_the_place_of_deployments_that_have_not_ended() {
    let db = TestDatabase::new().await;
    let (certificate, agent, _) = served(&db, "web").await;
    let (_, old) = issued(&db, &certificate, 1).await;
    assert_eq!(poll(&db, &db.postgres, &agent).await.len(), 1);
    let (newer, new) = issued(&db, &certificate, 2).await;
    assert_eq!(code(tell(&db, &agent, &old[0], report(JobStatus::Completed)).await), "illegal_transition");
    assert_eq!(job(&db, &old[0]).await.status, JobStatus::Cancelled);
    let items = poll(&db, &db.postgres, &agent).await;
    assert_eq!((items.len(), &items[0].work.job_id), (1, &new[0]));
    assert_eq!(items[0].work.version_id.as_ref(), Some(&newer.id));
}

#[tokio::test]
async fn a_failing_deployment_is_tried_again_after_growing_pauses_and_then_given_up() {
    let db = TestDatabase::new().await;
    let (certificate, agent, _) = served(&db, "web").await;
    let (_, jobs) = issued(&db, &certificate, 1).await;
    let retry = async || {
        let mut unit = db.begin().await;
        let moved = retry_due(unit.stores(), &db.ambient, &SweepSettings::default()).await.expect("swept");
        unit.save_unaudited("the sweep may find nothing").await.expect("saved");
        moved
    };
    let mut pauses = Vec::new();
    for attempt in 1..=4 {
        assert_eq!(poll(&db, &db.postgres, &agent).await.len(), 1, "attempt {attempt}");
        let failed = JobReport { error: Some("nginx -t failed".into()), ..report(JobStatus::Failed) };
        assert_eq!(tell(&db, &agent, &jobs[0], failed).await, Ok(true));
        let now = job(&db, &jobs[0]).await;
        assert_eq!((now.attempts, now.last_error.as_deref()), (attempt, Some("nginx -t failed")));
        assert_eq!(poll(&db, &db.postgres, &agent).await, [], "not before its time");
        assert_eq!(retry().await, 0, "not before its time");
        assert_eq!(now.is_terminal(), attempt == 4);
        if now.retryable {
            pauses.push((now.scheduled_at - db.ambient.now()).whole_seconds());
            db.clock.set(now.scheduled_at);
            assert_eq!(retry().await, 1);
            assert_eq!(retry().await, 0);
        }
    }
    for (pause, step) in pauses.iter().zip([60, 120, 240]) {
        assert!((step * 8 / 10..=step * 12 / 10).contains(pause), "{pauses:?}");
    }
    let page = list_attachments(db.read().await.stores(), &alice(), &certificate.id, &ListQuery::default()).await;
    let row = page.expect("a page").rows.remove(0);
    assert_eq!((row.state, row.last_error.as_deref()), (AttachmentState::Failed, Some("nginx -t failed")));
    let history = db
        .session()
        .await
        .query("SELECT to_status FROM work.job_events WHERE job_id = $1 ORDER BY id", &[&jobs[0]])
        .await
        .expect("rows");
    assert_eq!(history.len(), 12, "made, then claimed and failed four times, three times sent back");
}

#[tokio::test]
async fn a_refused_request_is_final_and_gives_the_certificate_back_its_state() {
    let db = TestDatabase::new().await;
    let (certificate, agent, _) = served(&db, "web").await;
    let request = order(&db, &certificate.id, false).await.expect("ordered");
    poll(&db, &db.postgres, &agent).await;
    let mut unit = db.begin().await;
    let answered = request_to_answer(unit.stores(), &as_agent(&agent), &agent, None).await.expect("the only one");
    unit.discard().await.expect("discarded");
    let failure = JobFailure::new("the profile allows no RSA keys", ErrorClass::Permanent);
    for first in [true, false] {
        let mut unit = db.begin().await;
        let moved = fail_request(unit.stores(), &db.ambient, &as_agent(&agent), &answered, &failure).await;
        assert_eq!(moved, Ok(first));
        if first { unit.save().await.expect("saved") } else { unit.discard().await.expect("discarded") }
    }
    let ended = job(&db, &request.id).await;
    assert_eq!((ended.status, ended.is_terminal()), (JobStatus::Failed, true));
    assert_eq!(ended.error_class.as_deref(), Some("permanent"));
    assert_eq!(status(&db, &certificate.id).await, CertificateStatus::Failed, "never issued");
    assert_eq!(told(&db, &request.id).await, ["job_claimed", "renewal_job_failed"]);
    order(&db, &certificate.id, false).await.expect("a person may try again at once");
}

#[tokio::test]
async fn an_answered_request_is_complete_and_no_report_says_otherwise() {
    let db = TestDatabase::new().await;
    let (certificate, agent, _) = served(&db, "web").await;
    let request = order(&db, &certificate.id, false).await.expect("ordered");
    poll(&db, &db.postgres, &agent).await;
    let by_word = tell(&db, &agent, &request.id, report(JobStatus::Completed)).await;
    assert_eq!(code(by_word), "illegal_transition", "a request ends with its leaf, not by the agent's word");
    let version = leaf(&db, &certificate, 1);
    let mut unit = db.begin().await;
    unit.record_version(&version, None).await.expect("recorded");
    assert_eq!(unit.complete_job(&request.id, &version.id, db.ambient.now()).await, Ok(true));
    assert_eq!(unit.complete_job(&request.id, &version.id, db.ambient.now()).await, Ok(false));
    unit.save_unaudited("a test").await.expect("saved");
    let done = job(&db, &request.id).await;
    assert_eq!((done.status, done.attempts, done.version_id), (JobStatus::Completed, 1, Some(version.id)));
    assert_eq!(tell(&db, &agent, &request.id, report(JobStatus::Completed)).await, Ok(false));
    assert_eq!(code(tell(&db, &agent, &request.id, report(JobStatus::Failed)).await), "illegal_transition");
    let other = crate::fleet::agent(&db, "other").await;
    let foreign = tell(&db, &other, &request.id, report(JobStatus::Failed)).await;
    assert!(matches!(foreign, Err(DomainError::NotFound { .. })));
}

async fn reap(db: &TestDatabase) -> i64 {
    let mut unit = db.begin().await;
    let ended = reap_timeouts(unit.stores(), &db.ambient, &SweepSettings::default()).await.expect("swept");
    unit.save_unaudited("the sweep may find nothing").await.expect("saved");
    ended
}

#[tokio::test]
async fn what_nobody_answers_is_ended() {
    let db = TestDatabase::new().await;
    let (certificate, agent, _) = served(&db, "web").await;
    let request = order(&db, &certificate.id, false).await.expect("ordered");
    db.clock.set(START + Duration::hours(23));
    assert_eq!(reap(&db).await, 0);
    db.clock.set(START + Duration::hours(25));
    assert_eq!((reap(&db).await, reap(&db).await), (1, 0));
    let ended = job(&db, &request.id).await;
    assert_eq!(ended.last_error.as_deref(), Some("timed out in AwaitingCSR after 24h"));
    assert!(ended.is_terminal());
    assert_eq!(status(&db, &certificate.id).await, CertificateStatus::Failed);

    let (_, jobs) = issued(&db, &certificate, 1).await;
    let beat = async || {
        let mut unit = db.begin().await;
        let one = certctl_agents::Heartbeat::default();
        certctl_agents::heartbeat(unit.stores(), &db.ambient, &as_agent(&agent), &agent, &one).await.expect("heard");
        unit.save_unaudited("a heartbeat").await.expect("saved");
    };
    beat().await;
    poll(&db, &db.postgres, &agent).await;
    assert_eq!(reap(&db).await, 0);
    db.clock.set(db.ambient.now() + Duration::minutes(6));
    assert_eq!(reap(&db).await, 1, "its agent fell silent");
    let lost = job(&db, &jobs[0]).await;
    assert_eq!((lost.retryable, lost.error_class.as_deref()), (true, Some("abandoned")));

    db.clock.set(lost.scheduled_at);
    let mut unit = db.begin().await;
    assert_eq!(retry_due(unit.stores(), &db.ambient, &SweepSettings::default()).await, Ok(1));
    unit.save().await.expect("saved");
    beat().await;
    assert_eq!(poll(&db, &db.postgres, &agent).await.len(), 1);
    db.clock.set(db.ambient.now() + Duration::minutes(16));
    beat().await;
    assert_eq!(reap(&db).await, 1, "it lives, but its lease ended without a report");
    let actions = told(&db, &jobs[0]).await;
    assert_eq!(actions, ["job_claimed", "job_offline_agent_reap", "job_retry", "job_claimed", "job_timeout"]);
}

async fn scan(db: &TestDatabase, postgres: &Postgres) -> Vec<String> {
    let mut unit = postgres.begin().await.expect("a transaction");
    let approvals = ApprovalSettings::default();
    renewal_scan(unit.stores(), &db.ambient, &approvals, &ScanSettings::default()).await.expect("scanned");
    unit.save_unaudited("the scan may find nothing").await.expect("saved");
    let open = JobFilter { status: Some(JobStatus::AwaitingCSR), ..JobFilter::default() };
    let page = list_jobs(db.read().await.stores(), &alice(), open, &ListQuery::default()).await.expect("a page");
    page.rows.into_iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn the_scan_orders_what_is_due_once_whatever_the_replicas_do() {
    let db = std::sync::Arc::new(TestDatabase::new().await);
    for name in ["a", "b", "c"] {
        let (certificate, ..) = served(&db, name).await;
        issued(&db, &certificate, 1).await;
    }
    assert!(scan(&db, &db.postgres).await.is_empty(), "nothing is due yet");
    db.clock.set(START + Duration::days(61));
    let replicas: Vec<_> = (0..4)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let replica = db.replica();
                for _ in 0..3 {
                    scan(&db, &replica).await;
                }
                replica.close();
            })
        })
        .collect();
    for replica in replicas {
        replica.await.expect("no scan fails");
    }
    let open = scan(&db, &db.postgres).await;
    assert_eq!(open.len(), 3);
    let one = job(&db, &open[0]).await;
    assert_eq!((one.kind, one.trigger, one.requested_by.as_str()), (JobType::Renewal, Trigger::Schedule, "system"));
    assert_eq!(status(&db, &one.certificate_id).await, CertificateStatus::RenewalInProgress);
    assert_eq!(told(&db, &one.id).await, ["renewal_job_created"]);
}

#[tokio::test]
async fn the_scan_tells_what_expires_and_leaves_alone_what_its_policy_or_targets_do_not_renew() {
    let db = TestDatabase::new().await;
    let (manual, ..) = served(&db, "manual").await;
    let bare = crate::certificates::declared(&db, "bare").await;
    let never = crate::certificates::declared(&db, "never").await;
    issued(&db, &manual, 1).await;
    issued(&db, &bare, 1).await;
    db.session()
        .await
        .batch_execute(&format!(
            "INSERT INTO policy.renewal_policies (id, name, renewal_window_days, auto_renew, max_retries, \
               retry_interval_seconds, alert_thresholds_days, created_at, updated_at) \
             VALUES ('rp-manual', 'manual', 14, false, 0, 60, '{{}}', now(), now()); \
             UPDATE inventory.certificates SET renewal_policy_id = 'rp-manual' WHERE id = '{}'",
            manual.id
        ))
        .await
        .expect("a policy");
    let states = async || {
        let mut out = Vec::new();
        for certificate in [&manual, &bare, &never] {
            out.push(status(&db, &certificate.id).await);
        }
        out
    };
    db.clock.set(START + Duration::days(61));
    assert!(scan(&db, &db.postgres).await.is_empty());
    assert_eq!(states().await, [Active, Expiring, Pending], "14 and 30 days before the end");
    db.clock.set(START + Duration::days(77));
    assert!(scan(&db, &db.postgres).await.is_empty());
    assert_eq!(states().await, [Expiring, Expiring, Pending]);
    db.clock.set(START + Duration::days(90));
    assert!(scan(&db, &db.postgres).await.is_empty());
    assert_eq!(states().await, [Expired, Expired, Pending], "what was never issued does not expire");
    let events = told(&db, &manual.id).await;
    assert_eq!(events.iter().filter(|event| *event == "certificate_status_changed").count(), 2);
}

#[tokio::test]
async fn a_disabled_target_gets_no_work_and_a_poll_of_a_retired_agent_is_gone() {
    let db = TestDatabase::new().await;
    let (certificate, agent, target_id) = served(&db, "web").await;
    let (_, jobs) = issued(&db, &certificate, 1).await;
    let session = db.session().await;
    session.execute("UPDATE fleet.targets SET enabled = false WHERE id = $1", &[&target_id]).await.expect("disabled");
    assert_eq!(poll(&db, &db.postgres, &agent).await, []);
    session.execute("UPDATE fleet.targets SET enabled = true WHERE id = $1", &[&target_id]).await.expect("enabled");
    assert_eq!(poll(&db, &db.postgres, &agent).await.len(), 1);
    session.execute("UPDATE fleet.agents SET retired_at = now()", &[]).await.expect("retired");
    let mut reader = db.read().await;
    let looked = work_waiting(reader.stores(), &db.ambient, &as_agent(&agent), &agent).await;
    assert!(matches!(looked, Err(DomainError::Gone { .. })));
    let reported = tell(&db, &agent, &jobs[0], report(JobStatus::Completed)).await;
    assert!(matches!(reported, Err(DomainError::Gone { .. })));
    let looked = work_waiting(reader.stores(), &db.ambient, &as_agent("agt-other"), &agent).await;
    assert!(matches!(looked, Err(DomainError::Forbidden { .. })));
}

#[tokio::test]
async fn an_idle_poll_takes_one_statement_that_only_reads() {
    let db = TestDatabase::new().await;
    let (_, agent, _) = served(&db, "web").await;
    // The connection is held to reading by the database, so a write would fail.
    let mut reader = db.read().await;
    assert_eq!(work_waiting(reader.stores(), &db.ambient, &as_agent(&agent), &agent).await, Ok(false));
    assert!(matches!(
        work_waiting(reader.stores(), &db.ambient, &alice(), "agt-none").await,
        Err(DomainError::NotFound { .. })
    ));
}

#[tokio::test]
async fn every_check_of_the_database_names_what_the_code_knows() {
    let db = TestDatabase::new().await;
    let session = db.session().await;
    let listed = async |constraint: &str| {
        let row = session
            .query_one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", &[&constraint])
            .await
            .expect("the constraint");
        let text: String = row.get(0);
        text.split('\'').skip(1).step_by(2).map(ToOwned::to_owned).collect::<BTreeSet<String>>()
    };
    let known = |all: &[&str]| all.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    let spell = |all: &[JobStatus]| all.iter().map(|s| s.as_str()).collect::<Vec<_>>();
    assert_eq!(listed("jobs_status_check").await, known(&spell(JobStatus::ALL)));
    let kinds: Vec<_> = JobType::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(listed("jobs_type_check").await, known(&kinds));
    let triggers: Vec<_> = Trigger::ALL.iter().map(|trigger| trigger.as_str()).collect();
    assert_eq!(listed("jobs_trigger_check").await, known(&triggers));
    let classes = [ErrorClass::Transient, ErrorClass::Permanent, ErrorClass::Timeout, ErrorClass::Abandoned];
    assert_eq!(listed("jobs_error_class_check").await, known(&classes.map(ErrorClass::as_str)));
    let states = AttachmentState::ALL.map(AttachmentState::as_str);
    assert_eq!(listed("certificate_targets_state_check").await, known(&states));
    let agents = certctl_agents::AgentStatus::ALL.map(certctl_agents::AgentStatus::as_str);
    assert_eq!(listed("agent_heartbeats_status_check").await, known(&agents));
    assert!(Catalogue.available().contains(&"NGINX"));
}

#[tokio::test]
async fn the_list_of_jobs_is_filtered_newest_first() {
    let db = TestDatabase::new().await;
    let (certificate, agent, target_id) = served(&db, "web").await;
    let request = order(&db, &certificate.id, false).await.expect("ordered");
    db.clock.set(START + Duration::MINUTE);
    let (_, jobs) = issued(&db, &certificate, 1).await;
    let ask = async |filter: JobFilter| {
        let page = list_jobs(db.read().await.stores(), &alice(), filter, &ListQuery::default()).await.expect("a page");
        page.rows.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(ask(JobFilter::default()).await, [jobs[0].clone(), request.id.clone()]);
    let deployments = JobFilter {
        kind: Some(JobType::Deployment),
        target_id: Some(target_id),
        agent_id: Some(agent),
        ..JobFilter::default()
    };
    assert_eq!(ask(deployments).await, jobs);
    let waiting = JobFilter { status: Some(JobStatus::AwaitingCSR), ..JobFilter::default() };
    assert_eq!(ask(waiting).await, [request.id]);
    attach(&db, &certificate, &[]).await;
}
