//! Certificates and chains in PEM, as operators bring them for their own CA.
#![no_main]

use certctl_x509::{ca, certificate, chain, pem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let now = certctl_kernel::Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(1_790_000_000);
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = certificate::inspect_pem(text);
        let _ = ca::load(text, now);
        if let Ok(chain) = pem::certificates(text)
            && let Some((leaf, rest)) = chain.split_first()
        {
            let _ = chain::check(leaf, rest);
        }
    }
    let _ = certificate::inspect(octets);
    let _ = ca::load(&pem::encode("CERTIFICATE", octets), now);
});
