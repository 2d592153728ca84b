//! Emergency accounts, their security keys and the window.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_breakglass::{
    BreakglassStore, Challenge, Counted, Lockout, LockoutSettings, OpenedBy, Person, Purpose, SecurityKey,
    StoredCredential, Window,
};
use certctl_kernel::{IdKind, Secret, StoreError, Timestamp};
use serde_json::Value;
use time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

const WINDOW: &str = "SELECT opened_at, closes_at, closed_at, opened_by, end_told FROM iam.breakglass_window";

fn window(row: &Row) -> Result<Window, StoreError> {
    let opened_by: &str = row.get(3);
    let opened_by = OpenedBy::parse(opened_by)
        .ok_or_else(|| StoreError::Internal { reason: format!("a window was opened by {opened_by}") })?;
    Ok(Window { opened_at: row.get(0), closes_at: row.get(1), closed_at: row.get(2), opened_by, end_told: row.get(4) })
}

const CREDENTIAL: &str = "SELECT c.actor_id, u.deactivated_at IS NULL AND p.disabled_at IS NULL, \
     u.oidc_provider_id IS NOT NULL, u.display_name, c.created_at, c.last_password_change_at, c.failure_count, \
     c.locked_until, c.last_failure_at, \
     (SELECT count(*) FROM iam.webauthn_credentials w WHERE w.actor_id = c.actor_id) \
     FROM iam.breakglass_credentials c JOIN iam.users u ON u.id = c.actor_id \
       JOIN iam.principals p ON p.tenant_id = u.tenant_id AND p.kind = u.principal_kind AND p.id = u.id";

fn credential(row: &Row) -> StoredCredential {
    StoredCredential {
        person: Person { id: row.get(0), active: row.get(1), federated: row.get(2) },
        display_name: row.get(3),
        created_at: row.get(4),
        last_password_change_at: row.get(5),
        lockout: Lockout {
            failures: u32::try_from(row.get::<_, i32>(6)).unwrap_or(0),
            locked_until: row.get(7),
            last_failure_at: row.get(8),
        },
        security_keys: row.get(9),
    }
}

fn security_key(row: &Row) -> SecurityKey {
    SecurityKey {
        id: row.get(0),
        actor_id: row.get(1),
        name: row.get(2),
        credential_id: row.get(3),
        state: row.get(4),
        created_at: row.get(5),
        last_used_at: row.get(6),
    }
}

fn json(text: &str) -> Result<Json<Value>, StoreError> {
    serde_json::from_str(text).map(Json).map_err(|error| StoreError::Internal { reason: error.to_string() })
}

/// What a duration is as a number of microseconds, the unit of PostgreSQL's clock.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.whole_microseconds()).unwrap_or(i64::MAX)
}

#[async_trait]
impl BreakglassStore for PgUnitOfWork {
    async fn breakglass_window(&mut self) -> Result<Option<Window>, StoreError> {
        self.query_opt(WINDOW, &[]).await?.as_ref().map(window).transpose()
    }

