//! The linear hash chain of imported rows (`hash_version` 1): its hash, and verification by following its links.

use certctl_kernel::{Timestamp, timestamp};
use data_encoding::HEXLOWER;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::BufRead;
use time::macros::format_description;

/// A row of the old table `audit_events`, as `row_to_json` writes it. `details` is best given as the text that
/// PostgreSQL makes of it (`details::text`); a JSON value is written in that form here.
#[derive(Debug, Clone, Deserialize)]
pub struct LegacyRow {
    /// Id.
    pub id: String,
    /// Actor.
    pub actor: String,
    /// Kind of actor.
    pub actor_type: String,
    /// Action.
    pub action: String,
    /// Kind of object.
    pub resource_type: String,
    /// Object.
    pub resource_id: String,
    /// Facts: JSON text, or JSON; absent for SQL's NULL.
    #[serde(default, deserialize_with = "present")]
    pub details: Option<Value>,
    /// When: RFC 3339 or PostgreSQL's text.
    pub timestamp: String,
    /// Category.
    #[serde(default)]
    pub event_category: Option<String>,
    /// Hash of the row before; absent for the first.
    #[serde(default)]
    pub prev_hash: Option<String>,
    /// Hash of this row.
    pub row_hash: String,
}

/// A member that is there is `Some`, even when it is JSON's `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegacyBreak {
    /// The file can't be read.
    #[error("{0}")]
    Io(String),
    /// A line is no row.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Its number, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// No row begins the chain, or several do.
    #[error("{0} rows begin the chain; one must")]
    Beginnings(usize),
    /// Two rows follow the same one.
    #[error("event {id} follows the same row as another")]
    Fork {
        /// One of them.
        id: String,
    },
    /// A row is not what was hashed.
    #[error("event {id} is not what was hashed (position {position} of the chain)")]
    Changed {
        /// Its id.
        id: String,
        /// Its position, from 0.
        position: u64,
    },
    /// Rows that the chain does not lead to: one between was removed.
    #[error("the chain ends after {reached} of {rows} rows: what followed was removed")]
    Broken {
        /// Rows that it leads to.
        reached: u64,
        /// Rows there are.
        rows: u64,
    },
    /// The last row is not the head that was kept.
    #[error("the chain ends at {found}, not at the head {wanted}: its end was cut off")]
    Head {
        /// Hash of the last row.
        found: String,
        /// The head.
        wanted: String,
    },
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LegacyChain {
    /// Rows.
    pub rows: u64,
    /// Hash of the last.
    pub head: String,
    /// Id of the last.
    pub last_id: Option<String>,
}

/// The hash of a row: SHA-256 in hex over ten fields with `|` between them.
pub fn legacy_hash(row: &LegacyRow) -> Option<String> {
    let at = instant(&row.timestamp)?;
    let at =
        at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z")).ok()?;
    let details = match &row.details {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => {
            let mut text = String::new();
            jsonb_text(value, &mut text);
            text
        }
    };
    let payload = [
        row.prev_hash.as_deref().unwrap_or_default(),
        &row.id,
        &row.actor,
        &row.actor_type,
        &row.action,
        &row.resource_type,
        &row.resource_id,
        &details,
        &at,
        row.event_category.as_deref().unwrap_or_default(),
    ]
    .join("|");
    Some(HEXLOWER.encode(digest::digest(&digest::SHA256, payload.as_bytes()).as_ref()))
}

/// RFC 3339, or PostgreSQL's `2026-01-02 03:04:05.678901+00`.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let mut text = text.trim().replacen(' ', "T", 1);
    let zone = text.rfind(['+', '-']).filter(|place| *place > 10);
    if let Some(zone) = zone
        && text.len() - zone == 3
    {
        text.push_str(":00");
    }
    timestamp::parse(&text).filter(|_| text.len() > 10)
}

/// JSON as PostgreSQL's `jsonb::text` writes it: keys by length and then by octets, a space after `:` and `,`.
fn jsonb_text(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                jsonb_text(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes())));
            out.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                // Writing to text does not fail.
                let _ = write!(out, "{}: ", Value::String(key.clone()));
                jsonb_text(member, out);
            }
            out.push('}');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

/// Reads the rows of an export of the old table, a JSON object a line.
pub(crate) fn read_legacy(reader: impl BufRead) -> Result<Vec<LegacyRow>, LegacyBreak> {
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(reader.lines()) {
        let text = text.map_err(|error| LegacyBreak::Io(error.to_string()))?;
        if text.trim().is_empty() {
            continue;
        }
        rows.push(
            serde_json::from_str(&text).map_err(|error| LegacyBreak::Malformed { line, reason: error.to_string() })?,
        );
    }
    Ok(rows)
}

/// Follows the links of an export of the old table, whatever order its lines have; `head` is the hash that the old
/// table `audit_chain_head` holds, without which a removed end does not show.
pub fn check_legacy(reader: impl BufRead, head: Option<&str>) -> Result<LegacyChain, LegacyBreak> {
    follow(read_legacy(reader)?, head, |_| ())
}

