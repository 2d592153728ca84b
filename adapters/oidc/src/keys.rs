//! A provider's keys (RFC 7517), and signatures by them (RFC 7515).

use crate::outbound::Answer;
use certctl_oidc::{Algorithm, ProviderError, PublishedKey, SignedToken, strict_json};
use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, ES384, EdDSA, JwsVerifier, RS256, RS512};
use serde_json::{Map, Value};

/// Keys of a set that are looked at.
const MOST_KEYS: usize = 100;
/// Characters of a token.
const LONGEST_TOKEN: usize = 512 * 1024;

/// A key with what it can verify. A key fits an algorithm by its type and curve; its `use`, `key_ops` and `alg`, where it
/// names them, must agree.
struct Key {
    published: PublishedKey,
    verifiers: Vec<(Algorithm, Box<dyn JwsVerifier>)>,
}

/// Keys that verify, in the provider's order.
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a key set. Keys of other kinds or uses are left out; a set in which none is left is still a set.
    pub(crate) fn read(answer: &Answer) -> Result<Self, ProviderError> {
        let none = || ProviderError::Unreachable("the key set is not a JSON Web Key Set".to_owned());
        let mut set = strict_json::object(&answer.body).map_err(|_| none())?;
        let Some(Value::Array(keys)) = set.remove("keys") else { return Err(none()) };
        if keys.len() > MOST_KEYS {
            return Err(ProviderError::Unreachable(format!("the key set holds more than {MOST_KEYS} keys")));
        }
        let members = keys.into_iter().filter_map(|key| match key {
            Value::Object(members) => Some(members),
            _ => None,
        });
        Ok(Self(members.filter_map(Key::read).collect()))
    }

    pub(crate) fn published(&self) -> Vec<PublishedKey> {
        self.0.iter().map(|key| key.published.clone()).collect()
    }

    /// Whether there is a key of this name.
    pub(crate) fn holds(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.published.kid == kid)
    }

    /// The token's payload, if one of the keys that its header names signed it.
    pub(crate) fn verify(&self, token: &str, header: &Header) -> Option<Vec<u8>> {
        let named = self.0.iter().filter(|key| header.kid.as_ref().is_none_or(|kid| key.published.kid == *kid));
        let mut fitting = named.flat_map(|key| &key.verifiers).filter(|(algorithm, _)| *algorithm == header.algorithm);
        fitting
            .find_map(|(_, verifier)| josekit::jws::deserialize_compact(token, verifier.as_ref()).ok())
            .map(|(p, _)| p)
    }
}

impl Key {
    fn read(members: Map<String, Value>) -> Option<Self> {
        let jwk = Jwk::from_map(members).ok()?;
        let verifiers: Vec<_> =
            Algorithm::ALL.into_iter().filter_map(|algorithm| Some((algorithm, verifier(algorithm, &jwk)?))).collect();
        let published = PublishedKey {
            kid: jwk.key_id().unwrap_or_default().to_owned(),
            key_type: jwk.key_type().to_owned(),
            algorithm: jwk.algorithm().map(ToOwned::to_owned),
        };
        (!verifiers.is_empty()).then_some(Self { published, verifiers })
    }
}

/// What verifies with this key by this algorithm. Which key a token names is matched in [`Keys::verify`]: josekit would
/// refuse tokens without a `kid`.
fn verifier(algorithm: Algorithm, jwk: &Jwk) -> Option<Box<dyn JwsVerifier>> {
    macro_rules! of {
        ($algorithm:expr) => {{
            let mut verifier = $algorithm.verifier_from_jwk(jwk).ok()?;
            verifier.remove_key_id();
            Box::new(verifier) as Box<dyn JwsVerifier>
        }};
    }
    Some(match algorithm {
        Algorithm::Rs256 => of!(RS256),
        Algorithm::Rs512 => of!(RS512),
        Algorithm::Es256 => of!(ES256),
        Algorithm::Es384 => of!(ES384),
        // The name covers Ed448 as well, which is not in the list.
        Algorithm::EdDsa if jwk.parameter("crv").and_then(Value::as_str) == Some("Ed25519") => of!(EdDSA),
        Algorithm::EdDsa => return None,
    })
}

/// What a token says of itself before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
}

