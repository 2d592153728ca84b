//! Who a credential belongs to, remembered for a short while.

use async_trait::async_trait;
use certctl_kernel::{Actor, RequestContext, StoreError, Timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, EffectivePermission};
use certctl_session::{Refusal, Session, SessionSettings, Verified};
use moka::sync::Cache;
use ring::digest;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A principal as authentication found it.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Who.
    pub actor: Actor,
    /// Roles held through live grants.
    pub roles: Vec<String>,
    /// What they add up to.
    pub permissions: Arc<BTreeSet<EffectivePermission>>,
    /// How often anything about access had changed when this was found out.
    pub version: i64,
    /// When the credential or the first of the grants ends; the answer is not remembered past it.
    pub valid_until: Option<Timestamp>,
    /// The session it came with, when it did not come with a key.
    pub session: Option<Arc<Session>>,
}

/// Looks a credential up.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The principal that the presented key belongs to; `None` when it belongs to nobody.
    async fn authenticate(&self, presented: &str, source_ip: Option<&str>) -> Result<Option<Principal>, StoreError>;
    /// The principal whose session a checked cookie names, or why it is not good.
    async fn authenticate_session(
        &self,
        verified: &Verified,
        settings: &SessionSettings,
    ) -> Result<Result<Principal, Refusal>, StoreError>;
}

/// How long finding out who a key belongs to may take; without an answer nobody is let in.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// For how long an answer of the database about the version is believed. A right that was revoked in the meantime, and
/// of whose revocation nothing was heard, lives at most that long.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);

/// Resolves credentials through the database and remembers the answers until something about access changes
/// anywhere: replicas notify one another, and each asks for the version of access on its own. While changes can't be
/// heard, or the version can't be read, nothing remembered is used, and a database that does not answer means that
/// nobody is let in.
pub struct AccessCache {
    authenticator: Arc<dyn Authenticator>,
    ambient: Ambient,
    known: Cache<[u8; 32], Principal>,
    /// Credentials that were somebody's within the last hour: whatever they are now, they are no guesses.
    recognised: Cache<[u8; 32], ()>,
    trusted: AtomicBool,
    epoch: AtomicU64,
    version: AtomicI64,
    confirmed: Mutex<Option<Instant>>,
    anonymous_admin: bool,
}

impl AccessCache {
    /// An empty cache; `anonymous_admin` is the demo mode in which every request is the demo principal.
    pub fn new(authenticator: Arc<dyn Authenticator>, ambient: Ambient, anonymous_admin: bool) -> Self {
        Self {
            authenticator,
            ambient,
            known: Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(30)).build(),
            recognised: Cache::builder().max_capacity(10_000).time_to_live(Duration::from_hours(1)).build(),
            trusted: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            version: AtomicI64::new(0),
            confirmed: Mutex::new(None),
            anonymous_admin,
        }
    }

    /// Forgets everything: access changed somewhere.
    pub fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
    }

    /// Says whether changes on other replicas are heard at the moment.
    pub fn set_trusted(&self, trusted: bool) {
        self.forget();
        self.trusted.store(trusted, Ordering::SeqCst);
    }

    /// Takes note of the version of access that the database gave when asked at `asked`.
    pub fn confirm(&self, version: i64, asked: Instant) {
        if self.version.fetch_max(version, Ordering::SeqCst) < version {
            self.forget();
        }
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        *confirmed = (*confirmed).max(Some(asked));
    }

    fn usable(&self, principal: &Principal) -> bool {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        principal.version >= self.version.load(Ordering::SeqCst)
            && confirmed.is_some_and(|at| at.elapsed() < CONFIRMED_FOR)
            && principal.valid_until.is_none_or(|until| until > self.ambient.now())
    }

    /// Whether requests without a credential are the demo principal.
    pub const fn anonymous_admin(&self) -> bool {
        self.anonymous_admin
    }

    /// Whether the presented key was somebody's lately, and so is no guess. Says nothing about now.
    pub fn recognises(&self, presented: &str) -> bool {
        self.recognised.contains_key(&hash_of(presented))
    }

    /// The principal that the presented key belongs to; `None` when it belongs to nobody.
    pub async fn resolve(&self, presented: &str, source_ip: Option<&str>) -> Result<Option<Principal>, StoreError> {
        let hash = hash_of(presented);
        let looking = async { Ok(self.authenticator.authenticate(presented, source_ip).await?.ok_or(())) };
        let found = self.remember(hash, looking).await?.ok();
        if found.is_some() {
            self.recognised.insert(hash, ());
        }
        Ok(found)
    }

    /// The principal whose session the cookie `value`, already checked, names; or why it is not good.
    pub(crate) async fn resolve_session(
        &self,
        value: &str,
        verified: &Verified,
        settings: &SessionSettings,
    ) -> Result<Result<Principal, Refusal>, StoreError> {
        // Under a name that no key can have: a cookie sent as a key must not be found here, past CSRF and binding.
        self.remember(hash_of(&format!("cookie\0{value}")), self.authenticator.authenticate_session(verified, settings))
            .await
    }

    /// What was found out about a credential before, while it can be believed, or what `looking` finds out now.
    async fn remember<E>(
        &self,
        hash: [u8; 32],
        looking: impl Future<Output = Result<Result<Principal, E>, StoreError>>,
    ) -> Result<Result<Principal, E>, StoreError> {
        if let Some(principal) = self.known.get(&hash)
            && self.usable(&principal)
        {
            return Ok(Ok(principal));
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        // A database that hangs would hold the request for as long as any statement may take.
        let found = tokio::time::timeout(LOOKUP_LIMIT, looking).await.map_err(|_elapsed| StoreError::Unavailable)??;
        if let Ok(principal) = &found
            && self.trusted.load(Ordering::SeqCst)
        {
            self.known.insert(hash, principal.clone());
            // A change between the lookup and the insertion must not be outlived by the answer.
            if self.epoch.load(Ordering::SeqCst) != epoch {
                self.known.invalidate(&hash);
            }
        }
        Ok(found)
    }
}