/// Follows the links of these rows, and hands out each in the chain's order as far as that holds.
pub(crate) fn follow(
    all: Vec<LegacyRow>,
    head: Option<&str>,
    mut reached_row: impl FnMut(&LegacyRow),
) -> Result<LegacyChain, LegacyBreak> {
    let mut next: HashMap<String, LegacyRow> = HashMap::new();
    let mut beginnings = Vec::new();
    let mut rows = 0_u64;
    for row in all {
        rows += 1;
        match row.prev_hash.as_deref() {
            None | Some("") => beginnings.push(row),
            Some(previous) => {
                let previous = previous.to_owned();
                if let Some(other) = next.insert(previous, row) {
                    return Err(LegacyBreak::Fork { id: other.id });
                }
            }
        }
    }
    if rows == 0 {
        let chain = LegacyChain { rows, head: String::new(), last_id: None };
        return if head.is_none_or(str::is_empty) { Ok(chain) } else { Err(cut(&chain, head)) };
    }
    let mut row = match beginnings.len() {
        1 => beginnings.remove(0),
        other => return Err(LegacyBreak::Beginnings(other)),
    };
    let mut reached = 0;
    loop {
        if legacy_hash(&row).as_deref() != Some(row.row_hash.as_str()) {
            return Err(LegacyBreak::Changed { id: row.id, position: reached });
        }
        reached += 1;
        reached_row(&row);
        match next.remove(&row.row_hash) {
            Some(following) => row = following,
            None => break,
        }
    }
    if reached < rows {
        return Err(LegacyBreak::Broken { reached, rows });
    }
    let chain = LegacyChain { rows, head: row.row_hash, last_id: Some(row.id) };
    if head.is_some_and(|head| head != chain.head) { Err(cut(&chain, head)) } else { Ok(chain) }
}

fn cut(chain: &LegacyChain, head: Option<&str>) -> LegacyBreak {
    LegacyBreak::Head { found: chain.head.clone(), wanted: head.unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const FIRST: &str = "d7e8851f5ad3a50459b81ec3c8ebabf53f42cfbbe73ee7a13d3645ac7c35cc22";
    const SECOND: &str = "624ead12224a9727e8d21f8cc4c528d49db4c142d7c9e85352e5f4e198dccebd";

    fn rows() -> [Value; 2] {
        [
            json!({"id": "audit-1", "actor": "alice", "actor_type": "APIKey", "action": "role.create",
                   "resource_type": "role", "resource_id": "r-x", "details": {"aa": 1, "b": "x", "a": [1, 2]},
                   "timestamp": "2026-01-02T03:04:05.678901Z", "event_category": "auth", "prev_hash": null,
                   "row_hash": FIRST}),
            json!({"id": "audit-2", "actor": "system", "actor_type": "System", "action": "job_retry",
                   "resource_type": "job", "resource_id": "job-1", "details": null,
                   "timestamp": "2026-01-02 03:04:06+00", "event_category": "cert_lifecycle", "prev_hash": FIRST,
                   "row_hash": SECOND}),
        ]
    }

    fn check(rows: &[Value], head: Option<&str>) -> Result<LegacyChain, LegacyBreak> {
        let text: String = rows.iter().flat_map(|row| [row.to_string(), "\n".to_owned()]).collect();
        check_legacy(text.as_bytes(), head)
    }

    #[test]
    fn the_vectors_of_the_old_chain_hold_in_any_order_and_form() {
        let [first, second] = rows();
        let chain = LegacyChain { rows: 2, head: SECOND.to_owned(), last_id: Some("audit-2".to_owned()) };
        assert_eq!(check(&[first.clone(), second.clone()], Some(SECOND)), Ok(chain.clone()));
        assert_eq!(check(&[second, first.clone()], None), Ok(chain));
        let mut as_text = first;
        as_text["details"] = json!(r#"{"a": [1, 2], "b": "x", "aa": 1}"#);
        assert!(check(&[as_text], Some(FIRST)).is_ok());
    }

    #[test]
    fn what_was_changed_removed_or_doubled_is_named() {
        let [first, second] = rows();
        let mut edited = second.clone();
        edited["actor"] = json!("mallory");
        let changed = LegacyBreak::Changed { id: "audit-2".into(), position: 1 };
        assert_eq!(check(&[first.clone(), edited], None), Err(changed));
        assert_eq!(check(std::slice::from_ref(&second), None), Err(LegacyBreak::Beginnings(0)));
        assert!(matches!(check(std::slice::from_ref(&first), Some(SECOND)), Err(LegacyBreak::Head { .. })));
        assert!(matches!(check(&[], Some(SECOND)), Err(LegacyBreak::Head { .. })));
        assert_eq!(check(&[first.clone(), first.clone()], None), Err(LegacyBreak::Beginnings(2)));
        assert_eq!(
            check(&[first.clone(), second.clone(), second.clone()], None),
            Err(LegacyBreak::Fork { id: "audit-2".into() })
        );
        let mut third = second;
        third["prev_hash"] = json!("gone");
        assert_eq!(check(&[first, third], None), Err(LegacyBreak::Broken { reached: 1, rows: 2 }));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), time in "[0-9T:. +-]{0,40}") {
            let _ = check_legacy(text.as_bytes(), None);
            let [mut first, _] = rows();
            first["timestamp"] = json!(time);
            let _ = check(&[first], None);
        }
    }
}
