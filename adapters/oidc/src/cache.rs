//! What is remembered of providers: metadata and keys, with who may ask for them anew and when.

use crate::keys::{Header, Keys};
use crate::metadata::Metadata;
use crate::outbound::Outbound;
use arc_swap::ArcSwapOption;
use certctl_kernel::Timestamp;
use certctl_oidc::{KeyStatus, ProviderError, Registration};
use certctl_ports::Ambient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// Between two attempts that nobody but an anonymous request asked for.
const BETWEEN_FETCHES: Duration = Duration::seconds(30);
/// For how long a key that the provider did not know is not asked for again.
const UNKNOWN_KEY: Duration = Duration::minutes(5);
/// Unknown keys that are remembered of one provider.
const MOST_UNKNOWN: usize = 64;
/// For how long metadata and keys are used beyond their time when the provider can't be reached.
const STALE: Duration = Duration::hours(24);
/// What a provider may ask its documents to be kept for, at least: less would be a fetch for each sign-in.
const SHORTEST_TTL: Duration = Duration::minutes(1);

/// Metadata and keys of one provider, under one configuration.
pub(crate) struct Entry {
    version: i64,
    pub(crate) metadata: Metadata,
    pub(crate) keys: Keys,
    fetched_at: Timestamp,
    expires_at: Timestamp,
}

/// Of whoever fetches; held while fetching, so that others wait for the outcome instead of asking too.
#[derive(Default)]
struct Flight {
    /// The last attempt that failed, with the configuration it was made under.
    failed: Option<(Timestamp, i64, ProviderError)>,
    /// When keys were last asked for because of a key that nobody knew.
    looked_again: Option<Timestamp>,
    unknown: BTreeMap<String, Timestamp>,
}

#[derive(Default)]
struct Figures {
    refreshes: u64,
    rejected: u64,
    last_error: Option<String>,
}

#[derive(Default)]
struct Slot {
    entry: ArcSwapOption<Entry>,
    flight: AsyncMutex<Flight>,
    figures: Mutex<Figures>,
}

impl Slot {
    fn figures(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, version: i64) -> Option<Arc<Entry>> {
        self.entry.load_full().filter(|entry| entry.version == version)
    }

    fn store(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.entry.store(Some(Arc::clone(&entry)));
        let mut figures = self.figures();
        figures.refreshes += 1;
        figures.last_error = None;
        drop(figures);
        entry
    }

    fn failed(&self, error: &ProviderError) {
        self.figures().last_error = Some(error.to_string());
    }
}

/// Every provider that was asked for.
pub(crate) struct Cache {
    ambient: Ambient,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

impl Cache {
    pub(crate) fn new(ambient: Ambient) -> Self {
        Self { ambient, slots: Mutex::default() }
    }

    fn slot(&self, provider_id: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(provider_id.to_owned()).or_default())
    }

