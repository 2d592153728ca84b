//! The control plane's own HTTPS certificates, before the operator brings better ones.

use crate::ca::{self, IssuerFacts, RootTemplate};
use crate::leaf::{self, ExtendedUsage, LeafTemplate};
use crate::{Der, Error, San, Serial, Subject, common_name_fits};
use certctl_kernel::Timestamp;
use certctl_ports::SigningKey;
use time::Duration;

/// Validity of the bootstrap CA.
pub const CA_VALIDITY: Duration = Duration::days(3650);
/// Validity of a bootstrap leaf.
pub const LEAF_VALIDITY: Duration = Duration::days(90);
/// How far back a certificate starts, against clocks that run behind.
const BACKDATE: Duration = Duration::hours(1);

/// A CA for the control plane's HTTPS only: ten years, no CA below it.
pub fn bootstrap_ca(common_name: &str, serial: Serial, now: Timestamp, key: &dyn SigningKey) -> Result<Der, Error> {
    let template = RootTemplate {
        serial,
        subject: Subject::common_name(common_name),
        not_before: now - BACKDATE,
        not_after: now + CA_VALIDITY,
        path_len: Some(0),
    };
    ca::build_self_signed_root(&template, key)
}

/// A server certificate under the bootstrap CA for 90 days, never longer than the CA.
pub fn bootstrap_leaf(
    sans: &[San],
    spki_der: &[u8],
    serial: Serial,
    now: Timestamp,
    issuer: &IssuerFacts,
    ca_key: &dyn SigningKey,
) -> Result<Der, Error> {
    let common_name = sans.iter().map(ToString::to_string).find(|name| common_name_fits(name));
    let template = LeafTemplate {
        serial,
        subject: Subject { common_name, ..Subject::default() },
        not_before: (now - BACKDATE).max(issuer.not_before),
        not_after: (now + LEAF_VALIDITY).min(issuer.not_after),
        spki_der: spki_der.to_vec(),
        sans: sans.to_vec(),
        usages: vec![ExtendedUsage::ServerAuth],
        content_commitment: false,
        ocsp_urls: Vec::new(),
        ca_issuer_urls: Vec::new(),
        crl_urls: Vec::new(),
        must_staple: false,
        no_rev_avail: false,
    };
    leaf::build(&template, issuer, ca_key)
}
