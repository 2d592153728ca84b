//! Keys on a token (PKCS#11), named by RFC 7512 references. They never leave it: the token signs.

use certctl_ports::{KeyAlgorithm, KeyError, SignatureAlgorithm, SigningKey};
use certctl_x509::{HashAlgorithm, encode_rsa_public_key, encode_spki, signature};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use pkcs8::der::Decode as _;
use pkcs8::der::asn1::OctetStringRef;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// The tokens behind one PKCS#11 module.
pub struct Tokens {
    module: PathBuf,
    pin_file: Option<PathBuf>,
    context: OnceLock<Pkcs11>,
    loading: Mutex<()>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokens").field("module", &self.module).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Behind the shared library `module`; the user PIN is read from `pin_file` when a session is opened. The library is
    /// loaded at the first use.
    pub fn new(module: PathBuf, pin_file: Option<PathBuf>) -> Self {
        Self { module, pin_file, context: OnceLock::new(), loading: Mutex::new(()) }
    }

    fn context(&self) -> Result<&Pkcs11, KeyError> {
        let _one = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let context = Pkcs11::new(&self.module)
            .map_err(|_| KeyError::Unsupported("the PKCS#11 module can't be loaded; see CERTCTL_PKCS11_MODULE"))?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(_) => return Err(KeyError::Unsupported("the PKCS#11 module can't be initialised")),
        }
        Ok(self.context.get_or_init(|| context))
    }

    fn pin(&self) -> Result<Option<AuthPin>, KeyError> {
        let Some(path) = &self.pin_file else { return Ok(None) };
        let text = crate::files::read_secret(path)
            .map_err(|_| KeyError::Unsupported("the PIN file can't be read, or others may read it"))?;
        Ok(Some(AuthPin::new(text.trim_end_matches(['\r', '\n']).into())))
    }

    /// Finds the key that the reference names, such as `pkcs11:token=certctl;object=ca`, and tries it.
    pub fn load(&self, reference: &str) -> Result<Box<dyn SigningKey>, KeyError> {
        let wanted = Reference::parse(reference)?;
        let context = self.context()?.clone();
        let slot = wanted.slot(&context)?;
        let place = Place { context, slot, pin: self.pin()?, wanted };
        let (session, private) = place.open()?;
        let (algorithm, spki) = place.public_key(&session)?;
        let key = TokenKey { place, algorithm, spki, open: Mutex::new(Some((session, private))) };
        // The public key stands beside the private one, and may be another's.
        let probe = b"certctl: does the public key belong to the private one?";
        if signature::verify(&key.spki, probe, &key.sign(probe)?) {
            Ok(Box::new(key))
        } else {
            Err(KeyError::Unsupported("the token's public key does not belong to the private one of the same name"))
        }
    }
}

/// The parts of a reference that find a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reference {
    token: Option<String>,
    serial: Option<String>,
    object: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
}

impl Reference {
    fn parse(text: &str) -> Result<Self, KeyError> {
        let path = text
            .strip_prefix("pkcs11:")
            .ok_or(KeyError::Unsupported("a token's key is named by a reference that begins with pkcs11:"))?;
        if path.contains('?') {
            return Err(KeyError::Unsupported("the module and the PIN are the server's settings, not the reference's"));
        }
        let mut out = Self::default();
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or(KeyError::Unsupported("each part of a reference is name=value"))?;
            let value = percent_decoded(value).ok_or(KeyError::Unsupported("the reference is not percent-encoded"))?;
            let as_text =
                |value: Vec<u8>| String::from_utf8(value).map_err(|_| KeyError::Unsupported("a label is UTF-8"));
            match name {
                "token" => out.token = Some(as_text(value)?),
                "serial" => out.serial = Some(as_text(value)?),
                "object" => out.object = Some(value),
                "id" => out.id = Some(value),
                "type" if value == b"private" => {}
                _ => {
                    return Err(KeyError::Unsupported(
                        "a reference has the parts token, serial, object, id and type=private",
                    ));
                }
            }
        }
        if out.object.is_none() && out.id.is_none() {
            return Err(KeyError::Unsupported("a reference names its key by object or id"));
        }
        Ok(out)
    }

    fn slot(&self, context: &Pkcs11) -> Result<Slot, KeyError> {
        let gone = |_| KeyError::Unsupported("the PKCS#11 module does not tell its tokens");
        let mut found = Vec::new();
        for slot in context.get_slots_with_initialized_token().map_err(gone)? {
            let info = context.get_token_info(slot).map_err(gone)?;
            let fits = self.token.as_deref().is_none_or(|label| info.label().trim_end() == label)
                && self.serial.as_deref().is_none_or(|serial| info.serial_number().trim_end() == serial);
            if fits {
                found.push(slot);
            }
        }
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(KeyError::Unsupported("no token is the one that the reference names")),
            _ => Err(KeyError::Unsupported("several tokens are what the reference names; add token or serial")),
        }
    }

    fn template(&self, class: ObjectClass) -> Vec<Attribute> {
        let mut template = vec![Attribute::Class(class)];
        template.extend(self.object.clone().map(Attribute::Label));
        template.extend(self.id.clone().map(Attribute::Id));
        template
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'%' {
            let digits = [octets.next()?, octets.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(octet);
        }
    }
    Some(out)
}

/// Where a key is.
struct Place {
    context: Pkcs11,
    slot: Slot,
    pin: Option<AuthPin>,
    wanted: Reference,
}

