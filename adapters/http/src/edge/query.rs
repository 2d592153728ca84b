//! Query parameters: each name known, each value checked.

use super::ApiError;
use crate::state::AppState;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use certctl_kernel::{Cursor, ListQuery, Timestamp, timestamp};
use std::collections::BTreeSet;
use std::future::{Ready, ready};

/// The parameters of a request. An operation takes those it knows and then calls [`QueryParams::finish`], which
/// refuses the rest (unless `CERTCTL_LENIENT_QUERY` is set).
pub(crate) struct QueryParams {
    pairs: Vec<(String, String)>,
    known: BTreeSet<&'static str>,
    lenient: bool,
}

impl FromRequest for QueryParams {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let lenient = request.app_data::<web::Data<AppState>>().is_some_and(|state| state.settings.lenient_query);
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        if let Some((name, _)) = pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return ready(Err(ApiError::invalid(name, "invalid", "must not contain U+0000")));
        }
        ready(Ok(Self { pairs, known: BTreeSet::new(), lenient }))
    }
}

impl QueryParams {
    /// The last value of `name`; empty counts as absent.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.insert(name);
        self.pairs.iter().rev().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone())
    }

    /// An unsigned number; a value that is none means the default, as existing clients expect of paging.
    pub(crate) fn number(&mut self, name: &'static str) -> Option<u32> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// A whole number that is meant as one: anything else is refused.
    pub(crate) fn count(&mut self, name: &'static str) -> Result<Option<u64>, ApiError> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| ApiError::invalid(name, "not_a_number", "must be a whole number")))
            .transpose()
    }

    /// A truth value.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True" | "yes") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False" | "no") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(name, "not_a_boolean", "must be true or false")),
        }
    }

    /// An instant: RFC 3339, or a date as midnight UTC.
    pub(crate) fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
        self.text(name)
            .map(|text| {
                timestamp::parse(&text).ok_or_else(|| {
                    ApiError::invalid(name, "not_a_time", "must be RFC 3339, such as 2026-01-31T12:00:00Z, or a date")
                })
            })
            .transpose()
    }

    /// A value of a closed set, matched without regard to case.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        choices
            .iter()
            .find(|(spelling, _)| spelling.eq_ignore_ascii_case(&text))
            .map(|(_, value)| Some(*value))
            .ok_or_else(|| {
                let allowed: Vec<_> = choices.iter().map(|(spelling, _)| *spelling).collect();
                ApiError::invalid(name, "unknown_value", format!("must be one of {}", allowed.join(", ")))
            })
    }

    /// `page`, `per_page` (or `page_size`, `limit`) and `cursor`; `filter_hash` binds a cursor to its list.
    pub(crate) fn list(&mut self, filter_hash: &str) -> Result<ListQuery, ApiError> {
        let page = self.number("page");
        let size = self.number("page_size").or_else(|| self.number("per_page"));
        let per_page = if self.known.contains("limit") { size } else { size.or_else(|| self.number("limit")) };
        // Known even when an earlier alias won.
        self.known.extend(["per_page", "page_size", "limit"]);
        let cursor = match self.text("cursor") {
            Some(text) => Some(
                Cursor::decode(&text, filter_hash)
                    .map_err(|error| ApiError::invalid("cursor", "bad_cursor", error.to_string()))?,
            ),
            None => None,
        };
        Ok(ListQuery::clamped(page, per_page, cursor))
    }

    /// Refuses parameters that no one asked for.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.lenient {
            return Ok(());
        }
        let unknown: BTreeSet<&str> =
            self.pairs.iter().map(|(name, _)| name.as_str()).filter(|name| !self.known.contains(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let known: Vec<_> = self.known.iter().copied().collect();
        Err(certctl_kernel::DomainError::Validation(
            unknown
                .into_iter()
                .map(|name| {
                    certctl_kernel::FieldError::new(
                        name,
                        "unknown_parameter",
                        format!("is not a parameter of this list; known are {}", known.join(", ")),
                    )
                })
                .collect(),
        )
        .into())
    }
}
