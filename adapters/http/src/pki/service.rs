//! Status of certificates as it is served: answers, lists and CA certificates, with what is kept of them in memory.

use super::cache::{OcspCache, SharedAnswer};
use crate::metrics::{self, OcspEvent};
use actix_web::web::Bytes;
use certctl_ca::Lend;
use certctl_kernel::{DomainError, Timestamp};
use certctl_port_issuer::{IssuerRegistry, StatusAuthority};
use certctl_ports::{Ambient, Change};
use certctl_revocation::{
    Freshness, PublishedCrl, Replace, Responder, ResponderKeys, SerialStatus, StatusSettings, answer, ensure_responder,
    publish_crl, published_crl, record_crl_failure, responder_for, stored_responder,
};
use certctl_unit_of_work::Database;
use certctl_x509::ocsp::{self, ErrorStatus, OcspRequest, RequestError};
use certctl_x509::{HashAlgorithm, Serial, sha256_hex};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A list ready to be sent.
#[derive(Debug)]
pub(crate) struct ServedCrl {
    issuer_id: String,
    pub(crate) ca_id: String,
    pub(crate) der: Bytes,
    pub(crate) etag: String,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
}

impl From<PublishedCrl> for ServedCrl {
    fn from(crl: PublishedCrl) -> Self {
        Self {
            etag: format!("\"{}\"", sha256_hex(&crl.der)),
            issuer_id: crl.issuer_id,
            ca_id: crl.ca_id,
            der: Bytes::from(crl.der),
            this_update: crl.this_update,
            next_update: crl.next_update,
        }
    }
}

/// What an OCSP client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OcspReply {
    /// An answer that any cache on the way may keep.
    Shared(SharedAnswer),
    /// An answer for this client alone.
    Private(Bytes),
    /// A refusal of the protocol.
    Refused(ErrorStatus),
    /// There is no such issuer.
    NoIssuer,
}

#[derive(Default)]
struct Kept {
    /// Whether changes of other replicas are heard; while they aren't, nothing is kept.
    trusted: bool,
    /// Moves with each change heard.
    epoch: u64,
    responders: HashMap<String, Arc<[Responder]>>,
    /// By issuer, and by CA where one was named.
    crls: HashMap<(String, Option<String>), Arc<ServedCrl>>,
}

/// Serves status objects.
pub struct StatusService {
    database: Arc<dyn Database>,
    issuers: Arc<dyn IssuerRegistry>,
    keys: ResponderKeys,
    ambient: Ambient,
    settings: StatusSettings,
    ocsp: OcspCache,
    kept: RwLock<Kept>,
}

impl StatusService {
    /// Puts the parts together. It trusts no cache before [`Self::on_connect`].
    pub fn new(
        database: Arc<dyn Database>,
        issuers: Arc<dyn IssuerRegistry>,
        keys: ResponderKeys,
        ambient: Ambient,
        settings: StatusSettings,
    ) -> Self {
        Self { database, issuers, keys, ambient, settings, ocsp: OcspCache::new(), kept: RwLock::default() }
    }

    /// Changes are heard from now on: caches start empty and are trusted.
    pub fn on_connect(&self) {
        self.reset(true);
    }

    /// Changes may go unheard: nothing cached is trusted any more.
    pub fn on_disconnect(&self) {
        self.reset(false);
    }

