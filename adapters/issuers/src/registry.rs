//! Finding, loading and making local CAs.

use crate::authority::Authority;
use crate::files;
use crate::local::{LocalIssuer, REHEARSAL_KEY, unusable};
use async_trait::async_trait;
use certctl_audit::{Action, AuditEvent};
use certctl_ca::{
    CaFiles, CaKey, CaKind, CaRecord, CaState, CaTransaction, IssuerSettings, IssuingFacts, LOCAL_CA_KIND,
    LocalCaConfig, NewCa, RootError, StatusUrls, key_context, make_root, operator_ca,
};
use certctl_kernel::{RequestContext, timestamp};
use certctl_port_issuer::{Issuer, IssuerError, IssuerRegistry, StatusAuthority};
use certctl_ports::{Ambient, Change, KeyError, KeyGenerator, Sealer, SigningKey};
use certctl_x509::{ca, sha256_hex};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use time::Duration;

/// How local CAs issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalIssuerSettings {
    /// How far notBefore of leaves and roots lies in the past (`CERTCTL_ISSUANCE_BACKDATE`).
    pub backdate: Duration,
    /// Public address from which AIA and CRL addresses are derived (`CERTCTL_PKI_BASE_URL`).
    pub pki_base_url: Option<String>,
}

impl Default for LocalIssuerSettings {
    fn default() -> Self {
        Self { backdate: Duration::seconds(60), pki_base_url: None }
    }
}

/// The local CAs of this installation, kept in memory once loaded.
pub struct LocalIssuers {
    ambient: Ambient,
    keys: Arc<dyn KeyGenerator>,
    sealer: Arc<dyn Sealer>,
    settings: LocalIssuerSettings,
    cache: RwLock<Cache>,
}

#[derive(Default)]
struct Cache {
    trusted: bool,
    /// Grows with each change heard; what was read before is not kept after.
    epoch: u64,
    issuers: HashMap<String, Arc<LocalIssuer>>,
    authorities: HashMap<String, Vec<Arc<Authority>>>,
    /// CAs (and their issuers) made by transactions of this replica that may not have committed yet. Their commit is
    /// announced and heard.
    uncommitted: HashMap<String, String>,
}

impl LocalIssuers {
    /// With keys made by `keys` and sealed by `sealer`.
    pub fn new(
        ambient: Ambient,
        keys: Arc<dyn KeyGenerator>,
        sealer: Arc<dyn Sealer>,
        settings: LocalIssuerSettings,
    ) -> Self {
        Self { ambient, keys, sealer, settings, cache: RwLock::default() }
    }

    fn cached<T>(&self, look: impl FnOnce(&Cache) -> Option<T>) -> (Option<T>, u64) {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        (if cache.trusted { look(&cache) } else { None }, cache.epoch)
    }

