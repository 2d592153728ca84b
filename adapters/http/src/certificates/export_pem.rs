//! `GET /api/v1/certificates/{id}/export/pem`

use crate::edge::{ApiError, BodyDigest, Cx, QueryParams};
use actix_web::HttpResponse;
use certctl_inventory::ExportCertificate;
use serde::Serialize;
use utoipa::ToSchema;

/// A certificate as PEM.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the members' names are those that clients read")]
pub(crate) struct PemExport {
    /// The leaf.
    cert_pem: String,
    /// What stands above it.
    chain_pem: String,
    /// Both.
    full_pem: String,
}

/// Exports a certificate and its chain. Never a private key: the server has none.
#[utoipa::path(
    get, path = "/api/v1/certificates/{id}/export/pem", tag = "certificates",
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("download" = Option<bool>, Query, description = "Answer with the PEM itself, as a file."),
        ("version_id" = Option<String>, Query, description = "A version; absent, the newest."),
    ),
    responses(
        (status = 200, content((PemExport = "application/json"), (String = "application/x-pem-file"))),
        (status = 422, body = crate::edge::ErrorBody, description = "What is stored is not readable."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let id = cx.path("id")?;
    let download = params.flag("download")?.unwrap_or(false);
    let command = ExportCertificate { id: id.clone(), version_id: params.text("version_id") };
    params.finish()?;
    let export = super::export::run(&cx, &BodyDigest::default(), &id, "pem", async |tx, caller| {
        certctl_inventory::export_pem(tx, caller, command).await
    })
    .await?;
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    if download {
        let disposition = format!("attachment; filename=\"{}.pem\"", export.file_name);
        return Ok(response
            .insert_header(("Content-Disposition", disposition))
            .content_type("application/x-pem-file")
            .body(export.full_pem));
    }
    let (cert_pem, chain_pem, full_pem) = (export.cert_pem, export.chain_pem, export.full_pem);
    Ok(response.json(PemExport { cert_pem, chain_pem, full_pem }))
}
