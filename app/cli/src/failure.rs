//! What can go wrong, how it is said, and which exit code it means.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Ends of a run other than success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense, or the operator said no.
    #[error("{0}")]
    Usage(String),
    /// Something on this machine: a file, the configuration, a stream.
    #[error("{0}")]
    Local(String),
    /// No answer from the server, or one that can't be understood.
    #[error("{0}")]
    Network(String),
    /// The server's certificate does not lead to a trusted authority.
    #[error("the certificate of {server} is not trusted: {reason}")]
    Untrusted {
        /// Where the connection went.
        server: String,
        /// The TLS library's reason.
        reason: String,
    },
    /// Time ran out, for the request or for the waiting.
    #[error("{0}")]
    TimedOut(String),
    /// The server said no.
    #[error("{}", .0.line())]
    Refused(Box<Refusal>),
    /// No object has this id or name.
    #[error("no {kind} has the id or name {text}")]
    NotFound {
        /// Singular word for what was looked for.
        kind: &'static str,
        /// What the operator wrote.
        text: String,
    },
    /// A name that several objects have, or an object that differs from what was asked.
    #[error("{message}")]
    Conflict {
        /// What collides.
        message: String,
        /// Ids to choose from.
        candidates: Vec<String>,
    },
    /// The operation ran and failed.
    #[error("{0}")]
    Failed(String),
    /// The reader of standard output went away; nobody is left to tell.
    #[error("standard output was closed")]
    ClosedPipe,
}

/// The server's error body and status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Map<String, Value>,
}

impl Refusal {
    /// Reads the body of a refused request; text that isn't the known shape is kept as message.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        if let Ok(Value::Object(body)) = serde_json::from_slice(body) {
            return Self { status, body };
        }
        let text: String = String::from_utf8_lossy(body).trim().chars().take(300).collect();
        let message = (!text.is_empty()).then(|| ("message".to_owned(), Value::String(text)));
        Self { status, body: message.into_iter().collect() }
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.body.get(member).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The stable token, when the server sent one.
    pub(crate) fn code(&self) -> Option<&str> {
        self.text("code")
    }

    fn line(&self) -> String {
        let message = self.text("message").or_else(|| self.text("error")).unwrap_or("the server refused the request");
        let code = self.code().map_or_else(|| format!("HTTP {}", self.status), ToOwned::to_owned);
        let mut line = match self.text("request_id") {
            Some(id) => format!("{message} ({code}, request {id})"),
            None => format!("{message} ({code})"),
        };
        for broken in self.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let part = |name: &str| broken.get(name).and_then(Value::as_str).unwrap_or_default();
            let _ = write!(line, "\n  {}: {}", part("field"), part("message"));
        }
        for (name, count) in self.body.get("counts").and_then(Value::as_object).into_iter().flatten() {
            let _ = write!(line, "\n  {name}: {count}");
        }
        if self.status == 401 {
            line.push_str("\n  sign in with `certctl login`, or set CERTCTL_API_KEY");
        }
        line
    }
}

impl Failure {
    /// A refusal by the server.
    pub(crate) fn refused(status: u16, body: &[u8]) -> Self {
        Self::Refused(Box::new(Refusal::read(status, body)))
    }

    /// The status of the server's refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Local(_) | Self::Network(_) | Self::Untrusted { .. } => 1,
            Self::Usage(_) => 2,
            Self::Failed(_) => 5,
            Self::TimedOut(_) => 6,
            Self::NotFound { .. } => 7,
            Self::Conflict { .. } => 8,
            Self::Refused(refusal) => match refusal.status {
                401 => 3,
                403 => 4,
                404 | 410 => 7,
                409 | 412 => 8,
                429 => 10,
                400..=499 => 9,
                _ => 1,
            },
        }
    }

    fn token(&self) -> &'static str {
        match self {
            Self::ClosedPipe | Self::Local(_) => "local_error",
            Self::Network(_) => "network_error",
            Self::Untrusted { .. } => "untrusted_server",
            Self::Usage(_) => "usage",
            Self::Failed(_) => "operation_failed",
            Self::TimedOut(_) => "timed_out",
            Self::NotFound { .. } => "not_found",
            Self::Conflict { .. } => "conflict",
            Self::Refused(_) => "refused",
        }
    }

    /// The form for programs, on standard error with `-o json`.
    pub(crate) fn to_json(&self) -> Value {
        if let Self::Refused(refusal) = self {
            let mut members = refusal.body.clone();
            members.insert("status".to_owned(), refusal.status.into());
            for (name, fallback) in [("error", "Error"), ("message", ""), ("code", self.token()), ("request_id", "")] {
                members.entry(name).or_insert_with(|| fallback.into());
            }
            members.entry("errors").or_insert_with(|| json!([]));
            return Value::Object(members);
        }
        let mut body = json!({
            "error": self.token(), "message": self.to_string(), "code": self.token(),
            "request_id": "", "errors": [], "status": 0,
        });
        if let Self::Conflict { candidates, .. } = self {
            body["candidates"] = json!(candidates);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> u8 {
        Failure::refused(status, b"{}").exit_code()
    }

    #[test]
    fn every_status_has_the_exit_code_that_scripts_rely_on() {
        let table = [
            (401, 3),
            (403, 4),
            (404, 7),
            (409, 8),
            (412, 8),
            (400, 9),
            (413, 9),
            (422, 9),
            (429, 10),
            (500, 1),
            (502, 1),
            (503, 1),
            (302, 1),
        ];
        for (given, wanted) in table {
            assert_eq!(status(given), wanted, "status {given}");
        }
    }

    #[test]
    fn failures_of_the_client_have_their_own_codes() {
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Failed(String::new()).exit_code(), 5);
        assert_eq!(Failure::TimedOut(String::new()).exit_code(), 6);
        assert_eq!(Failure::Network(String::new()).exit_code(), 1);
        assert_eq!(Failure::NotFound { kind: "team", text: String::new() }.exit_code(), 7);
        assert_eq!(Failure::Conflict { message: String::new(), candidates: vec![] }.exit_code(), 8);
    }

    #[test]
    fn the_line_names_code_request_and_each_broken_rule() {
        let body = br#"{"error":"Bad Request","message":"the input is invalid","code":"validation_failed",
            "request_id":"r-1","errors":[{"field":"name","code":"required","message":"is required"}]}"#;
        let text = Failure::refused(400, body).to_string();
        assert_eq!(text, "the input is invalid (validation_failed, request r-1)\n  name: is required");
    }

    #[test]
    fn a_body_of_another_shape_still_gives_a_complete_object() {
        let failure = Failure::refused(502, b"<html>bad gateway</html>");
        let json = failure.to_json();
        assert_eq!(json["status"], 502);
        assert_eq!(json["message"], "<html>bad gateway</html>");
        for member in ["error", "code", "request_id", "errors"] {
            assert!(json.get(member).is_some(), "{member} is missing");
        }
    }
}
