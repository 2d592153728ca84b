//! Delegated OCSP responders: one line of generations for each CA generation.

use crate::{ResponderRecord, StatusSettings, StatusStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, Timestamp};
use certctl_port_issuer::{ResponderContent, StatusAuthority};
use certctl_ports::{Ambient, Announcer, Change, KeyAlgorithm, KeyGenerator, SealContext, Sealer, SigningKey};
use certctl_x509::ca::{self, CaFacts};
use certctl_x509::{Serial, certificate, chain, sha256_hex};
use serde_json::json;
use std::sync::Arc;
use time::Duration;

/// A responder ready to sign, with the CA it speaks for.
#[derive(Clone)]
pub struct Responder {
    /// The CA generation's id.
    pub ca_id: String,
    /// The issuer.
    pub issuer_id: String,
    /// The CA certificate.
    pub ca: CaFacts,
    /// The responder's certificate.
    pub cert_der: Vec<u8>,
    /// Last second of its validity.
    pub not_after: Timestamp,
    /// Its private key.
    pub key: Arc<dyn SigningKey>,
}

/// What opens and makes the keys of responders.
#[derive(Clone)]
pub struct ResponderKeys {
    /// Makes and loads keys.
    pub keys: Arc<dyn KeyGenerator>,
    /// Seals them.
    pub sealer: Arc<dyn Sealer>,
}

fn row_id(ca_id: &str, generation: i32) -> String {
    format!("{ca_id}/{generation}")
}

fn context(row_id: &str) -> SealContext<'_> {
    SealContext { table: "status.ocsp_responders", column: "sealed_key", row_id }
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> DomainError {
    DomainError::Internal { reason: format!("{what}: {error}") }
}

/// The stored responder of a CA, if there is one that serves at `now`; reads only. One that the CA did not sign, whose
/// key does not open or is another's, is as good as none: the next one takes its place.
pub async fn stored_responder(
    tx: &mut (impl StatusStore + ?Sized),
    authority: &dyn StatusAuthority,
    with: &ResponderKeys,
    now: Timestamp,
) -> Result<Option<Responder>, DomainError> {
    let stored = tx.ocsp_responder(&authority.ca().id).await?;
    Ok(stored.and_then(|record| load(&record, authority, with, now)))
}

fn load(
    record: &ResponderRecord,
    authority: &dyn StatusAuthority,
    with: &ResponderKeys,
    now: Timestamp,
) -> Option<Responder> {
    let row = authority.ca();
    let in_time = record.not_before <= now && now < record.not_after;
    if !in_time || chain::check(&record.cert_der, std::slice::from_ref(&row.cert_der)).is_err() {
        return None;
    }
    let id = row_id(&record.ca_id, record.generation);
    let der = with.sealer.open(&record.sealed_key, context(&id)).ok()?;
    let key = with.keys.load_der(&der).ok()?;
    let read = certificate::inspect(&record.cert_der).ok()?;
    if read.spki_der != key.public_key_spki() {
        return None;
    }
    Some(Responder {
        ca_id: record.ca_id.clone(),
        issuer_id: record.issuer_id.clone(),
        ca: ca::load(&row.full_pem(), now).ok()?,
        cert_der: record.cert_der.clone(),
        not_after: record.not_after,
        key: Arc::from(key),
    })
}

/// How much of its life a responder must have left not to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Only when none serves.
    WhenGone,
    /// At half of its life or within the grace period, whichever comes first.
    InGoodTime,
}

impl Replace {
    /// A responder that ends before this is to be replaced.
    pub fn deadline(self, settings: &StatusSettings, now: Timestamp) -> Timestamp {
        match self {
            Self::WhenGone => now,
            Self::InGoodTime => now + settings.responder_grace.max(settings.responder_validity / 2),
        }
    }
}

/// The responder of a CA, made when there is none or it is time for the next; the flag tells whether anything was
/// written. Replicas that come at the same time end with the same one.
pub async fn ensure_responder(
    tx: &mut (impl StatusStore + AuditLog + Announcer + ?Sized),
    authority: &dyn StatusAuthority,
    with: &ResponderKeys,
    ambient: &Ambient,
    settings: &StatusSettings,
    replace: Replace,
) -> Result<(Responder, bool), DomainError> {
    let row = authority.ca().clone();
    tx.lock_status(&row.id).await?;
    let now = ambient.now();
    let last = tx.ocsp_responder(&row.id).await?;
    if let Some(record) = &last
        && let Some(responder) = load(record, authority, with, now)
    {
        // One that lasts as long as its CA can't be bettered.
        let lasting = record.not_after > replace.deadline(settings, now) || record.not_after >= row.not_after;
        if lasting {
            return Ok((responder, false));
        }
    }
    let generation = last.as_ref().map_or(0, |record| record.generation) + 1;
    let pkcs8 = with.keys.generate(KeyAlgorithm::EcdsaP256).map_err(|error| internal("responder key", &error))?;
    let key = with.keys.load_der(&pkcs8).map_err(|error| internal("responder key", &error))?;
    let id = row_id(&row.id, generation);
    let sealed_key = with.sealer.seal(&pkcs8, context(&id)).map_err(|error| internal("responder key", &error))?;
    let start = now.replace_nanosecond(0).unwrap_or(now);
    let content = ResponderContent {
        serial: draw_serial(ambient),
        spki_der: key.public_key_spki().to_vec(),
        not_before: (start - Duration::minutes(5)).max(row.not_before),
        not_after: (start + settings.responder_validity).min(row.not_after),
    };
    let (serial, not_before, not_after) = (content.serial, content.not_before, content.not_after);
    let cert_der = authority.certify_responder(content).await?;
    let record = ResponderRecord {
        ca_id: row.id.clone(),
        generation,
        issuer_id: row.issuer_id.clone(),
        cert_der,
        cert_serial: serial.hex(),
        key_alg: "ECDSA-P256".to_owned(),
        sealed_key,
        spki_sha256: sha256_hex(key.public_key_spki()),
        not_before,
        not_after,
        rotated_from: last.map(|record| record.cert_serial),
    };
    let responder = load(&record, authority, with, now)
        .ok_or_else(|| internal("responder", &"what was just made does not load"))?;
    tx.insert_ocsp_responder(&record, now).await?;
    tx.announce(Change::Issuer(row.issuer_id.clone())).await?;
    let details = json!({
        "issuer_id": row.issuer_id,
        "serial": record.cert_serial,
        "rotated_from": record.rotated_from,
        "not_after": certctl_kernel::timestamp::to_rfc3339(not_after),
    });
    tx.record(AuditEvent::new(Action::OcspResponderRotated, &RequestContext::system("ocsp"), &row.id, details)).await?;
    Ok((responder, true))
}

fn draw_serial(ambient: &Ambient) -> Serial {
    loop {
        if let Some(serial) = Serial::from_random(ambient.octets()) {
            return serial;
        }
    }
}
