//! `GET /api/v1/issuers/{id}/intermediates`

use super::CaBody;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_issuance::list_cas;
use serde::Serialize;
use utoipa::ToSchema;

/// The CAs of an issuer.
#[derive(Serialize, ToSchema)]
pub(crate) struct IntermediateCaList {
    data: Vec<CaBody>,
}

/// Every CA of an issuer, oldest first: roots of every generation and the CAs below them.
#[utoipa::path(
    get, path = "/api/v1/issuers/{id}/intermediates", tag = "pki",
    params(("id" = String, Path, description = "Id of the issuer.")),
    responses((status = 200, body = IntermediateCaList)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let records = cx.read(async |tx| Ok(list_cas(tx, caller, &id).await?)).await?;
    cx.list(&IntermediateCaList { data: records.into_iter().map(CaBody::from).collect() })
}
