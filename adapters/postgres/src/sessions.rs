//! Sessions and the keys that sign their cookies.

use crate::jobs::unreadable;
use crate::paging::{Filters, KeyKind, ListSql, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{Actor, ActorType, Id, ListQuery, Page, StoreError, Timestamp};
use certctl_session::{
    Collected, RevokedReason, Session, SessionFilter, SessionSecrets, SessionStore, Standing, StoredSigningKey,
};
use tokio_postgres::Row;

const COLUMNS: &str = "s.id, s.tenant_id, s.actor_type, s.actor_id, s.signing_key_id, s.way, s.provider_id, \
     s.csrf_epoch, s.ip_address, s.user_agent, s.created_at, s.last_seen_at, s.absolute_expires_at, s.revoked_at, \
     s.revoked_reason, s.renew, s.replaced_at, s.replaced_by";
/// How many columns that are.
const WIDTH: usize = 18;

fn session(row: &Row) -> Result<Session, StoreError> {
    let kind: &str = row.get(2);
    let (revoked_at, reason): (Option<Timestamp>, Option<&str>) = (row.get(13), row.get(14));
    let revoked = match (revoked_at, reason) {
        (Some(at), Some(text)) => Some((at, RevokedReason::parse(text).ok_or_else(|| unreadable(text))?)),
        _ => None,
    };
    Ok(Session {
        id: row.get(0),
        actor: Actor {
            tenant_id: row.get(1),
            kind: ActorType::parse(kind).ok_or_else(|| unreadable(kind))?,
            id: row.get(3),
        },
        signing_key_id: row.get(4),
        way: row.get(5),
        provider_id: row.get(6),
        csrf_epoch: row.get(7),
        ip_address: row.get(8),
        user_agent: row.get(9),
        created_at: row.get(10),
        last_seen_at: row.get(11),
        absolute_expires_at: row.get(12),
        revoked,
        renew: row.get(15),
        replaced: row.get::<_, Option<Timestamp>>(16).zip(row.get(17)),
    })
}

pub(crate) fn ids(rows: &[Row]) -> Vec<Id> {
    rows.iter().map(|row| row.get(0)).collect()
}

#[async_trait]
impl SessionStore for PgUnitOfWork {
    async fn lock_signing_keys(&mut self) -> Result<(), StoreError> {
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended('certctl.session_keys', 0))", &[]).await.map(|_| ())
    }

    async fn signing_keys(&mut self) -> Result<Vec<StoredSigningKey>, StoreError> {
        let rows = self
            .query(
                "SELECT id, key_material_encrypted, created_at, retired_at, compromised FROM iam.session_signing_keys \
                 ORDER BY created_at DESC, id DESC",
                &[],
            )
            .await?;
        let read = |row: &Row| StoredSigningKey {
            id: row.get(0),
            sealed: row.get(1),
            created_at: row.get(2),
            retired_at: row.get(3),
            compromised: row.get(4),
        };
        Ok(rows.iter().map(read).collect())
    }

    async fn insert_signing_key(&mut self, key: &StoredSigningKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO iam.session_signing_keys (id, key_material_encrypted, created_at) VALUES ($1, $2, $3)",
            &[&key.id, &key.sealed, &key.created_at],
        )
        .await
        .map(|_| ())
    }

    async fn retire_signing_key(&mut self, at: Timestamp) -> Result<Option<Id>, StoreError> {
        let row = self
            .query_opt(
                "UPDATE iam.session_signing_keys SET retired_at = greatest($1, created_at) WHERE retired_at IS NULL \
                 RETURNING id",
                &[&at],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn distrust_signing_keys(&mut self, at: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE iam.session_signing_keys SET compromised = true WHERE retired_at IS NOT NULL AND NOT compromised",
            &[],
        )
        .await?;
        self.execute(
            "UPDATE iam.sessions s SET revoked_at = $1, revoked_reason = 'rotation' \
             FROM iam.session_signing_keys k WHERE k.id = s.signing_key_id AND k.compromised AND s.revoked_at IS NULL",
            &[&at],
        )
        .await
    }

    async fn insert_session(&mut self, session: &Session, secrets: &SessionSecrets) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO iam.sessions (id, tenant_id, actor_type, actor_id, signing_key_id, way, provider_id, idp_sid, \
               id_token_encrypted, api_key_id, csrf_epoch, ip_address, user_agent, created_at, last_seen_at, \
               absolute_expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            &[
                &session.id,
                &session.actor.tenant_id,
                &session.actor.kind.as_str(),
                &session.actor.id,
                &session.signing_key_id,
                &session.way,
                &session.provider_id,
                &secrets.idp_sid,
                &secrets.sealed_id_token,
                &secrets.api_key_id,
                &session.csrf_epoch,
                &session.ip_address,
                &session.user_agent,
                &session.created_at,
                &session.last_seen_at,
                &session.absolute_expires_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn session_standing(&mut self, id: &str) -> Result<Option<Standing>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, p.disabled_at IS NOT NULL, \
               coalesce(k.disabled_at IS NOT NULL OR k.revoked_at IS NOT NULL, false), \
               least(k.expires_at, k.overlap_until) \
             FROM iam.sessions s \
             JOIN iam.principals p ON p.tenant_id = s.tenant_id AND p.kind = s.actor_type AND p.id = s.actor_id \
             LEFT JOIN iam.api_keys k ON k.id = s.api_key_id WHERE s.id = $1"
        );
        let Some(row) = self.query_opt(&sql, &[&id]).await? else { return Ok(None) };
        Ok(Some(Standing {
            session: session(&row)?,
            actor_disabled: row.get(WIDTH),
            key_disabled: row.get(WIDTH + 1),
            key_expires_at: row.get(WIDTH + 2),
        }))
    }

    async fn session_for_update(&mut self, id: &str) -> Result<Option<Session>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM iam.sessions s WHERE s.id = $1 FOR UPDATE");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(session).transpose()
    }

    async fn session_secrets(&mut self, id: &str) -> Result<SessionSecrets, StoreError> {
        let sql = "SELECT idp_sid, id_token_encrypted, api_key_id FROM iam.sessions WHERE id = $1";
        let row = self.query_opt(sql, &[&id]).await?;
        Ok(row.map_or_else(SessionSecrets::default, |row| SessionSecrets {
            idp_sid: row.get(0),
            sealed_id_token: row.get(1),
            api_key_id: row.get(2),
        }))
    }

    async fn replace_session(&mut self, id: &str, by: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE iam.sessions SET renew = false, replaced_at = $3, replaced_by = $2 WHERE id = $1",
            &[&id, &by, &at],
        )
        .await
        .map(|_| ())
    }

    async fn sessions_page(
        &mut self,
        filter: &SessionFilter,
        now: Timestamp,
        used_since: Timestamp,
        list: &ListQuery,
    ) -> Result<Page<Session>, StoreError> {
        let sql = ListSql {
            columns: COLUMNS,
            from: "iam.sessions s",
            key: "s.created_at",
            kind: KeyKind::Time,
            id: "s.id",
            descending: true,
        };
        let actor = filter.actor.as_ref();
        let filters = Filters::default()
            .with(
                "(s.revoked_at IS NULL AND s.replaced_at IS NULL AND s.absolute_expires_at > ?)",
                "timestamptz",
                Some(now),
            )
            .with("s.last_seen_at > ?", "timestamptz", Some(used_since))
            .with("s.tenant_id = ?", "text", actor.map(|actor| actor.tenant_id.as_str()))
            .with("s.actor_type = ?", "text", actor.map(|actor| actor.kind.as_str()))
            .with("s.actor_id = ?", "text", actor.map(|actor| actor.id.as_str()))
            .with("s.provider_id = ?", "text", filter.provider_id.as_deref());
        let position = |row: &Session| (key_of(Some(row.created_at)), row.id.clone());
        let fingerprint = format!("sessions{filter:?}");
        self.page(&sql, &filters, fingerprint, list, session, position).await
    }

    async fn touch_session(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE iam.sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2", &[&id, &at])
            .await
            .map(|_| ())
    }

    async fn revoke_session(&mut self, id: &str, at: Timestamp, reason: RevokedReason) -> Result<bool, StoreError> {
        let ended = self
            .execute(
                // A session under two ids for a moment ends under both.
                "UPDATE iam.sessions s SET revoked_at = $2, revoked_reason = $3 WHERE s.revoked_at IS NULL \
                 AND (s.id = $1 OR s.replaced_by = $1 \
                   OR s.id = (SELECT old.replaced_by FROM iam.sessions old WHERE old.id = $1))",
                &[&id, &at, &reason.as_str()],
            )
            .await?;
        Ok(ended > 0)
    }

    async fn revoke_sessions_of(
        &mut self,
        actor: &Actor,
        except: Option<&str>,
        at: Timestamp,
        reason: RevokedReason,
    ) -> Result<Vec<Id>, StoreError> {
        let rows = self
            .query(
                "UPDATE iam.sessions SET revoked_at = $5, revoked_reason = $6 \
                 WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3 AND id IS DISTINCT FROM $4 \
                   AND revoked_at IS NULL AND absolute_expires_at > $5 RETURNING id",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id, &except, &at, &reason.as_str()],
            )
            .await?;
        Ok(ids(&rows))
    }

    async fn sid_known(&mut self, provider_id: &str, sid: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM iam.sessions WHERE provider_id = $1 AND idp_sid = $2)";
        Ok(self.query_one(sql, &[&provider_id, &sid]).await?.get(0))
    }

    async fn revoke_sessions_by_sid(
        &mut self,
        provider_id: &str,
        sid: &str,
        user_id: Option<&str>,
        at: Timestamp,
    ) -> Result<Vec<Id>, StoreError> {
        let rows = self
            .query(
                "UPDATE iam.sessions SET revoked_at = $4, revoked_reason = 'idp' \
                 WHERE provider_id = $1 AND idp_sid = $2 AND ($3::text IS NULL OR actor_id = $3) \
                   AND revoked_at IS NULL AND absolute_expires_at > $4 RETURNING id",
                &[&provider_id, &sid, &user_id, &at],
            )
            .await?;
        Ok(ids(&rows))
    }

    async fn revoke_sessions_of_provider(&mut self, provider_id: &str, at: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE iam.sessions SET revoked_at = $2, revoked_reason = 'provider' \
             WHERE provider_id = $1 AND revoked_at IS NULL AND absolute_expires_at > $2",
            &[&provider_id, &at],
        )
        .await
    }

    async fn revoke_oldest_sessions(&mut self, actor: &Actor, keep: i64, at: Timestamp) -> Result<Vec<Id>, StoreError> {
        let rows = self
            .query(
                "UPDATE iam.sessions SET revoked_at = $5, revoked_reason = 'limit' WHERE id IN ( \
                   SELECT id FROM iam.sessions WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3 \
                     AND revoked_at IS NULL AND absolute_expires_at > $5 \
                   ORDER BY created_at DESC, id DESC OFFSET $4 FOR UPDATE) RETURNING id",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id, &keep, &at],
            )
            .await?;
        Ok(ids(&rows))
    }

    async fn collect_sessions(
        &mut self,
        now: Timestamp,
        revoked_before: Timestamp,
        keys_before: Timestamp,
    ) -> Result<Collected, StoreError> {
        Ok(Collected {
            sessions: self
                .execute(
                    "DELETE FROM iam.sessions WHERE absolute_expires_at <= $1 OR revoked_at <= $2 OR replaced_at <= $2",
                    &[&now, &revoked_before],
                )
                .await?,
            sign_ins: self.execute("DELETE FROM iam.used_sign_ins WHERE expires_at <= $1", &[&now]).await?,
            logout_tokens: self
                .execute("DELETE FROM iam.oidc_bcl_consumed_jtis WHERE expires_at <= $1", &[&now])
                .await?,
            keys: self
                .execute(
                    "DELETE FROM iam.session_signing_keys k WHERE k.retired_at <= $1 \
                       AND NOT EXISTS (SELECT FROM iam.sessions s WHERE s.signing_key_id = k.id)",
                    &[&keys_before],
                )
                .await?,
        })
    }
}
