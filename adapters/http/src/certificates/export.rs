//! What both exports share: the limit, the transaction, and the event of a failure.

use crate::edge::{ApiError, Cx};
use actix_web::http::StatusCode;
use certctl_kernel::DomainError;
use certctl_rbac::Caller;
use certctl_unit_of_work::Stores;
use serde_json::json;

/// Runs an export in a transaction of its own and saves it with its event.
pub(super) async fn run<T>(
    cx: &Cx,
    caller: &Caller,
    id: &str,
    format: &str,
    work: impl AsyncFnOnce(&mut dyn Stores) -> Result<T, DomainError>,
) -> Result<T, ApiError> {
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
    let mut unit = cx.state().db.begin().await?;
    match work(unit.stores()).await {
        Ok(exported) => {
            unit.save().await?;
            Ok(exported)
        }
        Err(error) => {
            unit.discard().await?;
            let refused = answer(error);
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
