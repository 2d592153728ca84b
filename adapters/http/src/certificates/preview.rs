//! `POST /api/v1/certificates/preview`

use crate::edge::{ApiError, Cx, FieldErrorBody, JsonBody};
use actix_web::HttpResponse;
use certctl_ca::AuthorizedLeaf;
use certctl_issuance::{Preview, PreviewIssuance, PreviewSubject, preview_issuance};
use certctl_kernel::{Timestamp, timestamp};
use serde::{Deserialize, Serialize};
use time::Duration;
use utoipa::ToSchema;

/// A certificate under management by its id, or names and an issuer as if there were one.
#[derive(Deserialize, ToSchema)]
#[schema(as = PreviewInput)]
pub(crate) struct Input {
    /// A certificate under management; the members below that describe one are left out then.
    #[serde(default)]
    certificate_id: Option<String>,
    /// Wanted common name.
    #[serde(default)]
    common_name: Option<String>,
    /// Wanted alternative names.
    #[serde(default)]
    sans: Option<Vec<String>>,
    /// Who would sign.
    #[serde(default)]
    issuer_id: Option<String>,
    /// What it may contain.
    #[serde(default)]
    certificate_profile_id: Option<String>,
    /// PKCS#10 in PEM; left out, the rules about keys and requests are left out as well.
    #[serde(default)]
    csr_pem: Option<String>,
    /// A shorter lifetime than the issuer's and profile's.
    #[serde(default)]
    #[schema(minimum = 1)]
    lifetime_seconds: Option<i64>,
}

/// What would be issued.
#[derive(Serialize, ToSchema)]
pub(crate) struct PreviewedCertificate {
    issuer_id: String,
    /// The CA certificate that would sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    ca_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    certificate_profile_id: Option<String>,
    /// The subject's; absent when it is too long for a subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    common_name: Option<String>,
    sans: Vec<String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    /// Purposes.
    ekus: Vec<&'static str>,
    must_staple: bool,
    /// Short-lived, and so left out of CRLs.
    revocation_exempt: bool,
    ocsp_urls: Vec<String>,
    ca_issuer_urls: Vec<String>,
    crl_urls: Vec<String>,
    /// The certificate as it would look, signed by a key that was thrown away: for looking at, trusted by nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    sample_pem: Option<String>,
}

/// What speaks for and against an issuance.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuancePreview {
    /// Whether it would be issued, once approved where that is needed.
    would_issue: bool,
    /// Whether a second person must approve first.
    needs_approval: bool,
    /// Every rule that it breaks.
    refusals: Vec<FieldErrorBody>,
    /// What to know, such as a lifetime cut to the CA's.
    warnings: Vec<String>,
    /// Absent when something is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    certificate: Option<PreviewedCertificate>,
}

impl From<Preview> for IssuancePreview {
    fn from(preview: Preview) -> Self {
        let refusals: Vec<_> = preview
            .refusals
            .into_iter()
            .map(|error| FieldErrorBody { field: error.field, code: error.code, message: error.message })
            .collect();
        let warnings = preview.leaf.as_ref().map(|leaf| leaf.warnings.clone()).unwrap_or_default();
        let sample_pem = preview.sample_pem;
        Self {
            would_issue: refusals.is_empty(),
            needs_approval: preview.needs_approval,
            certificate: preview.leaf.filter(|_| refusals.is_empty()).map(|leaf| certificate(leaf, sample_pem)),
            refusals,
            warnings,
        }
    }
}

fn certificate(leaf: AuthorizedLeaf, sample_pem: Option<String>) -> PreviewedCertificate {
    PreviewedCertificate {
        issuer_id: leaf.issuer_id,
        ca_id: leaf.ca_id,
        certificate_profile_id: leaf.profile_id,
        common_name: leaf.common_name,
        sans: leaf.sans.iter().map(ToString::to_string).collect(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        ekus: leaf.ekus.iter().map(|eku| eku.as_str()).collect(),
        must_staple: leaf.must_staple,
        revocation_exempt: leaf.revocation_exempt,
        ocsp_urls: leaf.urls.ocsp,
        ca_issuer_urls: leaf.urls.ca_issuers,
        crl_urls: leaf.urls.crl,
        sample_pem,
    }
}

/// Shows what would be issued, or every rule that speaks against it. Nothing is written and no CA key is used; a refusal
/// is part of the answer and no error.
#[utoipa::path(
    post, path = "/api/v1/certificates/preview", tag = "certificates", request_body = Input,
    responses(
        (status = 200, body = IssuancePreview),
        (status = 422, body = crate::edge::ErrorBody, description = "The issuer's CA can't be used."),
        (status = 502, body = crate::edge::ErrorBody, description = "The issuer's configuration is not valid."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let question = question(body.value)?;
    let backends = cx.state().backends()?;
    // A transaction that is never saved: a CA that is made to answer with is gone afterwards.
    let mut unit = cx.state().db.begin().await?;
    let (issuers, keys) = (backends.issuers.as_ref(), backends.keys.as_ref());
    let answer = preview_issuance(unit.stores(), issuers, keys, cx.ambient(), caller, question).await;
    unit.discard().await?;
    let body = IssuancePreview::from(answer?);
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}

fn question(input: Input) -> Result<PreviewIssuance, ApiError> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let subject = match input.certificate_id.filter(|id| !id.is_empty()) {
        Some(id) => {
            let described = given(&input.common_name)
                || input.sans.is_some_and(|sans| !sans.is_empty())
                || given(&input.issuer_id)
                || given(&input.certificate_profile_id);
            if described {
                let message = "names a certificate; leave out common_name, sans, issuer_id and certificate_profile_id";
                return Err(ApiError::invalid("certificate_id", "conflicting", message));
            }
            PreviewSubject::Managed(id)
        }
        None => PreviewSubject::Imagined {
            common_name: input.common_name.unwrap_or_default(),
            sans: input.sans.unwrap_or_default(),
            issuer_id: input
                .issuer_id
                .filter(|id| !id.is_empty())
                .ok_or_else(|| ApiError::invalid("issuer_id", "required", "is required without certificate_id"))?,
            profile_id: input.certificate_profile_id.filter(|id| !id.is_empty()),
        },
    };
    let lifetime = match input.lifetime_seconds {
        Some(seconds) if seconds < 1 => {
            return Err(ApiError::invalid("lifetime_seconds", "out_of_range", "must be at least 1"));
        }
        seconds => seconds.map(Duration::seconds),
    };
    Ok(PreviewIssuance { subject, csr_pem: input.csr_pem.filter(|text| !text.is_empty()), lifetime })
}
