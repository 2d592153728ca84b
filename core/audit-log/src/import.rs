//! Taking over the trail of a Go certctl: its rows become events of this log, in the order of their chain, with the old
//! hashes beside them, so that the old chain can still be followed.

use crate::legacy::{LegacyBreak, LegacyChain, LegacyRow, follow, instant, read_legacy};
use crate::ports::LogStore;
use certctl_audit::{Action, AuditEvent, AuditLog, Category};
use certctl_kernel::{ActorType, IdKind, RequestContext, StoreError, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::io::BufRead;

/// Rows of one statement.
const BATCH: usize = 2000;

/// An event that happened before this log began.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedEvent {
    /// Its old id.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor_id: String,
    /// Kind of actor; what the old trail called it stands in the details when this log knows no such kind.
    pub actor_type: ActorType,
    /// Action, in the old spelling.
    pub action: String,
    /// Kind of object.
    pub resource_type: String,
    /// Object.
    pub resource_id: String,
    /// Category.
    pub category: Category,
    /// The old details, and in `legacy` the old hashes.
    pub details: Map<String, Value>,
}

/// Rows ready to be taken over.
#[derive(Debug)]
pub struct LegacyImport {
    /// In the order of the chain; what the chain does not lead to comes last, by time.
    pub events: Vec<ImportedEvent>,
    /// The chain, where it holds.
    pub chain: Result<LegacyChain, LegacyBreak>,
}

/// What was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Events added.
    pub added: u64,
    /// Events that were there already.
    pub known: u64,
}

/// Nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not an export of the old trail.
    #[error(transparent)]
    Unreadable(#[from] LegacyBreak),
    /// A row can't become an event.
    #[error("event {id}: {reason}")]
    Row {
        /// Its id.
        id: String,
        /// Why not.
        reason: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads an export of the old table and puts its rows in order. A chain that does not hold is told of in the result:
/// whether its rows are wanted all the same is the operator's to say.
pub fn prepare_import(reader: impl BufRead, head: Option<&str>) -> Result<LegacyImport, ImportError> {
    let rows = read_legacy(reader)?;
    let mut seen = HashSet::with_capacity(rows.len());
    if let Some(twice) = rows.iter().find(|row| !seen.insert(row.id.as_str())) {
        return Err(ImportError::Row { id: twice.id.clone(), reason: "stands twice" });
    }
    let mut ordered: Vec<LegacyRow> = Vec::with_capacity(rows.len());
    let chain = follow(rows.clone(), head, |row| ordered.push(row.clone()));
    let reached: HashSet<String> = ordered.iter().map(|row| row.id.clone()).collect();
    let mut rest: Vec<LegacyRow> = rows.into_iter().filter(|row| !reached.contains(&row.id)).collect();
    rest.sort_by_key(|row| instant(&row.timestamp));
    ordered.extend(rest);
    let events = ordered.into_iter().map(event).collect::<Result<_, _>>()?;
    Ok(LegacyImport { events, chain })
}

fn event(row: LegacyRow) -> Result<ImportedEvent, ImportError> {
    if IdKind::check_supplied(&row.id).is_err() {
        return Err(ImportError::Row { id: row.id, reason: "its id is not one" });
    }
    let Some(at) = instant(&row.timestamp) else {
        return Err(ImportError::Row { id: row.id, reason: "its timestamp is not one" });
    };
    let kind = ActorType::parse(&row.actor_type);
    let mut legacy = json!({"prev_hash": row.prev_hash, "row_hash": row.row_hash});
    if kind.is_none() {
        legacy["actor_type"] = json!(row.actor_type);
    }
    let mut details = match row.details {
        None => Map::new(),
        Some(Value::Object(map)) => map,
        // The text that PostgreSQL makes of JSON: what was hashed.
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => map,
            _ => Map::from_iter([("value".to_owned(), Value::String(text))]),
        },
        Some(other) => Map::from_iter([("value".to_owned(), other)]),
    };
    details.insert("legacy".to_owned(), legacy);
    Ok(ImportedEvent {
        id: row.id,
        at,
        actor_id: row.actor,
        actor_type: kind.unwrap_or(ActorType::System),
        action: row.action,
        resource_type: row.resource_type,
        resource_id: row.resource_id,
        category: row.event_category.as_deref().and_then(Category::parse).unwrap_or(Category::CertLifecycle),
        details,
    })
}

/// Adds the events, and one of our own that tells of it. Events that are there are left alone, so that an import that
/// was broken off can be repeated.
pub async fn import_legacy(
    tx: &mut (impl LogStore + AuditLog + ?Sized),
    context: &RequestContext,
    import: &LegacyImport,
) -> Result<Imported, ImportError> {
    let mut added = 0;
    for batch in import.events.chunks(BATCH) {
        added += tx.import_events(batch).await?;
    }
    let all = import.events.len() as u64;
    let done = Imported { added, known: all - added };
    let details = json!({
        "rows": all, "added": done.added, "known": done.known,
        "head": import.chain.as_ref().map(|chain| chain.head.clone()).ok(),
        "chain_break": import.chain.as_ref().err().map(ToString::to_string),
    });
    tx.record(AuditEvent::new(Action::AuditImported, context, "log", details)).await?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "d7e8851f5ad3a50459b81ec3c8ebabf53f42cfbbe73ee7a13d3645ac7c35cc22";
    const SECOND: &str = "624ead12224a9727e8d21f8cc4c528d49db4c142d7c9e85352e5f4e198dccebd";

    fn rows(second_actor: &str) -> String {
        let first = json!({"id": "audit-1", "actor": "alice", "actor_type": "APIKey", "action": "role.create",
            "resource_type": "role", "resource_id": "r-x", "details": "{\"a\": [1, 2], \"b\": \"x\", \"aa\": 1}",
            "timestamp": "2026-01-02T03:04:05.678901Z", "event_category": "auth", "prev_hash": null,
            "row_hash": FIRST});
        let second = json!({"id": "audit-2", "actor": second_actor, "actor_type": "System", "action": "job_retry",
            "resource_type": "job", "resource_id": "job-1", "details": null,
            "timestamp": "2026-01-02 03:04:06+00", "event_category": "cert_lifecycle", "prev_hash": FIRST,
            "row_hash": SECOND});
        format!("{second}\n{first}\n")
    }

    #[test]
    fn rows_come_in_the_order_of_their_chain_with_their_hashes() {
        let import = prepare_import(rows("system").as_bytes(), Some(SECOND)).expect("rows");
        assert_eq!(import.chain.as_ref().map(|chain| chain.rows), Ok(2));
        let ids: Vec<&str> = import.events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["audit-1", "audit-2"]);
        let first = Value::Object(import.events[0].details.clone());
        assert_eq!(first, json!({"a": [1, 2], "b": "x", "aa": 1, "legacy": {"prev_hash": null, "row_hash": FIRST}}));
        assert_eq!(import.events[1].category, Category::CertLifecycle);
    }

    #[test]
    fn a_chain_that_does_not_hold_is_told_of_and_loses_no_row() {
        let import = prepare_import(rows("mallory").as_bytes(), None).expect("rows");
        assert!(matches!(import.chain, Err(LegacyBreak::Changed { position: 1, .. })));
        assert_eq!(import.events.len(), 2);
        assert_eq!(import.events[1].actor_id, "mallory");
    }

    #[test]
    fn what_can_be_no_event_is_named() {
        let reason = |text: &str| match prepare_import(text.as_bytes(), None) {
            Err(ImportError::Row { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&rows("system").replace("audit-2", "audit 2")), "its id is not one");
        assert_eq!(reason(&rows("system").replace("2026-01-02 03:04:06+00", "yesterday")), "its timestamp is not one");
        assert_eq!(reason(&rows("system").replace("audit-2", "audit-1")), "stands twice");
    }
}