impl Header {
    /// Reads the header of a token in compact form, and refuses every algorithm that is not in the list.
    pub(crate) fn of(token: &str) -> Result<Self, ProviderError> {
        let refused = |reason: &str| ProviderError::Algorithm(reason.to_owned());
        if token.len() > LONGEST_TOKEN {
            return Err(refused("the token is too long"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(refused("the token does not have three parts"));
        };
        let octets = BASE64URL_NOPAD.decode(header.as_bytes()).map_err(|_| refused("the header is not base64url"))?;
        let members = strict_json::object(&octets).map_err(|_| refused("the header is not a JSON object"))?;
        let algorithm = match members.get("alg") {
            Some(Value::String(name)) => Algorithm::parse(name),
            _ => None,
        };
        let algorithm = algorithm.ok_or_else(|| refused("the token is signed by an algorithm that is not accepted"))?;
        // None of the extensions that a token may demand is understood here (RFC 7515 section 4.1.11).
        if members.contains_key("crit") {
            return Err(refused("the header demands extensions"));
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(refused("the header holds a member of the wrong type")),
        };
        Ok(Self { algorithm, kid: text("kid")?, typ: text("typ")? })
    }

    /// The token with its claims, once its payload was verified.
    pub(crate) fn signed(self, payload: &[u8]) -> Result<SignedToken, ProviderError> {
        let claims = strict_json::object(payload)
            .map_err(|_| ProviderError::Signature("the claims are not a JSON object with distinct members"))?;
        Ok(SignedToken { algorithm: self.algorithm, typ: self.typ, claims })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use josekit::jwk::alg::ec::EcCurve;
    use josekit::jwk::alg::ed::EdCurve;
    use josekit::jws::{HS256, JwsHeader, JwsSigner};
    use serde_json::json;

    fn set(keys: &[Value]) -> Result<Keys, ProviderError> {
        raw(json!({ "keys": keys }).to_string())
    }

    fn raw(body: String) -> Result<Keys, ProviderError> {
        let answer =
            Answer { status: 200, content_type: String::new(), max_age: None, location: None, body: body.into_bytes() };
        Keys::read(&answer)
    }

    fn public(key: &Jwk, changes: &Value) -> Value {
        let public = key.to_public_key().expect("a public part");
        let mut members: Map<String, Value> = public.into();
        members.extend(changes.as_object().expect("members").clone());
        Value::Object(members)
    }

    fn sign(header: &Value, signer: &dyn JwsSigner) -> String {
        let header = JwsHeader::from_map(header.as_object().expect("members").clone()).expect("a header");
        josekit::jws::serialize_compact(br#"{"sub":"s"}"#, &header, signer).expect("signs")
    }

    fn verifies(keys: &Keys, token: &str) -> Result<bool, ProviderError> {
        Ok(keys.verify(token, &Header::of(token)?).is_some())
    }

    #[test]
    fn each_allowed_algorithm_verifies_and_only_with_its_own_key() {
        let rsa = Jwk::generate_rsa_key(2048).expect("a key");
        let p256 = Jwk::generate_ec_key(EcCurve::P256).expect("a key");
        let p384 = Jwk::generate_ec_key(EcCurve::P384).expect("a key");
        let ed = Jwk::generate_ed_key(EdCurve::Ed25519).expect("a key");
        let tokens = [
            sign(&json!({}), &RS256.signer_from_jwk(&rsa).expect("a signer")),
            sign(&json!({}), &RS512.signer_from_jwk(&rsa).expect("a signer")),
            sign(&json!({}), &ES256.signer_from_jwk(&p256).expect("a signer")),
            sign(&json!({}), &ES384.signer_from_jwk(&p384).expect("a signer")),
            sign(&json!({}), &EdDSA.signer_from_jwk(&ed).expect("a signer")),
        ];
        let all: Vec<Value> = [&rsa, &p256, &p384, &ed].map(|key| public(key, &json!({}))).to_vec();
        let keys = set(&all).expect("a set");
        for token in &tokens {
            assert_eq!(verifies(&keys, token), Ok(true), "{token}");
        }
        let fresh = Jwk::generate_rsa_key(2048).expect("a key");
        let others = set(&[public(&fresh, &json!({}))]).expect("a set");
        for token in &tokens {
            assert_eq!(verifies(&others, token), Ok(false), "{token}");
        }
        let mut bent = tokens[2].clone();
        let last = bent.pop().expect("a signature");
        bent.push(if last == 'A' { 'E' } else { 'A' });
        assert_ne!(verifies(&keys, &bent), Ok(true));
    }

    #[test]
    fn tf_01_tf_02_macs_and_none_are_refused_before_a_key_is_looked_for() {
        let mac = sign(&json!({}), &HS256.signer_from_bytes([7; 64]).expect("a signer"));
        assert!(matches!(Header::of(&mac), Err(ProviderError::Algorithm(_))));
        for name in ["none", "None", "nOnE", "NONE", "HS256", "HS384", "HS512", "PS256", "RS384", "ES512", ""] {
            let header = BASE64URL_NOPAD.encode(json!({ "alg": name }).to_string().as_bytes());
            let refused = Header::of(&format!("{header}.e30."));
            assert!(matches!(refused, Err(ProviderError::Algorithm(_))), "{name}");
        }
    }

    #[test]
    fn tf_03_tf_33_headers_that_are_none_are_refused() {
        let header = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        for bad in [
            header("{}"),
            header(r#"{"alg":7}"#),
            header(r#"{"alg":["RS256"]}"#),
            header(r#"{"alg":"RS256","alg":"none"}"#),
            header(r#"{"alg":"RS256","kid":7}"#),
            header(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#),
            header("[]"),
            "%%%".to_owned(),
            "e30=".to_owned(),
            String::new(),
        ] {
            assert!(Header::of(&format!("{bad}.e30.c2ln")).is_err(), "{bad}");
        }
        let good = header(r#"{"alg":"RS256"}"#);
        for bad in [format!("{good}.e30"), format!("{good}.e30.c2ln.x"), good.clone(), String::new()] {
            assert!(Header::of(&bad).is_err(), "{bad}");
        }
        assert!(Header::of(&format!("{good}.e30.c2ln")).is_ok());
        assert!(Header::of(&format!("{good}.{}.c2ln", "A".repeat(LONGEST_TOKEN))).is_err());
        let twice = Header::of(&format!("{good}.e30.c2ln")).expect("a header").signed(br#"{"sub":"a","sub":"b"}"#);
        assert!(matches!(twice, Err(ProviderError::Signature(_))));
    }

    #[test]
    fn tf_04_keys_of_another_type_use_or_algorithm_do_not_verify() {
        let rsa = Jwk::generate_rsa_key(2048).expect("a key");
        let token = sign(&json!({"kid": "k"}), &{
            let mut signer = RS256.signer_from_jwk(&rsa).expect("a signer");
            signer.set_key_id("k");
            signer
        });
        let with = |changes: Value| set(&[public(&rsa, &changes)]).expect("a set");
        assert_eq!(verifies(&with(json!({"kid": "k"})), &token), Ok(true));
        for changes in [
            json!({"kid": "k", "use": "enc"}),
            json!({"kid": "k", "alg": "RS512"}),
            json!({"kid": "k", "alg": "HS256"}),
            json!({"kid": "k", "key_ops": ["encrypt"]}),
            json!({"kid": "other"}),
        ] {
            assert_eq!(verifies(&with(changes.clone()), &token), Ok(false), "{changes}");
        }
        let ec = Jwk::generate_ec_key(EcCurve::P256).expect("a key");
        let other_type = set(&[public(&ec, &json!({"kid": "k"}))]).expect("a set");
        assert_eq!(verifies(&other_type, &token), Ok(false));
        let short = Jwk::generate_rsa_key(1024).expect("a key");
        assert!(set(&[public(&short, &json!({}))]).expect("a set").published().is_empty(), "a short key is none");
        let ed448 = Jwk::generate_ed_key(EdCurve::Ed448).expect("a key");
        assert!(set(&[public(&ed448, &json!({}))]).expect("a set").published().is_empty());
    }

    #[test]
    fn what_is_no_key_set_is_refused_and_odd_keys_are_left_out() {
        for bad in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(raw(bad.to_owned()).is_err(), "{bad}");
        }
        let ec = Jwk::generate_ec_key(EcCurve::P256).expect("a key");
        let odd =
            [json!(7), json!({}), json!({"kty": "oct", "k": "AAAA"}), json!({"kty": "XX"}), public(&ec, &json!({}))];
        assert_eq!(set(&odd).expect("a set").published().len(), 1);
        let many: Vec<Value> = (0..=MOST_KEYS).map(|_| json!({})).collect();
        assert!(set(&many).is_err());
    }
}
