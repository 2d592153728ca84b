//! People, and secrets of the installation.

use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};
use certctl_secrets::InstallationSecretStore;
use certctl_user::{KeyTrace, SessionTrace, TraceStore, User, UserFilter, UserState, UserStore};
use tokio_postgres::Row;

const USER: &str = "u.id, u.tenant_id, u.email, u.display_name, u.oidc_provider_id, u.oidc_subject, u.subject_lookup, \
     u.idp_groups, u.last_login_at, u.deactivated_at, u.purged_at, u.row_version, u.created_at, u.updated_at";

#[expect(clippy::unnecessary_wraps, reason = "readers of pages may fail; this one can't")]
fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.get(0),
        tenant_id: row.get(1),
        email: row.get(2),
        display_name: row.get(3),
        oidc_provider_id: row.get(4),
        oidc_subject: row.get(5),
        subject_lookup: row.get(6),
        idp_groups: row.get(7),
        last_login_at: row.get(8),
        deactivated_at: row.get(9),
        purged_at: row.get(10),
        row_version: row.get(11),
        created_at: row.get(12),
        updated_at: row.get(13),
    })
}

impl PgUnitOfWork {
    async fn one_user(&self, condition: &str, value: &str) -> Result<Option<User>, StoreError> {
        let sql = format!("SELECT {USER} FROM iam.users u WHERE {condition}");
        self.query_opt(&sql, &[&value]).await?.as_ref().map(user).transpose()
    }
}

#[async_trait]
impl UserStore for PgUnitOfWork {
    async fn user(&mut self, id: &str) -> Result<Option<User>, StoreError> {
        self.one_user("u.id = $1", id).await
    }

    async fn user_for_update(&mut self, id: &str) -> Result<Option<User>, StoreError> {
        self.one_user("u.id = $1 FOR UPDATE", id).await
    }

    async fn user_by_lookup(&mut self, lookup: &str) -> Result<Option<User>, StoreError> {
        self.one_user("u.subject_lookup = $1", lookup).await
    }

    async fn user_by_lookup_for_update(&mut self, lookup: &str) -> Result<Option<User>, StoreError> {
        self.one_user("u.subject_lookup = $1 FOR UPDATE", lookup).await
    }

