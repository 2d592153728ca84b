//! Targets: their secrets, and the certificates on them.

use crate::certificates::declared;
use crate::fleet::{Catalogue, agent, as_agent, attach, issued, served, target, told};
use crate::support::{TestDatabase, alice};
use certctl_agents::FleetSettings;
use certctl_deployment::{
    CreateTarget, LeaseSettings, MASK, Target, TargetFilter, TargetRules, UpdateTarget, claim_work, create_target,
    delete_target, deploy, list_attachments, list_targets, set_targets, test_target, update_target,
};
use certctl_inventory::Patch;
use certctl_jobs::JobStatus;
use certctl_kernel::{DomainError, ListQuery, StoreError};
use certctl_ports::fakes::TicketSealer;
use serde_json::json;
use time::Duration;

fn rules(sealer: &TicketSealer) -> TargetRules<'_> {
    TargetRules { catalogue: &Catalogue, sealer }
}

fn f5(agent_id: &str) -> CreateTarget {
    CreateTarget {
        id: Some("f5-edge".to_owned()),
        name: "edge".to_owned(),
        kind: "f5".to_owned(),
        agent_id: agent_id.to_owned(),
        config: json!({"host": "f5.test", "password": "hunter2"}),
        enabled: true,
    }
}

async fn made(db: &TestDatabase, sealer: &TicketSealer, command: CreateTarget) -> Result<Target, DomainError> {
    let mut unit = db.begin().await;
    let target = create_target(unit.stores(), &db.ambient, &alice(), rules(sealer), command).await?;
    unit.save().await?;
    Ok(target)
}

#[tokio::test]
async fn secrets_are_sealed_masked_kept_by_their_mask_and_shown_to_the_agent_alone() {
    let db = TestDatabase::new().await;
    let sealer = TicketSealer::default();
    let id = agent(&db, "web").await;
    let target = made(&db, &sealer, f5(&id)).await.expect("a target");
    assert_eq!((target.kind.as_str(), &target.config), ("F5", &json!({"host": "f5.test", "password": MASK})));
    let raw = db.session().await.query_one("SELECT to_jsonb(t)::text FROM fleet.targets t", &[]).await.expect("a row");
    assert!(!raw.get::<_, String>(0).contains("hunter2"));

    let change = UpdateTarget {
        config: Patch::Set(json!({"host": "f5b.test", "password": MASK})),
        expected_version: Some(1),
        ..UpdateTarget::default()
    };
    let mut unit = db.begin().await;
    let changed = update_target(unit.stores(), &db.ambient, &alice(), rules(&sealer), &target.id, change.clone()).await;
    let changed = changed.expect("changed");
    assert_eq!((changed.config_version, changed.row_version), (2, 2));
    assert_eq!(unit.target(&target.id).await, Ok(Some(changed)));
    unit.save().await.expect("saved");
    let told = "SELECT details -> 'changes' FROM audit.events WHERE action = 'update_target'";
    let told: serde_json::Value = db.session().await.query_one(told, &[]).await.expect("one event").get(0);
    assert_eq!(told["config"][0]["host"], json!("f5.test"), "what it was: {told}");
    assert_eq!(told["config"][1]["host"], json!("f5b.test"), "what it became: {told}");
    let mut unit = db.begin().await;
    let stale = update_target(unit.stores(), &db.ambient, &alice(), rules(&sealer), &target.id, change).await;
    assert_eq!(stale, Err(DomainError::PreconditionFailed));
    drop(unit);

    let certificate = declared(&db, "web").await;
    attach(&db, &certificate, std::slice::from_ref(&target.id)).await;
    issued(&db, &certificate, 1).await;
    let mut unit = db.begin().await;
    let leases = LeaseSettings::default();
    let items = claim_work(unit.stores(), &db.ambient, &as_agent(&id), &sealer, leases, &id).await.expect("work");
    assert_eq!(items[0].target_config, Some(json!({"host": "f5b.test", "password": "hunter2"})));
    unit.save().await.expect("saved");
    let events = db.session().await.query("SELECT details::text FROM audit.events", &[]).await.expect("rows");
    assert!(events.iter().all(|row| !row.get::<_, String>(0).contains("hunter2")), "no event tells the secret");
}

