//! Principals, credentials and the catalogue.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_apikey::{Credential, CredentialKind, IamStore, NewKey, StoredKey, TOUCH_INTERVAL};
use certctl_kernel::{IdKind, ListQuery, Page, StoreError, Timestamp};
use certctl_rbac::{ADMIN_ROLE, DefaultRole, Permission, RbacStore as _};
use tokio_postgres::Row;

const KEY: &str = "SELECT k.id, k.name, k.lookup_id, k.created_by, k.source, k.created_at, k.expires_at, \
     k.overlap_until, k.last_used_at, k.last_used_ip, k.disabled_at, k.disabled_by, k.rotated_from, k.key_hash, k.owner_user_id, k.revoked_at, \
     ARRAY(SELECT DISTINCT g.role_id FROM iam.grants g WHERE g.tenant_id = k.tenant_id \
           AND g.actor_type = k.principal_kind AND g.actor_id = k.name \
           AND (g.expires_at IS NULL OR g.expires_at > $1) ORDER BY 1) \
     FROM iam.api_keys k";

/// A key that is recognised at `$1`.
pub(crate) const WORKS: &str = "k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $1) \
     AND (k.overlap_until IS NULL OR k.overlap_until > $1)";

fn stored_key(row: &Row) -> StoredKey {
    StoredKey {
        id: row.get(0),
        name: row.get(1),
        lookup_id: row.get(2),
        created_by: row.get(3),
        source: row.get(4),
        created_at: row.get(5),
        expires_at: row.get(6),
        overlap_until: row.get(7),
        last_used_at: row.get(8),
        last_used_ip: row.get(9),
        disabled_at: row.get(10),
        disabled_by: row.get(11),
        rotated_from: row.get(12),
        hash: row.get(13),
        owner_user_id: row.get(14),
        revoked_at: row.get(15),
        roles: row.get(16),
    }
}

#[async_trait]
impl IamStore for PgUnitOfWork {
    async fn credential(&mut self, lookup_id: Option<&str>, hash: &str) -> Result<Option<Credential>, StoreError> {
        // Found by its public part or, for keys of operators' own making, by the hash; both columns are unique.
        let row = self
            .query_opt(
                "SELECT id, agent, actor_id, hash, ends_at, disabled_at, last_used_at FROM ( \
                   SELECT k.id, false AS agent, k.name AS actor_id, k.key_hash AS hash, \
                     least(k.expires_at, k.overlap_until) AS ends_at, \
                     coalesce(k.disabled_at, p.disabled_at) AS disabled_at, k.last_used_at \
                   FROM iam.api_keys k JOIN iam.principals p ON p.tenant_id = k.tenant_id \
                     AND p.kind = k.principal_kind AND p.id = k.name \
                   WHERE k.lookup_id = $1 OR k.key_hash = $2 \
                   UNION ALL \
                   SELECT c.id, true, c.agent_id, c.fingerprint, c.not_after, \
                     coalesce(c.revoked_at, p.disabled_at), c.last_used_at \
                   FROM iam.agent_credentials c JOIN iam.principals p ON p.tenant_id = 't-default' \
                     AND p.kind = 'Agent' AND p.id = c.agent_id \
                   WHERE c.kind = 'key' AND c.lookup_id = $1) found \
                 ORDER BY (hash = $2) DESC LIMIT 1",
                &[&lookup_id, &hash],
            )
            .await?;
        Ok(row.map(|row| Credential {
            id: row.get(0),
            kind: if row.get(1) { CredentialKind::Agent } else { CredentialKind::ApiKey },
            actor_id: row.get(2),
            hash: row.get(3),
            expires_at: row.get(4),
            disabled_at: row.get(5),
            last_used_at: row.get(6),
        }))
    }

    async fn touch(&mut self, credential: &Credential, at: Timestamp, ip: Option<&str>) -> Result<(), StoreError> {
        let stale = at - TOUCH_INTERVAL;
        match credential.kind {
            CredentialKind::ApiKey => {
                self.execute(
                    "UPDATE iam.api_keys SET last_used_at = $2, last_used_ip = $3 \
                     WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $4)",
                    &[&credential.id, &at, &ip, &stale],
                )
                .await
            }
            CredentialKind::Agent => {
                self.execute(
                    "UPDATE iam.agent_credentials SET last_used_at = $2 \
                     WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
                    &[&credential.id, &at, &stale],
                )
                .await
            }
        }
        .map(|_| ())
    }

