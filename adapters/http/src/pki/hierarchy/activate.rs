//! `POST /api/v1/intermediates/{id}/activate`

use super::CaBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_issuance::activate_ca;
use serde::Deserialize;
use utoipa::ToSchema;

/// Nothing is to be said.
#[derive(Deserialize, ToSchema)]
#[schema(as = ActivateCaInput)]
pub(crate) struct Input {}

/// Makes a CA the one that signs its issuer's leaves. The one before keeps its state, its CRL and its OCSP answers.
#[utoipa::path(
    post, path = "/api/v1/intermediates/{id}/activate", tag = "pki", request_body = Input,
    params(("id" = String, Path, description = "Id of the CA.")),
    responses((status = 200, body = CaBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let Input {} = body.value;
    let mut issuer_id = None;
    let response = cx
        .change(&body.digest, async |tx| {
            let record = activate_ca(tx, cx.ambient(), caller, &id).await?;
            issuer_id = Some(record.issuer_id.clone());
            Ok(Reply::ok(CaBody::from(record)))
        })
        .await;
    super::forget(&cx, issuer_id.as_deref())?;
    response
}
