//! Instants and their wire form.

use serde::{Deserialize, Deserializer, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// An instant in UTC, microsecond precision (what PostgreSQL keeps).
pub type Timestamp = OffsetDateTime;

/// Text that stands for an unset time on the few members that existing clients expect to be present.
pub const UNSET: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 in UTC with `Z`, trailing zeros of the fraction cut.
pub fn to_rfc3339(at: Timestamp) -> String {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_else(|_| UNSET.to_owned())
}

/// Parses RFC 3339, or a bare `YYYY-MM-DD` as midnight UTC.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(at.to_offset(time::UtcOffset::UTC));
    }
    let date = time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).ok()?;
    Some(date.midnight().assume_utc())
}

/// Cuts to whole microseconds.
pub fn truncate(at: Timestamp) -> Timestamp {
    at.replace_nanosecond(at.nanosecond() / 1000 * 1000).unwrap_or(at)
}

/// serde adapter: RFC 3339 text.
pub mod rfc3339 {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, parse, to_rfc3339};
    use serde::de::Error as _;

    /// Writes RFC 3339 text.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_rfc3339(*at))
    }

    /// Reads RFC 3339 text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom("must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"))
    }

    /// The same for optional members.
    pub mod option {
        use super::{Deserialize, Deserializer, Serializer, Timestamp, parse, to_rfc3339};
        use serde::de::Error as _;

        /// Writes RFC 3339 text or null.
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.serialize_str(&to_rfc3339(*at)),
                None => serializer.serialize_none(),
            }
        }

        /// Reads RFC 3339 text or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| parse(&text).ok_or_else(|| D::Error::custom("must be an RFC 3339 time")))
                .transpose()
        }
    }
}

/// serde adapter for the members that must be present even when unset ([`UNSET`]).
pub mod or_unset {
    use super::{Serializer, Timestamp, UNSET, to_rfc3339};

    /// Writes RFC 3339 text or the sentinel.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.map_or_else(|| UNSET.to_owned(), to_rfc3339))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_lose_trailing_zeros_and_offsets_become_utc() {
        let at = parse("2026-03-01T12:00:00.120000+02:00").expect("valid");
        assert_eq!(to_rfc3339(at), "2026-03-01T10:00:00.12Z");
    }

    #[test]
    fn a_bare_date_is_midnight_utc() {
        assert_eq!(to_rfc3339(parse("2026-03-01").expect("valid")), "2026-03-01T00:00:00Z");
    }
}
