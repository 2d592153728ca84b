//! Revocations, CRLs and OCSP responders.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_inventory::CertificateStatus;
use certctl_kernel::{StoreError, Timestamp};
use certctl_revocation::{
    CrlCounters, CrlEvent, CrlLine, CrlOverview, CrlState, PublishedCrl, ResponderRecord, Revocation, RevocationReason,
    SerialStatus, StatusStore,
};
use tokio_postgres::Row;

fn reason(text: &str) -> Result<RevocationReason, StoreError> {
    RevocationReason::parse(text).ok_or_else(|| StoreError::Internal {
        reason: "status.revocations.reason holds a value unknown to this build".to_owned(),
    })
}

/// Counts a revision for each CA of the revocations named by the query; a CRL built from an older figure shows too
/// little. The row is locked until the commit, so it is the last thing a revocation writes.
const COUNT_REVISIONS: &str = "INSERT INTO status.crl_numbers (ca_id, revision) \
     SELECT DISTINCT ca_id, 1 FROM status.revocations WHERE id = ANY($1) AND ca_id IS NOT NULL ORDER BY ca_id \
     ON CONFLICT (ca_id) DO UPDATE SET revision = status.crl_numbers.revision + 1";

const CRL: &str = "c.ca_id, c.issuer_id, c.crl_der, c.crl_number, c.this_update, c.next_update, c.generated_at, \
     c.generation_duration_ms, c.revoked_count, c.built_from, coalesce(n.revision, 0) > c.built_from";

fn crl_state(row: &Row) -> CrlState {
    CrlState {
        crl: PublishedCrl {
            ca_id: row.get(0),
            issuer_id: row.get(1),
            der: row.get(2),
            number: row.get(3),
            this_update: row.get(4),
            next_update: row.get(5),
            generated_at: row.get(6),
            duration_ms: row.get(7),
            revoked_count: row.get(8),
            built_from: row.get(9),
        },
        dirty: row.get(10),
    }
}

fn event(row: &Row) -> CrlEvent {
    CrlEvent {
        started_at: row.get(1),
        duration_ms: row.get(2),
        succeeded: row.get(3),
        crl_number: row.get(4),
        revoked_count: row.get(5),
        error: row.get(6),
    }
}

