//! `GET /api/v1/renewal-policies/{id}`

use super::RenewalPolicyBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One renewal policy.
#[utoipa::path(
    get, path = "/api/v1/renewal-policies/{id}", tag = "renewal-policies",
    params(("id" = String, Path, description = "Id of the renewal policy.")),
    responses((status = 200, body = RenewalPolicyBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_inventory::get_renewal_policy(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(RenewalPolicyBody::from(found)).version(updated_at, version))
}
