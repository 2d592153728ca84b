//! The driver's errors in the domain's words.

use certctl_kernel::StoreError;
use tokio_postgres::error::SqlState;

/// Maps a driver error. Names of members come from constraint names, which follow `<table>_<member>_<kind>`.
pub(crate) fn map(error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        if error.is_closed() || error.code().is_none() {
            tracing::warn!(error = %Chain(error), "the database connection failed");
            return StoreError::Unavailable;
        }
        return StoreError::Internal { reason: error.to_string() };
    };
    let constraint = db.constraint().unwrap_or_default();
    let field = || field_of(constraint);
    match db.code() {
        code if *code == SqlState::UNIQUE_VIOLATION => StoreError::Duplicate { field: field(), existing_id: None },
        code if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION => {
            // The message of a refused delete says "is still referenced"; of a refused insert, "is not present".
            if db.detail().is_some_and(|detail| detail.contains("still referenced")) {
                StoreError::InUse
            } else {
                StoreError::UnknownReference { field: field() }
            }
        }
        code if *code == SqlState::CHECK_VIOLATION => {
            tracing::error!(constraint, "a check refused a row that validation let through");
            StoreError::CheckFailed { constraint: constraint.to_owned() }
        }
        code if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            StoreError::Conflict
        }
        code if *code == SqlState::LOCK_NOT_AVAILABLE => StoreError::Conflict,
        code if *code == SqlState::QUERY_CANCELED => StoreError::Timeout,
        code if *code == SqlState::TOO_MANY_CONNECTIONS
            || *code == SqlState::ADMIN_SHUTDOWN
            || *code == SqlState::CRASH_SHUTDOWN
            || *code == SqlState::CANNOT_CONNECT_NOW =>
        {
            StoreError::Unavailable
        }
        code => StoreError::Internal { reason: format!("{}: {}", code.code(), db.message()) },
    }
}

/// Longest names first, so that `certificate_versions_` is not taken for `certificates_`.
const TABLES: &[&str] = &[
    "certificate_profiles_",
    "certificate_versions_",
    "certificate_targets_",
    "certificates_",
    "renewal_policies_",
    "issuers_",
    "owners_",
    "teams_",
    "agents_",
    "targets_",
    "jobs_",
    "api_keys_",
    "grants_",
    "roles_",
    "revocations_",
    "ca_certificates_",
    "oidc_providers_",
    "group_role_mappings_",
    "users_",
];

/// `certificates_owner_id_fkey` → `owner_id`: the tables are plural words without underscores or listed here.
fn field_of(constraint: &str) -> String {
    let trimmed = ["_fkey", "_key", "_excl"].iter().find_map(|end| constraint.strip_suffix(end)).unwrap_or(constraint);
    TABLES.iter().find_map(|table| trimmed.strip_prefix(table)).unwrap_or(trimmed).to_owned()
}

/// Writes an error with its causes, which the driver's own `Display` leaves out.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
