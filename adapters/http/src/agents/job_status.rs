//! `POST /api/v1/agents/{id}/jobs/{job_id}/status`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_deployment::{DeploymentResult, JobReport, LeaseSettings, Step};
use certctl_jobs::JobStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a job goes.
#[derive(Deserialize, ToSchema)]
pub(crate) struct JobStatusInput {
    /// `Running`, `Completed` or `Failed`.
    #[serde(default)]
    #[schema(required = true)]
    status: String,
    /// The `attempts` of the work item, so that a report of an attempt that is over changes nothing.
    #[serde(default)]
    attempt: Option<i32>,
    /// Why it failed.
    #[serde(default)]
    error: Option<String>,
    /// How the deployment went.
    #[serde(default)]
    result: Option<DeploymentResultInput>,
}

/// How a deployment went.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DeploymentResultInput {
    /// `changed`, `unchanged`, `refused`, `rolled_back` or `rollback_failed`.
    outcome: String,
    /// What was done.
    #[serde(default)]
    steps: Vec<StepInput>,
    /// Leaf before, SHA-256 hex.
    #[serde(default)]
    old_fingerprint: Option<String>,
    /// Leaf after.
    #[serde(default)]
    new_fingerprint: Option<String>,
    /// Leaf that the endpoint was seen to serve.
    #[serde(default)]
    served_fingerprint: Option<String>,
    /// Main path or address.
    #[serde(default)]
    target_address: Option<String>,
}

/// One step of a deployment.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StepInput {
    /// Its name, such as `write` or `reload`.
    step: String,
    /// Whether it succeeded.
    ok: bool,
    /// Milliseconds it took.
    #[serde(default)]
    ms: i64,
    /// What happened.
    #[serde(default)]
    detail: String,
}

impl From<DeploymentResultInput> for DeploymentResult {
    fn from(told: DeploymentResultInput) -> Self {
        let step = |s: StepInput| Step { step: s.step, ok: s.ok, ms: s.ms, detail: s.detail };
        Self {
            outcome: told.outcome,
            steps: told.steps.into_iter().map(step).collect(),
            old_fingerprint: told.old_fingerprint,
            new_fingerprint: told.new_fingerprint,
            served_fingerprint: told.served_fingerprint,
            target_address: told.target_address,
        }
    }
}

/// The report was taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobStatusUpdated {
    /// Always `updated`.
    status: &'static str,
}

/// Takes an agent's report; the same end reported again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/jobs/{job_id}/status", tag = "agents", request_body = JobStatusInput,
    params(
        ("id" = String, Path, description = "Id of the agent."),
        ("job_id" = String, Path, description = "Id of the job."),
    ),
    responses(
        (status = 200, body = JobStatusUpdated),
        (status = 410, body = crate::edge::ErrorBody, description = "The agent is retired."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<JobStatusInput>) -> Result<HttpResponse, ApiError> {
    let (id, job_id, caller) = (cx.path("id")?, cx.path("job_id")?, cx.caller()?);
    let input = body.value;
    let status = JobStatus::parse(&input.status)
        .ok_or_else(|| ApiError::invalid("status", "unknown_value", "must be Running, Completed or Failed"))?;
    let report = JobReport {
        status,
        attempt: input.attempt,
        error: input.error,
        result: input.result.map(DeploymentResult::from),
    };
    // Not by `Cx::change`: a repeated report changes nothing and so has no event to be saved with. For the same
    // reason it needs no idempotency key.
    let mut unit = cx.state().db.begin().await?;
    let leases = LeaseSettings::default();
    let told =
        certctl_deployment::report_job(unit.stores(), cx.ambient(), caller, leases, (&id, &job_id), report).await;
    match told {
        Ok(true) => unit.save().await?,
        Ok(false) => unit.discard().await?,
        Err(error) => {
            unit.discard().await?;
            return Err(error.into());
        }
    }
    cx.object(&Reply::ok(JobStatusUpdated { status: "updated" }))
}
