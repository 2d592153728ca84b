//! Events and the stores that take and show them.

use crate::{Action, Category, redact};
use async_trait::async_trait;
use certctl_kernel::{Actor, ListQuery, Page, RequestContext, StoreError, Timestamp};
use serde_json::{Map, Value};

/// What happened, ready to be stored: the store adds id and time.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// What was done; names its category and resource type.
    pub action: Action,
    /// Who did it.
    pub actor: Actor,
    /// Id of the object it was done to.
    pub resource_id: String,
    /// Facts of the event, already redacted.
    pub details: Map<String, Value>,
    /// The request it belongs to.
    pub request_id: String,
    /// Where the request came from.
    pub source_ip: Option<String>,
}

impl AuditEvent {
    /// An event of `context`'s actor on `resource_id`; `details` must be a JSON object and is redacted here.
    pub fn new(action: Action, context: &RequestContext, resource_id: impl Into<String>, details: Value) -> Self {
        let details = match redact(details) {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self {
            action,
            actor: context.actor.clone(),
            resource_id: resource_id.into(),
            details,
            request_id: context.request_id.clone(),
            source_ip: context.source_ip.clone(),
        }
    }

    /// The same event attributed to another actor, such as the bootstrap token.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }
}

/// A stored event.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// `audit-…`
    pub id: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Actor id.
    pub actor_id: String,
    /// Actor kind in wire spelling.
    pub actor_type: String,
    /// Action in wire spelling.
    pub action: String,
    /// Resource type.
    pub resource_type: String,
    /// Resource id.
    pub resource_id: String,
    /// Category in wire spelling.
    pub category: String,
    /// Details.
    pub details: Value,
    /// Request id.
    pub request_id: String,
    /// Where the request came from.
    pub source_ip: Option<String>,
    /// The tenant it happened in.
    pub tenant_id: String,
    /// Its number in the sealed log; `None` until it is sealed.
    pub seq: Option<u64>,
}

/// Filters of the audit list; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Category.
    pub category: Option<Category>,
    /// Not before, inclusive.
    pub since: Option<Timestamp>,
    /// Not after, inclusive.
    pub until: Option<Timestamp>,
    /// Actor id.
    pub actor_id: Option<String>,
    /// Actor kind.
    pub actor_type: Option<String>,
    /// Action name.
    pub action: Option<String>,
    /// Resource type.
    pub resource_type: Option<String>,
    /// Resource id.
    pub resource_id: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
    /// Text in the object's id, the actor's, the action or the details, without regard to case.
    pub q: Option<String>,
}

/// Takes events inside the transaction of the change they tell of.
#[async_trait]
pub trait AuditLog: Send {
    /// Queues the event for storage and sealing with this transaction's commit.
    async fn record(&mut self, event: AuditEvent) -> Result<(), StoreError>;
    /// The same for many.
    async fn record_all(&mut self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        for event in events {
            self.record(event).await?;
        }
        Ok(())
    }
}

/// Shows stored events.
#[async_trait]
pub trait AuditStore: Send {
    /// One page, newest first.
    async fn audit_page(&mut self, filter: &AuditFilter, list: &ListQuery) -> Result<Page<AuditRecord>, StoreError>;
    /// One event by its id.
    async fn audit_event(&mut self, id: &str) -> Result<Option<AuditRecord>, StoreError>;
}
