//! `POST /api/v1/admin/crl/{issuer_id}/regenerate`

use crate::edge::{ApiError, Cx, JsonBody};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use certctl_revocation::PublishedCrl;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Nothing is to be said.
#[derive(Deserialize, ToSchema)]
#[schema(as = CrlRegenerateInput)]
pub(crate) struct Input {}

/// A list that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeCrl {
    ca_id: String,
    crl_number: i64,
    revoked_count: i32,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    this_update: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    next_update: Timestamp,
    duration_ms: i32,
}

impl From<PublishedCrl> for MadeCrl {
    fn from(crl: PublishedCrl) -> Self {
        Self {
            ca_id: crl.ca_id,
            crl_number: crl.number,
            revoked_count: crl.revoked_count,
            this_update: crl.this_update,
            next_update: crl.next_update,
            duration_ms: crl.duration_ms,
        }
    }
}

/// The lists of every CA of the issuer.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeCrls {
    data: Vec<MadeCrl>,
}

/// Makes and publishes the next CRL of every CA of a local issuer now; the scheduler does so by itself after a revocation
/// and in good time.
#[utoipa::path(
    post, path = "/api/v1/admin/crl/{issuer_id}/regenerate", tag = "pki", request_body = Input,
    params(("issuer_id" = String, Path, description = "Id of the issuer.")),
    responses(
        (status = 200, body = MadeCrls),
        (status = 422, body = crate::edge::ErrorBody, description = "A CA of the issuer can't sign."),
        (status = 501, body = crate::edge::ErrorBody, description = "The issuer's CRL is published by its own CA."),
        (status = 502, body = crate::edge::ErrorBody, description = "The issuer's configuration is not valid."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let Input {} = body.value;
    cx.caller()?.require(Permission::CrlAdmin, &[])?;
    let made = cx.state().status()?.regenerate_crls(&cx.path("issuer_id")?).await?;
    let body = MadeCrls { data: made.into_iter().map(MadeCrl::from).collect() };
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}