#[async_trait]
impl StatusStore for PgUnitOfWork {
    async fn insert_revocations(&mut self, revocations: &[Revocation], now: Timestamp) -> Result<(), StoreError> {
        let text = |read: fn(&Revocation) -> &str| -> Vec<&str> { revocations.iter().map(read).collect() };
        let ca_ids: Vec<Option<&str>> = revocations.iter().map(|row| row.ca_id.as_deref()).collect();
        let invalid: Vec<Option<Timestamp>> = revocations.iter().map(|row| row.invalidity_date).collect();
        let revoked: Vec<Timestamp> = revocations.iter().map(|row| row.revoked_at).collect();
        let ends: Vec<Timestamp> = revocations.iter().map(|row| row.not_after).collect();
        let exempt: Vec<bool> = revocations.iter().map(|row| row.revocation_exempt).collect();
        self.execute(
            "INSERT INTO status.revocations (id, certificate_id, version_id, issuer_id, ca_id, serial_number, \
             reason, revoked_by, revoked_at, invalidity_date, comment, not_after, revocation_exempt, \
             upstream_state, created_at, updated_at) \
             SELECT r.id, r.certificate, r.version, r.issuer, r.ca, r.serial, r.reason, r.actor, r.at, r.invalid, \
               r.comment, r.ends, r.exempt, CASE WHEN r.ca IS NULL THEN 'pending' ELSE 'n/a' END, $14, $14 \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
               $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::timestamptz[], $13::boolean[]) \
               AS r (id, certificate, version, issuer, ca, serial, reason, actor, at, invalid, comment, ends, exempt)",
            &[
                &text(|row| &row.id),
                &text(|row| &row.certificate_id),
                &text(|row| &row.version_id),
                &text(|row| &row.issuer_id),
                &ca_ids,
                &text(|row| &row.serial_number),
                &text(|row| row.reason.as_str()),
                &text(|row| &row.revoked_by),
                &revoked,
                &invalid,
                &text(|row| &row.comment),
                &ends,
                &exempt,
                &now,
            ],
        )
        .await?;
        let ids: Vec<&str> = revocations.iter().map(|revocation| revocation.id.as_str()).collect();
        self.execute(COUNT_REVISIONS, &[&ids]).await.map(|_| ())
    }

    async fn revocations_of(&mut self, certificate_id: &str) -> Result<Vec<Revocation>, StoreError> {
        self.query(
            "SELECT id, certificate_id, version_id, issuer_id, ca_id, serial_number, reason, revoked_by, revoked_at, \
             invalidity_date, comment, not_after, revocation_exempt FROM status.revocations \
             WHERE certificate_id = $1 AND removed_at IS NULL ORDER BY revoked_at, id",
            &[&certificate_id],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(Revocation {
                id: row.get(0),
                certificate_id: row.get(1),
                version_id: row.get(2),
                issuer_id: row.get(3),
                ca_id: row.get(4),
                serial_number: row.get(5),
                reason: reason(row.get(6))?,
                revoked_by: row.get(7),
                revoked_at: row.get(8),
                invalidity_date: row.get(9),
                comment: row.get(10),
                not_after: row.get(11),
                revocation_exempt: row.get(12),
            })
        })
        .collect()
    }

    async fn change_revocation_reason(
        &mut self,
        ids: &[String],
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE status.revocations SET reason = $2, updated_at = $3, row_version = row_version + 1 \
             WHERE id = ANY($1)",
            &[&ids, &reason.as_str(), &now],
        )
        .await?;
        self.execute(COUNT_REVISIONS, &[&ids]).await.map(|_| ())
    }

    async fn lift_revocations(&mut self, ids: &[String], now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE status.revocations SET removed_at = $2, updated_at = $2, row_version = row_version + 1 \
             WHERE id = ANY($1) AND removed_at IS NULL",
            &[&ids, &now],
        )
        .await?;
        self.execute(COUNT_REVISIONS, &[&ids]).await.map(|_| ())
    }

    async fn mark_unheld(
        &mut self,
        certificate_id: &str,
        status: CertificateStatus,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE inventory.certificates SET status = $2, state_entered_at = $3, revoked_at = NULL, \
               revocation_reason = NULL, row_version = row_version + 1, updated_at = $3 \
             WHERE id = $1 AND status = 'Revoked'",
            &[&certificate_id, &status.as_str(), &now],
        )
        .await
        .map(|_| ())
    }

    async fn certificates_with_keys(
        &mut self,
        spki_sha256: &[String],
        except_certificate_id: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self
            .query(
                "SELECT DISTINCT certificate_id FROM inventory.certificate_versions \
                 WHERE spki_sha256 = ANY($1) AND certificate_id <> $2 ORDER BY certificate_id",
                &[&spki_sha256, &except_certificate_id],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn serial_statuses(
        &mut self,
        issuer_id: &str,
        ca_id: &str,
        serials: &[String],
    ) -> Result<Vec<SerialStatus>, StoreError> {
        let rows = self
            .query(
                "SELECT r.revoked_at, r.reason, v.id IS NOT NULL OR o.serial_number IS NOT NULL \
                 FROM unnest($3::text[]) WITH ORDINALITY AS asked (serial, at) \
                 LEFT JOIN inventory.certificate_versions v \
                     ON v.issuer_id = $1 AND v.serial_number = asked.serial AND v.ca_id = $2 \
                 LEFT JOIN inventory.orphan_issuances o \
                     ON o.issuer_id = $1 AND o.serial_number = asked.serial AND o.ca_id = $2 \
                 LEFT JOIN status.revocations r \
                     ON r.issuer_id = $1 AND r.serial_number = asked.serial AND r.ca_id = $2 AND r.removed_at IS NULL \
                 ORDER BY asked.at",
                &[&issuer_id, &ca_id, &serials],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(match (row.get::<_, Option<Timestamp>>(0), row.get::<_, Option<&str>>(1), row.get::<_, bool>(2)) {
                    (Some(at), Some(text), _) => SerialStatus::Revoked { at, reason: reason(text)? },
                    (_, _, true) => SerialStatus::Good,
                    (_, _, false) => SerialStatus::Unknown,
                })
            })
            .collect()
    }

    async fn lock_status(&mut self, ca_id: &str) -> Result<(), StoreError> {
        self.query_one("SELECT pg_advisory_xact_lock(hashtextextended('certctl.status.' || $1, 0))", &[&ca_id])
            .await
            .map(|_| ())
    }

    async fn crl(&mut self, ca_id: &str) -> Result<Option<CrlState>, StoreError> {
        let row = self
            .query_opt(
                &format!(
                    "SELECT {CRL} FROM status.crls c LEFT JOIN status.crl_numbers n ON n.ca_id = c.ca_id \
                     WHERE c.ca_id = $1 AND c.shard = 0"
                ),
                &[&ca_id],
            )
            .await?;
        Ok(row.as_ref().map(crl_state))
    }

    async fn crl_counters(&mut self, ca_id: &str) -> Result<CrlCounters, StoreError> {
        let row = self
            .query_opt(
                "SELECT n.last_number, n.revision, c.this_update FROM status.crl_numbers n \
                 LEFT JOIN status.crls c ON c.ca_id = n.ca_id AND c.shard = 0 WHERE n.ca_id = $1",
                &[&ca_id],
            )
            .await?;
        Ok(row.map_or_else(CrlCounters::default, |row| CrlCounters {
            last_number: row.get(0),
            revision: row.get(1),
            last_this_update: row.get(2),
        }))
    }

    async fn crl_lines(&mut self, ca_id: &str, listed_since: Option<Timestamp>) -> Result<Vec<CrlLine>, StoreError> {
        self.query(
            "SELECT serial_number, revoked_at, reason, invalidity_date FROM status.revocations \
             WHERE ca_id = $1 AND removed_at IS NULL AND NOT revocation_exempt \
             AND ($2::timestamptz IS NULL OR not_after >= $2) ORDER BY revoked_at, serial_number",
            &[&ca_id, &listed_since],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(CrlLine {
                serial_number: row.get(0),
                revoked_at: row.get(1),
                reason: reason(row.get(2))?,
                invalidity_date: row.get(3),
            })
        })
        .collect()
    }

    async fn publish_crl(&mut self, crl: &PublishedCrl, started_at: Timestamp) -> Result<(), StoreError> {
        let rows = self
            .execute(
                "WITH number AS (INSERT INTO status.crl_numbers AS n (ca_id, last_number) VALUES ($1, $4) \
                 ON CONFLICT (ca_id) DO UPDATE SET last_number = $4 WHERE n.last_number < $4 RETURNING ca_id), \
                 event AS (INSERT INTO status.crl_events (ca_id, issuer_id, crl_number, duration_ms, revoked_count, \
                 started_at, succeeded) SELECT ca_id, $2, $4, $8, $9, $11, true FROM number) \
                 INSERT INTO status.crls (ca_id, issuer_id, crl_der, crl_number, this_update, next_update, \
                 generated_at, generation_duration_ms, revoked_count, built_from, created_at, updated_at) \
                 SELECT ca_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $7, $7 FROM number \
                 ON CONFLICT (ca_id, shard) DO UPDATE SET crl_der = excluded.crl_der, \
                 crl_number = excluded.crl_number, this_update = excluded.this_update, \
                 next_update = excluded.next_update, generated_at = excluded.generated_at, \
                 generation_duration_ms = excluded.generation_duration_ms, revoked_count = excluded.revoked_count, \
                 built_from = excluded.built_from, updated_at = excluded.updated_at",
                &[
                    &crl.ca_id,
                    &crl.issuer_id,
                    &crl.der,
                    &crl.number,
                    &crl.this_update,
                    &crl.next_update,
                    &crl.generated_at,
                    &crl.duration_ms,
                    &crl.revoked_count,
                    &crl.built_from,
                    &started_at,
                ],
            )
            .await?;
        if rows == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    async fn record_crl_failure(&mut self, issuer_id: &str, ca_id: &str, event: &CrlEvent) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO status.crl_events (ca_id, issuer_id, crl_number, duration_ms, revoked_count, started_at, \
             succeeded, error) VALUES ($1, $2, 0, $3, 0, $4, false, $5)",
            &[&ca_id, &issuer_id, &event.duration_ms, &event.started_at, &event.error],
        )
        .await
        .map(|_| ())
    }

    async fn issuers_with_stale_crls(&mut self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let rows = self
            .query(
                "SELECT DISTINCT ca.issuer_id FROM ca.ca_certificates ca \
                 LEFT JOIN status.crls c ON c.ca_id = ca.id AND c.shard = 0 \
                 LEFT JOIN status.crl_numbers n ON n.ca_id = ca.id \
                 WHERE ca.not_after > $1 AND (c.ca_id IS NULL \
                 OR coalesce(n.revision, 0) > c.built_from \
                 OR c.this_update + (c.next_update - c.this_update) / 2 <= $1) ORDER BY ca.issuer_id",
                &[&now],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn crl_overview(&mut self) -> Result<Vec<CrlOverview>, StoreError> {
        let rows = self
            .query(
                "SELECT DISTINCT ON (ca.issuer_id) ca.issuer_id, c.ca_id IS NOT NULL, c.ca_id, c.crl_number, \
                 c.this_update, c.next_update, c.generated_at, c.generation_duration_ms, c.revoked_count, \
                 c.built_from, coalesce(n.revision, 0) > c.built_from \
                 FROM ca.ca_certificates ca LEFT JOIN status.crls c ON c.ca_id = ca.id AND c.shard = 0 \
                 LEFT JOIN status.crl_numbers n ON n.ca_id = ca.id ORDER BY ca.issuer_id, ca.generation DESC",
                &[],
            )
            .await?;
        let events = self
            .query(
                "SELECT issuer_id, started_at, duration_ms, succeeded, crl_number, revoked_count, error FROM \
                 (SELECT *, row_number() OVER (PARTITION BY issuer_id ORDER BY started_at DESC, id DESC) AS place \
                 FROM status.crl_events) AS ranked WHERE place <= 5 ORDER BY issuer_id, place",
                &[],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                let issuer_id: String = row.get(0);
                let crl = row.get::<_, bool>(1).then(|| CrlState {
                    crl: PublishedCrl {
                        ca_id: row.get(2),
                        issuer_id: issuer_id.clone(),
                        der: Vec::new(),
                        number: row.get(3),
                        this_update: row.get(4),
                        next_update: row.get(5),
                        generated_at: row.get(6),
                        duration_ms: row.get(7),
                        revoked_count: row.get(8),
                        built_from: row.get(9),
                    },
                    dirty: row.get(10),
                });
                let events = events.iter().filter(|event| event.get::<_, &str>(0) == issuer_id).map(event).collect();
                CrlOverview { issuer_id, crl, events }
            })
            .collect())
    }

    async fn purge_crl_events(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM status.crl_events WHERE id IN \
             (SELECT id FROM status.crl_events WHERE started_at < $1 ORDER BY id LIMIT 5000)",
            &[&before],
        )
        .await
    }

    async fn ocsp_responder(&mut self, ca_id: &str) -> Result<Option<ResponderRecord>, StoreError> {
        let row = self
            .query_opt(
                "SELECT ca_id, generation, issuer_id, cert_der, cert_serial, key_alg, sealed_key, spki_sha256, \
                 not_before, not_after, rotated_from FROM status.ocsp_responders WHERE ca_id = $1 \
                 ORDER BY generation DESC LIMIT 1",
                &[&ca_id],
            )
            .await?;
        Ok(row.map(|row| ResponderRecord {
            ca_id: row.get(0),
            generation: row.get(1),
            issuer_id: row.get(2),
            cert_der: row.get(3),
            cert_serial: row.get(4),
            key_alg: row.get(5),
            sealed_key: row.get(6),
            spki_sha256: row.get(7),
            not_before: row.get(8),
            not_after: row.get(9),
            rotated_from: row.get(10),
        }))
    }

    async fn insert_ocsp_responder(&mut self, responder: &ResponderRecord, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO status.ocsp_responders (ca_id, generation, issuer_id, cert_der, cert_serial, key_alg, \
             sealed_key, spki_sha256, not_before, not_after, rotated_from, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
            &[
                &responder.ca_id,
                &responder.generation,
                &responder.issuer_id,
                &responder.cert_der,
                &responder.cert_serial,
                &responder.key_alg,
                &responder.sealed_key,
                &responder.spki_sha256,
                &responder.not_before,
                &responder.not_after,
                &responder.rotated_from,
                &now,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn issuers_with_ending_responders(&mut self, deadline: Timestamp) -> Result<Vec<String>, StoreError> {
        let rows = self
            .query(
                "SELECT DISTINCT ca.issuer_id FROM ca.ca_certificates ca WHERE NOT EXISTS \
                 (SELECT FROM status.ocsp_responders r WHERE r.ca_id = ca.id \
                 AND (r.not_after > $1 OR r.not_after >= ca.not_after)) ORDER BY ca.issuer_id",
                &[&deadline],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
