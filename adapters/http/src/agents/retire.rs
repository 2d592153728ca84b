//! `DELETE /api/v1/agents/{id}`

use crate::edge::{ApiError, Cx, QueryParams, Reply};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_agents::{RetireAgent, RetireError, Retirement, RetirementCounts};
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// What an agent served.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentDependencies {
    active_targets: i64,
    active_certificates: i64,
    pending_jobs: i64,
}

impl From<RetirementCounts> for AgentDependencies {
    fn from(counts: RetirementCounts) -> Self {
        Self {
            active_targets: counts.active_targets,
            active_certificates: counts.active_certificates,
            pending_jobs: counts.pending_jobs,
        }
    }
}

/// An agent that is now out of service.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentRetirement {
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    retired_at: Timestamp,
    /// Always false: who retires it again gets 204.
    already_retired: bool,
    /// Whether its targets and jobs went with it.
    cascade: bool,
    counts: AgentDependencies,
}

impl From<RetireError> for ApiError {
    fn from(error: RetireError) -> Self {
        let message = error.to_string();
        match error {
            RetireError::Reserved => Self::new(StatusCode::FORBIDDEN, "reserved_agent", message),
            RetireError::Blocked(counts) => Self::new(StatusCode::CONFLICT, "dependency_blocked", message)
                .token("blocked_by_dependencies")
                .with("counts", json!(AgentDependencies::from(counts))),
            RetireError::Domain(error) => error.into(),
        }
    }
}

/// Takes an agent out of service; its key ends at once.
#[utoipa::path(
    delete, path = "/api/v1/agents/{id}", tag = "agents",
    params(
        ("id" = String, Path, description = "Id of the agent."),
        ("force" = Option<bool>, Query, description = "Retire its targets and call its jobs off too."),
        ("reason" = Option<String>, Query, description = "Why; required with `force`."),
    ),
    responses(
        (status = 200, body = AgentRetirement),
        (status = 204, description = "It was out of service before."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    // A word that is no truth value means false here, as existing clients expect.
    let force = matches!(params.text("force").as_deref(), Some("1" | "t" | "T" | "true" | "TRUE" | "True"));
    let reason = params.text("reason");
    params.finish()?;
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    // Not by `Cx::change`: retiring again changes nothing and so has no event to be saved with.
    let mut unit = cx.state().db.begin().await?;
    let outcome = certctl_agents::retire(unit.stores(), cx.ambient(), caller, &id, RetireAgent { force, reason }).await;
    match outcome {
        Ok(Retirement::Now { at, cascade, counts }) => {
            unit.save().await?;
            let body = AgentRetirement { retired_at: at, already_retired: false, cascade, counts: counts.into() };
            cx.object(&Reply::ok(body))
        }
        Ok(Retirement::Already) => {
            unit.discard().await?;
            cx.object(&Reply::<()>::no_content())
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

    #[test]
    fn a_blocked_retirement_tells_by_what_in_the_shape_clients_parse() {
        let counts = RetirementCounts { active_targets: 2, active_certificates: 1, pending_jobs: 0 };
        let error = ApiError::from(RetireError::Blocked(counts));
        assert_eq!((error.status, error.error), (StatusCode::CONFLICT, Some("blocked_by_dependencies")));
        let expected = json!({"active_targets": 2, "active_certificates": 1, "pending_jobs": 0});
        assert_eq!(error.extra.get("counts"), Some(&expected));
    }
}
