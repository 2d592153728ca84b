//! A CA generation with its key: CRLs and OCSP responders.

use async_trait::async_trait;
use certctl_ca::{CaRecord, StatusUrls};
use certctl_kernel::FieldError;
use certctl_port_issuer::{AuthorityContent, CrlContent, IssuerError, ResponderContent, StatusAuthority};
use certctl_ports::SigningKey;
use certctl_x509::Error;
use certctl_x509::ca::{self, CaFacts, ResponderTemplate};
use certctl_x509::crl::{self, CrlTemplate};
use std::sync::Arc;

/// A loaded CA generation.
pub(crate) struct Authority {
    pub(crate) record: Arc<CaRecord>,
    pub(crate) facts: CaFacts,
    /// Where the status of what it signs is found.
    pub(crate) urls: StatusUrls,
    /// Absent when an operator's files hold the key of another generation by now.
    pub(crate) key: Option<Arc<dyn SigningKey>>,
}

impl Authority {
    pub(crate) fn key(&self) -> Result<Arc<dyn SigningKey>, IssuerError> {
        self.key.clone().ok_or_else(|| IssuerError::Unusable {
            code: "ca_key_gone",
            message: format!("the private key of CA {} is not there any more", self.record.id),
        })
    }
}

/// Signing may take milliseconds; the threads that answer requests must not wait for it.
pub(crate) async fn off_the_reactor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, certctl_x509::Error> + Send + 'static,
) -> Result<T, IssuerError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| IssuerError::Signing(error.to_string()))?
        .map_err(|error| IssuerError::Signing(error.to_string()))
}

/// The member of an order that a rule is about.
fn field_of(rule: &str) -> &'static str {
    match rule {
        "path_len" => "path_len_constraint",
        "name_constraints" => "name_constraints",
        "validity" => "ttl_days",
        _ => "subject",
    }
}

#[async_trait]
impl StatusAuthority for Authority {
    fn ca(&self) -> &Arc<CaRecord> {
        &self.record
    }

    async fn sign_crl(&self, content: CrlContent) -> Result<Vec<u8>, IssuerError> {
        let (key, issuer) = (self.key()?, self.facts.issuer());
        off_the_reactor(move || {
            let CrlContent { number, this_update, next_update, entries } = content;
            crl::build(&CrlTemplate { number, this_update, next_update, entries }, &issuer, key.as_ref())
        })
        .await
    }

    async fn certify_authority(&self, content: AuthorityContent) -> Result<Vec<u8>, IssuerError> {
        let (key, issuer) = (self.key()?, self.facts.issuer());
        let template = content.template(&self.urls);
        let built = tokio::task::spawn_blocking(move || ca::build_subordinate(&template, &issuer, key.as_ref())).await;
        built.map_err(|error| IssuerError::Signing(error.to_string()))?.map_err(|error| match error {
            Error::Rule { rule, message } => IssuerError::Lint(vec![FieldError::new(field_of(rule), rule, message)]),
            other => IssuerError::Signing(other.to_string()),
        })
    }

    async fn certify_responder(&self, content: ResponderContent) -> Result<Vec<u8>, IssuerError> {
        let (key, issuer) = (self.key()?, self.facts.issuer());
        let subject = ca::responder_subject(&self.facts);
        off_the_reactor(move || {
            let ResponderContent { serial, spki_der, not_before, not_after } = content;
            let template = ResponderTemplate { serial, subject, not_before, not_after, spki_der };
            ca::build_ocsp_responder(&template, &issuer, key.as_ref())
        })
        .await
    }
}
