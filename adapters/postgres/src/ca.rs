//! CA certificates, blocked keys and orphans.

use crate::policy::{self, POLICY, PROFILE};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_ca::hierarchy::CaUsage;
use certctl_ca::{CaKey, CaKind, CaRecord, CaState, CaStore, IssuerSettings, Orphan};
use certctl_inventory::Certificate;
use certctl_issuance::{IssuanceFacts, IssuanceStore};
use certctl_kernel::{StoreError, Timestamp};
use tokio_postgres::Row;

const COLUMNS: &str = "id, issuer_id, generation, kind, state, name, subject, cert_der, chain_pem, key_driver_id, \
     sealed_key, spki_sha256, fingerprint_sha256, serial_number, not_before, not_after, path_len_constraint, created_at, \
     parent_ca_id, ocsp_responder_url, metadata, updated_at";

const KEY_IS_BARRED: &str = "SELECT EXISTS (SELECT FROM ca.blocked_keys WHERE spki_sha256 = $1) \
     OR EXISTS (SELECT FROM ca.ca_certificates WHERE spki_sha256 = $1) \
     OR EXISTS (SELECT FROM status.ocsp_responders WHERE spki_sha256 = $1) \
     OR EXISTS (SELECT FROM inventory.certificate_versions v JOIN status.revocations r \
     ON r.version_id = v.id WHERE v.spki_sha256 = $1 AND r.reason = 'keyCompromise')";

fn unknown(column: &str) -> StoreError {
    StoreError::Internal { reason: format!("ca.ca_certificates.{column} holds a value unknown to this build") }
}

fn record(row: &Row) -> Result<CaRecord, StoreError> {
    let key = match (row.get::<_, &str>(9), row.get::<_, Option<Vec<u8>>>(10)) {
        ("sealed", Some(blob)) => CaKey::Sealed(blob),
        ("file", None) => CaKey::File,
        ("pkcs11", None) => CaKey::Token,
        _ => return Err(unknown("key_driver_id")),
    };
    Ok(CaRecord {
        id: row.get(0),
        issuer_id: row.get(1),
        generation: row.get(2),
        kind: CaKind::parse(row.get(3)).ok_or_else(|| unknown("kind"))?,
        state: CaState::parse(row.get(4)).ok_or_else(|| unknown("state"))?,
        name: row.get(5),
        subject: row.get(6),
        cert_der: row.get(7),
        chain_pem: row.get(8),
        key,
        spki_sha256: row.get(11),
        fingerprint_sha256: row.get(12),
        serial_number: row.get(13),
        not_before: row.get(14),
        not_after: row.get(15),
        path_len: row.get::<_, Option<i32>>(16).and_then(|length| u8::try_from(length).ok()),
        created_at: row.get(17),
        parent_ca_id: row.get(18),
        ocsp_responder_url: row.get(19),
        metadata: serde_json::from_value(row.get(20)).map_err(|_| unknown("metadata"))?,
        updated_at: row.get(21),
    })
}

#[async_trait]
impl IssuanceStore for PgUnitOfWork {
    async fn issuance_facts(
        &mut self,
        certificate: &Certificate,
        spki_sha256: &str,
    ) -> Result<IssuanceFacts, StoreError> {
        let profile_sql = format!("SELECT {PROFILE} FROM policy.certificate_profiles p WHERE p.id = $1");
        let policy_sql = format!("SELECT {POLICY} FROM policy.renewal_policies r WHERE r.id = $1");
        let this = &*self;
        // Sent together on one connection: the three answers cost one round trip.
        let (profile, renewal_policy, barred) = tokio::try_join!(
            async {
                match &certificate.certificate_profile_id {
                    Some(id) => this.query_opt(&profile_sql, &[id]).await,
                    None => Ok(None),
                }
            },
            async { this.query_opt(&policy_sql, &[&certificate.renewal_policy_id]).await },
            async { this.query_one(KEY_IS_BARRED, &[&spki_sha256]).await },
        )?;
        Ok(IssuanceFacts {
            profile: profile.as_ref().map(policy::profile).transpose()?,
            renewal_policy: renewal_policy.as_ref().map(policy::policy).transpose()?,
            key_barred: barred.get(0),
        })
    }
}

#[async_trait]
impl CaStore for PgUnitOfWork {
    async fn issuer_settings(&mut self, issuer_id: &str) -> Result<Option<IssuerSettings>, StoreError> {
        let row = self
            .query_opt("SELECT id, type, enabled, config, issuing_ca_id FROM ca.issuers WHERE id = $1", &[&issuer_id])
            .await?;
        Ok(row.map(|row| IssuerSettings {
            id: row.get(0),
            kind: row.get(1),
            enabled: row.get(2),
            config: row.get(3),
            issuing_ca_id: row.get(4),
        }))
    }

    async fn lock_ca(&mut self, issuer_id: &str) -> Result<(), StoreError> {
        self.query_one("SELECT pg_advisory_xact_lock(hashtextextended('certctl.ca.' || $1, 0))", &[&issuer_id])
            .await
            .map(|_| ())
    }

    async fn ca_certificates(&mut self, issuer_id: &str) -> Result<Vec<CaRecord>, StoreError> {
        self.query(
            &format!("SELECT {COLUMNS} FROM ca.ca_certificates WHERE issuer_id = $1 ORDER BY generation DESC"),
            &[&issuer_id],
        )
        .await?
        .iter()
        .map(record)
        .collect()
    }

