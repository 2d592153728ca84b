//! CRLs and OCSP responders that are made ahead of being asked for.

use certctl_ca::Lend;
use certctl_inventory::IssuerFilter;
use certctl_kernel::{DomainError, ListQuery};
use certctl_port_issuer::{IssuerError, IssuerRegistry};
use certctl_ports::{Ambient, KeyGenerator, Sealer};
use certctl_revocation::{Freshness, Replace, ResponderKeys, StatusSettings, ensure_responder, publish_crl};
use certctl_unit_of_work::Stores;
use std::sync::Arc;

/// What the loop works with.
pub(crate) struct CrlLoop {
    pub(crate) issuers: Arc<dyn IssuerRegistry>,
    pub(crate) keys: Arc<dyn KeyGenerator>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) settings: StatusSettings,
}

impl CrlLoop {
    /// Renews every CRL in the second half of its time and every responder near its end; returns how many were made.
    pub(crate) async fn run(&self, stores: &mut dyn Stores, ambient: &Ambient) -> Result<i64, DomainError> {
        let mut made = 0;
        let list = ListQuery::clamped(None, Some(500), None);
        let issuers = stores.issuers_page(&IssuerFilter::default(), &list).await?;
        for issuer in issuers.rows {
            let authorities = match self.issuers.authorities(&mut Lend(&mut *stores), &issuer.id).await {
                Ok(authorities) => authorities,
                // External issuers publish their own.
                Err(IssuerError::NotSupported { .. }) => continue,
                Err(error) => {
                    tracing::error!(issuer = issuer.id, %error, "the CA of an issuer can't be used");
                    continue;
                }
            };
            for authority in authorities {
                let with = ResponderKeys { keys: Arc::clone(&self.keys), sealer: Arc::clone(&self.sealer) };
                let (_, fresh) =
                    publish_crl(stores, authority.as_ref(), ambient, &self.settings, Freshness::FirstHalf).await?;
                let (_, rotated) =
                    ensure_responder(stores, authority.as_ref(), &with, ambient, &self.settings, Replace::InGoodTime)
                        .await?;
                made += i64::from(fresh) + i64::from(rotated);
            }
        }
        Ok(made)
    }
}
