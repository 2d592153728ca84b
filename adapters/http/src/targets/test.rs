//! `POST /api/v1/targets/{id}/test`

use super::rules;
use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use certctl_agents::FleetSettings;
use serde::Serialize;
use utoipa::ToSchema;

/// Whether a deployment could be taken now.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetTest {
    /// `success` or `failed`.
    status: &'static str,
    message: String,
}

/// Looks whether the target's agent could take a deployment now. Answers 200 for either outcome.
#[utoipa::path(
    post, path = "/api/v1/targets/{id}/test", tag = "targets",
    params(("id" = String, Path, description = "Id of the target.")),
    responses((status = 200, body = TargetTest)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller, rules) = (cx.path("id")?, cx.caller()?, rules(&cx)?);
    let settings = FleetSettings::default();
    cx.change(&BodyDigest::default(), async |tx| {
        let found = certctl_deployment::test_target(tx, cx.ambient(), caller, rules, settings, &id).await?;
        let status = if found.success { "success" } else { "failed" };
        Ok(Reply::ok(TargetTest { status, message: found.message }))
    })
    .await
}
