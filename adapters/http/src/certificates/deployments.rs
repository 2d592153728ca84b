//! `GET /api/v1/certificates/{id}/deployments`

use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::targets::TargetBody;
use actix_web::HttpResponse;
use certctl_deployment::{Attachment, LastJob};
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A target with how the certificate stands on it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeployedTarget)]
pub(crate) struct Row {
    #[serde(flatten)]
    target: TargetBody,
    /// `pending`, `deploying`, `deployed`, `verified`, `drifted` or `failed`.
    state: &'static str,
    /// Whether the target has another leaf than it should.
    drift: bool,
    /// Version that should be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    desired_version_id: Option<String>,
    /// Version that was deployed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    deployed_version_id: Option<String>,
    /// Its leaf, SHA-256 hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    deployed_fingerprint: Option<String>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    deployed_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    verified_at: Option<Timestamp>,
    /// What was served when last looked, SHA-256 hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    observed_fingerprint: Option<String>,
    /// Why the last deployment failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    last_error: Option<String>,
    /// How the last deployment that reported an outcome ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    last_outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    last_job: Option<LastJobBody>,
}

/// The job that last touched the target for this certificate.
#[derive(Serialize, ToSchema)]
#[schema(as = LastJob)]
pub(crate) struct LastJobBody {
    id: String,
    /// State of the job.
    status: &'static str,
    attempts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    last_error: Option<String>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    completed_at: Option<Timestamp>,
}

impl From<LastJob> for LastJobBody {
    fn from(job: LastJob) -> Self {
        Self {
            id: job.id,
            status: job.status.as_str(),
            attempts: job.attempts,
            last_error: job.last_error,
            completed_at: job.completed_at,
        }
    }
}

impl From<Attachment> for Row {
    fn from(attachment: Attachment) -> Self {
        Self {
            drift: attachment.has_drifted(),
            state: attachment.state.as_str(),
            target: attachment.target.into(),
            desired_version_id: attachment.desired_version_id,
            deployed_version_id: attachment.deployed_version_id,
            deployed_fingerprint: attachment.deployed_fingerprint,
            deployed_at: attachment.deployed_at,
            verified_at: attachment.verified_at,
            observed_fingerprint: attachment.observed_fingerprint,
            last_error: attachment.last_error,
            last_outcome: attachment.last_outcome,
            last_job: attachment.last_job.map(LastJobBody::from),
        }
    }
}

/// The certificate's targets by id, each with how the certificate stands on it.
#[utoipa::path(
    get, path = "/api/v1/certificates/{id}/deployments", tag = "certificates",
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<Row>)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let list = params.list(&format!("deployments:{id}"))?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(certctl_deployment::list_attachments(tx, caller, &id, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, Row::from))
}
