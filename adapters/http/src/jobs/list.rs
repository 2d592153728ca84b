//! `GET /api/v1/jobs`

use super::JobBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use actix_web::HttpResponse;
use certctl_jobs::{JobFilter, JobStatus, JobType};

/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs",
    params(
        ("status" = Option<String>, Query, description = "State, such as `Running`."),
        ("type" = Option<String>, Query, description = "`Issuance`, `Renewal`, `Deployment` or `Validation`."),
        ("certificate_id" = Option<String>, Query, description = "Jobs of this certificate."),
        ("target_id" = Option<String>, Query, description = "Jobs for this target."),
        ("agent_id" = Option<String>, Query, description = "Jobs of this agent."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<JobBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let states: Vec<_> = JobStatus::ALL.iter().map(|status| (status.as_str(), *status)).collect();
    let kinds: Vec<_> = JobType::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let caller = cx.caller()?;
    let filter = JobFilter {
        status: params.choice("status", &states)?,
        kind: params.choice("type", &kinds)?,
        certificate_id: params.text("certificate_id"),
        target_id: params.text("target_id"),
        agent_id: params.text("agent_id"),
        within: None,
    };
    let filter = certctl_jobs::visible_jobs(filter, caller)?;
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(certctl_jobs::list_jobs(tx, caller, filter, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, JobBody::from))
}
