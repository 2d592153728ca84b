#![no_main]
//! What an auditor's tool reads: exports, bundles, checkpoints, keys, rows of the old chain, and paths of tiles.

use certctl_audit_log::{SignedNote, TrustedKeys, VerifierKey, check_bundle, check_export, check_legacy, tile_path};
use libfuzzer_sys::fuzz_target;

/// Nothing made up is signed by it.
const KEY: &str = "certctl-audit/0f1e2d3c4b5a69788796a5b4c3d2e1f0+57d48bfe+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

fuzz_target!(|octets: &[u8]| {
    let trusted = TrustedKeys(vec![VerifierKey::parse(KEY).expect("a sound key")]);
    assert!(check_export(octets, &trusted, &[]).is_err());
    let _ = check_legacy(octets, None);
    let Ok(text) = std::str::from_utf8(octets) else { return };
    assert!(check_bundle(text, &trusted).is_err());
    assert!(trusted.open(text).is_err());
    let _ = SignedNote::parse(text);
    let _ = tile_path(text);
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }
});
