//! `POST /api/v1/agents`

use super::AgentBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_agents::{Enrolled, Enroller, RegisterAgent};
use certctl_kernel::{ActorType, RequestContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A host that wants to be managed.
#[derive(Deserialize, ToSchema)]
#[schema(as = AgentInput)]
pub(crate) struct Input {
    /// Unique among agents in service, up to 128 characters.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// Host it runs on.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    hostname: String,
    /// Operating system.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    os: String,
    /// Processor architecture.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    architecture: String,
    /// Address of the host.
    #[serde(default)]
    #[schema(max_length = 45, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    ip_address: String,
    /// Version of the agent.
    #[serde(default)]
    #[schema(max_length = 50, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    version: String,
}

/// The agent with its key.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegisteredAgent {
    #[serde(flatten)]
    agent: AgentBody,
    /// The agent's key; shown this once.
    api_key: String,
}

impl From<Enrolled> for RegisteredAgent {
    fn from(enrolled: Enrolled) -> Self {
        Self { agent: enrolled.agent.into(), api_key: enrolled.key.expose().clone() }
    }
}

/// The enrolment token in a header of its own, or as bearer.
fn presented(cx: &Cx) -> Option<&str> {
    let bearer = || {
        let (scheme, token) = cx.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    };
    cx.header("x-agent-bootstrap-token").or_else(bearer)
}

/// Requires the enrolment token; before the body is looked at, so that a stranger learns nothing from it.
async fn admit(cx: &Cx, context: &RequestContext) -> Result<(), ApiError> {
    let state = cx.state();
    let (enrolment, address) = (&state.backends()?.enrolment, cx.facts().address_key());
    state.peek(&state.limits.enrolment, &address, context).await?;
    if presented(cx).is_some_and(|token| enrolment.admits(token)) {
        return Ok(());
    }
    // Beyond the limit neither the answer nor the trail grows with the guesses.
    state.take(&state.limits.enrolment, &address, context).await?;
    state.tell_of("enrolment_refused", None, || certctl_agents::registration_refused(context)).await;
    Err(ApiError::unauthenticated("invalid_or_missing_bootstrap_token"))
}

/// Registers an agent and shows its key once. An operator may, or the host itself with the enrolment token, sent as
/// bearer or in `X-Agent-Bootstrap-Token`.
#[utoipa::path(
    post, path = "/api/v1/agents", tag = "agents", request_body = Input,
    params(("X-Agent-Bootstrap-Token" = Option<String>, Header, description = "The enrolment token.")),
    responses((status = 201, body = RegisteredAgent)),
)]
pub(crate) async fn handler(cx: Cx, body: Result<JsonBody<Input>, ApiError>) -> Result<HttpResponse, ApiError> {
    let context = cx.context_of("anonymous", ActorType::Anonymous);
    let enroller = if let Some(caller) = cx.caller_if_any() {
        Enroller::Operator(caller)
    } else {
        admit(&cx, &context).await?;
        Enroller::Token(&context)
    };
    let body = body?;
    let input = body.value;
    let command = RegisterAgent {
        name: input.name,
        hostname: input.hostname,
        os: input.os,
        architecture: input.architecture,
        ip_address: input.ip_address,
        version: input.version,
    };
    cx.change(&body.digest, async |tx| {
        let enrolled = certctl_agents::register(tx, cx.ambient(), enroller, command).await?;
        Ok(Reply::created(RegisteredAgent::from(enrolled)).secret())
    })
    .await
}
