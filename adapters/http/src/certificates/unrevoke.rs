//! `POST /api/v1/certificates/{id}/unrevoke`

use crate::edge::{ApiError, BodyDigest, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_revocation::{Unheld, unhold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Nothing is to be said.
#[derive(Deserialize, ToSchema)]
#[schema(as = UnrevokeInput)]
pub(crate) struct Input {}

/// The hold is lifted.
#[derive(Serialize, ToSchema)]
pub(crate) struct HoldLifted {
    /// `unrevoked`
    status: &'static str,
    /// The certificate's status now.
    #[schema(schema_with = crate::openapi::values::certificate_status)]
    certificate_status: &'static str,
    /// The serial numbers that are good again.
    serials: Vec<String>,
}

/// Lifts the hold of a certificate that was revoked for `certificateHold`: it is good again at once, and the next CRL
/// leaves it out. Any other reason is final (409).
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/unrevoke", tag = "certificates", request_body = Input,
    params(("id" = String, Path, description = "Id of the certificate.")),
    responses((status = 200, body = HoldLifted)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let Input {} = body.value;
    lift(&cx, &cx.path("id")?, &body.digest).await
}

/// What this operation and a revocation for `removeFromCRL` do.
pub(super) async fn lift(cx: &Cx, id: &str, digest: &BodyDigest) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let status = cx.state().status()?;
    let mut outcome: Option<Unheld> = None;
    let response = cx
        .change(digest, async |tx| {
            let unheld = unhold(tx, cx.ambient(), caller, id).await?;
            outcome = Some(unheld.clone());
            Ok(Reply::ok(HoldLifted {
                status: "unrevoked",
                certificate_status: unheld.status.as_str(),
                serials: unheld.serials,
            }))
        })
        .await;
    // Also when the commit's answer was lost: it may have happened.
    outcome.iter().flat_map(|unheld| &unheld.changes).for_each(|change| status.on_change(change));
    response
}
