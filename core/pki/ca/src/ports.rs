//! The store of CA certificates, blocked keys and orphans.

use crate::hierarchy::CaUsage;
use crate::{CaRecord, CaState, IssuerSettings, Orphan};
use async_trait::async_trait;
use certctl_audit::{AuditEvent, AuditLog};
use certctl_kernel::{StoreError, Timestamp};
use certctl_ports::{Announcer, Change};

/// CA certificates and what stands near them.
#[async_trait]
pub trait CaStore: Send {
    /// The issuer's row, as far as CA material depends on it.
    async fn issuer_settings(&mut self, issuer_id: &str) -> Result<Option<IssuerSettings>, StoreError>;
    /// Waits until this transaction alone may change the CA material of `issuer_id`, on any replica.
    async fn lock_ca(&mut self, issuer_id: &str) -> Result<(), StoreError>;
    /// Every generation of the issuer, newest first.
    async fn ca_certificates(&mut self, issuer_id: &str) -> Result<Vec<CaRecord>, StoreError>;
    /// Stores a new generation and makes it the issuer's signing CA; an active one before it turns to retiring.
    async fn insert_ca_certificate(&mut self, ca: &CaRecord) -> Result<(), StoreError>;
    /// Stores a CA below another; which CA signs leaves stays as it is. Fails with a duplicate for a name in use.
    async fn insert_intermediate(&mut self, ca: &CaRecord) -> Result<(), StoreError>;
    /// The CA with this id, of any issuer.
    async fn ca_certificate(&mut self, id: &str) -> Result<Option<CaRecord>, StoreError>;
    /// What stands in the way of retiring it.
    async fn ca_usage(&mut self, id: &str, now: Timestamp) -> Result<CaUsage, StoreError>;
    /// Moves it to another state.
    async fn set_ca_state(&mut self, id: &str, state: CaState, now: Timestamp) -> Result<(), StoreError>;
    /// Whether the key is blocked, is a key of our own CAs or responders, or was revoked as compromised.
    async fn key_is_barred(&mut self, spki_sha256: &str) -> Result<bool, StoreError>;
    /// Bars the key from being certified; repeating it changes nothing.
    async fn block_key(&mut self, spki_sha256: &str, reason: &str, by: &str, now: Timestamp) -> Result<(), StoreError>;
    /// Remembers a leaf whose commit failed, unless it is recorded after all; tells whether it was remembered.
    async fn record_orphan(&mut self, orphan: &Orphan, now: Timestamp) -> Result<bool, StoreError>;
}

/// What loading and making CA material needs of a transaction.
pub trait CaTransaction: CaStore + AuditLog + Announcer {}

impl<T: CaStore + AuditLog + Announcer> CaTransaction for T {}

/// Lends a transaction of any type as a [`CaTransaction`] trait object.
pub struct Lend<'a, T: ?Sized>(pub &'a mut T);

#[async_trait]
impl<T: CaStore + ?Sized> CaStore for Lend<'_, T> {
    async fn issuer_settings(&mut self, issuer_id: &str) -> Result<Option<IssuerSettings>, StoreError> {
        self.0.issuer_settings(issuer_id).await
    }

    async fn lock_ca(&mut self, issuer_id: &str) -> Result<(), StoreError> {
        self.0.lock_ca(issuer_id).await
    }

    async fn ca_certificates(&mut self, issuer_id: &str) -> Result<Vec<CaRecord>, StoreError> {
        self.0.ca_certificates(issuer_id).await
    }

    async fn insert_ca_certificate(&mut self, ca: &CaRecord) -> Result<(), StoreError> {
        self.0.insert_ca_certificate(ca).await
    }

    async fn insert_intermediate(&mut self, ca: &CaRecord) -> Result<(), StoreError> {
        self.0.insert_intermediate(ca).await
    }

    async fn ca_certificate(&mut self, id: &str) -> Result<Option<CaRecord>, StoreError> {
        self.0.ca_certificate(id).await
    }

    async fn ca_usage(&mut self, id: &str, now: Timestamp) -> Result<CaUsage, StoreError> {
        self.0.ca_usage(id, now).await
    }

    async fn set_ca_state(&mut self, id: &str, state: CaState, now: Timestamp) -> Result<(), StoreError> {
        self.0.set_ca_state(id, state, now).await
    }

    async fn key_is_barred(&mut self, spki_sha256: &str) -> Result<bool, StoreError> {
        self.0.key_is_barred(spki_sha256).await
    }

    async fn block_key(&mut self, spki_sha256: &str, reason: &str, by: &str, now: Timestamp) -> Result<(), StoreError> {
        self.0.block_key(spki_sha256, reason, by, now).await
    }

    async fn record_orphan(&mut self, orphan: &Orphan, now: Timestamp) -> Result<bool, StoreError> {
        self.0.record_orphan(orphan, now).await
    }
}

#[async_trait]
impl<T: AuditLog + ?Sized> AuditLog for Lend<'_, T> {
    async fn record(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        self.0.record(event).await
    }
}

#[async_trait]
impl<T: Announcer + ?Sized> Announcer for Lend<'_, T> {
    async fn announce(&mut self, change: Change) -> Result<(), StoreError> {
        self.0.announce(change).await
    }
}
