//! A sign-in that was begun. All of it lives in the browser's cookie, sealed for this installation: nobody makes the
//! server keep anything by beginning sign-ins.

use certctl_kernel::{Id, Secret, Timestamp};
use certctl_ports::{Ambient, SealContext, SealError, Sealer};
use data_encoding::BASE64URL_NOPAD;
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// For how long a sign-in may take.
pub const PENDING_LIFETIME: Duration = Duration::minutes(10);

/// A sign-in that was begun.
pub struct Pending {
    /// Ties the answer to the browser.
    pub state: Secret<String>,
    /// Ties the ID token to the sign-in.
    pub nonce: Secret<String>,
    /// Proves to the provider who began (RFC 7636).
    pub verifier: Secret<String>,
    /// The provider.
    pub provider_id: Id,
    /// Where the person wanted to go.
    pub return_to: String,
    /// Where it was begun from.
    source_ip: Option<String>,
    /// SHA-256 of what the browser called itself.
    user_agent: Option<[u8; 32]>,
    expires_at: i64,
}

/// How the browser that comes back stands to the one that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It is the same, or there was nothing to compare with.
    Same,
    /// It does not say what the other one said.
    Missing,
    /// It is another.
    Other,
}

/// As it is written into the cookie.
#[derive(Serialize, Deserialize)]
struct Sealed {
    s: Zeroizing<String>,
    n: Zeroizing<String>,
    v: Zeroizing<String>,
    p: String,
    r: String,
    i: Option<String>,
    u: Option<[u8; 32]>,
    e: i64,
}

fn cell(id: &str) -> SealContext<'_> {
    SealContext { table: "cookie", column: "certctl_oidc_pending", row_id: id }
}

/// 32 random octets as 43 characters.
fn random(ambient: &Ambient) -> Secret<String> {
    let octets = Zeroizing::new(ambient.octets::<32>());
    Secret::new(BASE64URL_NOPAD.encode(octets.as_slice()))
}

fn hash(text: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 octets")
}

impl Pending {
    /// Begins one.
    pub fn begin(
        ambient: &Ambient,
        provider_id: &str,
        return_to: &str,
        source_ip: Option<&str>,
        user_agent: &str,
    ) -> Self {
        Self {
            state: random(ambient),
            nonce: random(ambient),
            verifier: random(ambient),
            provider_id: provider_id.to_owned(),
            return_to: return_to.to_owned(),
            source_ip: source_ip.map(ToOwned::to_owned),
            user_agent: (!user_agent.is_empty()).then(|| hash(user_agent)),
            expires_at: (ambient.now() + PENDING_LIFETIME).unix_timestamp(),
        }
    }

    /// Seals it for the cookie of the sign-in `id`; another one's cookie does not open as it.
    pub fn seal(&self, sealer: &dyn Sealer, id: &str) -> Result<String, SealError> {
        let sealed = Sealed {
            s: Zeroizing::new(self.state.expose().clone()),
            n: Zeroizing::new(self.nonce.expose().clone()),
            v: Zeroizing::new(self.verifier.expose().clone()),
            p: self.provider_id.clone(),
            r: self.return_to.clone(),
            i: self.source_ip.clone(),
            u: self.user_agent,
            e: self.expires_at,
        };
        let plain = Zeroizing::new(serde_json::to_vec(&sealed).map_err(|_| SealError::Broken)?);
        Ok(BASE64URL_NOPAD.encode(&sealer.seal(&plain, cell(id))?))
    }

