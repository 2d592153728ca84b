//! What every connector checks before it touches anything (connectors §1.5): pure functions over the material.

use certctl_kernel::Timestamp;
use certctl_port_target::Material;
use certctl_x509::certificate::{self, CertificateFacts};
use certctl_x509::{chain, pem};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use time::Duration;

/// How far the issuer's clock may be ahead of this host's.
const SKEW: Duration = Duration::minutes(5);

/// Checks the material and returns what its leaf says.
///
/// `deployed` is the leaf in place, if one could be read. A leaf that is older than it, issued under the same name and
/// ending sooner, is what a late job would bring: it is refused unless `force`.
pub fn check(
    material: &Material,
    expected_names: &[String],
    deployed: Option<&CertificateFacts>,
    now: Timestamp,
    force: bool,
) -> Result<CertificateFacts, String> {
    let leaf = certificate::inspect(&material.leaf).map_err(|error| error.to_string())?;
    if leaf.not_after < now {
        return Err(format!("the certificate expired at {}", leaf.not_after));
    }
    if leaf.not_before > now + SKEW {
        return Err(format!("the certificate is not valid before {}", leaf.not_before));
    }
    if key_spki(material.key_pem.expose())? != leaf.spki_der {
        return Err("the private key does not belong to the certificate".to_owned());
    }
    chain::check(&material.leaf, &material.chain).map_err(|error| format!("the chain is not in order: {error}"))?;
    for der in &material.chain {
        let issuer = certificate::inspect(der).map_err(|error| error.to_string())?;
        if issuer.subject_der == issuer.issuer_der {
            return Err(format!("the chain holds the root {}; roots are never deployed", issuer.subject_dn));
        }
        if issuer.not_after < now {
            return Err(format!("the chain's {} expired at {}", issuer.subject_dn, issuer.not_after));
        }
    }
    for name in expected_names {
        if !leaf.sans.iter().any(|san| san.eq_ignore_ascii_case(name)) {
            return Err(format!("the certificate lacks the name {name}, which the target expects"));
        }
    }
    if let Some(deployed) = deployed
        && !force
        && deployed.fingerprint_sha256 != leaf.fingerprint_sha256
        && deployed.issuer_der == leaf.issuer_der
        && leaf.not_after < deployed.not_after
        && leaf.not_before < deployed.not_before
    {
        return Err(format!(
            "the certificate in place is newer: it is valid from {} to {}",
            deployed.not_before, deployed.not_after
        ));
    }
    Ok(leaf)
}

/// DER `SubjectPublicKeyInfo` of a private key in PEM.
pub fn key_spki(key_pem: &str) -> Result<Vec<u8>, String> {
    let unreadable = || "the private key can't be read".to_owned();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| unreadable())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| unreadable())?;
    let spki = key.public_key().ok_or_else(unreadable)?;
    Ok(spki.as_ref().to_vec())
}

/// The first certificate of a file's text, as far as one can be read.
pub fn first_certificate(text: &[u8]) -> Option<CertificateFacts> {
    let blocks = pem::decode_all(std::str::from_utf8(text).ok()?).ok()?;
    let leaf = blocks.into_iter().find(|block| block.label == pem::CERTIFICATE)?;
    certificate::inspect(&leaf.der).ok()
}

/// Leaf and chain in PEM, leaf first.
pub fn fullchain_pem(material: &Material) -> String {
    std::iter::once(&material.leaf).chain(&material.chain).map(|der| pem::encode(pem::CERTIFICATE, der)).collect()
}
