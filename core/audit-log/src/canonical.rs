//! One spelling of an event, so that everybody who hashes it hashes the same octets.

use certctl_audit::AuditRecord;
use certctl_kernel::Timestamp;
use serde_json::Value;
use tlog_tiles::tlog::{self, Hash};

/// The version of this form; 1 is the linear chain of imported rows.
pub const HASH_VERSION: i16 = 2;

/// Names form and hash function; first field of every leaf, so that no other use of the hash can be taken for one.
const TAG: &[u8] = b"certctl-audit-v2:sha256";
/// The length that stands for an absent field, which differs from an empty one.
const ABSENT: u32 = u32::MAX;

/// The octets that are hashed for the event with this number: each field as its length (32 bits, big-endian) and its
/// octets. `details` is canonical JSON (RFC 8785), whose numbers are doubles; integers that a double can't hold follow
/// in a field of their own, so that no two of them look alike.
pub fn canonical(record: &AuditRecord, seq: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut field = |octets: &[u8]| {
        // Only `details` can be long, and the database takes no value near four gigabytes.
        let length = u32::try_from(octets.len()).unwrap_or(ABSENT - 1);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(octets);
    };
    field(TAG);
    field(&seq.to_be_bytes());
    field(record.tenant_id.as_bytes());
    field(record.id.as_bytes());
    field(&micros(record.at).to_be_bytes());
    field(record.actor_id.as_bytes());
    field(record.actor_type.as_bytes());
    field(record.action.as_bytes());
    field(record.resource_type.as_bytes());
    field(record.resource_id.as_bytes());
    field(record.category.as_bytes());
    field(record.request_id.as_bytes());
    // A JSON value always has a canonical form: its keys are text and its numbers finite.
    field(&serde_json_canonicalizer::to_vec(&record.details).unwrap_or_default());
    let mut large = Vec::new();
    large_integers(&record.details, &mut large);
    field(&large);
    match &record.source_ip {
        Some(address) => field(address.as_bytes()),
        None => out.extend_from_slice(&ABSENT.to_be_bytes()),
    }
    out
}

/// The leaf of the event with this number (RFC 6962 §2.1: `SHA-256(0x00 ‖ canonical)`).
pub fn leaf_hash(record: &AuditRecord, seq: u64) -> Hash {
    tlog::record_hash(&canonical(record, seq))
}

/// The largest integer up to which a double holds every one (RFC 7493 §2.2).
const EXACT: u64 = (1 << 53) - 1;

/// Integers beyond [`EXACT`] as decimal text with a semicolon after each, in the order of the canonical form.
fn large_integers(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_some_and(|magnitude| magnitude > EXACT) {
                out.extend_from_slice(number.to_string().as_bytes());
                out.push(b';');
            }
        }
        Value::Array(items) => items.iter().for_each(|item| large_integers(item, out)),
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            for key in keys {
                large_integers(&members[key], out);
            }
        }
        _ => {}
    }
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    pub(crate) fn record(id: &str) -> AuditRecord {
        AuditRecord {
            id: id.to_owned(),
            at: datetime!(2026-01-02 03:04:05.678901 UTC),
            actor_id: "alice".to_owned(),
            actor_type: "APIKey".to_owned(),
            action: "create_team".to_owned(),
            resource_type: "team".to_owned(),
            resource_id: "t1".to_owned(),
            category: "config".to_owned(),
            details: json!({"b": 1, "a": [true, null, "x"]}),
            request_id: "req-1".to_owned(),
            source_ip: Some("192.0.2.1".to_owned()),
            tenant_id: "t-default".to_owned(),
            seq: None,
        }
    }

    fn set(record: &mut AuditRecord, field: usize, text: &str) {
        let text = text.to_owned();
        match field {
            0 => record.id = text,
            1 => record.actor_id = text,
            2 => record.actor_type = text,
            3 => record.action = text,
            4 => record.resource_type = text,
            5 => record.resource_id = text,
            6 => record.category = text,
            7 => record.request_id = text,
            8 => record.tenant_id = text,
            9 => record.source_ip = Some(text),
            _ => record.details = json!({ "text": text }),
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let octets = canonical(&record("audit-1"), 7);
        let text = String::from_utf8_lossy(&octets);
        assert!(text.starts_with("\0\0\0\u{17}certctl-audit-v2:sha256\0\0\0\u{8}\0\0\0\0\0\0\0\u{7}"));
        assert!(text.contains("\0\0\0\u{1b}{\"a\":[true,null,\"x\"],\"b\":1}"), "{text}");
        assert_eq!(leaf_hash(&record("audit-1"), 7).to_string(), "EGbTF5gc0nlz2ne87TBkCjyO4d/n6X8XI+4RH1E+Zrc=");
    }

    #[test]
    fn an_absent_address_is_not_an_empty_one() {
        let (mut absent, mut empty) = (record("a"), record("a"));
        absent.source_ip = None;
        empty.source_ip = Some(String::new());
        assert_ne!(canonical(&absent, 0), canonical(&empty, 0));
    }

    #[test]
    fn neighbouring_integers_beyond_the_precision_of_a_double_differ() {
        let (mut one, mut other) = (record("a"), record("a"));
        one.details = json!({"n": 9_007_199_254_740_992_u64});
        other.details = json!({"n": 9_007_199_254_740_993_u64});
        assert_ne!(canonical(&one, 0), canonical(&other, 0));
    }

    proptest! {
        #[test]
        fn text_moved_between_fields_changes_the_form(
            one in 0_usize..11, other in 0_usize..11, text in "[a-z|]{0,6}", rest in "[a-z|]{1,6}",
        ) {
            prop_assume!(one != other);
            let (mut left, mut right) = (record("a"), record("a"));
            set(&mut left, one, &format!("{text}{rest}"));
            set(&mut left, other, "");
            set(&mut right, one, &text);
            set(&mut right, other, &rest);
            prop_assert_ne!(canonical(&left, 0), canonical(&right, 0));
        }
    }
}
