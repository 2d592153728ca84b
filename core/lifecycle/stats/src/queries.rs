//! The questions that may be asked.

use crate::{DatedCount, Inventory, JobDay, StatsStore, StatusCount};
use certctl_kernel::{DomainError, Timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use time::{Date, Duration};

/// A certificate that ends sooner is expiring.
pub const EXPIRING_WITHIN: Duration = Duration::days(30);
/// An agent heard of within this time is active.
pub const ACTIVE_WITHIN: Duration = Duration::minutes(5);
/// Days of a series when the question names none.
pub const DEFAULT_DAYS: u16 = 30;
/// Days of the longest series.
pub const MAX_DAYS: u16 = 365;

/// The figures as they stand, for whoever holds `permission`: `stats.read` for people, `metrics.read` for monitoring.
pub async fn inventory(
    tx: &mut (impl StatsStore + ?Sized),
    now: Timestamp,
    caller: &Caller,
    permission: Permission,
) -> Result<Inventory, DomainError> {
    caller.require(permission, &[])?;
    Ok(tx.inventory_counts(now, EXPIRING_WITHIN, ACTIVE_WITHIN).await?)
}

/// Certificates by state, sorted by its name.
pub async fn certificates_by_status(
    tx: &mut (impl StatsStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
) -> Result<Vec<StatusCount>, DomainError> {
    caller.require(Permission::StatsRead, &[])?;
    Ok(tx.certificates_by_status(ambient.now(), EXPIRING_WITHIN).await?)
}

/// Certificates that end on each of the next `days` days, today first.
pub async fn expirations(
    tx: &mut (impl StatsStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    days: u16,
) -> Result<Vec<DatedCount>, DomainError> {
    caller.require(Permission::StatsRead, &[])?;
    let today = ambient.now().date();
    let wanted = series(today, days);
    let found = tx.expirations(today, last(&wanted, today)).await?;
    Ok(wanted.into_iter().map(|date| DatedCount { date, count: count_on(&found, date) }).collect())
}

/// How the jobs of each of the last `days` days ended, today last.
pub async fn jobs_ended(
    tx: &mut (impl StatsStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    days: u16,
) -> Result<Vec<JobDay>, DomainError> {
    caller.require(Permission::StatsRead, &[])?;
    let today = ambient.now().date();
    let wanted = series(first(today, days), days);
    let found = tx.jobs_ended(first(today, days), today).await?;
    let on = |date| found.iter().find(|day| day.date == date).copied();
    Ok(wanted.into_iter().map(|date| on(date).unwrap_or(JobDay { date, completed: 0, failed: 0 })).collect())
}

/// Versions issued on each of the last `days` days, today last.
pub async fn issued(
    tx: &mut (impl StatsStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    days: u16,
) -> Result<Vec<DatedCount>, DomainError> {
    caller.require(Permission::StatsRead, &[])?;
    let today = ambient.now().date();
    let wanted = series(first(today, days), days);
    let found = tx.versions_issued(first(today, days), today).await?;
    Ok(wanted.into_iter().map(|date| DatedCount { date, count: count_on(&found, date) }).collect())
}

fn series(from: Date, days: u16) -> Vec<Date> {
    (0..i64::from(days)).filter_map(|n| from.checked_add(Duration::days(n))).collect()
}

fn first(today: Date, days: u16) -> Date {
    today.saturating_sub(Duration::days(i64::from(days) - 1))
}

fn last(series: &[Date], today: Date) -> Date {
    series.last().copied().unwrap_or(today)
}

fn count_on(found: &[DatedCount], date: Date) -> i64 {
    found.iter().find(|day| day.date == date).map_or(0, |day| day.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn a_series_of_a_day_is_today_in_both_directions() {
        let today = date!(2026 - 03 - 01);
        assert_eq!(series(today, 1), [today]);
        assert_eq!(series(first(today, 1), 1), [today]);
    }

    #[test]
    fn a_series_backwards_ends_today_and_crosses_the_end_of_a_month() {
        let today = date!(2026 - 03 - 01);
        assert_eq!(series(first(today, 3), 3), [date!(2026 - 02 - 27), date!(2026 - 02 - 28), today]);
    }
}
