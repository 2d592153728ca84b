//! The CAs of local issuers.

use crate::edge::{ApiError, Cx, Gate, Route};
use certctl_ca::CaRecord;
use certctl_kernel::{Timestamp, timestamp};
use certctl_ports::Change;
use certctl_rbac::Permission;
use certctl_x509::constraints::NameRules;
use certctl_x509::pem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

mod activate;
mod create;
mod get;
mod list;
mod retire;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    const MANAGE: Gate = Gate::Permission(Permission::CaHierarchyManage);
    vec![
        crate::route!(MANAGE, create),
        crate::route!(MANAGE, list),
        crate::route!(MANAGE, get),
        crate::route!(MANAGE, retire),
        crate::route!(MANAGE, activate),
    ]
}

/// Drops what this replica keeps of the issuer; the others hear of the commit. Also after a commit whose answer was lost:
/// it may have happened.
fn forget(cx: &Cx, issuer_id: Option<&str>) -> Result<(), ApiError> {
    if let Some(id) = issuer_id {
        cx.state().status()?.on_change(&Change::Issuer(id.to_owned()));
    }
    Ok(())
}

/// Names that a CA may and must not certify: domains, networks such as `10.0.0.0/8`, `email:` or `uri:` before a host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CaNameConstraints)]
pub(crate) struct NameConstraintsBody {
    #[serde(default)]
    #[schema(required = false)]
    permitted: Vec<String>,
    #[serde(default)]
    #[schema(required = false)]
    excluded: Vec<String>,
}

impl From<NameRules> for NameConstraintsBody {
    fn from(rules: NameRules) -> Self {
        let texts = |list: &[certctl_x509::constraints::Subtree]| list.iter().map(ToString::to_string).collect();
        Self { permitted: texts(&rules.permitted), excluded: texts(&rules.excluded) }
    }
}

/// A CA certificate of an issuer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntermediateCa)]
pub(crate) struct CaBody {
    id: String,
    owning_issuer_id: String,
    /// Absent for a root and for a CA that an operator brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    parent_ca_id: Option<String>,
    name: String,
    /// RFC 4514, most specific part first.
    subject: String,
    /// `active`, `retiring` or `retired`.
    state: &'static str,
    cert_pem: String,
    /// Where the private key is: `sealed` in the database, or a `file` of the operator's. Never the key.
    key_driver_id: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    path_len_constraint: Option<u8>,
    /// As the certificate states them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    name_constraints: Vec<NameConstraintsBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    ocsp_responder_url: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    metadata: BTreeMap<String, String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<CaRecord> for CaBody {
    fn from(ca: CaRecord) -> Self {
        let rules = NameRules::of_certificate(&ca.cert_der).unwrap_or_default();
        Self {
            cert_pem: pem::encode(pem::CERTIFICATE, &ca.cert_der),
            key_driver_id: ca.key.driver().to_owned(),
            name_constraints: if rules.is_empty() { Vec::new() } else { vec![rules.into()] },
            id: ca.id,
            owning_issuer_id: ca.issuer_id,
            parent_ca_id: ca.parent_ca_id,
            name: ca.name,
            subject: ca.subject,
            state: ca.state.as_str(),
            not_before: ca.not_before,
            not_after: ca.not_after,
            path_len_constraint: ca.path_len,
            ocsp_responder_url: ca.ocsp_responder_url,
            metadata: ca.metadata,
            created_at: ca.created_at,
            updated_at: ca.updated_at,
        }
    }
}
