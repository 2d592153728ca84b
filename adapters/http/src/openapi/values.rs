//! Schemas of members whose values the domain lists.

use certctl_agents::AgentStatus;
use certctl_approval::{ApprovalKind, ApprovalState};
use certctl_inventory::CertificateStatus;
use certctl_jobs::{JobStatus, JobType, VerificationStatus};
use utoipa::openapi::{Object, ObjectBuilder, Type};

fn one_of(meaning: &str, values: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).description(Some(meaning)).enum_values(Some(values)).build()
}

/// States of a certificate.
pub(crate) fn certificate_status() -> Object {
    one_of("Where the certificate is in its life.", CertificateStatus::ALL.map(CertificateStatus::as_str))
}

/// Kinds of job.
pub(crate) fn job_type() -> Object {
    one_of("What the job does.", JobType::ALL.iter().map(|kind| kind.as_str()))
}

/// States of a job.
pub(crate) fn job_status() -> Object {
    one_of("Where the job stands.", JobStatus::ALL.iter().map(|status| status.as_str()))
}

/// Outcomes of a verification.
pub(crate) fn verification_status() -> Object {
    one_of("What a look at the target showed.", VerificationStatus::ALL.iter().map(|status| status.as_str()))
}

/// What approval requests are for.
pub(crate) fn approval_kind() -> Object {
    one_of("What is asked for.", ApprovalKind::ALL.iter().map(|kind| kind.as_str()))
}

/// States of an approval request.
pub(crate) fn approval_state() -> Object {
    one_of("How the request stands.", ApprovalState::ALL.iter().map(|state| state.as_str()))
}

/// States of an agent.
pub(crate) fn agent_status() -> Object {
    one_of("Whether the agent is heard.", AgentStatus::ALL.map(AgentStatus::as_str))
}
