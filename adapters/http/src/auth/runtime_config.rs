//! `GET /api/v1/auth/runtime-config`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use certctl_audit::{Action, AuditEvent};
use certctl_rbac::Permission;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Settings that bear on who gets in.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuntimeConfig {
    /// By name; what belongs to a feature that this build does not have is empty, `false` or `0`.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    runtime_config: BTreeMap<&'static str, String>,
}

/// Settings that bear on who gets in, without secrets; that they were read is recorded.
#[utoipa::path(
    get, path = "/api/v1/auth/runtime-config", tag = "auth", responses((status = 200, body = RuntimeConfig)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    cx.change(&BodyDigest::default(), async |tx| {
        tx.record(AuditEvent::new(Action::RuntimeConfigRead, &caller.context, "runtime-config", json!({}))).await?;
        Ok(Reply::ok(RuntimeConfig { runtime_config: cx.state().runtime_config.clone() }))
    })
    .await
}
