//! `POST /api/v1/certificates/{id}/deploy`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where to deploy.
#[derive(Deserialize, ToSchema)]
#[schema(as = DeployInput)]
pub(crate) struct Input {
    /// One of the certificate's targets; left out, all of them.
    #[serde(default)]
    target_id: Option<String>,
}

/// The order was taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeploymentTriggered {
    /// Always `deployment_triggered`.
    status: &'static str,
    /// The new jobs; targets with an open deployment get none.
    job_ids: Vec<String>,
}

/// Orders the deployment of the current version.
#[utoipa::path(
    post, path = "/api/v1/certificates/{id}/deploy", tag = "certificates", request_body = Input,
    params(("id" = String, Path, description = "Id of the certificate.")),
    responses((status = 202, body = DeploymentTriggered)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let target = body.value.target_id.filter(|target| !target.is_empty());
    cx.change(&body.digest, async |tx| {
        let job_ids = certctl_deployment::deploy(tx, cx.ambient(), caller, &id, target.as_deref()).await?;
        Ok(Reply::accepted(DeploymentTriggered { status: "deployment_triggered", job_ids }))
    })
    .await
}
