//! `POST /api/v1/certificates/{id}/versions`

use super::VersionBody;
use crate::approvals::AwaitsApproval;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_inventory::{CertificateVersion, sources};
use certctl_issuance::{IssueFromCsr, Outcome, issue_from_csr, record_orphan, record_refusal};
use certctl_kernel::DomainError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A certificate request whose key the caller holds.
#[derive(Deserialize, ToSchema)]
#[schema(as = IssueInput)]
pub(crate) struct Input {
    /// PKCS#10 in PEM. Its names must be names of the certificate; it may leave some out.
    csr_pem: String,
}

/// The two successful answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Issued(Box<VersionBody>),
    Pending(AwaitsApproval),
}

/// Issues a version of a certificate from a request, records it and sends it on its way to the targets. Where the
/// certificate's profile demands approval, the first such request asks for one (202); sent again once a second person
/// granted it, it is issued.
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/versions", tag = "certificates", request_body = Input,
    params(("id" = String, Path, description = "Id of the certificate.")),
    responses(
        (status = 201, body = VersionBody),
        (status = 202, body = AwaitsApproval, description = "A second person must grant it first."),
        (status = 422, description = "Policy refuses the request; each broken rule is named.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let issuers = &cx.state().backends()?.issuers;
    let command = IssueFromCsr {
        certificate_id: id.clone(),
        csr_pem: body.value.csr_pem,
        job_id: None,
        source: sources::API.to_owned(),
    };
    let mut fate = Fate::default();
    let response = cx
        .change(&body.digest, async |tx| {
            let approvals = &cx.state().settings.approvals;
            let outcome = issue_from_csr(tx, issuers.as_ref(), cx.ambient(), approvals, caller, command).await;
            let version = match outcome {
                Ok(Outcome::Pending(request)) => {
                    let message = "a second person must approve this; send the same request again afterwards";
                    return Ok(Reply::accepted(Answer::Pending(AwaitsApproval::new(*request, message))));
                }
                Ok(Outcome::Issued(version)) => fate.note(Ok(*version))?,
                Err(error) => fate.note(Err(error))?,
            };
            Ok(Reply::created(Answer::Issued(Box::new(VersionBody::from(version)))))
        })
        .await;
    fate.settle(&cx, &id, response).await
}

/// What became of an issuance, for what must be remembered when its transaction does not commit.
#[derive(Default)]
pub(crate) struct Fate {
    signed: Option<CertificateVersion>,
    refused: Option<DomainError>,
}

impl Fate {
    /// Notes the outcome inside the transaction.
    pub(crate) fn note(
        &mut self,
        outcome: Result<CertificateVersion, DomainError>,
    ) -> Result<CertificateVersion, DomainError> {
        match &outcome {
            Ok(version) => self.signed = Some(version.clone()),
            Err(error) => self.refused = Some(error.clone()),
        }
        outcome
    }

    /// After the transaction: a refusal gets its audit event; a leaf that was signed and not recorded is remembered.
    pub(crate) async fn settle<T>(
        self,
        cx: &Cx,
        certificate_id: &str,
        outcome: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if outcome.is_ok() {
            return outcome;
        }
        let work = async {
            let caller = cx.caller()?;
            let mut unit = cx.state().db.begin().await?;
            let wrote = match (&self.signed, &self.refused) {
                (Some(version), _) => {
                    let reason = "the transaction that was to record it did not commit";
                    record_orphan(unit.stores(), cx.ambient(), &caller.context, version, reason).await?
                }
                (None, Some(error)) => record_refusal(unit.stores(), caller, certificate_id, error).await?,
                (None, None) => false,
            };
            if wrote {
                unit.save().await?;
            } else {
                unit.discard().await?;
            }
            Ok::<_, ApiError>(())
        };
        if let Err(error) = work.await {
            let serial = self.signed.map(|version| version.serial_number);
            tracing::error!(certificate_id, serial, %error, "a failed issuance could not be recorded");
        }
        outcome
    }
}
