//! What the tests of agents, targets and jobs have in common.

use crate::support::{START, TestDatabase, alice};
use certctl_agents::{Enroller, RegisterAgent, register};
use certctl_audit::AuditFilter;
use certctl_deployment::{CreateTarget, Target, TargetRules, create_target, set_targets};
use certctl_inventory::{Certificate, CertificateVersion};
use certctl_kernel::{Actor, ActorType, FieldError, ListQuery, RequestContext};
use certctl_port_target::{TARGET_TYPES, TargetCatalogue};
use certctl_ports::fakes::TicketSealer;
use certctl_rbac::{Caller, DefaultRole, EffectivePermission, Permission, Scope};
use serde_json::{Value, json};
use std::sync::Arc;
use time::Duration;

/// Knows F5, with a secret password, and NGINX, which needs a path.
pub struct Catalogue;

impl TargetCatalogue for Catalogue {
    fn available(&self) -> &'static [&'static str] {
        &["NGINX", "F5"]
    }

    fn validate_config(&self, target_type: &str, config: &Value) -> Result<(), Vec<FieldError>> {
        assert!(TARGET_TYPES.contains(&target_type), "the type is canonical by now");
        if target_type == "NGINX" && config.get("cert_path").is_none() {
            return Err(vec![FieldError::new("config.cert_path", "required", "is required")]);
        }
        Ok(())
    }

    fn secret_members(&self, target_type: &str) -> &'static [&'static str] {
        if target_type == "F5" { &["password"] } else { &[] }
    }
}

/// An enrolled agent.
pub async fn agent(db: &TestDatabase, name: &str) -> String {
    let command = RegisterAgent { name: name.to_owned(), hostname: format!("{name}.test"), ..RegisterAgent::default() };
    let mut unit = db.begin().await;
    let enrolled = register(unit.stores(), &db.ambient, Enroller::Operator(&alice()), command).await.expect("enrolled");
    unit.save().await.expect("saved");
    enrolled.agent.id
}

/// The agent as a caller, with what its default role permits.
pub fn as_agent(id: &str) -> Caller {
    let held = Permission::ALL.iter().filter(|p| p.default_roles().contains(&DefaultRole::Agent));
    let held = held.map(|p| EffectivePermission { permission: *p, scope: Scope::Global });
    Caller {
        context: RequestContext {
            actor: Actor::new(id, ActorType::Agent),
            request_id: "req-agent".to_owned(),
            source_ip: None,
        },
        roles: vec![],
        permissions: Arc::new(held.collect()),
    }
}

/// An nginx of the agent.
pub async fn target(db: &TestDatabase, agent_id: &str, name: &str) -> Target {
    let command = CreateTarget {
        id: None,
        name: name.to_owned(),
        kind: "nginx".to_owned(),
        agent_id: agent_id.to_owned(),
        config: json!({"cert_path": "/etc/nginx/tls/web.pem"}),
        enabled: true,
    };
    let sealer = TicketSealer::default();
    let rules = TargetRules { catalogue: &Catalogue, sealer: &sealer };
    let mut unit = db.begin().await;
    let made = create_target(unit.stores(), &db.ambient, &alice(), rules, command).await.expect("a target");
    unit.save().await.expect("saved");
    made
}

/// Makes `targets` the certificate's.
pub async fn attach(db: &TestDatabase, certificate: &Certificate, targets: &[String]) {
    let mut unit = db.begin().await;
    set_targets(unit.stores(), &db.ambient, &certificate.id, targets).await.expect("attached");
    unit.save_unaudited("a test").await.expect("saved");
}

/// A certificate on one nginx of one agent: (certificate, agent, target).
pub async fn served(db: &TestDatabase, name: &str) -> (Certificate, String, String) {
    let certificate = crate::certificates::declared(db, name).await;
    let agent = agent(db, &format!("{name}-host")).await;
    let target = target(db, &agent, "nginx").await.id;
    attach(db, &certificate, std::slice::from_ref(&target)).await;
    (certificate, agent, target)
}

/// The leaf number `number` of a certificate: valid for 90 days from now.
pub fn leaf(db: &TestDatabase, certificate: &Certificate, number: u8) -> CertificateVersion {
    let unique = format!("{:x}", START.unix_timestamp()) + &hex(&certificate.id) + &format!("{number:02x}");
    let fingerprint = format!("{unique:0>64}");
    CertificateVersion {
        id: format!("cv-{}-{number}", certificate.id),
        certificate_id: certificate.id.clone(),
        issuer_id: certificate.issuer_id.clone(),
        ca_id: None,
        seq: 0,
        serial_number: fingerprint[fingerprint.len() - 40..].to_owned(),
        not_before: db.ambient.now(),
        not_after: db.ambient.now() + Duration::days(90),
        fingerprint_sha256: fingerprint[fingerprint.len() - 64..].to_owned(),
        pem_chain: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(),
        csr_pem: String::new(),
        key_algorithm: "ECDSA".to_owned(),
        key_size: 256,
        profile_id: None,
        source: "Agent".to_owned(),
        job_id: None,
        requested_by: "alice".to_owned(),
        spki_sha256: "ab".repeat(32),
        subject_dn: "CN=web.example.com".to_owned(),
        issuer_dn: "CN=ca".to_owned(),
        sans: certificate.sans.clone(),
        revocation_exempt: false,
        created_at: db.ambient.now(),
    }
}

fn hex(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&text.as_bytes()[text.len().saturating_sub(8)..])
}

/// Records a leaf as issuance does, with its deployments; returns it and the deployment jobs.
pub async fn issued(db: &TestDatabase, certificate: &Certificate, number: u8) -> (CertificateVersion, Vec<String>) {
    let version = leaf(db, certificate, number);
    let mut unit = db.begin().await;
    unit.certificate_for_update(&certificate.id).await.expect("held");
    unit.record_version(&version, Some(version.not_after - Duration::days(30))).await.expect("recorded");
    let now = db.ambient.now();
    let jobs = unit.create_deployment_jobs(&certificate.id, &version.id, now, "alice").await.expect("fanned out");
    unit.save_unaudited("a test").await.expect("saved");
    (version, jobs)
}

/// Names of the events about a resource, oldest first.
pub async fn told(db: &TestDatabase, resource_id: &str) -> Vec<String> {
    let filter = AuditFilter { resource_id: Some(resource_id.to_owned()), ..AuditFilter::default() };
    let page = db.read().await.audit_page(&filter, &ListQuery::default()).await.expect("a page");
    page.rows.into_iter().rev().map(|row| row.action).collect()
}
