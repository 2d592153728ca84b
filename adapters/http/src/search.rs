//! Parameters that several lists share.

use crate::edge::{ApiError, QueryParams};

/// `q`: part of a name, two characters at least.
pub(crate) fn term(params: &mut QueryParams) -> Result<Option<String>, ApiError> {
    match params.text("q") {
        Some(text) if text.chars().count() < 2 => {
            Err(ApiError::invalid("q", "too_short", "must have at least 2 characters"))
        }
        Some(text) if text.chars().count() > 255 => {
            Err(ApiError::invalid("q", "too_long", "must have at most 255 characters"))
        }
        other => Ok(other),
    }
}
