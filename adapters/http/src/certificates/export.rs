//! What both exports share: the limit, the transaction, and the event of a failure.

use crate::edge::limits::Refusal;
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
    let state = cx.state();
    if let Some(limiter) = &state.limits.export {
        let actor = &caller.context.actor;
        let key = format!("{}:{}", actor.kind.as_str(), actor.id);
        state.take(limiter, &key, &caller.context).await.map_err(over)?;
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

/// Existing clients parse the token and the pause in the body.
fn over(refusal: Refusal) -> ApiError {
    let error = ApiError::from(refusal);
    match error.retry_after {
        Some(seconds) if error.status == StatusCode::TOO_MANY_REQUESTS => {
            error.token("rate_limit_exceeded").with("retry_after_seconds", json!(seconds))
        }
        _ => error,
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