    /// Drops what is remembered; figures stay.
    pub(crate) fn forget(&self, provider_id: &str) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(provider_id) {
            slot.entry.store(None);
        }
    }

    /// Counts a token that was refused for its signature.
    pub(crate) fn count_rejected(&self, provider_id: &str) {
        self.slot(provider_id).figures().rejected += 1;
    }

    /// Metadata and keys that are fresh, or older ones where the provider can't be reached.
    pub(crate) async fn entry(&self, outbound: &Outbound, at: &Registration) -> Result<Arc<Entry>, ProviderError> {
        let slot = self.slot(&at.provider_id);
        let fresh = |now| slot.current(at.version).filter(|entry| now < entry.expires_at);
        if let Some(entry) = fresh(self.ambient.now()) {
            return Ok(entry);
        }
        let mut flight = slot.flight.lock().await;
        let now = self.ambient.now();
        if let Some(entry) = fresh(now) {
            return Ok(entry);
        }
        let recent = flight.failed.as_ref().filter(|(when, version, _)| *version == at.version && recently(*when, now));
        let error = match recent {
            Some((.., error)) => error.clone(),
            None => match self.fetch(outbound, at).await {
                Ok(entry) => {
                    flight.failed = None;
                    return Ok(slot.store(entry));
                }
                Err(error) => {
                    slot.failed(&error);
                    flight.failed = Some((now, at.version, error.clone()));
                    error
                }
            },
        };
        drop(flight);
        match (slot.current(at.version), &error) {
            // Only an outage is bridged: a provider that answers, and answers wrongly, is not trusted any longer.
            (Some(entry), ProviderError::Unreachable(_)) if now < entry.expires_at + STALE => {
                tracing::warn!(provider_id = at.provider_id, %error, "a provider can't be reached; older keys are used");
                Ok(entry)
            }
            _ => Err(error),
        }
    }

    /// Fetches now, whenever the last time was. What there is stays if it fails.
    pub(crate) async fn refresh(&self, outbound: &Outbound, at: &Registration) -> Result<(), ProviderError> {
        let slot = self.slot(&at.provider_id);
        let mut flight = slot.flight.lock().await;
        match self.fetch(outbound, at).await {
            Ok(entry) => {
                slot.store(entry);
                *flight = Flight::default();
                Ok(())
            }
            Err(error) => {
                slot.failed(&error);
                Err(error)
            }
        }
    }

    /// Keys fetched anew because `seen` holds none that fits the token; `None` when it is too early to ask again, or
    /// the provider was asked for this key before and did not know it.
    pub(crate) async fn look_again(
        &self,
        outbound: &Outbound,
        at: &Registration,
        seen: &Arc<Entry>,
        header: &Header,
    ) -> Result<Option<Arc<Entry>>, ProviderError> {
        let slot = self.slot(&at.provider_id);
        let mut flight = slot.flight.lock().await;
        if let Some(entry) = slot.current(at.version).filter(|entry| !Arc::ptr_eq(entry, seen)) {
            return Ok(Some(entry));
        }
        let (now, kid) = (self.ambient.now(), header.kid.clone().unwrap_or_default());
        flight.unknown.retain(|_, since| *since <= now && now < *since + UNKNOWN_KEY);
        if flight.unknown.contains_key(&kid) || flight.looked_again.is_some_and(|when| recently(when, now)) {
            return Ok(None);
        }
        flight.looked_again = Some(now);
        let (keys, _) = match fetch_keys(outbound, at, &seen.metadata).await {
            Ok(found) => found,
            Err(error) => {
                slot.failed(&error);
                return Err(error);
            }
        };
        if !keys.holds(&kid) {
            if flight.unknown.len() >= MOST_UNKNOWN {
                flight.unknown.pop_first();
            }
            flight.unknown.insert(kid, now);
        }
        let entry = Entry {
            version: seen.version,
            metadata: seen.metadata.clone(),
            keys,
            fetched_at: now,
            expires_at: seen.expires_at,
        };
        Ok(Some(slot.store(entry)))
    }

    async fn fetch(&self, outbound: &Outbound, at: &Registration) -> Result<Entry, ProviderError> {
        let metadata = Metadata::fetch(outbound, &at.issuer_url, &at.ca_bundle_pem).await?;
        metadata.check_algorithms()?;
        metadata.check_endpoints(outbound)?;
        let (keys, asked) = fetch_keys(outbound, at, &metadata).await?;
        let configured = Duration::try_from(at.jwks_ttl).unwrap_or(SHORTEST_TTL);
        let asked = asked.and_then(|age| Duration::try_from(age).ok()).map_or(configured, |age| age.max(SHORTEST_TTL));
        let fetched_at = self.ambient.now();
        Ok(Entry { version: at.version, metadata, keys, fetched_at, expires_at: fetched_at + configured.min(asked) })
    }

    /// What is remembered now.
    pub(crate) fn status(&self, provider_id: &str) -> KeyStatus {
        let slot = self.slot(provider_id);
        let entry = slot.entry.load_full();
        let figures = slot.figures();
        KeyStatus {
            last_refresh_at: entry.as_ref().map(|entry| entry.fetched_at),
            expires_at: entry.as_ref().map(|entry| entry.expires_at),
            keys: entry.as_ref().map(|entry| entry.keys.published()).unwrap_or_default(),
            refresh_count: figures.refreshes,
            last_error: figures.last_error.clone(),
            rejected_jws_count: figures.rejected,
            iss_param_supported: entry.is_some_and(|e| e.metadata.authorization_response_iss_parameter_supported),
        }
    }
}

/// Not longer ago than may be between two attempts. A moment in the future, before a clock was set back, is none.
fn recently(when: Timestamp, now: Timestamp) -> bool {
    when <= now && now < when + BETWEEN_FETCHES
}

async fn fetch_keys(
    outbound: &Outbound,
    at: &Registration,
    metadata: &Metadata,
) -> Result<(Keys, Option<std::time::Duration>), ProviderError> {
    let place = outbound.vet("jwks_uri", &metadata.jwks_uri)?;
    let answer = outbound.get(&at.ca_bundle_pem, "the key set", &place).await?;
    Ok((Keys::read(&answer)?, answer.max_age))
}
