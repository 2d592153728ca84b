//! PKCS#12 trust stores: certificates only.

use crate::{Der, Error, certificate};
use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm};

/// PBKDF2 and MAC rounds.
const ITERATIONS: u64 = 100_000;

/// Packs the leaf and then its chain under a password: PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, HMAC-SHA256 as
/// the MAC. The salts come from the operating system inside the library, so two stores of one content differ.
pub fn trust_store(leaf: &[u8], chain: &[Vec<u8>], password: &str) -> Result<Der, Error> {
    let mut store = KeyStore::new();
    for (index, der) in std::iter::once(leaf).chain(chain.iter().map(Vec::as_slice)).enumerate() {
        let facts = certificate::inspect(der)?;
        // Friendly names are BMPStrings: other characters have no place there.
        let name: String =
            facts.common_name.unwrap_or(facts.serial).chars().filter(|c| u32::from(*c) <= 0xFFFF).collect();
        let certificate =
            Certificate::from_der(der).map_err(|_| Error::malformed("certificate", "the trust store refuses it"))?;
        // The store sorts by alias: the number keeps the leaf first and the chain in order.
        store.add_entry(&format!("{index:03} {name}"), KeyStoreEntry::Certificate(certificate));
    }
    store
        .writer(password)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ITERATIONS)
        .write()
        .map_err(|_| Error::Encode("a trust store"))
}
