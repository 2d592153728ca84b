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
    /// The job that waits for the agent's CSR.
    job_id: String,
}

/// Orders a new leaf: the agent of the certificate's targets makes a key and sends its CSR.
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
        let job = certctl_renewal::renew(tx, cx.ambient(), caller, &id, force).await?;
        Ok(Reply::accepted(RenewalTriggered { status: "renewal_triggered", job_id: job.id }))
    })
    .await
}
