//! Lists: page and cursor modes over one keyset.

use crate::Timestamp;
use data_encoding::BASE64URL_NOPAD;

/// Largest page a client may ask for; larger wishes are clamped to it.
pub const MAX_PAGE_SIZE: u32 = 500;
const DEFAULT_PAGE_SIZE: u32 = 50;

/// Direction of a list's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Where in a list to read: an offset page, or what follows a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Page number from 1; ignored when `cursor` is set.
    pub page: u32,
    /// Rows a page, 1 to [`MAX_PAGE_SIZE`].
    pub per_page: u32,
    /// Read what follows this position.
    pub cursor: Option<Cursor>,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { page: 1, per_page: DEFAULT_PAGE_SIZE, cursor: None }
    }
}

impl ListQuery {
    /// Clamps raw wishes to the allowed range; zero or absent means the default.
    pub fn clamped(page: Option<u32>, per_page: Option<u32>, cursor: Option<Cursor>) -> Self {
        Self {
            page: page.filter(|p| *p > 0).unwrap_or(1),
            per_page: per_page.filter(|p| *p > 0).unwrap_or(DEFAULT_PAGE_SIZE).min(MAX_PAGE_SIZE),
            cursor,
        }
    }

    /// Rows to skip in page mode.
    pub fn offset(&self) -> i64 {
        if self.cursor.is_some() { 0 } else { i64::from(self.page - 1) * i64::from(self.per_page) }
    }

    /// Rows to read.
    pub fn limit(&self) -> i64 {
        i64::from(self.per_page)
    }
}

/// One page of rows with the count of all that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// Rows that match the filters over all pages; a cursor does not change it.
    pub total: i64,
    /// Position after the last row, when more follow.
    pub next: Option<Cursor>,
}

/// A position in a list: the sort key's text and the id of the last row seen, bound to the list's filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last row's sort value in its canonical text.
    pub key: String,
    /// The last row's id, the tie-breaker.
    pub id: String,
    /// Hash of list name, order and filters; a cursor fits only the list it came from.
    pub filter_hash: String,
}

/// A cursor that is damaged or belongs to another list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is damaged or belongs to another list; start again without it")]
pub struct CursorError;

impl Cursor {
    /// Opaque text for clients (`v1.` + base64url). The content grants nothing: filters and scopes of the caller
    /// are applied again on each request, so a forged cursor only starts a list elsewhere.
    pub fn encode(&self) -> String {
        let raw = format!("{}\u{1f}{}\u{1f}{}", self.key, self.id, self.filter_hash);
        format!("v1.{}", BASE64URL_NOPAD.encode(raw.as_bytes()))
    }

    /// Reads the text back and checks that it belongs to the list with this filter hash.
    pub fn decode(text: &str, filter_hash: &str) -> Result<Self, CursorError> {
        let body = text.strip_prefix("v1.").ok_or(CursorError)?;
        let raw = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| CursorError)?;
        let raw = String::from_utf8(raw).map_err(|_| CursorError)?;
        let mut parts = raw.split('\u{1f}');
        let (Some(key), Some(id), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(CursorError);
        };
        if hash != filter_hash {
            return Err(CursorError);
        }
        Ok(Self { key: key.to_owned(), id: id.to_owned(), filter_hash: hash.to_owned() })
    }

    /// The key as an instant, for lists ordered by time.
    pub fn key_timestamp(&self) -> Result<Timestamp, CursorError> {
        crate::timestamp::parse(&self.key).ok_or(CursorError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_round_trip_and_refuses_other_lists() {
        let cursor = Cursor { key: "2026-01-01T00:00:00Z".into(), id: "mc-1".into(), filter_hash: "abc".into() };
        assert_eq!(Cursor::decode(&cursor.encode(), "abc"), Ok(cursor.clone()));
        assert_eq!(Cursor::decode(&cursor.encode(), "abd"), Err(CursorError));
        assert_eq!(Cursor::decode("v1.@@@", "abc"), Err(CursorError));
    }

    #[test]
    fn wishes_are_clamped() {
        let query = ListQuery::clamped(Some(0), Some(9000), None);
        assert_eq!((query.page, query.per_page), (1, MAX_PAGE_SIZE));
    }
}
