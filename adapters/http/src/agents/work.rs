//! `GET /api/v1/agents/{id}/work`

use crate::edge::{ApiError, Cx, Reply};
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use certctl_deployment::{LeaseSettings, WorkItem};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A job for the agent.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkItem)]
pub(crate) struct WorkItemBody {
    id: String,
    /// `Issuance`, `Renewal` or `Deployment`.
    r#type: &'static str,
    certificate_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    common_name: String,
    sans: Vec<String>,
    /// The version to deploy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    version_id: Option<String>,
    /// Its leaf, SHA-256 hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    fingerprint_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    target_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    target_type: Option<String>,
    /// Complete, secrets in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    target_config: Option<Value>,
    /// `AwaitingCSR` or `Running`.
    status: &'static str,
    /// Attempts begun, this one included.
    attempts: i32,
}

impl From<WorkItem> for WorkItemBody {
    fn from(item: WorkItem) -> Self {
        let work = item.work;
        let (target_id, target_type) = work.target.map(|target| (target.id, target.kind)).unzip();
        Self {
            id: work.job_id,
            r#type: work.kind.as_str(),
            certificate_id: work.certificate_id,
            common_name: work.common_name,
            sans: work.sans,
            version_id: work.version_id,
            fingerprint_sha256: work.fingerprint_sha256,
            target_id,
            target_type,
            target_config: item.target_config,
            status: work.status.as_str(),
            attempts: work.attempts,
        }
    }
}

/// The jobs that now belong to the agent.
#[derive(Serialize, ToSchema)]
pub(crate) struct Work {
    jobs: Vec<WorkItemBody>,
    count: usize,
}

fn answer(cx: &Cx, items: Vec<WorkItem>) -> Result<HttpResponse, ApiError> {
    let jobs: Vec<_> = items.into_iter().map(WorkItemBody::from).collect();
    cx.object(&Reply::ok(Work { count: jobs.len(), jobs }))
}

/// Hands the agent what waits for it, at most 50 jobs; they are its own until their lease ends.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}/work", tag = "agents",
    params(("id" = String, Path, description = "Id of the agent.")),
    responses(
        (status = 200, body = Work),
        (status = 410, body = crate::edge::ErrorBody, description = "The agent is retired."),
    ),
)]
pub(crate) async fn handler(cx: Cx, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let sealer = cx.state().backends()?.sealer.as_ref();
    // Most polls find nothing; they cost one statement and no transaction.
    let waiting = cx.read(async |tx| Ok(certctl_deployment::work_waiting(tx, cx.ambient(), caller, &id).await?));
    // Who asks without wanting the answer gets no jobs: they would lie idle until their lease ends.
    if !waiting.await? || request.method() == Method::HEAD {
        return answer(&cx, Vec::new());
    }
    let mut unit = cx.state().db.begin().await?;
    let leases = LeaseSettings::default();
    match certctl_deployment::claim_work(unit.stores(), cx.ambient(), caller, sealer, leases, &id).await {
        Ok(items) if items.is_empty() => {
            unit.discard().await?;
            answer(&cx, items)
        }
        Ok(items) => {
            unit.save().await?;
            answer(&cx, items)
        }
        Err(error) => {
            unit.discard().await?;
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_deployment::{ClaimedTarget, ClaimedWork};
    use certctl_jobs::{JobStatus, JobType};
    use serde_json::json;

    fn work(kind: JobType, status: JobStatus) -> ClaimedWork {
        ClaimedWork {
            job_id: "job-1".into(),
            kind,
            status,
            attempts: 1,
            certificate_id: "cert-1".into(),
            common_name: "www.example.test".into(),
            sans: vec![],
            version_id: None,
            fingerprint_sha256: None,
            target: None,
        }
    }

    #[test]
    fn a_request_names_what_is_wanted_and_omits_what_it_lacks() {
        let item = WorkItem { work: work(JobType::Renewal, JobStatus::AwaitingCSR), target_config: None };
        let expected = json!({
            "id": "job-1", "type": "Renewal", "certificate_id": "cert-1", "common_name": "www.example.test",
            "sans": [], "status": "AwaitingCSR", "attempts": 1,
        });
        assert_eq!(json!(WorkItemBody::from(item)), expected);
    }

    #[test]
    fn a_deployment_carries_the_complete_configuration_not_the_stored_one() {
        let target = ClaimedTarget {
            id: "target-1".into(),
            kind: "NGINX".into(),
            config: json!({"password": "********"}),
            sealed_config: Some(vec![1]),
        };
        let claimed = ClaimedWork { target: Some(target), ..work(JobType::Deployment, JobStatus::Running) };
        let body = json!(WorkItemBody::from(WorkItem { work: claimed, target_config: Some(json!({"password": "x"})) }));
        assert_eq!((&body["target_id"], &body["target_type"]), (&json!("target-1"), &json!("NGINX")));
        assert_eq!(body["target_config"], json!({"password": "x"}));
    }
}
