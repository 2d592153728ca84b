//! PKCS#10 requests in PEM, as operators and agents send them.
#![no_main]

use certctl_x509::{csr, pem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    // As text, and as the octets of a well-formed PEM block, which gets further than damaged armour does.
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = csr::parse(text);
    }
    let _ = csr::parse(&pem::encode("CERTIFICATE REQUEST", octets));
});
