//! What an agent fetches and hands in for its certificates.

use crate::WorkStore;
use certctl_agents::{AgentStore, acting_agent};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{CertificateStatus, CertificateStore};
use certctl_jobs::{Job, JobStore};
use certctl_kernel::DomainError;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// The current version of a certificate on one of the agent's targets, PEM, leaf first. Never a private key.
pub async fn pickup_certificate(
    tx: &mut (impl WorkStore + AgentStore + CertificateStore + AuditLog + ?Sized),
    caller: &Caller,
    agent_id: &str,
    certificate_id: &str,
) -> Result<String, DomainError> {
    // Who holds it nowhere learns nothing of what there is.
    caller.within(Permission::CertRead)?;
    acting_agent(tx, caller, agent_id).await?;
    let unknown = || DomainError::not_found("certificate", certificate_id);
    if !tx.agent_serves(agent_id, certificate_id).await? {
        return Err(unknown());
    }
    let certificate = tx.certificate(certificate_id).await?.ok_or_else(unknown)?;
    caller.require(Permission::CertRead, &certificate.scopes())?;
    if certificate.status == CertificateStatus::Archived {
        return Err(unknown());
    }
    let version = certificate.current_version_id.as_deref().ok_or_else(unknown)?;
    let version = tx.version(version).await?.ok_or_else(unknown)?;
    let details = json!({
        "agent_id": agent_id, "version_id": version.id, "serial_number": version.serial_number,
        "fingerprint_sha256": version.fingerprint_sha256,
    });
    tx.record(AuditEvent::new(Action::CertificateRetrieved, &caller.context, certificate_id, details)).await?;
    Ok(version.pem_chain)
}

/// The request that an agent's CSR answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredRequest {
    /// The certificate.
    pub certificate_id: String,
    /// The job that waits for the CSR, bound to the agent.
    pub job: Job,
}

/// Finds the request that the agent may answer, and locks it with its certificate. No job, no signature: a certificate
/// that nobody asked to be issued is refused.
pub async fn request_to_answer(
    tx: &mut (impl WorkStore + AgentStore + CertificateStore + JobStore + ?Sized),
    caller: &Caller,
    agent_id: &str,
    certificate_id: Option<&str>,
) -> Result<AnsweredRequest, DomainError> {
    caller.require(Permission::AgentJobPoll, &[])?;
    acting_agent(tx, caller, agent_id).await?;
    let certificate_id = if let Some(id) = certificate_id.filter(|id| !id.is_empty()) {
        id.to_owned()
    } else {
        let waiting = tx.requests_for_agent(agent_id).await?;
        let [only] = waiting.as_slice() else {
            let message = "is required unless exactly one request waits for this agent";
            return Err(DomainError::invalid("certificate_id", "certificate_id_required", message));
        };
        only.clone()
    };
    let unknown = || DomainError::not_found("certificate", &certificate_id);
    if !tx.agent_serves(agent_id, &certificate_id).await? {
        return Err(unknown());
    }
    // Certificate before job, as everywhere.
    tx.certificate_for_update(&certificate_id).await?.ok_or_else(unknown)?;
    let job = tx.awaiting_csr_job_for_update(&certificate_id, Some(agent_id), None).await?;
    let mut job = job.ok_or_else(|| {
        DomainError::conflict("no_job_awaiting_csr", "no job of this certificate waits for a CSR from this agent")
    })?;
    if job.agent_id.is_none() {
        job.agent_id = Some(agent_id.to_owned());
        if !tx.save_job(&job).await? {
            return Err(certctl_kernel::StoreError::Conflict.into());
        }
        job.row_version += 1;
    }
    Ok(AnsweredRequest { certificate_id, job })
}
