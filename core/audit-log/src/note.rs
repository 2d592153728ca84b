//! Signed notes (C2SP signed-note) with Ed25519: a text, a blank line, and a line a signature.
//!
//! The form is text; the signatures are ring's, as everywhere in the product.

use certctl_ports::{KeyAlgorithm, SigningKey};
use data_encoding::{BASE64, HEXLOWER};
use ring::{digest, signature};
use std::fmt;
use std::sync::Arc;

/// The algorithm octet of Ed25519 in a key's encoding.
const ED25519: u8 = 0x01;
/// A note is small; anything longer is no note of ours.
const MAX_SIZE: usize = 64 * 1024;
const MAX_SIGNATURES: usize = 32;
/// DER before the 32 octets of an Ed25519 key (RFC 8410 §4).
const SPKI_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A note or key can't be read, or no trusted key signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the form of a signed note.
    #[error("not a signed note (C2SP signed-note)")]
    Malformed,
    /// Not the form `name+hash+key`.
    #[error("not a verifier key of the form name+hash+key for Ed25519")]
    MalformedKey,
    /// A signature in the name of a trusted key is wrong.
    #[error("the signature of a trusted key is wrong")]
    BadSignature,
    /// None of the trusted keys signed.
    #[error("none of the trusted keys signed it")]
    Unsigned,
    /// The key can't sign notes, or failed to.
    #[error("the key can't sign: it must be Ed25519")]
    CannotSign,
}

/// A public key with the name it signs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of `name`, which is not empty and has neither white space nor `+`.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, NoteError> {
        if !sound_name(name) {
            return Err(NoteError::MalformedKey);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &public), public })
    }

    /// Parses `name+hash+key`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::MalformedKey);
        };
        let octets = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::MalformedKey)?;
        let public = match octets.split_first() {
            Some((&ED25519, public)) => public.try_into().map_err(|_| NoteError::MalformedKey)?,
            _ => return Err(NoteError::MalformedKey),
        };
        let key = Self::new(name, public)?;
        if HEXLOWER.encode(&key.id) == id { Ok(key) } else { Err(NoteError::MalformedKey) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four octets that signatures name the key by.
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.public);
        write!(formatter, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&key))
    }
}

fn sound_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(name.as_bytes());
    context.update(&[b'\n', ED25519]);
    context.update(public);
    let hash = context.finish();
    let octets = hash.as_ref();
    [octets[0], octets[1], octets[2], octets[3]]
}

/// A private key with the name it signs under.
#[derive(Clone)]
pub struct NoteKey {
    verifier: VerifierKey,
    key: Arc<dyn SigningKey>,
}

impl NoteKey {
    /// Takes an Ed25519 key.
    pub fn new(name: &str, key: Arc<dyn SigningKey>) -> Result<Self, NoteError> {
        let spki = key.public_key_spki();
        let public = spki.strip_prefix(SPKI_PREFIX).and_then(|public| public.try_into().ok());
        match public {
            Some(public) if key.key_algorithm() == KeyAlgorithm::Ed25519 => {
                Ok(Self { verifier: VerifierKey::new(name, public)?, key })
            }
            _ => Err(NoteError::CannotSign),
        }
    }

    /// The public half.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The note over `text`, which ends in a newline.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !text.ends_with('\n') || text.contains("\n\n") || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed);
        }
        let signature = self.key.sign(text.as_bytes()).map_err(|_| NoteError::CannotSign)?;
        let mut octets = self.verifier.id.to_vec();
        octets.extend_from_slice(&signature);
        Ok(format!("{text}\n\u{2014} {} {}\n", self.verifier.name, BASE64.encode(&octets)))
    }
}

struct Signature {
    name: String,
    id: [u8; 4],
    octets: Vec<u8>,
}

/// A note as it was read; nothing in it is to be believed before [`SignedNote::verify`].
pub struct SignedNote {
    text: String,
    signatures: Vec<Signature>,
}

impl SignedNote {
    /// Reads a note.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_SIZE || note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed);
        }
        let (text, block) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let block = block.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let signatures: Vec<Signature> = block.split('\n').map(signature_line).collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The text when at least one of `trusted` signed it and no signature in the name of one of them is wrong.
    pub fn verify<'a>(&self, trusted: impl IntoIterator<Item = &'a VerifierKey>) -> Result<&str, NoteError> {
        let mut signed = false;
        for key in trusted {
            for found in self.signatures.iter().filter(|found| found.name == key.name && found.id == key.id) {
                signature::UnparsedPublicKey::new(&signature::ED25519, key.public)
                    .verify(self.text.as_bytes(), &found.octets)
                    .map_err(|_| NoteError::BadSignature)?;
                signed = true;
            }
        }
        if signed { Ok(&self.text) } else { Err(NoteError::Unsigned) }
    }

    /// The text, whoever signed it.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

fn signature_line(line: &str) -> Result<Signature, NoteError> {
    let (name, encoded) =
        line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
    let octets = BASE64.decode(encoded.as_bytes()).map_err(|_| NoteError::Malformed)?;
    match octets.split_first_chunk::<4>() {
        Some((id, rest)) if !rest.is_empty() && sound_name(name) => {
            Ok(Signature { name: name.to_owned(), id: *id, octets: rest.to_vec() })
        }
        _ => Err(NoteError::Malformed),
    }
}
