//! Agents: enrolment, heartbeats, silence, retirement.

use crate::fleet::{agent, as_agent, issued, served, target, told};
use crate::support::{TestDatabase, alice};
use certctl_agents::{
    AgentFilter, AgentStatus, Enroller, FleetSettings, Heartbeat, RegisterAgent, RetireAgent, RetireError, Retirement,
    agent_offline_sweep, get_agent, heartbeat, list_agents, register, retire,
};
use certctl_apikey::authenticate;
use certctl_inventory::CertificateStatus;
use certctl_jobs::{JobFilter, JobStatus};
use certctl_kernel::{ActorType, DomainError, ListQuery, RequestContext, StoreError};
use certctl_renewal::renew;
use certctl_unit_of_work::Database as _;
use time::Duration;

async fn beat(db: &TestDatabase, id: &str, beat: &Heartbeat) -> Result<(), DomainError> {
    let mut unit = db.begin().await;
    heartbeat(unit.stores(), &db.ambient, &as_agent(id), id, beat).await?;
    Ok(unit.save_unaudited("a heartbeat").await?)
}

fn named(name: &str) -> RegisterAgent {
    RegisterAgent { name: name.to_owned(), hostname: "h".to_owned(), ..RegisterAgent::default() }
}

fn forced() -> RetireAgent {
    RetireAgent { force: true, reason: Some("host gone".to_owned()) }
}

async fn retired(db: &TestDatabase, id: &str, command: RetireAgent) -> Result<Retirement, RetireError> {
    let mut unit = db.begin().await;
    let outcome = retire(unit.stores(), &db.ambient, &alice(), id, command).await?;
    match outcome {
        Retirement::Already => unit.discard().await.expect("discarded"),
        Retirement::Now { .. } => unit.save().await.expect("saved"),
    }
    Ok(outcome)
}

#[tokio::test]
async fn an_enrolled_agent_signs_in_with_its_own_key_until_it_is_retired() {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    assert!(unit.sync_catalogue().await.expect("a catalogue"));
    let enrolled =
        register(unit.stores(), &db.ambient, Enroller::Operator(&alice()), named("web")).await.expect("enrolled");
    unit.save().await.expect("saved");
    let id = enrolled.agent.id.clone();
    let who = async || {
        let key = enrolled.key.expose();
        authenticate(db.read().await.stores(), key, db.ambient.now()).await.expect("a lookup")
    };
    let found = who().await.expect("the agent");
    assert_eq!((found.actor.kind, &found.actor.id), (ActorType::Agent, &id));
    assert_eq!(told(&db, &id).await, ["agent_registered"]);
    let Ok(Retirement::Now { cascade: false, .. }) = retired(&db, &id, RetireAgent::default()).await else {
        panic!("not retired")
    };
    assert!(who().await.is_none(), "its key ended with it");
    assert!(matches!(retired(&db, &id, RetireAgent::default()).await, Ok(Retirement::Already)));
    assert_eq!(told(&db, &id).await, ["agent_registered", "agent_retired"]);
}

#[tokio::test]
async fn a_name_is_taken_while_its_agent_is_in_service() {
    let db = TestDatabase::new().await;
    let first = agent(&db, "web").await;
    let context = RequestContext::system("enrolment");
    let again = async || {
        let mut unit = db.begin().await;
        let made = register(unit.stores(), &db.ambient, Enroller::Token(&context), named("WEB")).await;
        if made.is_ok() {
            unit.save().await.expect("saved");
        }
        made.map(|enrolled| enrolled.agent.id)
    };
    let taken = StoreError::Duplicate { field: "name".to_owned(), existing_id: None };
    assert_eq!(again().await, Err(DomainError::Store(taken)));
    retired(&db, &first, RetireAgent::default()).await.expect("retired");
    assert!(again().await.is_ok());
}