    async fn insert_key(&mut self, key: &NewKey) -> Result<(), StoreError> {
        self.execute(
            "WITH principal AS (INSERT INTO iam.principals (kind, id, display, created_at) \
               VALUES ('APIKey', $2, $2, $8) ON CONFLICT DO NOTHING) \
             INSERT INTO iam.api_keys (id, name, lookup_id, key_hash, admin, created_by, source, created_at, \
               expires_at, rotated_from, owner_user_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                &key.id,
                &key.name,
                &key.lookup_id,
                &key.hash,
                &key.admin,
                &key.created_by,
                &key.source.as_str(),
                &key.created_at,
                &key.expires_at,
                &key.rotated_from,
                &key.owner_user_id,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn working_keys_of(&mut self, name: &str, except: Option<&str>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT count(*) FROM iam.api_keys k WHERE k.name = $2 AND ($3::text IS NULL OR k.id <> $3) AND {WORKS}"
        );
        Ok(self.query_one(&sql, &[&now, &name, &except]).await?.get(0))
    }

    async fn key_for_update(&mut self, id: &str) -> Result<Option<StoredKey>, StoreError> {
        let now = self.ambient().now();
        let row = self.query_opt(&format!("{KEY} WHERE k.id = $2 FOR UPDATE OF k"), &[&now, &id]).await?;
        Ok(row.as_ref().map(stored_key))
    }

    async fn keys_page(&mut self, list: &ListQuery) -> Result<Page<StoredKey>, StoreError> {
        let now = self.ambient().now();
        let total = self.query_one("SELECT count(*) FROM iam.api_keys", &[]).await?.get(0);
        let rows = self
            .query(
                &format!("{KEY} ORDER BY k.created_at DESC, k.id DESC LIMIT $2 OFFSET $3"),
                &[&now, &list.limit(), &list.offset()],
            )
            .await?;
        Ok(Page { rows: rows.iter().map(stored_key).collect(), total, next: None })
    }

    async fn environment_keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        let now = self.ambient().now();
        let rows = self.query(&format!("{KEY} WHERE k.source = 'env' ORDER BY k.id"), &[&now]).await?;
        Ok(rows.iter().map(stored_key).collect())
    }

    async fn revoke_key(&mut self, id: &str, by: &str, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE iam.api_keys SET revoked_at = $2, disabled_at = $2, disabled_by = $3 WHERE id = $1";
        self.execute(sql, &[&id, &at, &by]).await.map(|_| ())
    }

    async fn set_key_expiry(&mut self, id: &str, expires_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.execute("UPDATE iam.api_keys SET expires_at = $2 WHERE id = $1", &[&id, &expires_at]).await.map(|_| ())
    }

    async fn take_ended_keys(&mut self, now: Timestamp, limit: i64) -> Result<Vec<StoredKey>, StoreError> {
        let sql = format!(
            "WITH ended AS (UPDATE iam.api_keys SET end_told_at = $1 WHERE id IN (SELECT id FROM iam.api_keys \
               WHERE end_told_at IS NULL AND disabled_at IS NULL AND (expires_at IS NOT NULL OR overlap_until IS NOT NULL) \
                 AND least(expires_at, overlap_until) <= $1 ORDER BY least(expires_at, overlap_until) LIMIT $2 \
               FOR UPDATE SKIP LOCKED) RETURNING id) {KEY} JOIN ended e ON e.id = k.id ORDER BY k.id"
        );
        Ok(self.query(&sql, &[&now, &limit]).await?.iter().map(stored_key).collect())
    }

    async fn disable_key(&mut self, id: &str, by: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE iam.api_keys SET disabled_at = $2, disabled_by = $3 WHERE id = $1", &[&id, &at, &by])
            .await
            .map(|_| ())
    }

    async fn enable_key(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("UPDATE iam.api_keys SET disabled_at = NULL, disabled_by = NULL WHERE id = $1", &[&id])
            .await
            .map(|_| ())
    }

    async fn end_by_overlap(&mut self, id: &str, until: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE iam.api_keys SET overlap_until = $2 WHERE id = $1", &[&id, &until]).await.map(|_| ())
    }

