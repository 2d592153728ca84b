//! The relying party's side of W3C Web Authentication, through webauthn-rs.

use certctl_breakglass::{Ceremony, NotGood, Registered, SecurityKey, WebAuthn};
use data_encoding::BASE64URL_NOPAD;
use ring::digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use url::Url;
use webauthn_rs::prelude::{
    PublicKeyCredential, RegisterPublicKeyCredential, SecurityKey as Key, SecurityKeyAuthentication,
    SecurityKeyRegistration, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

/// An external URL that security keys can't be tied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Browsers offer WebAuthn to secure origins alone.
    #[error("must begin with https:// for security keys")]
    NotHttps,
    /// A relying party's id is a domain.
    #[error("must have a host name, not an address, for security keys")]
    NoDomain,
    /// The library refused it.
    #[error("can't be used for security keys: {0}")]
    Refused(String),
}

/// The server as a relying party: its id is the host name of its external URL.
pub struct RelyingParty(Webauthn);

impl RelyingParty {
    /// The relying party of this external URL, such as `https://pki.example.com:8443`.
    pub fn new(external_url: &str) -> Result<Self, OriginError> {
        let refused = |reason: String| OriginError::Refused(reason);
        let url = Url::parse(external_url).map_err(|error| refused(error.to_string()))?;
        if url.scheme() != "https" {
            return Err(OriginError::NotHttps);
        }
        let domain = url.domain().ok_or(OriginError::NoDomain)?;
        let builder = WebauthnBuilder::new(domain, &url).map_err(|error| refused(error.to_string()))?;
        builder.rp_name("certctl").build().map(Self).map_err(|error| refused(error.to_string()))
    }
}

