//! From what was authorized to what is encoded.

use crate::AuthorizedLeaf;
use certctl_profile::Eku;
use certctl_x509::Subject;
use certctl_x509::leaf::{ExtendedUsage, LeafTemplate};

/// The template of an authorized leaf; nothing in it comes from anywhere else.
pub fn leaf_template(leaf: &AuthorizedLeaf) -> LeafTemplate {
    LeafTemplate {
        serial: leaf.serial,
        subject: leaf.common_name.clone().map_or_else(Subject::default, Subject::common_name),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        spki_der: leaf.spki_der.clone(),
        sans: leaf.sans.clone(),
        usages: leaf.ekus.iter().map(|eku| usage(*eku)).collect(),
        content_commitment: false,
        ocsp_urls: leaf.urls.ocsp.clone(),
        ca_issuer_urls: leaf.urls.ca_issuers.clone(),
        crl_urls: leaf.urls.crl.clone(),
        must_staple: leaf.must_staple,
        no_rev_avail: leaf.revocation_exempt,
    }
}

pub(crate) const fn usage(eku: Eku) -> ExtendedUsage {
    match eku {
        Eku::ServerAuth => ExtendedUsage::ServerAuth,
        Eku::ClientAuth => ExtendedUsage::ClientAuth,
        Eku::CodeSigning => ExtendedUsage::CodeSigning,
        Eku::EmailProtection => ExtendedUsage::EmailProtection,
        Eku::TimeStamping => ExtendedUsage::TimeStamping,
    }
}