fn hash_of(presented: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, presented.as_bytes()).as_ref());
    hash
}

impl Principal {
    /// The caller of one request.
    pub fn caller(self, request_id: String, source_ip: Option<String>) -> Caller {
        Caller {
            context: RequestContext { actor: self.actor, request_id, source_ip },
            roles: self.roles,
            permissions: self.permissions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_kernel::ActorType;
    use certctl_ports::fakes::{CountingRandom, FixedClock};

    /// A directory with one key; counts how often it is asked, and can be out of reach.
    #[derive(Default)]
    struct Directory {
        asked: AtomicU64,
        version: AtomicI64,
        down: AtomicBool,
    }

    #[async_trait]
    impl Authenticator for Directory {
        async fn authenticate(&self, _: &str, _: Option<&str>) -> Result<Option<Principal>, StoreError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable);
            }
            Ok(Some(Principal {
                actor: Actor::new("ci", ActorType::APIKey),
                roles: Vec::new(),
                permissions: Arc::default(),
                version: self.version.load(Ordering::SeqCst),
                valid_until: None,
                session: None,
            }))
        }

        async fn authenticate_session(
            &self,
            _: &Verified,
            _: &SessionSettings,
        ) -> Result<Result<Principal, Refusal>, StoreError> {
            Ok(Err(Refusal::Invalid))
        }
    }

    fn cache() -> (Arc<Directory>, AccessCache) {
        let directory = Arc::new(Directory::default());
        let clock = FixedClock::new(time::OffsetDateTime::UNIX_EPOCH);
        let ambient = Ambient { clock: Arc::new(clock), random: Arc::new(CountingRandom::new(1)) };
        let cache = AccessCache::new(directory.clone(), ambient, false);
        cache.set_trusted(true);
        (directory, cache)
    }

    async fn lookups(directory: &Directory, cache: &AccessCache) -> u64 {
        let before = directory.asked.load(Ordering::SeqCst);
        for _ in 0..3 {
            cache.resolve("key", None).await.expect("an answer");
        }
        directory.asked.load(Ordering::SeqCst) - before
    }

    #[tokio::test]
    async fn a_decision_is_remembered_while_its_version_is_confirmed() {
        let (directory, cache) = cache();
        assert_eq!(lookups(&directory, &cache).await, 3, "nothing is confirmed yet");
        cache.confirm(0, Instant::now());
        assert_eq!(lookups(&directory, &cache).await, 0, "what was found out before is of that version");
        cache.set_trusted(false);
        assert_eq!(lookups(&directory, &cache).await, 3, "changes are not heard");
    }

    #[tokio::test]
    async fn a_change_that_was_not_heard_of_ends_a_decision_when_the_version_is_read() {
        let (directory, cache) = cache();
        cache.confirm(0, Instant::now());
        lookups(&directory, &cache).await;
        directory.version.store(1, Ordering::SeqCst);
        assert_eq!(lookups(&directory, &cache).await, 0);
        cache.confirm(1, Instant::now());
        assert_eq!(lookups(&directory, &cache).await, 1);
        cache.confirm(0, Instant::now());
        assert_eq!(lookups(&directory, &cache).await, 0, "an answer that comes late changes nothing");
    }

    #[tokio::test]
    async fn an_answer_of_long_ago_confirms_nothing() {
        let (directory, cache) = cache();
        let long_ago = Instant::now().checked_sub(CONFIRMED_FOR).expect("the machine runs for longer");
        cache.confirm(0, long_ago);
        assert_eq!(lookups(&directory, &cache).await, 3);
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_lets_nobody_in() {
        let (directory, cache) = cache();
        let long_ago = Instant::now().checked_sub(CONFIRMED_FOR).expect("the machine runs for longer");
        cache.confirm(0, long_ago);
        lookups(&directory, &cache).await;
        directory.down.store(true, Ordering::SeqCst);
        assert_eq!(cache.resolve("key", None).await.map(|_| ()), Err(StoreError::Unavailable));
    }
}