    async fn working_admins(&mut self, except: Option<&str>, now: Timestamp) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT count(*) FROM iam.api_keys k JOIN iam.principals p ON p.tenant_id = k.tenant_id \
               AND p.kind = k.principal_kind AND p.id = k.name \
             WHERE p.disabled_at IS NULL AND ($2::text IS NULL OR k.id <> $2) AND {WORKS} \
               AND EXISTS (SELECT FROM iam.grants g WHERE g.tenant_id = k.tenant_id \
                 AND g.actor_type = k.principal_kind AND g.actor_id = k.name AND g.role_id = $3 \
                 AND g.scope_type = 'global' AND (g.expires_at IS NULL OR g.expires_at > $1))"
        );
        Ok(self.query_one(&sql, &[&now, &except, &ADMIN_ROLE]).await?.get(0))
    }

    async fn first_sight(&mut self, name: &str, fingerprint: &str, role_id: &str) -> Result<bool, StoreError> {
        let now = self.ambient().now();
        let added = self
            .execute(
                "INSERT INTO iam.env_key_seeds (name, key_fingerprint, role, seeded_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING",
                &[&name, &fingerprint, &role_id, &now],
            )
            .await?;
        Ok(added == 1)
    }

    async fn insert_agent_credential(
        &mut self,
        agent_id: &str,
        lookup_id: &str,
        hash: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let id = self.fresh_id(IdKind::ApiKey);
        self.execute(
            "WITH principal AS (INSERT INTO iam.principals (kind, id, display, created_at) \
               VALUES ('Agent', $2, $2, $5) ON CONFLICT DO NOTHING) \
             INSERT INTO iam.agent_credentials (id, agent_id, lookup_id, fingerprint, created_at) \
               VALUES ($1, $2, $3, $4, $5)",
            &[&id, &agent_id, &lookup_id, &hash, &at],
        )
        .await
        .map(|_| ())
    }

    async fn revoke_agent_credentials(&mut self, agent_id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE iam.agent_credentials SET revoked_at = $2 WHERE agent_id = $1 AND revoked_at IS NULL",
            &[&agent_id, &at],
        )
        .await
        .map(|_| ())
    }

    async fn sync_catalogue(&mut self) -> Result<bool, StoreError> {
        self.lock_identity().await?;
        let all = Permission::ALL;
        let ids: Vec<String> = all.iter().map(|p| p.id()).collect();
        let names: Vec<&str> = all.iter().map(|p| p.as_str()).collect();
        let namespaces: Vec<&str> = all.iter().map(|p| p.namespace()).collect();
        let mut changed = self
            .execute(
                "INSERT INTO iam.permissions AS p (id, name, namespace) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) \
                 ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, namespace = EXCLUDED.namespace \
                 WHERE (p.name, p.namespace) IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.namespace)",
                &[&ids, &names, &namespaces],
            )
            .await?;
        let roles = DefaultRole::ALL;
        let role_ids: Vec<&str> = roles.iter().map(|role| role.id()).collect();
        let role_names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let descriptions: Vec<&str> = roles.iter().map(|role| role.description()).collect();
        changed += self
            .execute(
                "INSERT INTO iam.roles AS r (id, name, description, system) \
                 SELECT id, name, description, true FROM unnest($1::text[], $2::text[], $3::text[]) \
                   AS given (id, name, description) \
                 ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description, \
                   system = true, row_version = r.row_version + 1, updated_at = now() \
                 WHERE (r.name, r.description, r.system) \
                   IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.description, true)",
                &[&role_ids, &role_names, &descriptions],
            )
            .await?;
        let pairs: Vec<(&str, String)> =
            roles.iter().flat_map(|role| role.permissions().into_iter().map(|p| (role.id(), p.id()))).collect();
        let holders: Vec<&str> = pairs.iter().map(|(role, _)| *role).collect();
        let held: Vec<&str> = pairs.iter().map(|(_, permission)| permission.as_str()).collect();
        changed += self
            .execute(
                "DELETE FROM iam.role_permissions r WHERE r.role_id = ANY($1) AND NOT EXISTS ( \
                   SELECT FROM unnest($2::text[], $3::text[]) AS given (role_id, permission_id) \
                   WHERE given.role_id = r.role_id AND given.permission_id = r.permission_id \
                     AND r.scope_type = 'global')",
                &[&role_ids, &holders, &held],
            )
            .await?;
        changed += self
            .execute(
                "INSERT INTO iam.role_permissions (role_id, permission_id) \
                 SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
                &[&holders, &held],
            )
            .await?;
        // A name that left the catalogue gives nothing any more; roles of operators' own making keep their row.
        changed += self
            .execute(
                "DELETE FROM iam.permissions p WHERE p.id <> ALL($1) \
                 AND NOT EXISTS (SELECT FROM iam.role_permissions r WHERE r.permission_id = p.id)",
                &[&ids],
            )
            .await?;
        Ok(changed > 0)
    }
}
