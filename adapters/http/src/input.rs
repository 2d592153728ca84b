//! Members of request bodies.

use crate::edge::ApiError;
use certctl_inventory::Patch;

/// A member that can be left out of a change but not cleared.
pub(crate) fn present<T>(field: &str, given: Patch<T>) -> Result<Option<T>, ApiError> {
    match given {
        Patch::Keep => Ok(None),
        Patch::Set(value) => Ok(Some(value)),
        Patch::Clear => Err(ApiError::invalid(field, "required", "can't be cleared; leave it out to keep it")),
    }
}
