//! What is kept about a person, for that person.

use crate::{User, UserStore};
use async_trait::async_trait;
use certctl_audit::{Action, AuditEvent, AuditFilter, AuditLog, AuditRecord, AuditStore};
use certctl_kernel::{DomainError, Id, ListQuery, MAX_PAGE_SIZE, StoreError, Timestamp};
use certctl_rbac::{Caller, Grant, Permission, RbacStore};
use serde_json::json;
use std::collections::BTreeMap;

/// Events that an export holds at most; whoever needs more takes them from the trail itself.
pub const MOST_EVENTS: usize = 5000;

/// A session, as its person may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTrace {
    /// `ses-…`
    pub id: Id,
    /// How the person signed in.
    pub way: String,
    /// Where from.
    pub ip_address: String,
    /// With what.
    pub user_agent: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub absolute_expires_at: Timestamp,
    /// When it was ended before its time.
    pub revoked_at: Option<Timestamp>,
}

/// A key that belongs to the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTrace {
    /// `ak-…`
    pub id: Id,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_ip: Option<String>,
    /// When it was switched off.
    pub disabled_at: Option<Timestamp>,
}

/// Reads what other stores keep about a person.
#[async_trait]
pub trait TraceStore: Send {
    /// Sessions that are still kept, newest first.
    async fn session_traces(&mut self, user: &User) -> Result<Vec<SessionTrace>, StoreError>;
    /// Keys that name the person as their owner, newest first.
    async fn key_traces(&mut self, user: &User) -> Result<Vec<KeyTrace>, StoreError>;
}

/// All of it.
#[derive(Debug, Clone)]
pub struct SubjectExport {
    /// The account.
    pub user: User,
    /// Roles, with where they come from.
    pub grants: Vec<Grant>,
    /// Sessions.
    pub sessions: Vec<SessionTrace>,
    /// Keys.
    pub keys: Vec<KeyTrace>,
    /// Events by or about the person, newest first.
    pub events: Vec<AuditRecord>,
    /// Whether there are more events than an export holds.
    pub events_truncated: bool,
}

/// Events that a filter selects, newest first, up to [`MOST_EVENTS`]; tells whether there are more.
async fn events(
    tx: &mut (impl AuditStore + ?Sized),
    filter: &AuditFilter,
    into: &mut BTreeMap<(std::cmp::Reverse<Timestamp>, String), AuditRecord>,
) -> Result<bool, StoreError> {
    let mut list = ListQuery { per_page: MAX_PAGE_SIZE, ..ListQuery::default() };
    let mut read = 0;
    loop {
        let page = tx.audit_page(filter, &list).await?;
        read += page.rows.len();
        into.extend(page.rows.into_iter().map(|event| ((std::cmp::Reverse(event.at), event.id.clone()), event)));
        match page.next {
            Some(_) if read >= MOST_EVENTS => return Ok(true),
            Some(cursor) => list.cursor = Some(cursor),
            None => return Ok(false),
        }
    }
}

/// Everything that is kept about a person. Who asks for another's must hold `auth.user.deactivate` and `audit.read`;
/// that it was given out is recorded.
pub async fn export_user(
    tx: &mut (impl UserStore + TraceStore + RbacStore + AuditStore + AuditLog + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<SubjectExport, DomainError> {
    let found = tx.user(id).await?;
    let own = found.as_ref().is_some_and(|user| user.actor() == caller.context.actor);
    if !own {
        caller.require(Permission::AuthUserDeactivate, &[])?;
        caller.require(Permission::AuditRead, &[])?;
    }
    let user = found.ok_or_else(|| DomainError::not_found("user", id))?;
    let grants = tx.grants(&user.actor()).await?;
    let sessions = tx.session_traces(&user).await?;
    let keys = tx.key_traces(&user).await?;
    let mut told = BTreeMap::new();
    let by = AuditFilter {
        actor_id: Some(user.id.clone()),
        actor_type: Some(user.actor().kind.as_str().to_owned()),
        ..AuditFilter::default()
    };
    let mut events_truncated = events(tx, &by, &mut told).await?;
    // Grants are told about under the kind and the id.
    for about in [user.id.clone(), format!("{}:{}", user.actor().kind.as_str(), user.id)] {
        let filter = AuditFilter { resource_id: Some(about), ..AuditFilter::default() };
        events_truncated |= events(tx, &filter, &mut told).await?;
    }
    let details = json!({"user_id": id, "own": own, "events": told.len(), "sessions": sessions.len()});
    tx.record(AuditEvent::new(Action::UserExported, &caller.context, id, details)).await?;
    Ok(SubjectExport { user, grants, sessions, keys, events: told.into_values().collect(), events_truncated })
}
