//! Making CA generations: a root of our own, or one from an operator's files.

use crate::{CaKey, CaKind, CaRecord, CaState, LocalCaConfig};
use certctl_kernel::{IdKind, Timestamp};
use certctl_ports::{Ambient, KeyError, KeyGenerator, SealContext, SealError, Sealer, SigningKey};
use certctl_x509::ca::{self, CaFacts, RootTemplate};
use certctl_x509::{Serial, Subject, pem, sha256_hex};
use std::collections::BTreeMap;
use time::Duration;

/// A CA generation can't be made or loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The certificate breaks a rule.
    #[error(transparent)]
    Certificate(#[from] certctl_x509::Error),
    /// The key can't be made, loaded or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key can't be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A generation that is not stored yet, with what was read of it.
pub struct NewCa {
    /// The row to store.
    pub record: CaRecord,
    /// The loaded certificate.
    pub facts: CaFacts,
    /// Its private key.
    pub key: Box<dyn SigningKey>,
}

/// The cell that a CA's private key is sealed for.
pub const fn key_context(ca_id: &str) -> SealContext<'_> {
    SealContext { table: "ca.ca_certificates", column: "sealed_key", row_id: ca_id }
}

/// Makes a self-signed root: its key is drawn here, sealed for its row, and exists nowhere else.
pub fn make_root(
    issuer_id: &str,
    generation: i32,
    config: &LocalCaConfig,
    ambient: &Ambient,
    backdate: Duration,
    keys: &dyn KeyGenerator,
    sealer: &dyn Sealer,
) -> Result<NewCa, RootError> {
    let now = ambient.now();
    let id = ambient.id(IdKind::CertificateAuthority);
    let pkcs8 = keys.generate(config.root_key)?;
    let key = keys.load_der(&pkcs8)?;
    let not_before = now.replace_nanosecond(0).unwrap_or(now) - backdate;
    let template = RootTemplate {
        serial: draw_serial(ambient),
        subject: Subject::common_name(config.ca_common_name.clone()),
        not_before,
        not_after: not_before + Duration::days(i64::from(config.root_validity_days)) - Duration::SECOND,
        path_len: config.root_path_len,
    };
    let der = ca::build_self_signed_root(&template, key.as_ref())?;
    let facts = ca::load(&pem::encode(pem::CERTIFICATE, &der), now)?;
    facts.check_key(key.as_ref())?;
    let sealed = sealer.seal(&pkcs8, key_context(&id))?;
    let record = record(id, issuer_id, generation, CaKind::Root, CaKey::Sealed(sealed), &facts, now);
    Ok(NewCa { record, facts, key })
}

/// Takes in an operator's CA. Its key stays where it is.
pub fn operator_ca(
    issuer_id: &str,
    generation: i32,
    ambient: &Ambient,
    certificate_pem: &str,
    key: Box<dyn SigningKey>,
    on_token: bool,
) -> Result<NewCa, RootError> {
    let now = ambient.now();
    let facts = ca::load(certificate_pem, now)?;
    facts.check_key(key.as_ref())?;
    let id = ambient.id(IdKind::CertificateAuthority);
    let place = if on_token { CaKey::Token } else { CaKey::File };
    let record = record(id, issuer_id, generation, CaKind::Sub, place, &facts, now);
    Ok(NewCa { record, facts, key })
}

/// Takes in a CA that another of ours certified; its key is sealed for its row.
#[expect(clippy::too_many_arguments, reason = "each is a member of the row")]
pub fn intermediate(
    id: String,
    parent: &CaRecord,
    generation: i32,
    name: String,
    sealed_key: Vec<u8>,
    cert_der: &[u8],
    metadata: BTreeMap<String, String>,
    ocsp_responder_url: Option<String>,
    now: Timestamp,
) -> Result<CaRecord, RootError> {
    let chain = format!("{}{}", pem::encode(pem::CERTIFICATE, cert_der), parent.full_pem());
    let facts = ca::load(&chain, now)?;
    let key = CaKey::Sealed(sealed_key);
    let made = record(id, &parent.issuer_id, generation, CaKind::Intermediate, key, &facts, now);
    Ok(CaRecord { parent_ca_id: Some(parent.id.clone()), name, metadata, ocsp_responder_url, ..made })
}

fn record(
    id: String,
    issuer_id: &str,
    generation: i32,
    kind: CaKind,
    key: CaKey,
    facts: &CaFacts,
    now: Timestamp,
) -> CaRecord {
    let own = pem::encode(pem::CERTIFICATE, &facts.cert_der);
    CaRecord {
        name: format!("{issuer_id} generation {generation}"),
        id,
        issuer_id: issuer_id.to_owned(),
        parent_ca_id: None,
        generation,
        kind,
        state: CaState::Active,
        subject: facts.subject_dn.clone(),
        cert_der: facts.cert_der.clone(),
        chain_pem: facts.chain_pem.strip_prefix(&own).unwrap_or_default().to_owned(),
        key,
        spki_sha256: sha256_hex(&facts.spki_der),
        fingerprint_sha256: facts.fingerprint_sha256.clone(),
        serial_number: facts.serial.clone(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        path_len: facts.path_len,
        ocsp_responder_url: None,
        metadata: BTreeMap::new(),
        created_at: now,
        updated_at: now,
    }
}

fn draw_serial(ambient: &Ambient) -> Serial {
    loop {
        if let Some(serial) = Serial::from_random(ambient.octets()) {
            return serial;
        }
    }
}

impl CaRecord {
    /// The certificate and those above it, PEM.
    pub fn full_pem(&self) -> String {
        format!("{}{}", pem::encode(pem::CERTIFICATE, &self.cert_der), self.chain_pem)
    }
}
