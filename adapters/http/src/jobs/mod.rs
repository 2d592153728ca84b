//! Jobs.

use crate::edge::{Gate, Route};
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use certctl_jobs::Job;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use utoipa::ToSchema;

mod approve;
mod cancel;
mod get;
mod list;
mod reject;
mod verification;
mod verify;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Objects(Permission::JobRead), list),
        crate::route!(Gate::Objects(Permission::JobRead), get),
        crate::route!(Gate::Objects(Permission::JobCancel), cancel),
        crate::route!(Gate::Objects(Permission::ApprovalApprove), approve),
        crate::route!(Gate::Objects(Permission::ApprovalReject), reject),
        crate::route!(Gate::Objects(Permission::VerificationRun), verify),
        crate::route!(Gate::Objects(Permission::VerificationRead), verification),
    ]
}

/// Marks an answer of a route that another one took over from (RFC 9745: since when, as a structured date).
fn superseded(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("deprecation"), HeaderValue::from_static("@1795564800"));
    headers.insert(header::LINK, HeaderValue::from_static("</api/v1/approvals>; rel=\"successor-version\""));
    response
}

/// Something to be done for a certificate.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobBody {
    id: String,
    #[schema(schema_with = crate::openapi::values::job_type)]
    r#type: &'static str,
    certificate_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    target_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    agent_id: Option<String>,
    #[schema(schema_with = crate::openapi::values::job_status)]
    status: &'static str,
    attempts: i32,
    max_attempts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    last_error: Option<String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    scheduled_at: Timestamp,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    started_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    completed_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(schema_with = crate::openapi::values::verification_status)]
    verification_status: &'static str,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    verified_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    verification_error: Option<String>,
    /// The leaf that was seen, SHA-256 hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    verification_fingerprint: Option<String>,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        let verification_status = job.verification_status().as_str();
        let (verified_at, verification_error, verification_fingerprint) = match job.verification {
            Some(seen) => {
                let fingerprint = Some(seen.actual_fingerprint).filter(|text| !text.is_empty());
                (Some(seen.at), seen.error, fingerprint)
            }
            None => (None, None, None),
        };
        Self {
            id: job.id,
            r#type: job.kind.as_str(),
            certificate_id: job.certificate_id,
            version_id: job.version_id,
            target_id: job.target_id,
            agent_id: job.agent_id,
            status: job.status.as_str(),
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            last_error: job.last_error,
            scheduled_at: job.scheduled_at,
            started_at: job.started_at,
            completed_at: job.completed_at,
            created_at: job.created_at,
            verification_status,
            verified_at,
            verification_error,
            verification_fingerprint,
        }
    }
}
