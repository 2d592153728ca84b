//! Where a person wanted to go before signing in.

/// Longest address that is kept.
const LONGEST: usize = 512;

/// The address, if it is one of this server whatever a browser makes of it; the first page otherwise. One slash at its
/// beginning, no backslash, which browsers read as a slash, and nothing but visible ASCII.
pub(super) fn or_home(text: Option<&str>) -> &str {
    let Some(text) = text else { return "/" };
    let here = text.starts_with('/') && !text.starts_with("//") && text.len() <= LONGEST;
    let plain = text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\');
    // Back into signing in would be a circle.
    if here && plain && !text.starts_with("/login") && !text.starts_with("/auth/") { text } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::or_home;

    #[test]
    fn only_paths_of_this_server_are_returned_to() {
        for good in ["/", "/certificates", "/certificates?status=expiring&page=2#top", "/%2F%2Fevil.example"] {
            assert_eq!(or_home(Some(good)), good);
        }
        let long = format!("/{}", "a".repeat(600));
        for bad in [
            "",
            "certificates",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            " /x",
            "/x y",
            "/x\r\nSet-Cookie: a=b",
            "/\u{e4}",
            "/\0",
            "/login?error=x",
            "/auth/oidc/login?provider=op-1",
            &long,
        ] {
            assert_eq!(or_home(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(or_home(None), "/");
    }
}
