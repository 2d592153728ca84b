//! What both exports share: the limit, the transaction, and the event of a failure.

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::http::StatusCode;
use certctl_kernel::DomainError;
use certctl_rbac::Caller;
use certctl_unit_of_work::Stores;
use serde_json::json;

/// Runs an export in a transaction of its own and saves it with its event. What is exported is never kept for replays:
/// a repeated `Idempotency-Key` is refused.
pub(super) async fn run<T>(
    cx: &Cx,
    digest: &BodyDigest,
    id: &str,
    format: &str,
    work: impl AsyncFnOnce(&mut dyn Stores, &Caller) -> Result<T, DomainError>,
) -> Result<T, ApiError> {
    let caller = cx.caller()?;
    if let Some(limiter) = &cx.state().export_limiter {
        let actor = &caller.context.actor;
        limiter.check(&format!("{}:{}", actor.kind.as_str(), actor.id)).map_err(|_| {
            // Existing clients parse the token and the fixed pause.
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many exports in an hour")
                .token("rate_limit_exceeded")
                .with("retry_after_seconds", json!(3600))
                .retry_after(3600)
        })?;
    }
    let mut exported = None;
    let outcome = cx
        .change(digest, async |tx| {
            exported = Some(work(tx, caller).await.map_err(answer)?);
            Ok(Reply::<()>::no_content().secret())
        })
        .await;
    match (outcome, exported) {
        (Ok(_), Some(exported)) => Ok(exported),
        (Ok(_), None) => Err(ApiError::internal("an export was saved without its content")),
        (Err(refused), _) => {
            if refused.code == certctl_inventory::NO_VERSION || refused.status == StatusCode::UNPROCESSABLE_ENTITY {
                let mut unit = cx.state().db.begin().await?;
                certctl_inventory::export_failed(unit.stores(), caller, id, format, &refused.code).await?;
                unit.save().await?;
            }
            Err(refused)
        }
    }
}

fn answer(error: DomainError) -> ApiError {
    match error {
        DomainError::NotFound { kind: certctl_inventory::NO_VERSION, id } => ApiError::new(
            StatusCode::NOT_FOUND,
            certctl_inventory::NO_VERSION,
            format!("{id} names no issued version; issue the certificate first"),
        ),
        other => other.into(),
    }
}
