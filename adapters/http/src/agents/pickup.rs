//! `GET /api/v1/agents/{id}/certificates/{cert_id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// A certificate for deployment.
#[derive(Serialize, ToSchema)]
pub(crate) struct CertificatePickup {
    /// Leaf first, then its chain.
    certificate_pem: String,
}

/// The current version of a certificate on one of the agent's targets, without its key. Recorded in the audit trail.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}/certificates/{cert_id}", tag = "agents",
    params(
        ("id" = String, Path, description = "Id of the agent."),
        ("cert_id" = String, Path, description = "Id of the certificate."),
    ),
    responses(
        (status = 200, body = CertificatePickup),
        (status = 410, body = crate::edge::ErrorBody, description = "The agent is retired."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, certificate_id, caller) = (cx.path("id")?, cx.path("cert_id")?, cx.caller()?);
    cx.change(&BodyDigest::default(), async |tx| {
        let certificate_pem = certctl_deployment::pickup_certificate(tx, caller, &id, &certificate_id).await?;
        Ok(Reply::ok(CertificatePickup { certificate_pem }))
    })
    .await
}
