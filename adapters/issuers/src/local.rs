//! The local CA as an issuer.

use crate::authority::{Authority, off_the_reactor};
use async_trait::async_trait;
use certctl_ca::{IssuanceAuthorization, IssuingFacts, leaf_template, verify_leaf};
use certctl_kernel::Timestamp;
use certctl_port_issuer::{IssuedCertificate, Issuer, IssuerError};
use certctl_ports::{Clock, KeyAlgorithm, SigningKey};
use certctl_x509::ca::IssuerFacts;
use certctl_x509::leaf::{self, LeafTemplate};
use certctl_x509::{Error, certificate};
use std::sync::Arc;

/// A local CA, ready to sign.
pub(crate) struct LocalIssuer {
    pub(crate) authority: Arc<Authority>,
    pub(crate) facts: IssuingFacts,
    pub(crate) clock: Arc<dyn Clock>,
    rehearsal: Rehearsal,
}

/// A throw-away key: what is about to be signed is encoded and signed with it first, and read back, so that a leaf that
/// breaks a rule never carries a signature that anyone would trust.
struct Rehearsal {
    issuer: IssuerFacts,
    key: Arc<dyn SigningKey>,
}

impl LocalIssuer {
    pub(crate) fn new(
        authority: Arc<Authority>,
        facts: IssuingFacts,
        clock: Arc<dyn Clock>,
        throw_away: Arc<dyn SigningKey>,
    ) -> Self {
        let mut issuer = authority.facts.issuer();
        issuer.spki_der = throw_away.public_key_spki().to_vec();
        Self { authority, facts, clock, rehearsal: Rehearsal { issuer, key: throw_away } }
    }

    fn check_at(&self, now: Timestamp) -> Result<(), IssuerError> {
        self.authority.facts.check_at(now).map_err(|error| unusable(&error))
    }

    fn lint(&self, authorization: &IssuanceAuthorization, template: &LeafTemplate) -> Result<(), IssuerError> {
        let trial = leaf::build(template, &self.rehearsal.issuer, self.rehearsal.key.as_ref())
            .map_err(|error| refused(&error))?;
        let read = certificate::inspect(&trial).map_err(|error| refused(&error))?;
        let errors = verify_leaf(authorization.leaf(), &read);
        if errors.is_empty() { Ok(()) } else { Err(IssuerError::Lint(errors)) }
    }
}

pub(crate) fn unusable(error: &Error) -> IssuerError {
    IssuerError::Unusable { code: static_code(error), message: error.to_string() }
}

fn static_code(error: &Error) -> &'static str {
    match error {
        Error::Rule { rule, .. } => rule,
        Error::Key(_) => "ca_key_unusable",
        Error::Malformed { .. } | Error::Encode(_) => "ca_malformed",
    }
}

fn refused(error: &Error) -> IssuerError {
    IssuerError::Lint(vec![certctl_kernel::FieldError::new("csr_pem", error.code(), error.to_string())])
}

#[async_trait]
impl Issuer for LocalIssuer {
    fn facts(&self) -> &IssuingFacts {
        &self.facts
    }

    async fn issue(&self, authorization: IssuanceAuthorization) -> Result<IssuedCertificate, IssuerError> {
        crate::metrics::observed("local", self.sign(authorization)).await
    }

    async fn test(&self, now: Timestamp) -> Result<(), IssuerError> {
        self.check_at(now)?;
        let key = self.authority.key()?;
        self.authority.facts.check_key(key.as_ref()).map_err(|error| unusable(&error))
    }
}

impl LocalIssuer {
    /// Checks once more what is to be signed, and signs it.
    async fn sign(&self, authorization: IssuanceAuthorization) -> Result<IssuedCertificate, IssuerError> {
        if authorization.leaf().ca_id.as_deref() != Some(self.authority.record.id.as_str()) {
            return Err(IssuerError::Unusable {
                code: "ca_changed",
                message: "the issuer's CA changed since the decision; try again".to_owned(),
            });
        }
        self.check_at(self.clock.now())?;
        let template = leaf_template(authorization.leaf());
        self.lint(&authorization, &template)?;
        let (key, issuer) = (self.authority.key()?, self.authority.facts.issuer());
        let sign = move || leaf::build(&template, &issuer, key.as_ref());
        let leaf_der = match self.authority.facts.key.key_type {
            // Milliseconds; elliptic curves take a fraction of one.
            certctl_x509::KeyType::Rsa => off_the_reactor(sign).await?,
            _ => sign().map_err(|error| IssuerError::Signing(error.to_string()))?,
        };
        Ok(IssuedCertificate { leaf_der, chain_pem: self.authority.facts.chain_pem.clone() })
    }
}

/// What rehearsals are signed with, whatever the CA's own key is: it is the quickest.
pub(crate) const REHEARSAL_KEY: KeyAlgorithm = KeyAlgorithm::EcdsaP256;
