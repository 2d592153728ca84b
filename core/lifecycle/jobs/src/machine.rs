//! The moves of a job.

use crate::{Job, JobStatus};
use certctl_kernel::{DomainError, Timestamp};

/// A move that the job's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the job is {}; it can't become {}", .from.as_str(), .to.as_str())]
pub struct IllegalTransition {
    /// State it is in.
    pub from: JobStatus,
    /// State it was to enter.
    pub to: JobStatus,
}

impl From<IllegalTransition> for DomainError {
    fn from(illegal: IllegalTransition) -> Self {
        Self::conflict("illegal_transition", illegal.to_string())
    }
}

impl Job {
    fn enter(&mut self, to: JobStatus, from: &[JobStatus], now: Timestamp) -> Result<(), IllegalTransition> {
        if !from.contains(&self.status) {
            return Err(IllegalTransition { from: self.status, to });
        }
        self.status = to;
        self.state_entered_at = now;
        self.lease_owner = None;
        self.lease_expires_at = None;
        Ok(())
    }

    /// Begins an attempt under a lease.
    pub fn claim(&mut self, owner: &str, until: Timestamp, now: Timestamp) -> Result<(), IllegalTransition> {
        if self.attempts >= self.max_attempts {
            return Err(IllegalTransition { from: self.status, to: JobStatus::Running });
        }
        self.enter(JobStatus::Running, &[JobStatus::Pending], now)?;
        self.attempts += 1;
        self.started_at = Some(now);
        self.lease_owner = Some(owner.to_owned());
        self.lease_expires_at = Some(until);
        Ok(())
    }

    /// Prolongs the lease of its holder; false when someone else holds it.
    pub fn renew_lease(&mut self, owner: &str, until: Timestamp) -> bool {
        let held = self.status == JobStatus::Running && self.lease_owner.as_deref() == Some(owner);
        if held {
            self.lease_expires_at = Some(until);
        }
        held
    }

    /// Ends well. A request that was answered counts the answer as its attempt.
    pub fn complete(&mut self, version_id: Option<&str>, now: Timestamp) -> Result<(), IllegalTransition> {
        let waited = self.status == JobStatus::AwaitingCSR;
        self.enter(JobStatus::Completed, &[JobStatus::Running, JobStatus::AwaitingCSR], now)?;
        self.note_attempt(waited, now);
        if let Some(version) = version_id {
            self.version_id = Some(version.to_owned());
        }
        self.last_error = None;
        self.error_class = None;
        self.completed_at = Some(now);
        Ok(())
    }

    /// Ends an attempt badly; with `retry_at` another one follows if any is left.
    pub fn fail(
        &mut self,
        reason: &str,
        class: &str,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        let waited = self.status == JobStatus::AwaitingCSR;
        self.enter(JobStatus::Failed, &[JobStatus::Running, JobStatus::AwaitingCSR, JobStatus::AwaitingApproval], now)?;
        self.note_attempt(waited, now);
        self.last_error = Some(reason.to_owned());
        self.error_class = Some(class.to_owned());
        match retry_at.filter(|_| self.attempts < self.max_attempts) {
            Some(at) => {
                self.retryable = true;
                self.scheduled_at = at;
            }
            None => self.completed_at = Some(now),
        }
        Ok(())
    }

    /// Goes back to where its next attempt starts. The binding of a request to an agent ends: another may be alive.
    pub fn requeue(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        let to = if self.is_request() { JobStatus::AwaitingCSR } else { JobStatus::Pending };
        if !self.retryable {
            return Err(IllegalTransition { from: self.status, to });
        }
        self.enter(to, &[JobStatus::Failed], now)?;
        self.retryable = false;
        if self.is_request() {
            self.agent_id = None;
        }
        Ok(())
    }

    /// Is called off.
    pub fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<(), IllegalTransition> {
        let mut from =
            vec![JobStatus::Pending, JobStatus::AwaitingCSR, JobStatus::AwaitingApproval, JobStatus::Running];
        if self.retryable {
            from.push(JobStatus::Failed);
        }
        self.enter(JobStatus::Cancelled, &from, now)?;
        self.retryable = false;
        self.last_error = Some(reason.to_owned());
        self.completed_at = Some(now);
        Ok(())
    }

    fn note_attempt(&mut self, waited: bool, now: Timestamp) {
        if waited {
            self.attempts = (self.attempts + 1).min(self.max_attempts);
            self.started_at = Some(now);
        }
    }
}