    async fn insert_ca_certificate(&mut self, ca: &CaRecord) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ca.ca_certificates SET state = 'retiring', state_entered_at = $2, updated_at = $2, \
             row_version = row_version + 1 WHERE issuer_id = $1 AND state = 'active' AND parent_ca_id IS NULL",
            &[&ca.issuer_id, &ca.created_at],
        )
        .await?;
        let sealed = match &ca.key {
            CaKey::Sealed(blob) => Some(blob),
            CaKey::File | CaKey::Token => None,
        };
        self.execute(
            "WITH ca AS (INSERT INTO ca.ca_certificates (id, issuer_id, generation, kind, state, state_entered_at, \
             name, subject, cert_der, chain_pem, key_driver_id, sealed_key, spki_sha256, fingerprint_sha256, \
             serial_number, not_before, not_after, path_len_constraint, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $18, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18) \
             RETURNING id, issuer_id) \
             UPDATE ca.issuers i SET issuing_ca_id = ca.id, updated_at = $18, row_version = row_version + 1 \
             FROM ca WHERE i.id = ca.issuer_id",
            &[
                &ca.id,
                &ca.issuer_id,
                &ca.generation,
                &ca.kind.as_str(),
                &ca.state.as_str(),
                &ca.name,
                &ca.subject,
                &ca.cert_der,
                &ca.chain_pem,
                &ca.key.driver(),
                &sealed,
                &ca.spki_sha256,
                &ca.fingerprint_sha256,
                &ca.serial_number,
                &ca.not_before,
                &ca.not_after,
                &ca.path_len.map(i32::from),
                &ca.created_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn insert_intermediate(&mut self, ca: &CaRecord) -> Result<(), StoreError> {
        let CaKey::Sealed(sealed) = &ca.key else {
            return Err(StoreError::Internal { reason: "the key of a CA below another is sealed".to_owned() });
        };
        let metadata = serde_json::json!(ca.metadata);
        self.execute(
            "INSERT INTO ca.ca_certificates (id, issuer_id, generation, kind, state, state_entered_at, name, subject, \
             cert_der, chain_pem, key_driver_id, sealed_key, spki_sha256, fingerprint_sha256, serial_number, \
             not_before, not_after, path_len_constraint, created_at, updated_at, parent_ca_id, ocsp_responder_url, \
             metadata) VALUES ($1, $2, $3, $4, $5, $18, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
             $18, $19, $20, $21)",
            &[
                &ca.id,
                &ca.issuer_id,
                &ca.generation,
                &ca.kind.as_str(),
                &ca.state.as_str(),
                &ca.name,
                &ca.subject,
                &ca.cert_der,
                &ca.chain_pem,
                &ca.key.driver(),
                sealed,
                &ca.spki_sha256,
                &ca.fingerprint_sha256,
                &ca.serial_number,
                &ca.not_before,
                &ca.not_after,
                &ca.path_len.map(i32::from),
                &ca.created_at,
                &ca.parent_ca_id,
                &ca.ocsp_responder_url,
                &metadata,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn ca_certificate(&mut self, id: &str) -> Result<Option<CaRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ca.ca_certificates WHERE id = $1");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(record).transpose()
    }

    async fn ca_usage(&mut self, id: &str, now: Timestamp) -> Result<CaUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT (SELECT count(*) FROM ca.ca_certificates WHERE parent_ca_id = $1 AND state <> 'retired'), \
                 (SELECT count(*) FROM inventory.certificate_versions WHERE ca_id = $1 AND not_after > $2), \
                 EXISTS (SELECT FROM ca.issuers WHERE issuing_ca_id = $1)",
                &[&id, &now],
            )
            .await?;
        Ok(CaUsage { children: row.get(0), certificates: row.get(1), issuing: row.get(2) })
    }

    async fn set_ca_state(&mut self, id: &str, state: CaState, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ca.ca_certificates SET state = $2, state_entered_at = $3, updated_at = $3, \
             row_version = row_version + 1 WHERE id = $1",
            &[&id, &state.as_str(), &now],
        )
        .await
        .map(|_| ())
    }

    async fn key_is_barred(&mut self, spki_sha256: &str) -> Result<bool, StoreError> {
        let row = self.query_one(KEY_IS_BARRED, &[&spki_sha256]).await?;
        Ok(row.get(0))
    }

    async fn block_key(&mut self, spki_sha256: &str, reason: &str, by: &str, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO ca.blocked_keys (spki_sha256, reason, added_by, added_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (spki_sha256) DO NOTHING",
            &[&spki_sha256, &reason, &by, &now],
        )
        .await
        .map(|_| ())
    }

    async fn record_orphan(&mut self, orphan: &Orphan, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                "INSERT INTO inventory.orphan_issuances (issuer_id, serial_number, ca_id, certificate_id, der, \
                 reason, created_at) SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS \
                 (SELECT FROM inventory.certificate_versions WHERE issuer_id = $1 AND serial_number = $2) \
                 ON CONFLICT (issuer_id, serial_number) DO NOTHING",
                &[
                    &orphan.issuer_id,
                    &orphan.serial_number,
                    &orphan.ca_id,
                    &orphan.certificate_id,
                    &orphan.der,
                    &orphan.reason,
                    &now,
                ],
            )
            .await?;
        Ok(rows == 1)
    }
}