    async fn breakglass_window_for_update(&mut self) -> Result<Option<Window>, StoreError> {
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended('certctl.breakglass_window', 0))", &[]).await?;
        self.query_opt(WINDOW, &[]).await?.as_ref().map(window).transpose()
    }

    async fn put_breakglass_window(&mut self, window: &Window) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO iam.breakglass_window (opened_at, closes_at, closed_at, opened_by, end_told) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (one) DO UPDATE SET opened_at = EXCLUDED.opened_at, \
               closes_at = EXCLUDED.closes_at, closed_at = EXCLUDED.closed_at, opened_by = EXCLUDED.opened_by, \
               end_told = EXCLUDED.end_told",
            &[&window.opened_at, &window.closes_at, &window.closed_at, &window.opened_by.as_str(), &window.end_told],
        )
        .await
        .map(|_| ())
    }

    async fn person(&mut self, id: &str) -> Result<Option<Person>, StoreError> {
        let row = self
            .query_opt(
                "SELECT u.id, u.deactivated_at IS NULL AND p.disabled_at IS NULL, u.oidc_provider_id IS NOT NULL \
                 FROM iam.users u JOIN iam.principals p ON p.tenant_id = u.tenant_id AND p.kind = u.principal_kind \
                   AND p.id = u.id WHERE u.id = $1 FOR SHARE OF u, p",
                &[&id],
            )
            .await?;
        Ok(row.map(|row| Person { id: row.get(0), active: row.get(1), federated: row.get(2) }))
    }

    async fn insert_emergency_person(&mut self, id: &str, name: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO iam.principals (kind, id, display, created_at) VALUES ('User', $1, $2, $3)",
            &[&id, &name, &at],
        )
        .await?;
        self.execute(
            "INSERT INTO iam.users (id, display_name, created_at, updated_at) VALUES ($1, $2, $3, $3)",
            &[&id, &name, &at],
        )
        .await
        .map(|_| ())
    }

    async fn end_emergency_person(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "WITH ended AS (UPDATE iam.users SET deactivated_at = coalesce(deactivated_at, $2), updated_at = $2, \
               row_version = row_version + 1 WHERE id = $1 AND oidc_provider_id IS NULL \
               RETURNING tenant_id, principal_kind, id) \
             UPDATE iam.principals p SET disabled_at = coalesce(p.disabled_at, $2) FROM ended e \
             WHERE p.tenant_id = e.tenant_id AND p.kind = e.principal_kind AND p.id = e.id",
            &[&id, &at],
        )
        .await
        .map(|_| ())
    }

    async fn breakglass_credentials(&mut self) -> Result<Vec<StoredCredential>, StoreError> {
        let rows = self.query(&format!("{CREDENTIAL} ORDER BY c.actor_id"), &[]).await?;
        Ok(rows.iter().map(credential).collect())
    }

    async fn breakglass_credential(&mut self, actor_id: &str) -> Result<Option<StoredCredential>, StoreError> {
        let row = self.query_opt(&format!("{CREDENTIAL} WHERE c.actor_id = $1 FOR UPDATE OF c"), &[&actor_id]).await?;
        Ok(row.as_ref().map(credential))
    }

    async fn breakglass_hash(&mut self, actor_id: &str) -> Result<Option<Secret<String>>, StoreError> {
        let sql = "SELECT password_hash FROM iam.breakglass_credentials WHERE actor_id = $1";
        Ok(self.query_opt(sql, &[&actor_id]).await?.map(|row| Secret::new(row.get(0))))
    }

    async fn put_breakglass_password(
        &mut self,
        actor_id: &str,
        hash: &Secret<String>,
        at: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let id = self.fresh_id(IdKind::BreakglassCredential);
        let row = self
            .query_one(
                "INSERT INTO iam.breakglass_credentials (id, actor_id, password_hash, created_at, \
                   last_password_change_at) VALUES ($1, $2, $3, $4, $4) \
                 ON CONFLICT (actor_id) DO UPDATE SET password_hash = EXCLUDED.password_hash, \
                   last_password_change_at = EXCLUDED.last_password_change_at, failure_count = 0, \
                   locked_until = NULL, last_failure_at = NULL RETURNING created_at",
                &[&id, &actor_id, hash.expose(), &at],
            )
            .await?;
        Ok(row.get(0))
    }

    async fn forget_failures(&mut self, actor_id: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE iam.breakglass_credentials SET failure_count = 0, locked_until = NULL, last_failure_at = NULL \
             WHERE actor_id = $1",
            &[&actor_id],
        )
        .await
        .map(|_| ())
    }

    async fn remove_breakglass_credential(&mut self, actor_id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM iam.breakglass_credentials WHERE actor_id = $1", &[&actor_id]).await.map(|_| ())
    }

    async fn count_attempt(
        &mut self,
        actor_id: &str,
        settings: &LockoutSettings,
        now: Timestamp,
    ) -> Result<Counted, StoreError> {
        // The columns are named, not read by a subquery: a statement that waited for another one's count sees that
        // count, and its lock.
        const NEXT: &str = "CASE WHEN $2 > greatest(c.last_failure_at, CASE WHEN c.failure_count > $3 \
               THEN c.locked_until END) + interval '1 microsecond' * $4::bigint THEN 1 ELSE c.failure_count + 1 END";
        let threshold = i32::try_from(settings.threshold.max(1)).unwrap_or(i32::MAX);
        let (reset, first, longest) = (micros(settings.reset), micros(settings.duration), micros(settings.longest()));
        let sql = format!(
            "WITH counted AS (UPDATE iam.breakglass_credentials c SET failure_count = {NEXT}, last_failure_at = $2, \
               locked_until = CASE WHEN {NEXT} >= $3 THEN $2 + interval '1 microsecond' \
                 * least($5::bigint * (1::bigint << least({NEXT} - $3, 4)), $6::bigint) END \
               WHERE c.actor_id = $1 AND (c.locked_until IS NULL OR c.locked_until <= $2) RETURNING c.password_hash) \
             SELECT (SELECT password_hash FROM counted), \
               EXISTS (SELECT FROM iam.breakglass_credentials k WHERE k.actor_id = $1)"
        );
        let row = self.query_one(&sql, &[&actor_id, &now, &threshold, &reset, &first, &longest]).await?;
        Ok(match (row.get::<_, Option<String>>(0), row.get(1)) {
            (Some(hash), _) => Counted::Open(Secret::new(hash)),
            (None, true) => Counted::Locked,
            (None, false) => Counted::NoCredential,
        })
    }

    async fn security_keys(&mut self, actor_id: &str) -> Result<Vec<SecurityKey>, StoreError> {
        let rows = self
            .query(
                "SELECT id, actor_id, name, credential_id, passkey::text, created_at, last_used_at \
                 FROM iam.webauthn_credentials WHERE actor_id = $1 ORDER BY created_at, id",
                &[&actor_id],
            )
            .await?;
        Ok(rows.iter().map(security_key).collect())
    }

    async fn any_security_key(&mut self) -> Result<bool, StoreError> {
        Ok(self.query_one("SELECT EXISTS (SELECT FROM iam.webauthn_credentials)", &[]).await?.get(0))
    }

    async fn insert_security_key(&mut self, key: &SecurityKey) -> Result<(), StoreError> {
        let state = json(&key.state)?;
        self.execute(
            "INSERT INTO iam.webauthn_credentials (id, actor_id, name, credential_id, passkey, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[&key.id, &key.actor_id, &key.name, &key.credential_id, &state, &key.created_at],
        )
        .await
        .map(|_| ())
    }

    async fn use_security_key(&mut self, id: &str, state: &str, at: Timestamp) -> Result<(), StoreError> {
        let state = json(state)?;
        let sql = "UPDATE iam.webauthn_credentials SET passkey = $2, last_used_at = $3 WHERE id = $1";
        self.execute(sql, &[&id, &state, &at]).await.map(|_| ())
    }

    async fn remove_security_key(&mut self, actor_id: &str, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM iam.webauthn_credentials WHERE actor_id = $1 AND id = $2";
        Ok(self.execute(sql, &[&actor_id, &id]).await? == 1)
    }

    async fn keep_challenge(&mut self, challenge: &Challenge) -> Result<(), StoreError> {
        let state = json(&challenge.state)?;
        self.execute(
            "INSERT INTO iam.webauthn_challenges (id, actor_id, purpose, ceremony, expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
            &[&challenge.id, &challenge.actor_id, &challenge.purpose.as_str(), &state, &challenge.expires_at],
        )
        .await
        .map(|_| ())
    }

    async fn take_challenge(
        &mut self,
        id: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let row = self
            .query_opt(
                "DELETE FROM iam.webauthn_challenges WHERE id = $1 AND purpose = $2 \
                 RETURNING actor_id, ceremony::text, expires_at",
                &[&id, &purpose.as_str()],
            )
            .await?;
        let taken = row.map(|row| Challenge {
            id: id.to_owned(),
            actor_id: row.get(0),
            purpose,
            state: row.get(1),
            expires_at: row.get(2),
        });
        Ok(taken.filter(|challenge| now < challenge.expires_at))
    }

    async fn sweep_challenges(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM iam.webauthn_challenges WHERE expires_at <= $1", &[&now]).await
    }
}
