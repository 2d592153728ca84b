//! Export of issued certificates. Private keys are never among what is stored, so never among what is exported.

use crate::{Certificate, CertificateStore, CertificateVersion};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, FieldError};
use certctl_rbac::{Caller, Permission};
use certctl_x509::{pem, pkcs12};
use serde_json::json;

/// What to export of a certificate.
#[derive(Debug, Clone)]
pub struct ExportCertificate {
    /// The certificate.
    pub id: String,
    /// A version of it; absent, the newest.
    pub version_id: Option<String>,
}

/// A certificate as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemExport {
    /// The leaf.
    pub cert_pem: String,
    /// What stands above it.
    pub chain_pem: String,
    /// Both.
    pub full_pem: String,
    /// A file name made of the common name, without extension.
    pub file_name: String,
}

/// A certificate as a trust store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs12Export {
    /// DER.
    pub der: Vec<u8>,
    /// A file name made of the common name, without extension.
    pub file_name: String,
}

/// Token of the refusal for certificates that were never issued.
pub const NO_VERSION: &str = "no_version";

/// A name that is safe in a header and in any file system.
fn file_name(certificate: &Certificate) -> String {
    let kept: String = certificate
        .common_name
        .replace('*', "wildcard")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(100)
        .collect();
    let kept = kept.trim_matches('.');
    if kept.is_empty() { "certificate".to_owned() } else { kept.to_owned() }
}

async fn load(
    tx: &mut (impl CertificateStore + ?Sized),
    caller: &Caller,
    command: &ExportCertificate,
) -> Result<(Certificate, CertificateVersion), DomainError> {
    let certificate =
        tx.certificate(&command.id).await?.ok_or_else(|| DomainError::not_found("certificate", &*command.id))?;
    caller.require(Permission::CertExport, &certificate.scopes())?;
    let version = match &command.version_id {
        Some(id) => tx.version(id).await?.filter(|version| version.certificate_id == certificate.id),
        None => tx.latest_version(&certificate.id).await?,
    };
    match version {
        Some(version) => Ok((certificate, version)),
        None => {
            Err(DomainError::not_found(NO_VERSION, command.version_id.clone().unwrap_or_else(|| command.id.clone())))
        }
    }
}

/// The stored chain as DER, leaf first.
fn chain_of(version: &CertificateVersion) -> Result<Vec<Vec<u8>>, DomainError> {
    match pem::certificates(&version.pem_chain) {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(DomainError::Unprocessable(vec![FieldError::new(
            "pem_chain",
            "stored_certificate_invalid",
            format!("version {} does not hold readable certificates", version.id),
        )])),
    }
}

/// Exports as PEM.
pub async fn export_pem(
    tx: &mut (impl CertificateStore + AuditLog + ?Sized),
    caller: &Caller,
    command: ExportCertificate,
) -> Result<PemExport, DomainError> {
    let (certificate, version) = load(tx, caller, &command).await?;
    let chain = chain_of(&version)?;
    let texts: Vec<String> = chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
    let details = json!({"version_id": version.id, "serial": version.serial_number, "has_private_key": false});
    tx.record(AuditEvent::new(Action::CertExportPem, &caller.context, &certificate.id, details)).await?;
    Ok(PemExport {
        cert_pem: texts[0].clone(),
        chain_pem: texts[1..].concat(),
        full_pem: texts.concat(),
        file_name: file_name(&certificate),
    })
}

/// Exports as a PKCS#12 trust store: the leaf first, then its chain, and no key.
pub async fn export_pkcs12(
    tx: &mut (impl CertificateStore + AuditLog + ?Sized),
    caller: &Caller,
    command: ExportCertificate,
    password: &str,
) -> Result<Pkcs12Export, DomainError> {
    let (certificate, version) = load(tx, caller, &command).await?;
    let chain = chain_of(&version)?;
    let der = pkcs12::trust_store(&chain[0], &chain[1..], password)
        .map_err(|error| DomainError::Internal { reason: error.to_string() })?;
    let details = json!({
        "version_id": version.id,
        "serial": version.serial_number,
        "has_private_key": false,
        "cipher": "AES-256-CBC-PBE2-SHA256",
        "empty_password": password.is_empty(),
    });
    tx.record(AuditEvent::new(Action::CertExportPkcs12, &caller.context, &certificate.id, details)).await?;
    Ok(Pkcs12Export { der, file_name: file_name(&certificate) })
}

/// Records an export that was refused or failed after the caller was known.
pub async fn export_failed(
    tx: &mut (impl AuditLog + ?Sized),
    caller: &Caller,
    id: &str,
    format: &str,
    reason: &str,
) -> Result<(), DomainError> {
    let details = json!({"format": format, "reason": reason});
    tx.record(AuditEvent::new(Action::CertExportFailed, &caller.context, id, details)).await?;
    Ok(())
}
