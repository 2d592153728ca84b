//! What is counted.

use time::Date;

/// Certificates in the inventory, archived ones left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CertificateCounts {
    /// All of them.
    pub total: i64,
    /// Neither revoked nor expired, ending within [`crate::EXPIRING_WITHIN`].
    pub expiring: i64,
    /// Past their end, or marked so.
    pub expired: i64,
    /// Revoked.
    pub revoked: i64,
}

impl CertificateCounts {
    /// Those that are none of expiring, expired and revoked.
    pub const fn active(&self) -> i64 {
        self.total - self.expiring - self.expired - self.revoked
    }
}

/// Agents in service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// All of them.
    pub total: i64,
    /// Heard of lately.
    pub online: i64,
}

/// Jobs by how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct JobCounts {
    /// Not ended: waiting, held up or running.
    pub pending: i64,
    /// Ended well. Never falls: such a job stays as it is.
    pub completed: i64,
    /// Failed and not to be tried again by themselves, or waiting for another try.
    pub failed: i64,
    /// Attempts that failed, of all jobs. Never falls: an attempt that failed stays one when the next succeeds.
    pub failed_attempts: i64,
    /// Seconds since the oldest job that waits to be run became due; 0 when none waits.
    pub oldest_pending_seconds: f64,
}

/// Approval requests by how they stand. Those that ended never fall: requests are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ApprovalCounts {
    /// Waiting for a decision.
    pub pending: i64,
    /// Seconds since the oldest of them was made; 0 when none waits.
    pub oldest_pending_seconds: f64,
    /// Granted by a second person.
    pub approved: i64,
    /// Refused.
    pub rejected: i64,
    /// Decided by nobody in time.
    pub expired: i64,
    /// Taken back, or called off with what they were for.
    pub withdrawn: i64,
    /// Granted without a second person.
    pub bypassed: i64,
}

/// The figures of the first page of a dashboard.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Inventory {
    /// Certificates.
    pub certificates: CertificateCounts,
    /// Agents.
    pub fleet: FleetCounts,
    /// Jobs.
    pub jobs: JobCounts,
    /// Approval requests.
    pub approvals: ApprovalCounts,
}

/// How many certificates are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCount {
    /// The state in wire spelling.
    pub status: String,
    /// How many.
    pub count: i64,
}

/// How many of something fall on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatedCount {
    /// The day, in UTC.
    pub date: Date,
    /// How many.
    pub count: i64,
}

/// How the jobs that ended on a day ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobDay {
    /// The day, in UTC.
    pub date: Date,
    /// Ended well.
    pub completed: i64,
    /// Failed for good.
    pub failed: i64,
}

/// Per cent of the jobs that ended well, 0 when none ended.
pub fn success_rate(completed: i64, failed: i64) -> f64 {
    let ended = completed + failed;
    if ended <= 0 {
        return 0.0;
    }
    // Counts of jobs lie far below 2^52, from where on the conversion would round.
    #[allow(clippy::cast_precision_loss)]
    let rate = 100.0 * completed as f64 / ended as f64;
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_no_jobs_is_zero_and_of_good_ones_a_hundred() {
        assert!(success_rate(0, 0).abs() < f64::EPSILON);
        assert!((success_rate(7, 0) - 100.0).abs() < f64::EPSILON);
        assert!((success_rate(1, 3) - 25.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_neither_expiring_nor_expired_nor_revoked_is_active() {
        let counts = CertificateCounts { total: 10, expiring: 2, expired: 1, revoked: 3 };
        assert_eq!(counts.active(), 4);
    }
}