    fn keep(&self, epoch: u64, ca_ids: &[&str], put: impl FnOnce(&mut Cache)) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        let committed = !ca_ids.iter().any(|id| cache.uncommitted.contains_key(*id));
        if cache.trusted && cache.epoch == epoch && committed {
            put(&mut cache);
        }
    }

    async fn config(
        &self,
        stores: &mut dyn CaTransaction,
        issuer_id: &str,
    ) -> Result<(LocalCaConfig, IssuerSettings), IssuerError> {
        let settings =
            stores.issuer_settings(issuer_id).await?.ok_or_else(|| IssuerError::Unknown(issuer_id.to_owned()))?;
        if settings.kind != LOCAL_CA_KIND {
            return Err(IssuerError::NotSupported(format!("issuers of type {} are not supported yet", settings.kind)));
        }
        let config = LocalCaConfig::parse(&settings.config).map_err(IssuerError::Misconfigured)?;
        Ok((config, settings))
    }

    /// The CA below another that an administrator chose to sign leaves.
    async fn chosen(
        &self,
        stores: &mut dyn CaTransaction,
        settings: &IssuerSettings,
        config: &LocalCaConfig,
    ) -> Result<Option<Authority>, IssuerError> {
        let Some(id) = &settings.issuing_ca_id else { return Ok(None) };
        let records = stores.ca_certificates(&settings.id).await?;
        match records.into_iter().find(|record| record.id == *id) {
            Some(record) if record.kind == CaKind::Intermediate => self.load(record, None, config).map(Some),
            _ => Ok(None),
        }
    }

    /// The generation that signs, made or taken in when it is not there yet.
    async fn active(
        &self,
        stores: &mut dyn CaTransaction,
        issuer_id: &str,
        config: &LocalCaConfig,
    ) -> Result<Authority, IssuerError> {
        let operator = match &config.files {
            Some(paths) => {
                let (paths, keys) = (paths.clone(), Arc::clone(&self.keys));
                let read = tokio::task::spawn_blocking(move || files::read(&paths, keys.as_ref())).await;
                Some(read.map_err(|error| IssuerError::Signing(error.to_string()))??)
            }
            None => None,
        };
        let on_token = config.files.as_ref().is_some_and(CaFiles::on_token);
        let operator = match operator {
            // Its generation number is known only under the lock; until then it is a candidate.
            Some(read) => Some(
                operator_ca(issuer_id, 0, &self.ambient, &read.certificate_pem, read.key, on_token)
                    .map_err(from_root)?,
            ),
            None => None,
        };
        let wanted = operator.as_ref().map(|new| new.record.fingerprint_sha256.clone());
        if let Some(record) = serving(stores.ca_certificates(issuer_id).await?, wanted.as_deref()) {
            return self.load(record, operator.map(|new| new.key), config);
        }
        stores.lock_ca(issuer_id).await?;
        let records = stores.ca_certificates(issuer_id).await?;
        if let Some(record) = serving(records.clone(), wanted.as_deref()) {
            return self.load(record, operator.map(|new| new.key), config);
        }
        if let Some(fingerprint) = &wanted
            && records.iter().any(|record| record.fingerprint_sha256 == *fingerprint)
        {
            return Err(IssuerError::Unusable {
                code: "ca_retired",
                message: "the CA certificate in the file was replaced before and can't come back; use a new one"
                    .to_owned(),
            });
        }
        let generation = records.first().map_or(0, |record| record.generation) + 1;
        let (new, action) = if let Some(mut new) = operator {
            new.record.generation = generation;
            new.record.name = format!("{issuer_id} generation {generation}");
            (new, Action::CaLoaded)
        } else {
            let (keys, sealer) = (self.keys.as_ref(), self.sealer.as_ref());
            let made = make_root(issuer_id, generation, config, &self.ambient, self.settings.backdate, keys, sealer);
            (made.map_err(from_root)?, Action::CaCreated)
        };
        self.store(stores, &new, action).await?;
        let urls = self.urls(config, issuer_id, &new.record.id);
        Ok(Authority { record: Arc::new(new.record), facts: new.facts, urls, key: Some(Arc::from(new.key)) })
    }

    async fn store(&self, stores: &mut dyn CaTransaction, new: &NewCa, action: Action) -> Result<(), IssuerError> {
        let record = &new.record;
        self.mark_uncommitted(record);
        stores.insert_ca_certificate(record).await?;
        stores.announce(Change::Issuer(record.issuer_id.clone())).await?;
        let details = json!({
            "intermediate_ca_id": record.id,
            "owning_issuer_id": record.issuer_id,
            "name": record.name,
            "subject": record.subject,
            "serial": record.serial_number,
            "state": record.state.as_str(),
            "key_driver_id": record.key.driver(),
            "key_algorithm": format!("{} {}", new.facts.key.algorithm(), new.facts.key.size),
            "not_before": timestamp::to_rfc3339(record.not_before),
            "not_after": timestamp::to_rfc3339(record.not_after),
        });
        let event = AuditEvent::new(action, &RequestContext::system("issuer"), &record.id, details);
        Ok(stores.record(event).await?)
    }

    fn mark_uncommitted(&self, record: &CaRecord) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.uncommitted.insert(record.id.clone(), record.issuer_id.clone());
    }

    fn urls(&self, config: &LocalCaConfig, issuer_id: &str, ca_id: &str) -> StatusUrls {
        StatusUrls::of(config, issuer_id, ca_id, self.settings.pki_base_url.as_deref())
    }

    fn load(
        &self,
        record: CaRecord,
        file_key: Option<Box<dyn SigningKey>>,
        config: &LocalCaConfig,
    ) -> Result<Authority, IssuerError> {
        let facts = ca::load(&record.full_pem(), self.ambient.now()).map_err(|error| unusable(&error))?;
        let key: Option<Arc<dyn SigningKey>> = match &record.key {
            CaKey::Sealed(blob) => {
                let der = self
                    .sealer
                    .open(blob, key_context(&record.id))
                    .map_err(|error| failed("ca_key_sealed", format!("the key of CA {}: {error}", record.id)))?;
                let key = self.keys.load_der(&der).map_err(|error| from_root(RootError::Key(error)))?;
                facts.check_key(key.as_ref()).map_err(|error| unusable(&error))?;
                Some(Arc::from(key))
            }
            CaKey::File | CaKey::Token => file_key
                .filter(|key| sha256_hex(key.public_key_spki()) == record.spki_sha256)
                .map(Arc::<dyn SigningKey>::from),
        };
        let urls = self.urls(config, &record.issuer_id, &record.id);
        Ok(Authority { record: Arc::new(record), facts, urls, key })
    }

    fn throw_away_key(&self) -> Result<Arc<dyn SigningKey>, KeyError> {
        let der = self.keys.generate(REHEARSAL_KEY)?;
        Ok(Arc::from(self.keys.load_der(&der)?))
    }
}