    async fn lock_lookup(&mut self, lookup: &str) -> Result<(), StoreError> {
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended('certctl.user.' || $1, 0))", &[&lookup])
            .await
            .map(|_| ())
    }

    async fn users_page(&mut self, filter: &UserFilter, list: &ListQuery) -> Result<Page<User>, StoreError> {
        let sql = ListSql {
            columns: USER,
            from: "iam.users u",
            key: "u.created_at",
            kind: KeyKind::Time,
            id: "u.id",
            descending: false,
        };
        let state = "CASE WHEN u.purged_at IS NOT NULL THEN 'purged' WHEN u.deactivated_at IS NOT NULL \
             THEN 'deactivated' ELSE 'active' END = ?";
        let filters = Filters::default()
            .with(
                "(u.id ILIKE ? OR u.email ILIKE ? OR u.display_name ILIKE ?)",
                "text",
                filter.q.as_deref().map(containing),
            )
            .with("u.oidc_provider_id = ?", "text", filter.oidc_provider_id.as_deref())
            .with(state, "text", filter.state.map(UserState::as_str));
        self.page(&sql, &filters, filter.fingerprint(), list, user, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }

    async fn insert_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.execute(
            "WITH principal AS (INSERT INTO iam.principals (tenant_id, kind, id, display, disabled_at, created_at) \
               VALUES ($2, 'User', $1, $4, $10, $13)) \
             INSERT INTO iam.users (id, tenant_id, email, display_name, oidc_provider_id, oidc_subject, \
               subject_lookup, idp_groups, last_login_at, deactivated_at, purged_at, row_version, created_at, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            &[
                &user.id,
                &user.tenant_id,
                &user.email,
                &user.display_name,
                &user.oidc_provider_id,
                &user.oidc_subject,
                &user.subject_lookup,
                &user.idp_groups,
                &user.last_login_at,
                &user.deactivated_at,
                &user.purged_at,
                &user.row_version,
                &user.created_at,
                &user.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn update_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.execute(
            "WITH principal AS (UPDATE iam.principals SET display = $3, disabled_at = $7 \
               WHERE tenant_id = $10 AND kind = 'User' AND id = $1 \
                 AND (display, disabled_at) IS DISTINCT FROM ($3, $7)) \
             UPDATE iam.users SET email = $2, display_name = $3, oidc_subject = $4, idp_groups = $5, \
               last_login_at = $6, deactivated_at = $7, purged_at = $8, row_version = row_version + 1, \
               updated_at = $9 WHERE id = $1",
            &[
                &user.id,
                &user.email,
                &user.display_name,
                &user.oidc_subject,
                &user.idp_groups,
                &user.last_login_at,
                &user.deactivated_at,
                &user.purged_at,
                &user.updated_at,
                &user.tenant_id,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn take_users_to_purge(&mut self, before: Timestamp, limit: i64) -> Result<Vec<User>, StoreError> {
        let sql = format!(
            "SELECT {USER} FROM iam.users u WHERE u.purged_at IS NULL AND u.deactivated_at <= $1 \
             ORDER BY u.deactivated_at, u.id LIMIT nullif($2::bigint, 0) FOR UPDATE SKIP LOCKED"
        );
        self.query(&sql, &[&before, &limit]).await?.iter().map(user).collect()
    }

    async fn disable_keys_of(&mut self, user_id: &str, by: &str, at: Timestamp) -> Result<Vec<Id>, StoreError> {
        let sql = "UPDATE iam.api_keys SET disabled_at = $2, disabled_by = $3 \
             WHERE owner_user_id = $1 AND disabled_at IS NULL RETURNING id";
        let mut ids: Vec<Id> = self.query(sql, &[&user_id, &at, &by]).await?.iter().map(|row| row.get(0)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    async fn scrub_traces_of(&mut self, user: &User) -> Result<u64, StoreError> {
        let sessions = self
            .execute(
                "UPDATE iam.sessions SET ip_address = '', user_agent = '', id_token_encrypted = NULL, idp_sid = NULL \
                 WHERE tenant_id = $1 AND actor_type = 'User' AND actor_id = $2",
                &[&user.tenant_id, &user.id],
            )
            .await?;
        let keys = "UPDATE iam.api_keys SET last_used_ip = NULL WHERE owner_user_id = $1 AND last_used_ip IS NOT NULL";
        Ok(sessions + self.execute(keys, &[&user.id]).await?)
    }
}

#[async_trait]
impl TraceStore for PgUnitOfWork {
    async fn session_traces(&mut self, user: &User) -> Result<Vec<SessionTrace>, StoreError> {
        let sql = "SELECT id, way, ip_address, user_agent, created_at, last_seen_at, absolute_expires_at, revoked_at \
             FROM iam.sessions WHERE tenant_id = $1 AND actor_type = 'User' AND actor_id = $2 \
             ORDER BY created_at DESC, id DESC";
        let rows = self.query(sql, &[&user.tenant_id, &user.id]).await?;
        Ok(rows
            .iter()
            .map(|row| SessionTrace {
                id: row.get(0),
                way: row.get(1),
                ip_address: row.get(2),
                user_agent: row.get(3),
                created_at: row.get(4),
                last_seen_at: row.get(5),
                absolute_expires_at: row.get(6),
                revoked_at: row.get(7),
            })
            .collect())
    }

    async fn key_traces(&mut self, user: &User) -> Result<Vec<KeyTrace>, StoreError> {
        let sql = "SELECT id, name, created_at, expires_at, last_used_at, last_used_ip, disabled_at \
             FROM iam.api_keys WHERE tenant_id = $1 AND owner_user_id = $2 ORDER BY created_at DESC, id DESC";
        let rows = self.query(sql, &[&user.tenant_id, &user.id]).await?;
        Ok(rows
            .iter()
            .map(|row| KeyTrace {
                id: row.get(0),
                name: row.get(1),
                created_at: row.get(2),
                expires_at: row.get(3),
                last_used_at: row.get(4),
                last_used_ip: row.get(5),
                disabled_at: row.get(6),
            })
            .collect())
    }
}

#[async_trait]
impl InstallationSecretStore for PgUnitOfWork {
    async fn installation_secret(&mut self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT value_encrypted FROM iam.installation_secrets WHERE id = $1";
        Ok(self.query_opt(sql, &[&id]).await?.map(|row| row.get(0)))
    }

    async fn lock_installation_secrets(&mut self) -> Result<(), StoreError> {
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended('certctl.installation_secrets', 0))", &[])
            .await
            .map(|_| ())
    }

    async fn insert_installation_secret(&mut self, id: &str, sealed: &[u8]) -> Result<(), StoreError> {
        let now = self.ambient().now();
        self.execute(
            "INSERT INTO iam.installation_secrets (id, value_encrypted, created_at) VALUES ($1, $2, $3)",
            &[&id, &sealed, &now],
        )
        .await
        .map(|_| ())
    }
}