    /// Opens what [`Pending::seal`] made for the same sign-in, if its time is not over.
    pub fn open(sealer: &dyn Sealer, id: &str, text: &str, now: Timestamp) -> Result<Self, SealError> {
        let blob = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| SealError::Broken)?;
        let plain = sealer.open(&blob, cell(id))?;
        let sealed: Sealed = serde_json::from_slice(&plain).map_err(|_| SealError::Broken)?;
        if now.unix_timestamp() >= sealed.e {
            return Err(SealError::Broken);
        }
        let secret = |text: &Zeroizing<String>| Secret::new(text.to_string());
        Ok(Self {
            state: secret(&sealed.s),
            nonce: secret(&sealed.n),
            verifier: secret(&sealed.v),
            provider_id: sealed.p,
            return_to: sealed.r,
            source_ip: sealed.i,
            user_agent: sealed.u,
            expires_at: sealed.e,
        })
    }

    /// When it runs out.
    pub fn expires_at(&self) -> Timestamp {
        OffsetDateTime::from_unix_timestamp(self.expires_at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Whether the browser calls itself as it did.
    pub fn user_agent(&self, now: &str) -> Bound {
        match self.user_agent {
            None => Bound::Same,
            Some(_) if now.is_empty() => Bound::Missing,
            Some(then) => same(then.ct_eq(&hash(now))),
        }
    }

    /// Whether it comes from the address that it came from.
    pub fn source_ip(&self, now: Option<&str>) -> Bound {
        match (&self.source_ip, now) {
            (None, _) => Bound::Same,
            (Some(_), None) => Bound::Missing,
            (Some(then), Some(now)) => same(then.as_bytes().ct_eq(now.as_bytes())),
        }
    }
}

fn same(equal: subtle::Choice) -> Bound {
    if bool::from(equal) { Bound::Same } else { Bound::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_ports::fakes::{CountingRandom, FixedClock, TicketSealer};
    use std::sync::Arc;

    const START: Timestamp = OffsetDateTime::UNIX_EPOCH;

    fn ambient() -> Ambient {
        Ambient { clock: Arc::new(FixedClock::new(START)), random: Arc::new(CountingRandom::new(7)) }
    }

    fn begun() -> Pending {
        Pending::begin(&ambient(), "op-1", "/certificates", Some("192.0.2.1"), "Browser/1")
    }

    #[test]
    fn it_opens_as_it_was_and_only_for_its_own_id() {
        let (sealer, pending) = (TicketSealer::default(), begun());
        let text = pending.seal(&sealer, "pl-1").expect("seals");
        let opened = Pending::open(&sealer, "pl-1", &text, START).expect("opens");
        assert_eq!(opened.state.expose(), pending.state.expose());
        assert_eq!(opened.nonce.expose(), pending.nonce.expose());
        assert_eq!(opened.verifier.expose(), pending.verifier.expose());
        assert_eq!((opened.provider_id.as_str(), opened.return_to.as_str()), ("op-1", "/certificates"));
        assert!(Pending::open(&sealer, "pl-2", &text, START).is_err());
        assert!(Pending::open(&sealer, "pl-1", "%", START).is_err());
    }

    #[test]
    fn tf_14_after_ten_minutes_it_is_over() {
        let sealer = TicketSealer::default();
        let text = begun().seal(&sealer, "pl-1").expect("seals");
        let opens = |seconds| Pending::open(&sealer, "pl-1", &text, START + Duration::seconds(seconds)).is_ok();
        assert_eq!((opens(599), opens(600), opens(601)), (true, false, false));
    }

    #[test]
    fn the_secrets_differ_and_are_43_characters() {
        let Pending { state, nonce, verifier, .. } = begun();
        for secret in [&state, &nonce, &verifier] {
            assert_eq!(secret.expose().len(), 43);
        }
        assert!(state.expose() != nonce.expose() && nonce.expose() != verifier.expose());
    }

    #[test]
    fn tf_17_tf_18_the_browser_must_be_the_one_that_began() {
        let pending = begun();
        assert_eq!(pending.user_agent("Browser/1"), Bound::Same);
        assert_eq!(pending.user_agent("Browser/2"), Bound::Other);
        assert_eq!(pending.user_agent(""), Bound::Missing);
        assert_eq!(pending.source_ip(Some("192.0.2.1")), Bound::Same);
        assert_eq!(pending.source_ip(Some("192.0.2.10")), Bound::Other);
        assert_eq!(pending.source_ip(None), Bound::Missing);
        let silent = Pending::begin(&ambient(), "op-1", "/", None, "");
        assert_eq!((silent.user_agent("Browser/1"), silent.source_ip(Some("192.0.2.1"))), (Bound::Same, Bound::Same));
    }
}