fn failed(code: &'static str, message: String) -> IssuerError {
    IssuerError::Unusable { code, message }
}

fn from_root(error: RootError) -> IssuerError {
    match error {
        RootError::Certificate(error) => unusable(&error),
        RootError::Key(error) => failed("ca_key_unusable", error.to_string()),
        RootError::Seal(error) => failed("ca_key_sealed", error.to_string()),
    }
}

/// The active generation, if it is the one that the configuration asks for.
fn serving(records: Vec<CaRecord>, fingerprint: Option<&str>) -> Option<CaRecord> {
    records.into_iter().find(|record| {
        record.state == CaState::Active
            && record.parent_ca_id.is_none()
            && match (fingerprint, &record.key) {
                (Some(wanted), CaKey::File | CaKey::Token) => record.fingerprint_sha256 == wanted,
                (None, CaKey::Sealed(_)) => true,
                _ => false,
            }
    })
}

#[async_trait]
impl IssuerRegistry for LocalIssuers {
    async fn issuer(&self, stores: &mut dyn CaTransaction, issuer_id: &str) -> Result<Arc<dyn Issuer>, IssuerError> {
        let (known, epoch) = self.cached(|cache| cache.issuers.get(issuer_id).cloned());
        if let Some(issuer) = known {
            return Ok(issuer);
        }
        let (config, settings) = self.config(stores, issuer_id).await?;
        let authority = match self.chosen(stores, &settings, &config).await? {
            Some(authority) => Arc::new(authority),
            None => Arc::new(self.active(stores, issuer_id, &config).await?),
        };
        let facts = IssuingFacts {
            issuer_id: issuer_id.to_owned(),
            enabled: settings.enabled,
            ca: Some(Arc::clone(&authority.record)),
            chain_not_after: authority.facts.chain_not_after,
            default_validity: Duration::days(i64::from(config.validity_days)),
            backdate: self.settings.backdate,
            urls: authority.urls.clone(),
            constraints: authority.facts.constraints.clone(),
        };
        let throw_away = self.throw_away_key().map_err(|error| from_root(RootError::Key(error)))?;
        let ca_id = authority.record.id.clone();
        let issuer = Arc::new(LocalIssuer::new(authority, facts, Arc::clone(&self.ambient.clock), throw_away));
        self.keep(epoch, &[&ca_id], |cache| {
            cache.issuers.insert(issuer_id.to_owned(), Arc::clone(&issuer));
        });
        Ok(issuer)
    }

    async fn authorities(
        &self,
        stores: &mut dyn CaTransaction,
        issuer_id: &str,
    ) -> Result<Vec<Arc<dyn StatusAuthority>>, IssuerError> {
        let widen = |list: &[Arc<Authority>]| -> Vec<Arc<dyn StatusAuthority>> {
            list.iter().map(|authority| Arc::clone(authority) as Arc<dyn StatusAuthority>).collect()
        };
        let (known, epoch) = self.cached(|cache| cache.authorities.get(issuer_id).map(|list| widen(list)));
        if let Some(list) = known {
            return Ok(list);
        }
        let (config, settings) = self.config(stores, issuer_id).await?;
        let mut list = Vec::new();
        for record in stores.ca_certificates(issuer_id).await? {
            let file_key = match (&record.key, &config.files) {
                (CaKey::File | CaKey::Token, Some(paths)) => {
                    let (paths, keys) = (paths.clone(), Arc::clone(&self.keys));
                    let read = tokio::task::spawn_blocking(move || files::read(&paths, keys.as_ref())).await;
                    read.ok().and_then(Result::ok).map(|read| read.key)
                }
                _ => None,
            };
            match self.load(record, file_key, &config) {
                Ok(authority) => list.push(Arc::new(authority)),
                // An expired generation has nothing left to say; the others go on.
                Err(IssuerError::Unusable { code: "ca_expired", .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // First the one that signs leaves: what is asked of the issuer as a whole is asked of it.
        list.sort_by_key(|authority| Some(&authority.record.id) != settings.issuing_ca_id.as_ref());
        let ids: Vec<&str> = list.iter().map(|authority| authority.record.id.as_str()).collect();
        self.keep(epoch, &ids, |cache| {
            cache.authorities.insert(issuer_id.to_owned(), list.clone());
        });
        Ok(widen(&list))
    }

    fn forget(&self, issuer_id: &str) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.epoch += 1;
        cache.issuers.remove(issuer_id);
        cache.authorities.remove(issuer_id);
        // What this replica made has either committed, which is what is being told, or will never be found again.
        cache.uncommitted.retain(|_, issuer| issuer != issuer_id);
    }

    fn set_trusted(&self, trusted: bool) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.epoch += 1;
        cache.trusted = trusted;
        cache.issuers.clear();
        cache.authorities.clear();
        cache.uncommitted.clear();
    }
}
