//! Following jobs to their end.

use crate::failure::Failure;
use crate::render::safe;
use crate::wire::{Client, Limit, Send, fetch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the server is asked.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a wait lasts when nothing else is said.
pub(crate) const DEFAULT: Duration = Duration::from_mins(5);

/// An end to wait for.
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// Starts the clock.
    pub(crate) fn start(limit: Option<Duration>) -> Self {
        Self { started: Instant::now(), limit: limit.unwrap_or(DEFAULT) }
    }

    /// Waits for the next look, or says that time is out.
    pub(crate) fn next_look(&self, waiting_for: &str) -> Result<(), Failure> {
        let left = self.limit.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Err(Failure::TimedOut(format!(
                "gave up after {} s waiting for {waiting_for}",
                self.limit.as_secs()
            )));
        }
        std::thread::sleep(left.min(INTERVAL));
        Ok(())
    }
}

fn text<'a>(job: &'a Value, member: &str) -> &'a str {
    job.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The time of creation in a form that sorts: fractions of a second vary in length, so the zone's letter must go.
fn created(job: &Value) -> &str {
    text(job, "created_at").trim_end_matches('Z')
}

fn is_final(job: &Value) -> bool {
    matches!(text(job, "status"), "Completed" | "Failed" | "Cancelled")
}

/// What is known about the jobs being followed.
#[derive(Default)]
struct Watch {
    jobs: BTreeMap<String, Value>,
}

impl Watch {
    /// Takes in a job's state; gives the line to print when it changed.
    fn note(&mut self, job: &Value) -> Option<String> {
        let (id, status) = (text(job, "id").to_owned(), text(job, "status").to_owned());
        let before = self.jobs.insert(id.clone(), job.clone());
        let before = before.as_ref().map(|job| text(job, "status"));
        if before == Some(status.as_str()) {
            return None;
        }
        let mut line = format!("{id}  {}  ", text(job, "type"));
        if let Some(before) = before {
            line.push_str(before);
            line.push_str(" → ");
        }
        line.push_str(&status);
        let error = text(job, "last_error");
        if matches!(status.as_str(), "Failed" | "Cancelled") && !error.is_empty() {
            line.push_str(": ");
            line.push_str(error);
        }
        Some(safe(&line))
    }

    fn open(&self) -> Vec<String> {
        self.jobs.iter().filter(|(_, job)| !is_final(job)).map(|(id, _)| id.clone()).collect()
    }

    fn verdict(&self) -> Result<(), Failure> {
        let failed: Vec<String> = self
            .jobs
            .values()
            .filter_map(|job| {
                let reason = match (text(job, "status"), text(job, "verification_status")) {
                    ("Completed", "failed") => format!("verification failed: {}", text(job, "verification_error")),
                    ("Completed", _) => return None,
                    (status, _) => format!("{status}: {}", text(job, "last_error")),
                };
                let reason = reason.trim_end_matches(": ");
                Some(safe(&format!("{} job {} {reason}", text(job, "type"), text(job, "id"))))
            })
            .collect();
        if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("; "))) }
    }
}

/// Follows `ids` to their ends. With a certificate, jobs that come into being on the way (the deployments of a
/// renewal) are followed too.
pub(crate) fn follow(
    client: &Client,
    ids: &[String],
    certificate: Option<&str>,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let mut watch = Watch::default();
    let mut since: Option<String> = None;
    for id in ids {
        look(client, &mut watch, id)?;
        let from = watch.jobs.get(id).map(|job| created(job).to_owned()).unwrap_or_default();
        since = Some(since.map_or(from.clone(), |before| before.min(from)));
    }
    loop {
        for id in watch.open() {
            look(client, &mut watch, &id)?;
        }
        if let (Some(certificate), Some(since)) = (certificate, &since) {
            let query = [("certificate_id".to_owned(), certificate.to_owned())];
            // Newest first: what this wait is about stands on the first page.
            for job in fetch(client, "/api/v1/jobs", &query, Limit::Page(1, 50))?.rows {
                // A server that ignores the filter must not make us wait for others' jobs.
                let ours = text(&job, "certificate_id") == certificate && created(&job) >= since.as_str();
                if ours && !watch.jobs.contains_key(text(&job, "id")) {
                    announce(watch.note(&job));
                }
            }
        }
        let open = watch.open();
        if open.is_empty() {
            return watch.verdict();
        }
        deadline.next_look(&open.join(", "))?;
    }
}

fn look(client: &Client, watch: &mut Watch, id: &str) -> Result<(), Failure> {
    let job = client.get(&Send::to("/api/v1/jobs", &[id]))?;
    announce(watch.note(&job));
    Ok(())
}

fn announce(line: Option<String>) {
    if let Some(line) = line {
        eprintln!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(status: &str) -> Value {
        json!({"id": "job-1", "type": "Renewal", "status": status, "last_error": "CA said no"})
    }

    #[test]
    fn only_transitions_are_told() {
        let mut watch = Watch::default();
        assert_eq!(watch.note(&job("Pending")).as_deref(), Some("job-1  Renewal  Pending"));
        assert_eq!(watch.note(&job("Pending")), None);
        assert_eq!(watch.open(), ["job-1"]);
        assert_eq!(watch.note(&job("Failed")).as_deref(), Some("job-1  Renewal  Pending → Failed: CA said no"));
        assert!(watch.open().is_empty());
    }

    #[test]
    fn failed_cancelled_or_unverified_jobs_fail_the_wait() {
        let verdict = |job: &Value| {
            let mut watch = Watch::default();
            watch.note(job);
            watch.verdict().map_err(|failure| failure.exit_code())
        };
        assert_eq!(verdict(&job("Completed")), Ok(()));
        assert_eq!(verdict(&job("Failed")), Err(5));
        assert_eq!(verdict(&job("Cancelled")), Err(5));
        assert_eq!(verdict(&json!({"id": "j", "status": "Completed", "verification_status": "failed"})), Err(5));
    }

    #[test]
    fn wait_ends_with_its_time() {
        let deadline = Deadline { started: Instant::now(), limit: Duration::ZERO };
        assert_eq!(deadline.next_look("job-1").map_err(|failure| failure.exit_code()), Err(6));
    }
}