#[tokio::test]
async fn a_heartbeat_notes_what_is_new_and_leaves_no_event() {
    let db = TestDatabase::new().await;
    let id = agent(&db, "web").await;
    db.clock.set(db.ambient.now() + Duration::minutes(1));
    let first = Heartbeat { version: "1.2".into(), os: "linux".into(), ..Heartbeat::default() };
    beat(&db, &id, &first).await.expect("heard");
    db.clock.set(db.ambient.now() + Duration::minutes(1));
    beat(&db, &id, &Heartbeat::default()).await.expect("heard");
    let known = get_agent(db.read().await.stores(), &alice(), &id).await.expect("the agent");
    assert_eq!((known.version.as_str(), known.os.as_str(), known.hostname.as_str()), ("1.2", "linux", "web.test"));
    assert_eq!(known.last_heartbeat_at, Some(db.ambient.now()));
    assert_eq!(known.row_version, 2, "a heartbeat that tells nothing new does not touch the description");
    assert_eq!(told(&db, &id).await, ["agent_registered"]);
    assert!(matches!(beat(&db, "agt-none", &first).await, Err(DomainError::NotFound { .. })));
    let mut unit = db.begin().await;
    let other = heartbeat(unit.stores(), &db.ambient, &as_agent("agt-other"), &id, &first).await;
    assert!(matches!(other, Err(DomainError::Forbidden { .. })), "no agent speaks for another");
}

#[tokio::test]
async fn a_silent_agent_goes_offline_once_and_comes_back_by_itself() {
    let db = TestDatabase::new().await;
    let (quiet, loud) = (agent(&db, "quiet").await, agent(&db, "loud").await);
    beat(&db, &quiet, &Heartbeat::default()).await.expect("heard");
    db.clock.set(db.ambient.now() + Duration::minutes(4));
    beat(&db, &loud, &Heartbeat::default()).await.expect("heard");
    let sweep = async || {
        let mut unit = db.begin().await;
        let context = RequestContext::system("sweep");
        let swept = agent_offline_sweep(unit.stores(), &db.ambient, &context, FleetSettings::default(), 100).await;
        unit.save_unaudited("the sweep may find nothing").await.expect("saved");
        swept
    };
    assert_eq!(sweep().await, Ok(1));
    assert_eq!(sweep().await, Ok(0), "the second run finds nothing to do");
    let offline = AgentFilter { status: Some(AgentStatus::Offline), ..AgentFilter::default() };
    let page = list_agents(db.read().await.stores(), &alice(), &offline, &ListQuery::default()).await.expect("a page");
    assert_eq!(page.rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&quiet]);
    assert_eq!(told(&db, &quiet).await, ["agent_registered", "agent_offline"]);
    beat(&db, &quiet, &Heartbeat::default()).await.expect("heard");
    let back = get_agent(db.read().await.stores(), &alice(), &quiet).await.expect("the agent");
    assert_eq!(back.status, AgentStatus::Online);
}

#[tokio::test]
async fn a_heartbeat_that_meets_a_retirement_never_brings_the_agent_back() {
    let db = TestDatabase::new().await;
    let id = agent(&db, "web").await;
    let beats: Vec<_> = (0..6)
        .map(|_| {
            let (postgres, ambient, id) = (db.postgres.clone(), db.ambient.clone(), id.clone());
            tokio::spawn(async move {
                for _ in 0..200 {
                    let mut unit = postgres.begin().await.expect("a transaction");
                    let one = Heartbeat { hostname: "elsewhere".into(), ..Heartbeat::default() };
                    match heartbeat(unit.stores(), &ambient, &as_agent(&id), &id, &one).await {
                        Ok(()) => unit.save_unaudited("a heartbeat").await.expect("saved"),
                        Err(DomainError::Gone { .. }) => return true,
                        Err(other) => panic!("{other}"),
                    }
                }
                false
            })
        })
        .collect();
    retired(&db, &id, RetireAgent::default()).await.expect("retired");
    for one in beats {
        // Those that ran to their end before the retirement heard nothing of it.
        one.await.expect("no heartbeat fails otherwise");
    }
    let known = get_agent(db.read().await.stores(), &alice(), &id).await.expect("the agent");
    assert_eq!(known.retired_at, Some(db.ambient.now()));
    assert!(matches!(beat(&db, &id, &Heartbeat::default()).await, Err(DomainError::Gone { .. })));
}

