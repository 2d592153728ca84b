//! Successful replies.

use actix_web::http::StatusCode;
use certctl_kernel::Timestamp;

/// What a use case's result becomes: a status, a JSON body, and the validator of a single object.
pub(crate) struct Reply<T> {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<T>,
    pub(crate) etag: Option<String>,
    pub(crate) secret: bool,
}

impl<T> Reply<T> {
    /// 200 with a body.
    pub(crate) fn ok(body: T) -> Self {
        Self::with(StatusCode::OK, body)
    }

    /// 201 with a body.
    pub(crate) fn created(body: T) -> Self {
        Self::with(StatusCode::CREATED, body)
    }

    /// 202 with a body.
    pub(crate) fn accepted(body: T) -> Self {
        Self::with(StatusCode::ACCEPTED, body)
    }

    /// Any success with a body.
    pub(crate) fn with(status: StatusCode, body: T) -> Self {
        Self { status, body: Some(body), etag: None, secret: false }
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, etag: None, secret: false }
    }

    /// Adds the validator of a single object.
    #[must_use]
    pub(crate) fn version(mut self, updated_at: Timestamp, row_version: i64) -> Self {
        self.etag = Some(format!("\"{}-{row_version}\"", updated_at.unix_timestamp_nanos() / 1000));
        self
    }

    /// Marks a body that holds a secret: it is never kept for replays.
    #[must_use]
    pub(crate) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// The row version in an `If-Match` value: `"<micros>-<n>"`, weak or strong, or a bare number; `*` asks for none.
pub(crate) fn if_match_version(header: &str) -> Option<i64> {
    let tag = header.trim().trim_start_matches("W/").trim_matches('"');
    tag.rsplit('-').next().and_then(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_reads_the_row_version() {
        assert_eq!(if_match_version("\"1700000000000000-7\""), Some(7));
        assert_eq!(if_match_version("W/\"1700000000000000-7\""), Some(7));
        assert_eq!(if_match_version("*"), None);
    }
}
