//! OCSP requests, which anybody may send.
#![no_main]

use certctl_x509::ocsp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(request) = ocsp::parse_request(octets) {
        assert!(!request.entries.is_empty(), "a request that is taken asks about something");
        for entry in &request.entries {
            assert!(entry.serial.bytes().all(|b| b.is_ascii_hexdigit()), "serials are canonical");
        }
    }
});
