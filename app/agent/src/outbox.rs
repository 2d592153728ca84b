//! Reports wait on disk until the control plane has them, so that neither a restart nor an outage loses one.

use crate::client::{CallError, Client};
use crate::private_file;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

#[derive(Serialize, Deserialize)]
struct Report {
    path: String,
    body: Value,
}

/// The folder of reports, delivered in the order they were put in.
pub struct Outbox {
    folder: PathBuf,
    /// Number of the next report; held while delivering, so that the order stays.
    next: Mutex<u64>,
}

impl Outbox {
    /// Opens the folder.
    pub fn open(state_dir: &Path) -> Result<Self, String> {
        let folder = state_dir.join("outbox");
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        private_file::directory(&folder).map_err(failed)?;
        let last = waiting(&folder).map_err(failed)?.into_iter().last().map_or(0, |(number, _)| number);
        Ok(Self { folder, next: Mutex::new(last + 1) })
    }

    /// Puts a report in.
    pub fn put(&self, path: &str, body: Value) -> Result<(), String> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.folder.join(format!("{:020}.json", *next));
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let report = Report { path: path.to_owned(), body };
        let text = serde_json::to_vec(&report).map_err(|error| failed(&error))?;
        private_file::write(&file, &text).map_err(|error| failed(&error))?;
        *next += 1;
        Ok(())
    }

    /// Delivers what waits. Stops when the control plane can't take any report now; passes over one that makes it
    /// stumble; drops one that is refused for good, with a line in the log.
    pub fn deliver(&self, client: &Client) -> Result<(), CallError> {
        self.deliver_by(&|path, body| client.post(path, body).map(drop))
    }

    fn deliver_by(&self, send: &dyn Fn(&str, &Value) -> Result<(), CallError>) -> Result<(), CallError> {
        let _order = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let files = waiting(&self.folder).map_err(|error| CallError::Unreachable(error.to_string()))?;
        for (_, file) in files {
            let report: Option<Report> = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
            match report.map(|report| (send(&report.path, &report.body), report.path)) {
                Some((Ok(()), _)) => {}
                Some((Err(error), _)) if error.is_passing() || matches!(error, CallError::Retired) => {
                    return Err(error);
                }
                Some((Err(error), path)) => tracing::warn!(path, %error, "a report was refused and is dropped"),
                None => tracing::warn!(file = %file.display(), "an unreadable report is dropped"),
            }
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::warn!(file = %file.display(), %error, "a delivered report can't be removed");
            }
        }
        Ok(())
    }
}

fn waiting(folder: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::RefCell;

    fn unreachable() -> CallError {
        CallError::Unreachable("no route".into())
    }

    #[test]
    fn reports_survive_an_outage_and_a_restart_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let outbox = Outbox::open(folder.path()).expect("opens");
        outbox.put("/a", json!({"n": 1})).expect("puts");
        outbox.put("/b", json!({"n": 2})).expect("puts");
        assert!(outbox.deliver_by(&|_, _| Err(unreachable())).is_err());
        drop(outbox);

        let outbox = Outbox::open(folder.path()).expect("opens again");
        outbox.put("/c", json!({"n": 3})).expect("puts");
        let seen = RefCell::new(Vec::new());
        let failing = outbox.deliver_by(&|path, _| {
            if path == "/b" && seen.borrow().len() == 1 {
                seen.borrow_mut().push("outage".to_owned());
                return Err(CallError::Refused { status: 503, message: String::new() });
            }
            seen.borrow_mut().push(path.to_owned());
            Ok(())
        });
        assert!(failing.is_err());
        outbox
            .deliver_by(&|path, body| {
                seen.borrow_mut().push(format!("{path}{}", body["n"]));
                Ok(())
            })
            .expect("delivers");
        assert_eq!(*seen.borrow(), ["/a", "outage", "/b2", "/c3"]);
        outbox.deliver_by(&|_, _| panic!("nothing is left")).expect("nothing to do");
    }

    #[test]
    fn a_report_that_is_refused_for_good_does_not_hold_up_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let outbox = Outbox::open(folder.path()).expect("opens");
        outbox.put("/a", json!({})).expect("puts");
        outbox.put("/b", json!({})).expect("puts");
        let seen = RefCell::new(Vec::new());
        outbox
            .deliver_by(&|path, _| {
                seen.borrow_mut().push(path.to_owned());
                if path == "/a" { Err(CallError::Refused { status: 409, message: "over".into() }) } else { Ok(()) }
            })
            .expect("goes on");
        assert_eq!(*seen.borrow(), ["/a", "/b"]);
    }
}
