//! An issuer in memory, for the tests of whoever needs one.

use crate::{AuthorityContent, CrlContent, ResponderContent};
use crate::{IssuedCertificate, Issuer, IssuerError, IssuerRegistry, StatusAuthority};
use async_trait::async_trait;
use certctl_ca::{
    CaRecord, CaTransaction, IssuanceAuthorization, IssuingFacts, LocalCaConfig, StatusUrls, leaf_template, make_root,
};
use certctl_kernel::Timestamp;
use certctl_ports::fakes::TicketSealer;
use certctl_ports::{Ambient, KeyGenerator, SigningKey};
use certctl_x509::ca::{self, CaFacts, ResponderTemplate};
use certctl_x509::crl::{self, CrlTemplate};
use certctl_x509::leaf;
use std::sync::Arc;
use time::Duration;

/// A root in memory that is issuer, registry of itself and status authority at once.
#[derive(Clone)]
pub struct FakeIssuer {
    facts: IssuingFacts,
    record: Arc<CaRecord>,
    loaded: CaFacts,
    key: Arc<dyn SigningKey>,
}

impl FakeIssuer {
    /// A fresh root for `issuer_id`.
    ///
    /// # Panics
    /// When the root can't be made.
    pub fn new(issuer_id: &str, ambient: &Ambient, keys: &dyn KeyGenerator) -> Self {
        let config =
            LocalCaConfig::parse(&serde_json::Value::Object(serde_json::Map::new())).expect("the defaults are valid");
        let made = make_root(issuer_id, 1, &config, ambient, Duration::minutes(1), keys, &TicketSealer::default())
            .unwrap_or_else(|error| panic!("a root: {error}"));
        let record = Arc::new(made.record);
        let facts = IssuingFacts {
            issuer_id: issuer_id.to_owned(),
            enabled: true,
            ca: Some(Arc::clone(&record)),
            chain_not_after: made.facts.chain_not_after,
            constraints: made.facts.constraints.clone(),
            default_validity: Duration::days(90),
            backdate: Duration::seconds(60),
            urls: StatusUrls::of(&config, issuer_id, &record.id, Some("http://pki.example")),
        };
        Self { facts, record, loaded: made.facts, key: Arc::from(made.key) }
    }

    /// The same issuer with other facts, such as a disabled one.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut IssuingFacts)) -> Self {
        change(&mut self.facts);
        self
    }
}

fn signing(error: &certctl_x509::Error) -> IssuerError {
    IssuerError::Signing(error.to_string())
}

#[async_trait]
impl Issuer for FakeIssuer {
    fn facts(&self) -> &IssuingFacts {
        &self.facts
    }

    async fn issue(&self, authorization: IssuanceAuthorization) -> Result<IssuedCertificate, IssuerError> {
        let template = leaf_template(authorization.leaf());
        let leaf_der =
            leaf::build(&template, &self.loaded.issuer(), self.key.as_ref()).map_err(|error| signing(&error))?;
        Ok(IssuedCertificate { leaf_der, chain_pem: self.loaded.chain_pem.clone() })
    }

    async fn test(&self, now: Timestamp) -> Result<(), IssuerError> {
        self.loaded.check_at(now).map_err(|error| signing(&error))
    }
}

#[async_trait]
impl StatusAuthority for FakeIssuer {
    fn ca(&self) -> &Arc<CaRecord> {
        &self.record
    }

    async fn sign_crl(&self, content: CrlContent) -> Result<Vec<u8>, IssuerError> {
        let CrlContent { number, this_update, next_update, entries } = content;
        let template = CrlTemplate { number, this_update, next_update, entries };
        crl::build(&template, &self.loaded.issuer(), self.key.as_ref()).map_err(|error| signing(&error))
    }

    async fn certify_authority(&self, content: AuthorityContent) -> Result<Vec<u8>, IssuerError> {
        let template = content.template(&StatusUrls::default());
        ca::build_subordinate(&template, &self.loaded.issuer(), self.key.as_ref()).map_err(|error| signing(&error))
    }

    async fn certify_responder(&self, content: ResponderContent) -> Result<Vec<u8>, IssuerError> {
        let ResponderContent { serial, spki_der, not_before, not_after } = content;
        let subject = ca::responder_subject(&self.loaded);
        let template = ResponderTemplate { serial, subject, not_before, not_after, spki_der };
        ca::build_ocsp_responder(&template, &self.loaded.issuer(), self.key.as_ref()).map_err(|error| signing(&error))
    }
}

#[async_trait]
impl IssuerRegistry for FakeIssuer {
    async fn issuer(&self, _: &mut dyn CaTransaction, issuer_id: &str) -> Result<Arc<dyn Issuer>, IssuerError> {
        if issuer_id == self.facts.issuer_id {
            Ok(Arc::new(self.clone()))
        } else {
            Err(IssuerError::Unknown(issuer_id.to_owned()))
        }
    }

    async fn authorities(
        &self,
        _: &mut dyn CaTransaction,
        issuer_id: &str,
    ) -> Result<Vec<Arc<dyn StatusAuthority>>, IssuerError> {
        if issuer_id == self.facts.issuer_id {
            Ok(vec![Arc::new(self.clone())])
        } else {
            Err(IssuerError::Unknown(issuer_id.to_owned()))
        }
    }

    fn forget(&self, _: &str) {}

    fn set_trusted(&self, _: bool) {}
}
