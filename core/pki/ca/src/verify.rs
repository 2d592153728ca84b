//! What is checked of a leaf before it is signed for real, and again before it is recorded.

use crate::AuthorizedLeaf;
use certctl_kernel::FieldError;
use certctl_x509::certificate::CertificateFacts;
use time::Duration;

/// The ways in which a leaf, read back from its octets, differs from what was authorized; empty when it is the one.
pub fn verify_leaf(authorized: &AuthorizedLeaf, leaf: &CertificateFacts) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut check = |holds: bool, field: &str, rule: &str| {
        if !holds {
            errors.push(FieldError::new(field, "lint_failed", format!("the certificate's {rule}")));
        }
    };
    check(leaf.spki_der == authorized.spki_der, "csr_pem", "public key is not the request's");
    check(leaf.serial == authorized.serial.hex(), "serial_number", "serial number is not the one drawn");
    check(leaf.not_before == authorized.not_before, "not_before", "start is not the authorized one");
    check(leaf.not_after == authorized.not_after, "not_after", "end is not the authorized one");
    check(leaf.not_after - leaf.not_before >= Duration::SECOND, "not_after", "validity is empty");
    check(!leaf.is_ca, "csr_pem", "basic constraints make it a CA");
    check(leaf.common_name == authorized.common_name, "common_name", "common name is not the authorized one");
    let names: Vec<String> = authorized.sans.iter().map(ToString::to_string).collect();
    check(leaf.sans == names, "sans", "names are not the authorized ones");
    check(!leaf.issuer_dn.is_empty(), "issuer_id", "issuer is empty");
    check(leaf.ski.is_some() && leaf.aki.is_some(), "issuer_id", "key identifiers are missing");
    errors
}
