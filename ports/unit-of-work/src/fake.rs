//! A database in memory, for tests of what needs transactions and no particular store: responses kept for repeated
//! requests, and the trail.
//!
//! A transaction works on a copy. Saving puts it in place unless another was saved meanwhile, which is a
//! [`StoreError::Conflict`], as it is for a serializable database.

use crate::contract::Subject;
use crate::{IdempotencyClaim, IdempotencyKey, IdempotencyStore, StoredResponse, Transaction};
use async_trait::async_trait;
use certctl_audit::{AuditEvent, AuditLog};
use certctl_kernel::{StoreError, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Clone)]
struct Kept {
    request_hash: String,
    response: Option<StoredResponse>,
    expires_at: Timestamp,
}

#[derive(Debug, Clone, Default)]
struct State {
    revision: u64,
    responses: BTreeMap<(String, String), Kept>,
    events: Vec<AuditEvent>,
}

/// The database.
#[derive(Debug, Clone, Default)]
pub struct MemoryDatabase(Arc<Mutex<State>>);

/// One of its transactions.
#[derive(Debug)]
pub struct MemoryUnit {
    database: MemoryDatabase,
    state: State,
    recorded: usize,
    writable: bool,
}

impl MemoryDatabase {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events that were saved, oldest first.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.committed().events.clone()
    }

    fn committed(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unit(&self, writable: bool) -> MemoryUnit {
        MemoryUnit { database: self.clone(), state: self.committed().clone(), recorded: 0, writable }
    }
}

impl MemoryUnit {
    fn write(&mut self) -> Result<&mut State, StoreError> {
        if self.writable {
            Ok(&mut self.state)
        } else {
            Err(StoreError::Internal { reason: "a write on a unit of work that only reads".to_owned() })
        }
    }

    fn commit(mut self) -> Result<(), StoreError> {
        self.write()?.revision += 1;
        let mut committed = self.database.committed();
        if committed.revision + 1 != self.state.revision {
            return Err(StoreError::Conflict);
        }
        *committed = self.state;
        drop(committed);
        Ok(())
    }
}

#[async_trait]
impl Subject for MemoryDatabase {
    type Unit = MemoryUnit;

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn begin(&self) -> Result<Box<MemoryUnit>, StoreError> {
        Ok(Box::new(self.unit(true)))
    }

    async fn read(&self) -> Result<Box<MemoryUnit>, StoreError> {
        Ok(Box::new(self.unit(false)))
    }

    async fn events_about(&self, resource_id: &str) -> Result<i64, StoreError> {
        let events = self.events();
        Ok(events.iter().filter(|event| event.resource_id == resource_id).map(|_| 1).sum())
    }
}

#[async_trait]
impl Transaction for MemoryUnit {
    async fn save(self: Box<Self>) -> Result<(), StoreError> {
        if self.recorded == 0 {
            return Err(StoreError::Internal { reason: "a change without an audit event".to_owned() });
        }
        self.commit()
    }

    async fn save_unaudited(self: Box<Self>, _reason: &'static str) -> Result<(), StoreError> {
        self.commit()
    }

    async fn discard(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl AuditLog for MemoryUnit {
    async fn record(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        self.write()?.events.push(event);
        self.recorded += 1;
        Ok(())
    }
}

#[async_trait]
impl IdempotencyStore for MemoryUnit {
    async fn claim_idempotency(
        &mut self,
        key: &IdempotencyKey,
        expires_at: Timestamp,
    ) -> Result<IdempotencyClaim, StoreError> {
        let responses = &mut self.write()?.responses;
        let place = (key.actor.clone(), key.key.clone());
        match responses.get(&place) {
            Some(kept) if kept.request_hash != key.request_hash => Ok(IdempotencyClaim::Mismatch),
            Some(Kept { response: Some(response), .. }) => Ok(IdempotencyClaim::Replay(response.clone())),
            _ => {
                let kept = Kept { request_hash: key.request_hash.clone(), response: None, expires_at };
                responses.insert(place, kept);
                Ok(IdempotencyClaim::Fresh)
            }
        }
    }

    async fn store_idempotent_response(
        &mut self,
        key: &IdempotencyKey,
        response: &StoredResponse,
    ) -> Result<(), StoreError> {
        if let Some(kept) = self.write()?.responses.get_mut(&(key.actor.clone(), key.key.clone())) {
            kept.response = Some(response.clone());
        }
        Ok(())
    }

    async fn purge_idempotency(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let responses = &mut self.write()?.responses;
        let before = responses.len();
        responses.retain(|_, kept| kept.expires_at > now);
        Ok((before - responses.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use certctl_audit::Action;
    use certctl_kernel::RequestContext;
    use time::OffsetDateTime;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        contract::database(&MemoryDatabase::new(), OffsetDateTime::UNIX_EPOCH).await;
    }

    #[tokio::test]
    async fn of_two_changes_at_once_the_second_is_told_to_try_again() {
        let database = MemoryDatabase::new();
        let event = || {
            let context = RequestContext::system("test");
            AuditEvent::new(Action::CreateTeam, &context, "t", serde_json::json!({}))
        };
        let (mut first, mut second) = (database.unit(true), database.unit(true));
        first.record(event()).await.expect("records");
        second.record(event()).await.expect("records");
        Box::new(first).save().await.expect("saved");
        assert_eq!(Box::new(second).save().await, Err(StoreError::Conflict));
        assert_eq!(database.events().len(), 1);
    }
}
