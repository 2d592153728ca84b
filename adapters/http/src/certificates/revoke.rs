//! `POST /api/v1/certificates/{id}/revoke`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_kernel::{Timestamp, timestamp};
use certctl_revocation::{RevocationReason, Revoke, Revoked};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why, and what of the certificate.
#[derive(Deserialize, ToSchema)]
#[schema(as = RevocationInput)]
pub(crate) struct Input {
    /// `unspecified` when left out; `keyCompromise`, `caCompromise`, `affiliationChanged`, `superseded`,
    /// `cessationOfOperation`, `certificateHold`, `privilegeWithdrawn` or `aaCompromise`, also in snake_case; `removeFromCRL` lifts a hold.
    #[serde(default)]
    reason: Option<String>,
    /// One serial number in hex; left out, every version that has not expired.
    #[serde(default)]
    serial: Option<String>,
    /// Since when the certificate is not to be trusted.
    #[serde(default, with = "timestamp::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    invalidity_date: Option<Timestamp>,
    /// Free text for the record.
    #[serde(default)]
    comment: Option<String>,
    /// Whether the keys must never be certified again; left out, they mustn't when they are compromised.
    #[serde(default)]
    block_key: Option<bool>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevocationResult {
    /// `revoked`
    status: &'static str,
    /// Present when all of it had been revoked before for the same reason.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    already: bool,
    /// The serial numbers that the request is about.
    serials: Vec<String>,
    /// Other certificates with the compromised key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    certificates_with_same_key: Vec<String>,
}

impl From<Revoked> for RevocationResult {
    fn from(revoked: Revoked) -> Self {
        Self {
            status: "revoked",
            already: revoked.already,
            serials: revoked.serials,
            certificates_with_same_key: revoked.same_key,
        }
    }
}

/// A "reason" that lifts a hold, as delta CRLs name it.
const LIFTS: [&str; 2] = ["removeFromCRL", "remove_from_crl"];

/// Revokes every version of a certificate that has not expired, or one. CRL and OCSP show it at once. Repeating it with
/// the same reason changes nothing; only `keyCompromise` may replace another reason than
/// `certificateHold`. `removeFromCRL` lifts a hold, as `POST …/unrevoke` does.
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/revoke", tag = "certificates", request_body = Input,
    params(("id" = String, Path, description = "Id of the certificate.")),
    responses((status = 200, body = RevocationAnswer)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    if body.value.reason.as_deref().is_some_and(|reason| LIFTS.contains(&reason)) {
        return super::unrevoke::lift(&cx, &id, &body.digest).await;
    }
    let status = cx.state().status()?;
    let command = command(id, body.value)?;
    let mut outcome: Option<Revoked> = None;
    let response = cx
        .change(&body.digest, async |tx| {
            let revoked = certctl_revocation::revoke(tx, cx.ambient(), caller, command).await?;
            outcome = Some(revoked.clone());
            if revoked.already {
                // Nothing to save: the transaction is discarded and the request answered below.
                return Err(ApiError::new(StatusCode::OK, "already_revoked", "already revoked"));
            }
            Ok(Reply::ok(RevocationResult::from(revoked)))
        })
        .await;
    match outcome {
        Some(revoked) if revoked.already => {
            Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(RevocationResult::from(revoked)))
        }
        // Also when the commit's answer was lost: it may have happened.
        Some(revoked) => {
            revoked.changes.iter().for_each(|change| status.on_change(change));
            response
        }
        None => response,
    }
}

/// The two successful answers.
#[derive(ToSchema)]
#[schema(as = RevocationAnswer)]
#[expect(dead_code, reason = "describes what is sent")]
#[serde(untagged)]
enum RevocationAnswer {
    Revoked(RevocationResult),
    Lifted(super::unrevoke::HoldLifted),
}

fn command(certificate_id: String, input: Input) -> Result<Revoke, ApiError> {
    let reason = match input.reason.as_deref() {
        None | Some("") => RevocationReason::Unspecified,
        Some(text) => RevocationReason::parse(text).ok_or_else(|| {
            let message = format!("must be one of {}", RevocationReason::spellings());
            ApiError::invalid("reason", "unknown_value", message)
        })?,
    };
    Ok(Revoke {
        certificate_id,
        reason,
        serial: input.serial,
        invalidity_date: input.invalidity_date,
        comment: input.comment,
        block_key: input.block_key,
    })
}
