//! `POST /api/v1/certificates/{id}/export/pkcs12`

use crate::edge::{ApiError, Cx, JsonBody, QueryParams};
use actix_web::HttpResponse;
use certctl_inventory::ExportCertificate;
use certctl_kernel::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

/// How to protect the trust store.
#[derive(Deserialize, ToSchema)]
#[schema(as = Pkcs12Input)]
pub(crate) struct Input {
    /// May be empty: the store holds certificates only.
    #[serde(default)]
    password: Option<String>,
}

/// Exports a certificate and its chain as a PKCS#12 trust store. Never a private key: the server has none.
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/export/pkcs12", tag = "certificates", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("version_id" = Option<String>, Query, description = "A version; absent, the newest."),
    ),
    responses(
        (status = 200, content((Vec<u8> = "application/x-pkcs12"))),
        (status = 422, body = crate::edge::ErrorBody, description = "What is stored is not readable."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let id = cx.path("id")?;
    let password = Secret::new(body.value.password.unwrap_or_default());
    if password.expose().chars().count() > 1024 {
        return Err(ApiError::invalid("password", "too_long", "must have at most 1024 characters"));
    }
    let command = ExportCertificate { id: id.clone(), version_id: params.text("version_id") };
    params.finish()?;
    let export = super::export::run(&cx, &body.digest, &id, "pkcs12", async |tx, caller| {
        certctl_inventory::export_pkcs12(tx, caller, command, password.expose()).await
    })
    .await?;
    Ok(HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Content-Disposition", format!("attachment; filename=\"{}.p12\"", export.file_name)))
        .content_type("application/x-pkcs12")
        .body(export.der))
}
