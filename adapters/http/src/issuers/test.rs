//! `POST /api/v1/issuers/{id}/test`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_issuance::{record_failed_test, test_issuer};
use certctl_kernel::DomainError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Nothing needs to be said.
#[derive(Deserialize, ToSchema)]
#[schema(as = IssuerTestInput)]
pub(crate) struct Input {}

/// The issuer could sign now.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuerTest {
    /// `connection_successful`
    status: &'static str,
}

/// Checks that an issuer could sign now, without signing anything: its CA certificate is read and valid, and its key is
/// there and belongs to it. The outcome is kept with the issuer.
#[utoipa::path(
    post, path = "/api/v1/issuers/{id}/test", tag = "issuers", request_body = Input,
    params(("id" = String, Path, description = "Id of the issuer.")),
    responses(
        (status = 200, body = IssuerTest),
        (status = 502, description = "It could not sign; the message says why.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let issuers = &cx.state().backends()?.issuers;
    let mut failure: Option<DomainError> = None;
    let response = cx
        .change(&body.digest, async |tx| match test_issuer(tx, issuers.as_ref(), cx.ambient(), caller, &id).await {
            Ok(()) => Ok(Reply::ok(IssuerTest { status: "connection_successful" })),
            Err(error) => {
                failure = Some(error.clone());
                Err(error.into())
            }
        })
        .await;
    if let Some(error) = &failure {
        let mut unit = cx.state().db.begin().await?;
        if record_failed_test(unit.stores(), cx.ambient(), caller, &id, error).await? {
            unit.save().await?;
        } else {
            unit.discard().await?;
        }
    }
    response
}
