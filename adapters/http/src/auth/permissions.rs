//! `GET /api/v1/auth/permissions`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_rbac::Permission;
use serde::Serialize;
use utoipa::ToSchema;

/// The permission catalogue.
#[derive(Serialize, ToSchema)]
pub(crate) struct PermissionList {
    permissions: Vec<PermissionBody>,
}

/// One permission.
#[derive(Serialize, ToSchema)]
pub(crate) struct PermissionBody {
    id: String,
    name: &'static str,
    namespace: &'static str,
}

/// Every permission there is, by name.
#[utoipa::path(get, path = "/api/v1/auth/permissions", tag = "auth", responses((status = 200, body = PermissionList)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let mut all = Permission::ALL.to_vec();
    all.sort_by_key(|permission| permission.as_str());
    let permissions =
        all.iter().map(|p| PermissionBody { id: p.id(), name: p.as_str(), namespace: p.namespace() }).collect();
    cx.list(&PermissionList { permissions })
}
