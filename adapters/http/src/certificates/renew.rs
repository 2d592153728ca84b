//! `POST /api/v1/certificates/{id}/renew`

use crate::edge::{ApiError, Cx, JsonBody, QueryParams, Reply};
use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a renewal is ordered.
#[derive(Deserialize, ToSchema)]
#[schema(as = RenewInput)]
pub(crate) struct Input {
    /// Starts over when a renewal is under way, and issues a revoked certificate anew.
    #[serde(default)]
    force: Option<bool>,
}

/// The order was taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct RenewalTriggered {
    /// Always `renewal_triggered`.
    status: &'static str,
    /// The job that waits for the agent's CSR, or for a decision first.
    job_id: String,
    /// The approval request that a second person must grant, where the profile demands one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    approval_id: Option<String>,
}

/// Orders a new leaf: the agent of the certificate's targets makes a key and sends its CSR. Where the certificate's
/// profile demands approval, a second person must grant the order first.
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/renew", tag = "certificates", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("force" = Option<bool>, Query, description = "The same as `force` in the body."),
    ),
    responses(
        (status = 202, body = RenewalTriggered),
        (status = 422, body = crate::edge::ErrorBody, description = "The certificate's profile does not allow it."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let by_query = params.flag("force")?.unwrap_or(false);
    params.finish()?;
    let force = by_query || body.value.force.unwrap_or(false);
    cx.change(&body.digest, async |tx| {
        let approvals = &cx.state().settings.approvals;
        let ordered = certctl_renewal::renew(tx, cx.ambient(), approvals, caller, &id, force).await?;
        let approval_id = ordered.approval.map(|approval| approval.id);
        Ok(Reply::accepted(RenewalTriggered { status: "renewal_triggered", job_id: ordered.job.id, approval_id }))
    })
    .await
}
