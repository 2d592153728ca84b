//! `GET /api/v1/audit/{id}/proof`

use crate::edge::{ApiError, Cx, QueryParams, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// That an event is in the log (RFC 6962 §2.1.1). Hashes are in Base64.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditInclusionProof)]
pub(crate) struct InclusionBody {
    event_id: String,
    /// Number of the event: the index of its leaf.
    seq: u64,
    leaf_hash: String,
    /// Events in the tree that the proof is for.
    size: u64,
    root_hash: String,
    /// The hashes from the leaf's neighbour to the top.
    path: Vec<String>,
    /// The signed head of that tree, when it is the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

/// Proves that an event is in the log whose head was signed last.
#[utoipa::path(
    get, path = "/api/v1/audit/{id}/proof", tag = "audit",
    params(
        ("id" = String, Path, description = "Id of the event."),
        ("size" = Option<u64>, Query, description = "Events in the tree; without, those under the latest checkpoint."),
    ),
    responses(
        (status = 200, body = InclusionBody),
        (status = 409, description = "No tree of that size holds the event yet.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let size = params.count("size")?;
    params.finish()?;
    let proof = cx.read(async |tx| Ok(certctl_audit_log::prove_inclusion(tx, caller, &id, size).await?)).await?;
    cx.object(&Reply::ok(InclusionBody {
        event_id: proof.leaf.event_id,
        seq: proof.leaf.seq,
        leaf_hash: proof.leaf.hash.to_string(),
        size: proof.size,
        root_hash: proof.root.to_string(),
        path: super::encoded(&proof.path),
        checkpoint: proof.checkpoint,
    }))
}