    fn reset(&self, trusted: bool) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = kept.epoch + 1;
        *kept = Kept { trusted, epoch, ..Kept::default() };
        self.ocsp.clear();
        self.issuers.set_trusted(trusted);
    }

    /// Drops what a committed change made wrong. Called for each change heard, and by whoever revokes on this replica
    /// before the request is answered.
    pub fn on_change(&self, change: &Change) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Access | Change::Approval(_) | Change::SessionKeys | Change::IdentityProvider(_) => return,
            Change::Issuer(id) => {
                kept.responders.remove(id);
                kept.crls.retain(|_, crl| crl.issuer_id != *id);
                self.issuers.forget(id);
            }
            Change::Revocation(ca_id, serial) => {
                kept.crls.retain(|_, crl| crl.ca_id != *ca_id);
                self.ocsp.invalidate(ca_id, serial);
            }
        }
        kept.epoch += 1;
    }

    fn look<T>(&self, find: impl FnOnce(&Kept) -> Option<T>) -> (Option<T>, u64, bool) {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        (if kept.trusted { find(&kept) } else { None }, kept.epoch, kept.trusted)
    }

    fn keep(&self, epoch: u64, put: impl FnOnce(&mut Kept)) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.trusted && kept.epoch == epoch {
            put(&mut kept);
        }
    }

    /// Answers a request in DER about certificates of the issuer.
    pub(crate) async fn ocsp(&self, issuer_id: &str, der: &[u8]) -> OcspReply {
        let responders = match self.responders(issuer_id).await {
            Ok(responders) => responders,
            Err(error) => return refusal(&error),
        };
        match ocsp::parse_request(der) {
            Ok(request) => self.answer(request, &responders).await,
            Err(error) => {
                if matches!(error, RequestError::Nonce(_)) {
                    metrics::ocsp(OcspEvent::NonceMalformed);
                }
                OcspReply::Refused(error.status())
            }
        }
    }

    /// Answers for one serial of the issuer's newest CA, as the form with the serial in the address asks.
    pub(crate) async fn ocsp_by_serial(&self, issuer_id: &str, serial: &str) -> OcspReply {
        let Ok(serial) = Serial::parse(serial) else { return OcspReply::Refused(ErrorStatus::MalformedRequest) };
        let responders = match self.responders(issuer_id).await {
            Ok(responders) => responders,
            Err(error) => return refusal(&error),
        };
        let Some(newest) = responders.first() else { return OcspReply::Refused(ErrorStatus::Unauthorized) };
        match ocsp::CertId::of(&newest.ca.hashes, HashAlgorithm::Sha1, &serial) {
            Ok(entry) => self.answer(OcspRequest { entries: vec![entry], nonce: None }, &responders).await,
            // Twenty octets with the high bit set: no such number can be written as a serial.
            Err(_) => OcspReply::Refused(ErrorStatus::MalformedRequest),
        }
    }

    async fn answer(&self, request: OcspRequest, responders: &[Responder]) -> OcspReply {
        let responder = match responder_for(&request, responders) {
            Ok(responder) => responder,
            Err(status) => return OcspReply::Refused(status),
        };
        let now = self.ambient.now();
        // Before the database is read: what is revoked after this can't be overwritten by what is read now.
        let epoch = self.ocsp.epoch();
        let (_, _, trusted) = self.look(|_| None::<()>);
        let single = match request.entries.as_slice() {
            [only] if request.nonce.is_none() => Some(only.clone()),
            _ => None,
        };
        if trusted
            && let Some(entry) = &single
            && let Some(known) = self.ocsp.get(&responder.ca_id, &entry.serial, &entry.raw, now)
        {
            return OcspReply::Shared(known);
        }
        let serials: Vec<String> = request.entries.iter().map(|entry| entry.serial.clone()).collect();
        let statuses = async {
            let mut unit = self.database.read().await?;
            unit.stores().serial_statuses(&responder.issuer_id, &responder.ca_id, &serials).await
        };
        let statuses = match statuses.await {
            Ok(statuses) => statuses,
            Err(error) => {
                tracing::warn!(%error, "the status of a certificate could not be read");
                return OcspReply::Refused(ErrorStatus::TryLater);
            }
        };
        if statuses.contains(&SerialStatus::Unknown) {
            metrics::ocsp(OcspEvent::CertNotFound);
        }
        if request.nonce.is_some() {
            metrics::ocsp(OcspEvent::NonceEchoed);
        }
        let signed = match answer(&request.entries, &statuses, request.nonce, responder, &self.settings, now) {
            Ok(signed) => signed,
            Err(status) => return OcspReply::Refused(status),
        };
        let der = Bytes::from(signed.der);
        let (Some(entry), true) = (single, signed.shareable) else { return OcspReply::Private(der) };
        let shared = SharedAnswer { der, this_update: signed.this_update, next_update: signed.next_update };
        if trusted {
            self.ocsp.put(epoch, &responder.ca_id, &entry.serial, &entry.raw, shared.clone());
        }
        OcspReply::Shared(shared)
    }

    /// The responders of every CA generation of the issuer, newest first; made where there is none.
    async fn responders(&self, issuer_id: &str) -> Result<Arc<[Responder]>, DomainError> {
        let now = self.ambient.now();
        let (known, ..) = self.look(|kept| kept.responders.get(issuer_id).cloned());
        if let Some(known) = known.filter(|list| list.iter().all(|responder| now < responder.not_after)) {
            return Ok(known);
        }
        let missing = match self.load_responders(issuer_id, now).await? {
            (responders, missing) if missing.is_empty() => return Ok(responders),
            (_, missing) => missing,
        };
        for authority in missing {
            self.make_responder(authority.as_ref(), Replace::WhenGone).await?;
        }
        Ok(self.load_responders(issuer_id, now).await?.0)
    }

    /// The stored responders, and the CA generations that have none. They are kept when all are there.
    async fn load_responders(
        &self,
        issuer_id: &str,
        now: Timestamp,
    ) -> Result<(Arc<[Responder]>, Vec<Arc<dyn StatusAuthority>>), DomainError> {
        let (_, epoch, _) = self.look(|_| None::<()>);
        let (mut responders, mut missing) = (Vec::new(), Vec::new());
        let mut unit = self.database.read().await?;
        for authority in self.issuers.authorities(&mut Lend(unit.stores()), issuer_id).await? {
            match stored_responder(unit.stores(), authority.as_ref(), &self.keys, now).await? {
                Some(responder) => responders.push(responder),
                None => missing.push(authority),
            }
        }
        let responders: Arc<[Responder]> = responders.into();
        if missing.is_empty() {
            self.keep(epoch, |kept| {
                kept.responders.insert(issuer_id.to_owned(), Arc::clone(&responders));
            });
        }
        Ok((responders, missing))
    }

    async fn make_responder(
        &self,
        authority: &dyn StatusAuthority,
        replace: Replace,
    ) -> Result<(Responder, bool), DomainError> {
        let mut unit = self.database.begin().await?;
        let stores = unit.stores();
        let made = ensure_responder(stores, authority, &self.keys, &self.ambient, &self.settings, replace).await;
        match made {
            Ok((responder, true)) => {
                unit.save().await?;
                self.on_change(&Change::Issuer(responder.issuer_id.clone()));
                Ok((responder, true))
            }
            other => {
                unit.discard().await?;
                other
            }
        }
    }

    async fn authorities(&self, issuer_id: &str) -> Result<Vec<Arc<dyn StatusAuthority>>, DomainError> {
        let mut unit = self.database.read().await?;
        Ok(self.issuers.authorities(&mut Lend(unit.stores()), issuer_id).await?)
    }

    /// The issuer's CA with this id, or its newest.
    async fn authority(&self, issuer_id: &str, ca_id: Option<&str>) -> Result<Arc<dyn StatusAuthority>, DomainError> {
        let mut authorities = self.authorities(issuer_id).await?.into_iter();
        let wanted = authorities.find(|authority| ca_id.is_none_or(|id| authority.ca().id == id));
        wanted.ok_or_else(|| DomainError::not_found("CA of issuer", issuer_id))
    }

    /// The CRL of one CA of the issuer, or of its newest; shows every revocation that was committed before the call.
    pub(crate) async fn crl(&self, issuer_id: &str, ca_id: Option<&str>) -> Result<Arc<ServedCrl>, DomainError> {
        let now = self.ambient.now();
        let key = (issuer_id.to_owned(), ca_id.map(str::to_owned));
        let (known, epoch, _) = self.look(|kept| kept.crls.get(&key).cloned());
        let first_half = |crl: &Arc<ServedCrl>| now < crl.this_update + (crl.next_update - crl.this_update) / 2;
        if let Some(known) = known.filter(first_half) {
            return Ok(known);
        }
        let authority = self.authority(issuer_id, ca_id).await?;
        let stored = {
            let mut unit = self.database.read().await?;
            published_crl(unit.stores(), &authority.ca().id, now, Freshness::Serving).await?
        };
        let crl = match stored {
            Some(crl) => crl,
            None => self.publish(authority.as_ref(), Freshness::Serving).await?.0,
        };
        let served = Arc::new(ServedCrl::from(crl));
        self.keep(epoch, |kept| {
            kept.crls.insert(key, Arc::clone(&served));
        });
        Ok(served)
    }

    /// Makes the next CRL of every CA of the issuer now, whatever the published ones say.
    pub(crate) async fn regenerate_crls(&self, issuer_id: &str) -> Result<Vec<PublishedCrl>, DomainError> {
        let authorities = self.authorities(issuer_id).await?;
        if authorities.is_empty() {
            return Err(DomainError::not_found("CA of issuer", issuer_id));
        }
        let mut made = Vec::with_capacity(authorities.len());
        for authority in authorities {
            made.push(self.publish(authority.as_ref(), Freshness::New).await?.0);
        }
        self.on_change(&Change::Issuer(issuer_id.to_owned()));
        Ok(made)
    }

    async fn publish(
        &self,
        authority: &dyn StatusAuthority,
        freshness: Freshness,
    ) -> Result<(PublishedCrl, bool), DomainError> {
        let mut unit = self.database.begin().await?;
        let stores = unit.stores();
        let made = publish_crl(stores, authority, &self.ambient, &self.settings, freshness).await;
        match made {
            Ok((crl, true)) => {
                unit.save().await?;
                Ok((crl, true))
            }
            Ok(known) => {
                unit.discard().await?;
                Ok(known)
            }
            Err(error) => {
                unit.discard().await?;
                self.remember_failure(authority, &error).await?;
                self.still_valid(authority, error).await.map(|crl| (crl, false))
            }
        }
    }

    async fn remember_failure(&self, authority: &dyn StatusAuthority, error: &DomainError) -> Result<(), DomainError> {
        tracing::error!(ca = authority.ca().id, %error, "a CRL could not be made");
        let mut unit = self.database.begin().await?;
        record_crl_failure(unit.stores(), authority, &self.ambient, error).await?;
        Ok(unit.save_unaudited("a failed attempt changed nothing").await?)
    }

    /// An older list that is within its time is better than none; one past it is worse.
    async fn still_valid(
        &self,
        authority: &dyn StatusAuthority,
        error: DomainError,
    ) -> Result<PublishedCrl, DomainError> {
        let mut unit = self.database.read().await?;
        let state = unit.stores().crl(&authority.ca().id).await?;
        state.map(|state| state.crl).filter(|crl| self.ambient.now() < crl.next_update).ok_or(error)
    }

    /// The certificate of one CA of the issuer, or of its newest.
    pub(crate) async fn ca_certificate(&self, issuer_id: &str, ca_id: Option<&str>) -> Result<Vec<u8>, DomainError> {
        Ok(self.authority(issuer_id, ca_id).await?.ca().cert_der.clone())
    }

    /// Makes the CRLs that are missing, show too little or are in the second half of their time; tells how many. One
    /// issuer's failure does not keep the others from theirs.
    pub async fn crl_tick(&self) -> Result<i64, DomainError> {
        let stale = {
            let mut unit = self.database.read().await?;
            unit.stores().issuers_with_stale_crls(self.ambient.now()).await?
        };
        let mut made = 0;
        for issuer_id in stale {
            match self.publish_all(&issuer_id).await {
                Ok(count) => made += count,
                Err(error) => tracing::error!(issuer_id, %error, "the CRLs of an issuer could not be made"),
            }
        }
        let mut unit = self.database.begin().await?;
        unit.stores().purge_crl_events(self.ambient.now() - time::Duration::days(90)).await?;
        unit.save_unaudited("attempts past their time are forgotten").await?;
        Ok(made)
    }

    async fn publish_all(&self, issuer_id: &str) -> Result<i64, DomainError> {
        let mut made = 0;
        for authority in self.authorities(issuer_id).await? {
            made += i64::from(self.publish(authority.as_ref(), Freshness::FirstHalf).await?.1);
        }
        Ok(made)
    }

    /// Replaces the responders whose time is half over or within the grace period; tells how many.
    pub async fn responder_tick(&self) -> Result<i64, DomainError> {
        let deadline = Replace::InGoodTime.deadline(&self.settings, self.ambient.now());
        let ending = {
            let mut unit = self.database.read().await?;
            unit.stores().issuers_with_ending_responders(deadline).await?
        };
        let mut made = 0;
        for issuer_id in ending {
            let outcome = async {
                let mut count = 0;
                for authority in self.authorities(&issuer_id).await? {
                    count += i64::from(self.make_responder(authority.as_ref(), Replace::InGoodTime).await?.1);
                }
                Ok::<_, DomainError>(count)
            };
            match outcome.await {
                Ok(count) => made += count,
                Err(error) => {
                    tracing::error!(issuer_id, %error, "the OCSP responder of an issuer could not be replaced");
                }
            }
        }
        Ok(made)
    }
}

fn refusal(error: &DomainError) -> OcspReply {
    match error {
        DomainError::NotFound { .. } => OcspReply::NoIssuer,
        DomainError::NotSupported { .. } => OcspReply::Refused(ErrorStatus::Unauthorized),
        DomainError::Store(_) => OcspReply::Refused(ErrorStatus::TryLater),
        other => {
            tracing::error!(error = %other, "an OCSP responder can't be used");
            OcspReply::Refused(ErrorStatus::TryLater)
        }
    }
}
