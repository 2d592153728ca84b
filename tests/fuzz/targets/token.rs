#![no_main]
//! What anybody may send as a logout token, and what a provider may send as claims.

use certctl_backchannel::peek;
use certctl_oidc::{check_return_to, groups_at_all, strict_json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|octets: &[u8]| {
    if let Ok(members) = strict_json::object(octets) {
        let claims = Value::Object(members);
        let again = strict_json::object(claims.to_string().as_bytes()).map(Value::Object);
        assert!(again.is_ok(), "what was read can be read again");
        let _ = groups_at_all(&claims, ["groups", "a.b.c", "/a/b~1c", "https://corp.example/groups"]);
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let _ = peek(text);
    if let Ok(path) = check_return_to(text) {
        let there = url::Url::parse("https://pki.example/login").and_then(|base| base.join(path)).expect("a URL");
        assert_eq!(there.host_str(), Some("pki.example"));
    }
});
