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
    /// May be empty: the store holds certificates only. PKCS#12 has no place for characters above U+FFFF.
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
        (status = 200, content_type = "application/x-pkcs12", body = inline(crate::openapi::Octets)),
        (status = 422, body = crate::edge::ErrorBody, description = "What is stored is not readable."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let id = cx.path("id")?;
    let password = Secret::new(body.value.password.unwrap_or_default());
    check(password.expose())?;
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

/// The MAC of a store takes the password as a BMPString (RFC 7292 appendix B.1), which ends at U+FFFF.
fn check(password: &str) -> Result<(), ApiError> {
    if password.chars().count() > 1024 {
        return Err(ApiError::invalid("password", "too_long", "must have at most 1024 characters"));
    }
    if password.chars().any(|c| u32::from(c) > 0xFFFF) {
        return Err(ApiError::invalid("password", "invalid_characters", "must have no characters above U+FFFF"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_refused_when_no_store_can_hold_it() {
        for fine in ["", "pässword", "\u{FFFD}"] {
            assert!(check(fine).is_ok(), "{fine}");
        }
        let refused = check("key \u{1F511}").expect_err("beyond the BMP");
        assert_eq!((refused.status.as_u16(), refused.errors[0].code.as_ref()), (400, "invalid_characters"));
        assert!(check(&"x".repeat(1025)).is_err());
    }
}
