//! `POST /api/v1/agents/{id}/csr`

use crate::certificates::issue::Fate;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_audit::{Action, AuditEvent};
use certctl_deployment::AnsweredRequest;
use certctl_inventory::sources;
use certctl_issuance::{IssueFromCsr, Outcome};
use certctl_jobs::{ErrorClass, JobFailure};
use certctl_kernel::DomainError;
use certctl_rbac::Caller;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// The answer to a job that awaits a CSR.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CsrInput {
    /// The request, PEM.
    csr_pem: String,
    /// The certificate; may be left out when exactly one request waits for the agent.
    #[serde(default)]
    certificate_id: Option<String>,
    /// The job that it answers.
    #[serde(default)]
    job_id: Option<String>,
}

/// The request was signed.
#[derive(Serialize, ToSchema)]
pub(crate) struct CsrSigned {
    /// Always `csr_signed`.
    status: &'static str,
}

/// What became of the attempt, when its own transaction is gone.
struct Refused {
    request: AnsweredRequest,
    error: DomainError,
}

fn submitted(caller: &Caller, agent_id: &str, request: &AnsweredRequest) -> AuditEvent {
    let details = json!({"agent_id": agent_id, "job_id": request.job.id});
    AuditEvent::new(Action::CsrSubmitted, &caller.context, &request.certificate_id, details)
}

/// Records the refusal and, where the job can't go on as it is, ends its attempt. The refusal stands whether or not
/// this can be stored; the job then runs into its timeout.
async fn settle(cx: &Cx, caller: &Caller, agent_id: &str, refused: &Refused) {
    let Refused { request, error } = refused;
    let class = match error {
        DomainError::Unprocessable(_) => Some(ErrorClass::Permanent),
        DomainError::Upstream { .. } => Some(ErrorClass::Transient),
        _ => None,
    };
    let outcome = async {
        let mut unit = cx.state().db.begin().await?;
        let tx = unit.stores();
        tx.record(submitted(caller, agent_id, request)).await?;
        certctl_issuance::record_refusal(tx, caller, &request.certificate_id, error).await?;
        if let Some(class) = class {
            let failure = JobFailure::new(&error.to_string(), class);
            certctl_deployment::fail_request(tx, cx.ambient(), caller, request, &failure).await?;
        }
        unit.save().await?;
        Ok::<(), DomainError>(())
    };
    if let Err(error) = outcome.await {
        tracing::error!(%error, job = request.job.id, "a refused request could not be settled");
    }
}

/// Signs the agent's CSR for the certificate whose job awaits one.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/csr", tag = "agents", request_body = CsrInput,
    params(("id" = String, Path, description = "Id of the agent.")),
    responses(
        (status = 202, body = CsrSigned),
        (status = 410, body = crate::edge::ErrorBody, description = "The agent is retired."),
        (status = 422, body = crate::edge::ErrorBody, description = "The request breaks a rule of the profile."),
        (status = 502, body = crate::edge::ErrorBody, description = "The issuer failed."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<CsrInput>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let issuers = cx.state().backends()?.issuers.as_ref();
    let CsrInput { csr_pem, certificate_id, job_id } = body.value;
    let mut refused = None;
    let mut signed = None;
    let reply = cx
        .change(&body.digest, async |tx| {
            let request = certctl_deployment::request_to_answer(tx, caller, &id, certificate_id.as_deref()).await?;
            if job_id.as_ref().is_some_and(|job| !job.is_empty() && *job != request.job.id) {
                let message = "job_id is not the job of this certificate that waits for a CSR";
                return Err(DomainError::conflict("no_job_awaiting_csr", message).into());
            }
            tx.record(submitted(caller, &id, &request)).await?;
            let command = IssueFromCsr {
                certificate_id: request.certificate_id.clone(),
                csr_pem,
                job_id: Some(request.job.id.clone()),
                source: sources::AGENT.to_owned(),
            };
            let approvals = &cx.state().settings.approvals;
            match certctl_issuance::issue_from_csr(tx, issuers, cx.ambient(), approvals, caller, command).await {
                Ok(Outcome::Issued(version)) => {
                    signed = Some(*version);
                    Ok(Reply::accepted(CsrSigned { status: "csr_signed" }))
                }
                Ok(Outcome::Pending(_)) => Err(ApiError::internal("an answer to a job can't ask for an approval")),
                Err(error) => {
                    refused = Some(Refused { request, error: error.clone() });
                    Err(error.into())
                }
            }
        })
        .await;
    if let Some(refused) = refused {
        settle(&cx, caller, &id, &refused).await;
    }
    let Some(version) = signed else { return reply };
    // A leaf whose transaction did not commit is in the world all the same: it must not be forgotten.
    let certificate_id = version.certificate_id.clone();
    let mut fate = Fate::default();
    fate.note(Ok(version))?;
    fate.settle(&cx, &certificate_id, reply).await
}