impl Place {
    fn open(&self) -> Result<(Session, ObjectHandle), KeyError> {
        let session =
            self.context.open_ro_session(self.slot).map_err(|_| KeyError::Unsupported("the token opens no session"))?;
        if let Some(pin) = &self.pin {
            match session.login(UserType::User, Some(pin)) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(_) => return Err(KeyError::Unsupported("the token refuses the PIN")),
            }
        }
        let private = self.one(&session, ObjectClass::PRIVATE_KEY)?;
        Ok((session, private))
    }

    fn one(&self, session: &Session, class: ObjectClass) -> Result<ObjectHandle, KeyError> {
        let found = session.find_objects(&self.wanted.template(class)).map_err(|_| KeyError::SigningFailed)?;
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(KeyError::Unsupported("the token has no key pair of this name, or the PIN is missing")),
            _ => Err(KeyError::Unsupported("the token has several keys of this name; name it by id")),
        }
    }

    fn public_key(&self, session: &Session) -> Result<(KeyAlgorithm, Vec<u8>), KeyError> {
        let public = self.one(session, ObjectClass::PUBLIC_KEY)?;
        let wanted = [
            AttributeType::KeyType,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        let (mut kind, mut curve, mut point, mut modulus, mut exponent) = (None, None, None, None, None);
        for attribute in session.get_attributes(public, &wanted).map_err(|_| KeyError::Malformed)? {
            match attribute {
                Attribute::KeyType(value) => kind = Some(value),
                Attribute::EcParams(value) => curve = Some(value),
                Attribute::EcPoint(value) => point = Some(value),
                Attribute::Modulus(value) => modulus = Some(value),
                Attribute::PublicExponent(value) => exponent = Some(value),
                _ => {}
            }
        }
        let (algorithm, public) = match (kind, curve, point, modulus, exponent) {
            (Some(KeyType::EC), Some(curve), Some(point), ..) => {
                let algorithm = match curve.as_slice() {
                    P256 => KeyAlgorithm::EcdsaP256,
                    P384 => KeyAlgorithm::EcdsaP384,
                    _ => return Err(KeyError::Unsupported("EC keys on a token must be on P-256 or P-384")),
                };
                // An OCTET STRING by the standard; some tokens give the bare point.
                let inner = OctetStringRef::from_der(&point).map(|octets| octets.as_bytes().to_vec());
                (algorithm, inner.unwrap_or(point))
            }
            (Some(KeyType::RSA), .., Some(modulus), Some(exponent)) => {
                let algorithm = match modulus.len() * 8 {
                    2048 => KeyAlgorithm::Rsa(2048),
                    3072 => KeyAlgorithm::Rsa(3072),
                    4096 => KeyAlgorithm::Rsa(4096),
                    _ => return Err(KeyError::Unsupported("RSA keys must have 2048, 3072 or 4096 bits")),
                };
                (algorithm, encode_rsa_public_key(&modulus, &exponent).map_err(|_| KeyError::Malformed)?)
            }
            _ => return Err(KeyError::Unsupported("keys on a token must be ECDSA P-256 or P-384, or RSA")),
        };
        Ok((algorithm, encode_spki(algorithm, &public).map_err(|_| KeyError::Malformed)?))
    }
}

struct TokenKey {
    place: Place,
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    /// A session is for one thread at a time; one that failed is replaced.
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

impl TokenKey {
    fn sign_once(&self, open: &mut Option<(Session, ObjectHandle)>, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if open.is_none() {
            *open = Some(self.place.open()?);
        }
        let Some((session, private)) = open.as_ref() else { return Err(KeyError::SigningFailed) };
        let signed = match self.algorithm {
            KeyAlgorithm::Rsa(_) => session.sign(&Mechanism::Sha256RsaPkcs, *private, message),
            KeyAlgorithm::EcdsaP256 => {
                session.sign(&Mechanism::Ecdsa, *private, &HashAlgorithm::Sha256.digest(message))
            }
            KeyAlgorithm::EcdsaP384 => {
                session.sign(&Mechanism::Ecdsa, *private, &HashAlgorithm::Sha384.digest(message))
            }
            KeyAlgorithm::Ed25519 => return Err(KeyError::Unsupported("Ed25519 keys on a token are not supported")),
        };
        let signed = signed.map_err(|_| {
            *open = None;
            KeyError::SigningFailed
        })?;
        match self.algorithm {
            KeyAlgorithm::Rsa(_) => Ok(signed),
            _ => signature::ecdsa_from_raw(&signed).map_err(|_| KeyError::SigningFailed),
        }
    }
}

impl SigningKey for TokenKey {
    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.algorithm {
            KeyAlgorithm::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
            KeyAlgorithm::EcdsaP384 => SignatureAlgorithm::EcdsaP384Sha384,
            // Others are not loaded.
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Ed25519 => SignatureAlgorithm::EcdsaP256Sha256,
        }
    }

    fn key_algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A token that was unplugged or restarted has forgotten the session: once more with a new one.
        self.sign_once(&mut open, message).or_else(|_| {
            *open = None;
            self.sign_once(&mut open, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_what_they_must_not_say_is_refused() {
        let read = Reference::parse("pkcs11:token=My%20CA;object=ca;id=%01%ff;type=private").expect("valid");
        assert_eq!(read.token.as_deref(), Some("My CA"));
        assert_eq!((read.object.as_deref(), read.id.as_deref()), (Some(&b"ca"[..]), Some(&[1, 0xff][..])));
        for bad in [
            "/etc/ca.key",
            "pkcs11:",
            "pkcs11:token=x",
            "pkcs11:object",
            "pkcs11:object=%zz",
            "pkcs11:object=a?module-path=/tmp/evil.so",
            "pkcs11:object=a;slot-id=1",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
