//! What callers use of their rights, counted in memory and written down now and then.

use certctl_kernel::{Actor, StoreError, Timestamp};
use certctl_rbac::{Permission, PermissionUse};
use certctl_unit_of_work::Database;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Clone, Copy)]
struct Tally {
    last_used: Timestamp,
    count: i64,
}

/// Counts of use since the last writing. The gate adds to them; a request never waits for the database for it.
#[derive(Default)]
pub struct PermissionUsage(Mutex<HashMap<Actor, HashMap<Permission, Tally>>>);

impl PermissionUsage {
    /// Counts one use.
    pub(crate) fn note(&self, actor: &Actor, permission: Permission, at: Timestamp) {
        self.add(actor, permission, Tally { last_used: at, count: 1 });
    }

    fn add(&self, actor: &Actor, permission: Permission, new: Tally) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(actor) {
            counts.insert(actor.clone(), HashMap::new());
        }
        let Some(permissions) = counts.get_mut(actor) else { return };
        permissions
            .entry(permission)
            .and_modify(|tally| {
                tally.last_used = tally.last_used.max(new.last_used);
                tally.count += new.count;
            })
            .or_insert(new);
    }

    fn drain(&self) -> Vec<PermissionUse> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        counts
            .into_iter()
            .flat_map(|(actor, permissions)| {
                permissions.into_iter().map(move |(permission, tally)| PermissionUse {
                    actor: actor.clone(),
                    permission,
                    last_used: tally.last_used,
                    count: tally.count,
                })
            })
            .collect()
    }

    /// Writes the counts down; what can't be written is kept for the next time. Returns how many rows it wrote.
    pub async fn flush(&self, database: &dyn Database) -> Result<usize, StoreError> {
        let uses = self.drain();
        if uses.is_empty() {
            return Ok(0);
        }
        let written = async {
            let mut unit = database.begin().await?;
            unit.stores().add_permission_uses(&uses).await?;
            unit.save_unaudited("a use is no change").await
        };
        if let Err(error) = written.await {
            for entry in uses {
                self.add(&entry.actor, entry.permission, Tally { last_used: entry.last_used, count: entry.count });
            }
            return Err(error);
        }
        Ok(uses.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_kernel::ActorType;
    use time::{Duration, OffsetDateTime};

    #[test]
    fn uses_of_one_kind_become_one_row_with_the_latest_time() {
        let usage = PermissionUsage::default();
        let (ci, at) = (Actor::new("ci", ActorType::APIKey), OffsetDateTime::UNIX_EPOCH);
        usage.note(&ci, Permission::CertRead, at + Duration::MINUTE);
        usage.note(&ci, Permission::CertRead, at);
        usage.note(&ci, Permission::JobRead, at);
        let mut rows = usage.drain();
        rows.sort_by_key(|row| row.permission);
        let rows: Vec<_> = rows.iter().map(|row| (row.permission, row.count, row.last_used)).collect();
        assert_eq!(rows, [(Permission::CertRead, 2, at + Duration::MINUTE), (Permission::JobRead, 1, at)]);
        assert!(usage.drain().is_empty());
    }
}
