//! A security key in software (W3C Web Authentication Level 3, section 6): what a browser would send for it.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::sync::Arc;

/// User present and verified.
const PRESENT: u8 = 0x05;
const ATTESTED: u8 = 0x40;

/// One key with one credential.
#[derive(Clone)]
pub struct SoftKey {
    origin: String,
    rp_id: String,
    id: [u8; 16],
    pair: Arc<EcdsaKeyPair>,
    counter: u32,
}

impl SoftKey {
    #[expect(clippy::disallowed_methods, reason = "a test's key needs no port for its randomness")]
    pub fn new(origin: &str, rp_id: &str, number: u8) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random);
        Self {
            origin: origin.to_owned(),
            rp_id: rp_id.to_owned(),
            id: [number; 16],
            pair: Arc::new(pair.expect("a key")),
            counter: 0,
        }
    }

    /// The same key in a browser at another origin.
    pub fn at(&self, origin: &str) -> Self {
        Self { origin: origin.to_owned(), ..self.clone() }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["publicKey"]["challenge"];
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn authenticator_data(&mut self, flags: u8) -> Vec<u8> {
        self.counter += 1;
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// What `navigator.credentials.create` gives for these options.
    pub fn register(&mut self, options: &Value) -> Value {
        let client = self.client_data("webauthn.create", options);
        let mut data = self.authenticator_data(PRESENT | ATTESTED);
        data.extend([0; 16]);
        data.extend([0, 16]);
        data.extend(self.id);
        let point = self.pair.public_key().as_ref().to_vec();
        // COSE_Key {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053 section 7.1).
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..65]);
        // {"fmt": "none", "attStmt": {}, "authData": …}
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt");
        object.push(0x64);
        object.extend(b"none");
        object.push(0x67);
        object.extend(b"attStmt");
        object.extend([0xa0, 0x68]);
        object.extend(b"authData");
        object.extend([0x58, u8::try_from(data.len()).expect("short")]);
        object.extend(&data);
        self.credential(&json!({
            "attestationObject": BASE64URL_NOPAD.encode(&object), "clientDataJSON": BASE64URL_NOPAD.encode(&client),
        }))
    }

    /// What `navigator.credentials.get` gives for these options.
    pub fn sign(&mut self, options: &Value) -> Value {
        let client = self.client_data("webauthn.get", options);
        let data = self.authenticator_data(PRESENT);
        let mut message = data.clone();
        message.extend(digest(&SHA256, &client).as_ref());
        #[expect(clippy::disallowed_methods, reason = "a test's key needs no port for its randomness")]
        let signature = self.pair.sign(&SystemRandom::new(), &message).expect("a signature");
        self.credential(&json!({
            "authenticatorData": BASE64URL_NOPAD.encode(&data), "clientDataJSON": BASE64URL_NOPAD.encode(&client),
            "signature": BASE64URL_NOPAD.encode(signature.as_ref()), "userHandle": null,
        }))
    }

    fn credential(&self, response: &Value) -> Value {
        let id = BASE64URL_NOPAD.encode(&self.id);
        json!({"id": id, "rawId": id, "type": "public-key", "response": response, "extensions": {}})
    }
}