#[tokio::test]
async fn a_target_needs_a_known_type_a_sound_configuration_and_an_agent_in_service() {
    let db = TestDatabase::new().await;
    let sealer = TicketSealer::default();
    let id = agent(&db, "web").await;
    let command = CreateTarget { config: json!({"reload_command": "nginx; id"}), kind: "NGINX".into(), ..f5("agt-no") };
    let Err(DomainError::Validation(errors)) = made(&db, &sealer, command).await else { panic!("accepted") };
    let named: Vec<_> = errors.iter().map(|e| (e.field.as_str(), e.code.as_str())).collect();
    assert_eq!(
        named,
        [
            ("config.reload_command", "unsafe_command"),
            ("config.cert_path", "required"),
            ("agent_id", "unknown_reference")
        ]
    );
    let unknown = CreateTarget { kind: "Toaster".into(), ..f5(&id) };
    let Err(DomainError::Validation(errors)) = made(&db, &sealer, unknown).await else { panic!("accepted") };
    assert_eq!((errors[0].field.as_str(), errors[0].code.as_str()), ("type", "unknown_value"));
    made(&db, &sealer, f5(&id)).await.expect("a target");
    let same_name = CreateTarget { id: None, name: "EDGE".into(), ..f5(&id) };
    let taken = StoreError::Duplicate { field: "name".to_owned(), existing_id: None };
    assert_eq!(made(&db, &sealer, same_name).await.err(), Some(DomainError::Store(taken)));
    assert_eq!(told(&db, "f5-edge").await, ["create_target"]);
}

#[tokio::test]
async fn a_certificates_targets_exist_are_in_service_and_share_an_agent() {
    let db = TestDatabase::new().await;
    let certificate = declared(&db, "web").await;
    let (here, there) = (agent(&db, "here").await, agent(&db, "there").await);
    let (a, b, c) =
        (target(&db, &here, "a").await.id, target(&db, &here, "b").await.id, target(&db, &there, "c").await.id);
    let set = async |ids: &[&String]| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        let mut unit = db.begin().await;
        let set = set_targets(unit.stores(), &db.ambient, &certificate.id, &ids).await;
        unit.save_unaudited("a test").await.expect("saved");
        set
    };
    let codes = |refused: Result<Vec<String>, DomainError>| match refused {
        Err(DomainError::Validation(errors)) => errors.into_iter().map(|e| e.code).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(codes(set(&[&a, &"target-none".to_owned()]).await), ["unknown_reference"]);
    assert_eq!(codes(set(&[&a, &c]).await), ["agents_differ"]);
    let mut both = vec![a.clone(), b.clone()];
    both.sort();
    assert_eq!(set(&[&b, &a, &b]).await.as_ref(), Ok(&both));
    let stored = db.read().await.certificate(&certificate.id).await.expect("read").expect("the certificate");
    assert_eq!(stored.target_ids, both);

    let (_, jobs) = issued(&db, &certificate, 1).await;
    assert_eq!(jobs.len(), 2);
    assert_eq!(set(&[&a]).await, Ok(vec![a.clone()]));
    let mut read = db.read().await;
    let mut states = Vec::new();
    for job in &jobs {
        let job = read.job(job).await.expect("read").expect("the job");
        states.push((job.target_id.expect("a deployment"), job.status));
    }
    states.sort_by_key(|(target, _)| *target != a);
    assert_eq!(states, [(a, JobStatus::Pending), (b, JobStatus::Cancelled)]);
}

