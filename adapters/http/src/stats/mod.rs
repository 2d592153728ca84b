//! Figures for dashboards.

use crate::edge::{ApiError, Cx, Gate, QueryParams, Route};
use certctl_rbac::Permission;
use certctl_stats::{DEFAULT_DAYS, MAX_DAYS};

mod by_status;
mod expirations;
mod issuance;
mod jobs;
mod summary;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::StatsRead), summary),
        crate::route!(Gate::Permission(Permission::StatsRead), by_status),
        crate::route!(Gate::Permission(Permission::StatsRead), expirations),
        crate::route!(Gate::Permission(Permission::StatsRead), jobs),
        crate::route!(Gate::Permission(Permission::StatsRead), issuance),
    ]
}

/// How many days a series has. Existing clients send what they like, so a number out of bounds is the default.
fn days(mut params: QueryParams) -> Result<u16, ApiError> {
    let asked = params.number("days").and_then(|days| u16::try_from(days).ok());
    params.finish()?;
    Ok(asked.filter(|days| (1..=MAX_DAYS).contains(days)).unwrap_or(DEFAULT_DAYS))
}

/// Runs one question on a connection for reading.
async fn ask<T>(
    cx: &Cx,
    question: impl AsyncFnOnce(
        &mut dyn certctl_unit_of_work::Stores,
        &certctl_rbac::Caller,
    ) -> Result<T, certctl_kernel::DomainError>,
) -> Result<T, ApiError> {
    let caller = cx.caller()?;
    cx.read(async |tx| Ok(question(tx, caller).await?)).await
}
