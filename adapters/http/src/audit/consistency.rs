//! `GET /api/v1/audit/consistency`

use crate::edge::{ApiError, Cx, QueryParams, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// That one tree is the beginning of another (RFC 6962 §2.1.2). Hashes are in Base64.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditConsistencyProof)]
pub(crate) struct ConsistencyBody {
    /// Events in the smaller tree.
    from: u64,
    from_root_hash: String,
    /// Events in the larger tree.
    size: u64,
    root_hash: String,
    path: Vec<String>,
}

/// Proves that the log only grew between two sizes.
#[utoipa::path(
    get, path = "/api/v1/audit/consistency", tag = "audit",
    params(
        ("from" = u64, Query, description = "Events in the smaller tree, such as those of a checkpoint kept elsewhere."),
        ("to" = Option<u64>, Query, description = "Events in the larger tree; without, those under the latest checkpoint."),
    ),
    responses((status = 200, body = ConsistencyBody)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let from = params.count("from")?.ok_or_else(|| ApiError::invalid("from", "required", "is required"))?;
    let to = params.count("to")?;
    params.finish()?;
    let proof = cx.read(async |tx| Ok(certctl_audit_log::prove_consistency(tx, caller, from, to).await?)).await?;
    cx.object(&Reply::ok(ConsistencyBody {
        from: proof.from,
        from_root_hash: proof.from_root.to_string(),
        size: proof.size,
        root_hash: proof.root.to_string(),
        path: super::encoded(&proof.path),
    }))
}