#[tokio::test]
async fn a_target_in_use_is_removed_only_on_demand_and_then_takes_nothing_more() {
    let db = TestDatabase::new().await;
    let (certificate, _, id) = served(&db, "web").await;
    issued(&db, &certificate, 1).await;
    let remove = async |detach: bool, force: bool| {
        let mut unit = db.begin().await;
        let done = delete_target(unit.stores(), &db.ambient, &alice(), &id, None, detach, force).await;
        match &done {
            Ok(()) => unit.save().await.expect("saved"),
            Err(_) => unit.discard().await.expect("discarded"),
        }
        done
    };
    let blocked = |done: Result<(), DomainError>| {
        assert!(matches!(done, Err(DomainError::Conflict { code: "dependency_blocked", .. })), "{done:?}");
    };
    blocked(remove(false, false).await);
    blocked(remove(true, false).await);
    assert_eq!(remove(false, true).await, Ok(()));
    assert!(matches!(remove(false, true).await, Err(DomainError::NotFound { .. })));
    let page = list_targets(db.read().await.stores(), &alice(), &TargetFilter::default(), &ListQuery::default()).await;
    assert_eq!(page.expect("a page").total, 0, "hidden from the list");
    let mut unit = db.begin().await;
    let refused = deploy(unit.stores(), &db.ambient, &alice(), &certificate.id, None).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "no_target", .. })), "{refused:?}");
    let refused = set_targets(unit.stores(), &db.ambient, &certificate.id, &[id]).await;
    assert!(matches!(refused, Err(DomainError::Validation(errors)) if errors[0].code == "target_retired"));
}

#[tokio::test]
async fn deploying_again_leaves_open_deployments_alone() {
    let db = TestDatabase::new().await;
    let (certificate, _, id) = served(&db, "web").await;
    let order = async |target: Option<&str>| {
        let mut unit = db.begin().await;
        let jobs = deploy(unit.stores(), &db.ambient, &alice(), &certificate.id, target).await?;
        unit.save().await?;
        Ok::<_, DomainError>(jobs)
    };
    let refused = order(None).await;
    assert!(matches!(refused, Err(DomainError::Conflict { code: "not_issued", .. })), "{refused:?}");
    let (version, open) = issued(&db, &certificate, 1).await;
    assert_eq!(order(None).await, Ok(vec![]), "one is open");
    assert!(matches!(order(Some("target-none")).await, Err(DomainError::Validation(_))));
    let mut unit = db.begin().await;
    certctl_jobs::cancel_job(unit.stores(), &db.ambient, &alice(), &open[0]).await.expect("called off");
    unit.save().await.expect("saved");
    assert_eq!(order(Some(&id)).await.expect("ordered").len(), 1);
    let page = list_attachments(db.read().await.stores(), &alice(), &certificate.id, &ListQuery::default()).await;
    let row = page.expect("a page").rows.remove(0);
    assert_eq!((row.desired_version_id.as_ref(), row.deployed_version_id.as_ref()), (Some(&version.id), None));
    assert!(row.has_drifted());
}

#[tokio::test]
async fn a_test_tells_whether_the_agent_could_take_a_deployment() {
    let db = TestDatabase::new().await;
    let (_, agent_id, id) = served(&db, "web").await;
    let sealer = TicketSealer::default();
    let test = async || {
        let mut unit = db.begin().await;
        let settings = FleetSettings::default();
        let found = test_target(unit.stores(), &db.ambient, &alice(), rules(&sealer), settings, &id).await;
        unit.save().await.expect("saved");
        found.expect("an answer")
    };
    assert!(!test().await.success, "it was never heard of");
    let mut unit = db.begin().await;
    let beat = certctl_agents::Heartbeat::default();
    certctl_agents::heartbeat(unit.stores(), &db.ambient, &as_agent(&agent_id), &agent_id, &beat).await.expect("heard");
    unit.save_unaudited("a heartbeat").await.expect("saved");
    assert_eq!(test().await.message, "Agent is online and reachable");
    db.clock.set(db.ambient.now() + Duration::minutes(10));
    assert!(!test().await.success);
    let stored = db.read().await.target(&id).await.expect("read").expect("the target");
    assert_eq!((stored.test_status.as_str(), stored.last_tested_at), ("failed", Some(db.ambient.now())));
    assert_eq!(
        told(&db, &id).await[1..],
        ["target_test_connection_failed", "target_test_connection_success", "target_test_connection_failed"]
    );
}