#[tokio::test]
async fn retiring_an_agent_that_still_serves_needs_force_and_takes_everything_with_it() {
    let db = TestDatabase::new().await;
    let (certificate, id, target_id) = served(&db, "web").await;
    let (_, deployments) = issued(&db, &certificate, 1).await;
    let mut unit = db.begin().await;
    let approvals = certctl_approval::ApprovalSettings::default();
    let ordered = renew(unit.stores(), &db.ambient, &approvals, &alice(), &certificate.id, false).await;
    let request = ordered.expect("ordered").job;
    unit.save().await.expect("saved");
    let mut unit = db.begin().await;
    unit.awaiting_csr_job_for_update(&certificate.id, Some(&id), None).await.expect("read");
    let mut bound = unit.job_for_update(&request.id).await.expect("read").expect("the job");
    bound.agent_id = Some(id.clone());
    assert_eq!(unit.save_job(&bound).await, Ok(true));
    unit.save_unaudited("a test").await.expect("saved");

    match retired(&db, &id, RetireAgent::default()).await {
        Err(RetireError::Blocked(counts)) => {
            assert_eq!((counts.active_targets, counts.active_certificates, counts.pending_jobs), (1, 1, 2));
        }
        other => panic!("{other:?}"),
    }
    let no_reason = RetireAgent { force: true, reason: Some("  ".to_owned()) };
    assert!(matches!(retired(&db, &id, no_reason).await, Err(RetireError::Domain(DomainError::Validation(_)))));
    assert!(matches!(retired(&db, &id, forced()).await, Ok(Retirement::Now { cascade: true, .. })));

    let mut read = db.read().await;
    let gone = read.target(&target_id).await.expect("read").expect("the target");
    assert_eq!((gone.retired_at, gone.retired_reason.as_deref()), (Some(db.ambient.now()), Some("host gone")));
    for job in deployments.iter().chain([&request.id]) {
        let job = read.job(job).await.expect("read").expect("the job");
        assert_eq!((job.status, job.last_error.as_deref()), (JobStatus::Cancelled, Some("the agent was retired")));
    }
    let left = read.certificate(&certificate.id).await.expect("read").expect("the certificate");
    assert_eq!(left.status, CertificateStatus::Active);
    let open = JobFilter { status: Some(JobStatus::Pending), ..JobFilter::default() };
    assert_eq!(read.jobs_page(&open, &ListQuery::default()).await.expect("a page").total, 0);
    assert_eq!(told(&db, &id).await, ["agent_registered", "agent_retired", "agent_retirement_cascaded"]);
}

#[tokio::test]
async fn reserved_and_unknown_agents_are_not_retired() {
    let db = TestDatabase::new().await;
    assert!(matches!(retired(&db, "server-scanner", forced()).await, Err(RetireError::Reserved)));
    let unknown = retired(&db, "agt-none", forced()).await;
    assert!(matches!(unknown, Err(RetireError::Domain(DomainError::NotFound { .. }))));
}

#[tokio::test]
async fn a_new_target_and_a_retirement_never_both_succeed() {
    let db = TestDatabase::new().await;
    let id = agent(&db, "web").await;
    // The target holds the agent in service until its transaction ends, so the retirement waits and then sees it.
    let mut unit = db.begin().await;
    assert!(unit.agent_held(&id).await.expect("read").is_some());
    let (postgres, ambient, agent_id) = (db.postgres.clone(), db.ambient.clone(), id.clone());
    let retiring = tokio::spawn(async move {
        let mut unit = postgres.begin().await.expect("a transaction");
        let outcome = retire(unit.stores(), &ambient, &alice(), &agent_id, RetireAgent::default()).await;
        if outcome.is_ok() {
            unit.save().await.expect("saved");
        }
        outcome
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let session = db.session().await;
    while session.query_one(waits, &[]).await.expect("a count").get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let sample = target(&db, &agent(&db, "other").await, "sample").await;
    let mut held = sample.clone();
    (held.id, held.agent_id) = ("target-held".to_owned(), id.clone());
    unit.insert_target(&held).await.expect("inserted");
    unit.save_unaudited("a test").await.expect("saved");
    match retiring.await.expect("no panic") {
        Err(RetireError::Blocked(counts)) => assert_eq!(counts.active_targets, 1),
        other => panic!("{other:?}"),
    }
}