fn not_good(error: &WebauthnError) -> NotGood {
    NotGood(error.to_string())
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, NotGood> {
    serde_json::from_str(text).map_err(|error| NotGood(error.to_string()))
}

fn written(value: &impl Serialize) -> Result<String, NotGood> {
    serde_json::to_string(value).map_err(|error| NotGood(error.to_string()))
}

fn ceremony(options: &impl Serialize, state: &impl Serialize) -> Result<Ceremony, NotGood> {
    let options = serde_json::to_value(options).map_err(|error| NotGood(error.to_string()))?;
    Ok(Ceremony { options, state: written(state)? })
}

fn keys(stored: &[SecurityKey]) -> Result<Vec<Key>, NotGood> {
    stored.iter().map(|key| read(&key.state)).collect()
}

/// The user handle must tell nothing of the person and be the same each time (WebAuthn Level 3 section 14.6.1).
fn handle(actor_id: &str) -> Uuid {
    let hash = digest::digest(&digest::SHA256, format!("certctl webauthn user {actor_id}").as_bytes());
    let mut octets = [0u8; 16];
    octets.copy_from_slice(&hash.as_ref()[..16]);
    Uuid::from_bytes(octets)
}

impl WebAuthn for RelyingParty {
    fn begin_registration(&self, actor_id: &str, name: &str, known: &[SecurityKey]) -> Result<Ceremony, NotGood> {
        let known = keys(known)?.iter().map(|key| key.cred_id().clone()).collect();
        let begun = self.0.start_securitykey_registration(handle(actor_id), actor_id, name, Some(known), None, None);
        let (options, state) = begun.map_err(|error| not_good(&error))?;
        let mut begun = ceremony(&options, &state)?;
        // Browsers refuse the wish for credential protection (CTAP 2.1 section 12.1) beside mere preference of user
        // verification, which a second factor has to be content with.
        if let Some(extensions) = begun.options["publicKey"]["extensions"].as_object_mut() {
            extensions.retain(|name, _| !name.ends_with("redentialProtectionPolicy"));
        }
        Ok(begun)
    }

    fn finish_registration(&self, state: &str, answer: &Value) -> Result<Registered, NotGood> {
        let state: SecurityKeyRegistration = read(state)?;
        let answer = RegisterPublicKeyCredential::deserialize(answer).map_err(|error| NotGood(error.to_string()))?;
        let key = self.0.finish_securitykey_registration(&answer, &state).map_err(|error| not_good(&error))?;
        Ok(Registered { credential_id: BASE64URL_NOPAD.encode(key.cred_id()), state: written(&key)? })
    }

    fn begin_authentication(&self, stored: &[SecurityKey]) -> Result<Ceremony, NotGood> {
        // An empty list would ask for any key at all.
        if stored.is_empty() {
            return Err(NotGood("there is no key to ask".to_owned()));
        }
        let begun = self.0.start_securitykey_authentication(&keys(stored)?);
        let (options, state) = begun.map_err(|error| not_good(&error))?;
        ceremony(&options, &state)
    }

    fn finish_authentication(
        &self,
        state: &str,
        answer: &Value,
        stored: &[SecurityKey],
    ) -> Result<SecurityKey, NotGood> {
        let state: SecurityKeyAuthentication = read(state)?;
        let answer = PublicKeyCredential::deserialize(answer).map_err(|error| NotGood(error.to_string()))?;
        let result = self.0.finish_securitykey_authentication(&answer, &state).map_err(|error| not_good(&error))?;
        let id = BASE64URL_NOPAD.encode(result.cred_id());
        let held = stored.iter().find(|key| key.credential_id == id);
        let held = held.ok_or_else(|| NotGood("the key is registered no more".to_owned()))?;
        let mut key: Key = read(&held.state)?;
        let advanced = key.update_credential(&result).unwrap_or(false);
        // The state knows the counter of when the challenge was made; another answer may have moved it since.
        if result.counter() > 0 && !advanced {
            return Err(NotGood("the signature counter did not advance".to_owned()));
        }
        Ok(SecurityKey { state: written(&key)?, ..held.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relying_party_is_a_host_name_over_https() {
        for good in ["https://pki.example.com", "https://pki.example.com:8443", "https://localhost:8443"] {
            assert!(RelyingParty::new(good).is_ok(), "{good}");
        }
        assert_eq!(RelyingParty::new("http://pki.example.com").err(), Some(OriginError::NotHttps));
        for address in ["https://192.0.2.1", "https://[2001:db8::1]:8443"] {
            assert_eq!(RelyingParty::new(address).err(), Some(OriginError::NoDomain), "{address}");
        }
        assert!(matches!(RelyingParty::new("pki").err(), Some(OriginError::Refused(_))));
    }

    #[test]
    fn a_handle_is_the_actors_own_and_does_not_show_it() {
        assert_eq!(handle("drill-1"), handle("drill-1"));
        assert_ne!(handle("drill-1"), handle("drill-2"));
    }

    #[test]
    fn a_ceremony_begins_with_a_challenge_of_its_own_and_refuses_what_is_no_answer() {
        let party = RelyingParty::new("https://pki.example.com").expect("a party");
        let begin = || party.begin_registration("drill-1", "Fire drill", &[]).expect("a ceremony");
        let (one, two) = (begin(), begin());
        let challenge = |ceremony: &Ceremony| ceremony.options["publicKey"]["challenge"].clone();
        assert_ne!(challenge(&one), challenge(&two));
        assert_eq!(one.options["publicKey"]["rp"]["id"], "pki.example.com");
        assert_eq!(one.options["publicKey"]["authenticatorSelection"]["userVerification"], "preferred");
        assert!(!one.options["publicKey"]["extensions"].to_string().contains("ProtectionPolicy"));
        for nonsense in [Value::Null, serde_json::json!({}), serde_json::json!({"id": "AQ", "type": "public-key"})] {
            assert!(party.finish_registration(&one.state, &nonsense).is_err(), "{nonsense}");
        }
        assert!(party.finish_registration("{}", &Value::Null).is_err());
        assert!(party.begin_authentication(&[]).is_err(), "nobody to ask");
    }
}
