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

    /// Goes on after a second person granted it: now an agent may answer it.
    pub fn approve(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.enter(JobStatus::AwaitingCSR, &[JobStatus::AwaitingApproval], now)
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
        self.enter(JobStatus::Failed, &[JobStatus::Running, JobStatus::AwaitingCSR], now)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobType, NewJob, Trigger};
    use proptest::prelude::*;
    use time::{Duration, OffsetDateTime};

    const MAX_ATTEMPTS: i32 = 3;

    fn at(step: i64) -> Timestamp {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(step)
    }

    fn new_job(kind: JobType) -> Job {
        Job::from(NewJob {
            id: "job-1".into(),
            kind,
            certificate_id: "mc-1".into(),
            version_id: None,
            target_id: None,
            agent_id: None,
            max_attempts: MAX_ATTEMPTS,
            requested_by: "alice".into(),
            trigger: Trigger::Manual,
            needs_approval: false,
            now: at(0),
        })
    }

    #[test]
    fn requests_wait_for_a_csr_and_deployments_for_a_claim() {
        assert_eq!(new_job(JobType::Issuance).status, JobStatus::AwaitingCSR);
        assert_eq!(new_job(JobType::Renewal).status, JobStatus::AwaitingCSR);
        assert_eq!(new_job(JobType::Deployment).status, JobStatus::Pending);
    }

    #[test]
    fn a_request_that_needs_an_approval_can_only_be_granted_or_called_off() {
        let mut job = new_job(JobType::Renewal);
        job.status = JobStatus::AwaitingApproval;
        assert!(job.complete(Some("cv-1"), at(1)).is_err());
        assert!(job.fail("too late", "timeout", Some(at(9)), at(1)).is_err());
        assert!(job.claim("server", at(9), at(1)).is_err());
        let mut granted = job.clone();
        granted.approve(at(2)).expect("it waits for that");
        assert_eq!(granted.status, JobStatus::AwaitingCSR);
        assert!(granted.approve(at(3)).is_err());
        job.cancel("approval rejected", at(2)).expect("it waits");
        assert!(job.requeue(at(9)).is_err() && job.approve(at(9)).is_err(), "what was called off stays so");
    }

    #[test]
    fn an_answered_request_counts_its_answer_as_the_attempt() {
        let mut job = new_job(JobType::Renewal);
        job.complete(Some("cv-1"), at(5)).expect("a request that waits can be answered");
        assert_eq!((job.status, job.attempts), (JobStatus::Completed, 1));
        assert_eq!(
            (job.version_id.as_deref(), job.started_at, job.completed_at),
            (Some("cv-1"), Some(at(5)), Some(at(5)))
        );
    }

    #[test]
    fn the_last_attempt_is_final_and_says_when() {
        let mut job = new_job(JobType::Deployment);
        for attempt in 1..=MAX_ATTEMPTS {
            job.claim("agent:a", at(100), at(1)).expect("due");
            job.fail("reload failed", "transient", Some(at(50)), at(2)).expect("running");
            assert_eq!(job.attempts, attempt);
            assert_eq!(job.retryable, attempt < MAX_ATTEMPTS);
            assert_eq!(job.completed_at.is_some(), attempt == MAX_ATTEMPTS);
            assert_eq!(job.requeue(at(60)).is_ok(), attempt < MAX_ATTEMPTS);
        }
        assert!(job.is_terminal());
    }

    #[test]
    fn a_failure_without_a_next_attempt_is_final_at_once() {
        let mut job = new_job(JobType::Issuance);
        job.fail("profile refuses the key", "permanent", None, at(1)).expect("a waiting request can fail");
        assert!(job.is_terminal() && job.attempts == 1);
        assert_eq!(
            job.complete(None, at(2)),
            Err(IllegalTransition { from: JobStatus::Failed, to: JobStatus::Completed })
        );
    }

    #[test]
    fn a_requeued_request_belongs_to_no_agent() {
        let mut job = new_job(JobType::Renewal);
        job.agent_id = Some("agt-1".into());
        job.fail("no entropy", "transient", Some(at(9)), at(1)).expect("waits");
        job.requeue(at(9)).expect("another attempt is left");
        assert_eq!((job.status, job.agent_id), (JobStatus::AwaitingCSR, None));
    }

    #[test]
    fn only_the_holder_prolongs_a_lease() {
        let mut job = new_job(JobType::Deployment);
        job.claim("agent:a", at(10), at(1)).expect("due");
        assert!(!job.renew_lease("agent:b", at(99)));
        assert!(job.renew_lease("agent:a", at(20)));
        assert_eq!(job.lease_expires_at, Some(at(20)));
    }

    #[test]
    fn what_ended_stays_ended() {
        for end in [JobStatus::Completed, JobStatus::Cancelled] {
            let mut job = new_job(JobType::Renewal);
            if end == JobStatus::Completed { job.complete(None, at(1)) } else { job.cancel("no", at(1)) }
                .expect("open");
            let before = job.clone();
            assert!(job.claim("agent:a", at(9), at(2)).is_err());
            assert!(job.complete(None, at(2)).is_err());
            assert!(job.fail("x", "transient", Some(at(3)), at(2)).is_err());
            assert!(job.requeue(at(2)).is_err());
            assert!(job.cancel("again", at(2)).is_err());
            assert_eq!(job, before);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Poll { worker: usize, limit: usize },
        Succeed { worker: usize },
        Fail { worker: usize, retry: bool },
        LoseLease { job: usize },
        Retry,
        Cancel { job: usize },
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_usize, 1..4_usize).prop_map(|(worker, limit)| Step::Poll { worker, limit }),
            3 => (0..4_usize).prop_map(|worker| Step::Succeed { worker }),
            2 => (0..4_usize, any::<bool>()).prop_map(|(worker, retry)| Step::Fail { worker, retry }),
            1 => (0..20_usize).prop_map(|job| Step::LoseLease { job }),
            2 => Just(Step::Retry),
            1 => (0..20_usize).prop_map(|job| Step::Cancel { job }),
        ]
    }

    /// The queue by its rules, with workers that remember what they were given even after they lost it.
    struct Queue {
        jobs: Vec<Job>,
        given: Vec<Vec<(usize, i32)>>,
        done: Vec<u32>,
        clock: i64,
    }

    impl Queue {
        fn new(size: usize) -> Self {
            Self {
                jobs: vec![new_job(JobType::Deployment); size],
                given: vec![vec![]; 4],
                done: vec![0; size],
                clock: 0,
            }
        }

        /// A report counts only from whom the lease names, for the attempt it was given.
        fn holds(&self, worker: usize, (job, attempt): (usize, i32)) -> bool {
            let job = &self.jobs[job];
            job.status == JobStatus::Running
                && job.attempts == attempt
                && job.lease_owner.as_deref() == Some(&format!("agent:{worker}"))
        }

        fn step(&mut self, step: &Step) {
            self.clock += 1;
            let now = at(self.clock);
            match *step {
                Step::Poll { worker, limit } => {
                    let owner = format!("agent:{worker}");
                    let due: Vec<usize> = (0..self.jobs.len())
                        .filter(|i| self.jobs[*i].status == JobStatus::Pending)
                        .take(limit)
                        .collect();
                    for index in due {
                        self.jobs[index]
                            .claim(&owner, now + Duration::MINUTE, now)
                            .expect("pending with attempts left");
                        self.given[worker].push((index, self.jobs[index].attempts));
                    }
                }
                Step::Succeed { worker } => {
                    if let Some(held) = self.given[worker].pop().filter(|held| self.holds(worker, *held)) {
                        self.jobs[held.0].complete(None, now).expect("running");
                        self.done[held.0] += 1;
                    }
                }
                Step::Fail { worker, retry } => {
                    if let Some(held) = self.given[worker].pop().filter(|held| self.holds(worker, *held)) {
                        self.jobs[held.0].fail("x", "transient", retry.then_some(now), now).expect("running");
                    }
                }
                Step::LoseLease { job } => {
                    if let Some(job) = self.jobs.get_mut(job).filter(|job| job.status == JobStatus::Running) {
                        job.fail("lease ended", "abandoned", Some(now), now).expect("running");
                    }
                }
                Step::Retry => {
                    for job in self.jobs.iter_mut().filter(|job| job.retryable) {
                        job.requeue(now).expect("retryable");
                    }
                }
                Step::Cancel { job } => {
                    if let Some(job) = self.jobs.get_mut(job).filter(|job| !job.is_terminal()) {
                        job.cancel("no longer wanted", now).expect("open");
                    }
                }
            }
        }

        fn check(&self) -> Result<(), TestCaseError> {
            for (job, done) in self.jobs.iter().zip(&self.done) {
                prop_assert!(job.attempts <= job.max_attempts);
                prop_assert_eq!(job.status == JobStatus::Running, job.lease_owner.is_some());
                prop_assert_eq!(job.is_terminal(), job.completed_at.is_some());
                prop_assert!(!job.retryable || job.status == JobStatus::Failed);
                prop_assert_eq!(*done, u32::from(job.status == JobStatus::Completed));
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn no_interleaving_loses_a_job_or_does_it_twice(
            size in 1..12_usize, steps in prop::collection::vec(any_step(), 0..200),
        ) {
            let mut queue = Queue::new(size);
            for step in &steps {
                queue.step(step);
                queue.check()?;
            }
            // One diligent worker then brings everything that is left to an end.
            for _ in 0..=MAX_ATTEMPTS {
                for job in 0..size {
                    queue.step(&Step::LoseLease { job });
                }
                queue.step(&Step::Retry);
                queue.given[0].clear();
                queue.step(&Step::Poll { worker: 0, limit: size });
                while !queue.given[0].is_empty() {
                    queue.step(&Step::Succeed { worker: 0 });
                }
                queue.check()?;
            }
            prop_assert!(queue.jobs.iter().all(Job::is_terminal));
        }
    }
}
