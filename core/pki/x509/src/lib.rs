//! X.509 as pure functions over bytes: requests, certificates, revocation lists, status answers and trust stores.
//!
//! Time, serial numbers and keys come in as values; nothing here reads the clock, files or the network. ASN.1 is read
//! and written by the RustCrypto `der` family only, signatures are checked by `ring` (by `p521` for that curve), and neither shows at the
//! boundary: callers see bytes, text and the types of this crate.

mod asn1;
mod builder;
pub mod ca;
pub mod certificate;
pub mod chain;
pub mod constraints;
pub mod crl;
pub mod csr;
mod error;
mod key;
pub mod leaf;
pub mod lint;
mod name;
pub mod ocsp;
pub mod pem;
pub mod pkcs12;
mod san;
pub mod serial;
pub mod signature;
pub mod tls;
mod unicode;
mod weak;

pub use asn1::{HashAlgorithm, sha256_hex};
pub use error::Error;
pub use key::{KeyFacts, KeyType, encode_rsa_public_key, encode_spki};
pub use name::{Subject, check_common_name, common_name_fits};
pub use san::{MAX_SANS, San, SanError};
pub use serial::Serial;

/// DER of one ASN.1 object.
pub type Der = Vec<u8>;
