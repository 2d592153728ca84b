//! Where a person wanted to go before signing in.

/// Longest address that is kept.
const LONGEST: usize = 512;

/// The address is not one of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a path of this server that begins with one slash, such as /certificates?status=expiring")]
pub struct NotHere;

/// Checks that an address stays at this server whatever a browser makes of it: one slash at its beginning, no
/// backslash, which browsers read as a slash, and nothing but visible ASCII.
pub fn check_return_to(text: &str) -> Result<&str, NotHere> {
    let here = text.starts_with('/') && !text.starts_with("//") && text.len() <= LONGEST;
    let plain = text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\');
    // Back into signing in would be a circle.
    let elsewhere = !text.starts_with("/auth/oidc/") && !text.starts_with("/login");
    if here && plain && elsewhere { Ok(text) } else { Err(NotHere) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_returned_to() {
        for good in ["/", "/certificates", "/certificates?status=expiring&page=2#top", "/a//b", "/%2F%2Fevil.example"] {
            assert_eq!(check_return_to(good), Ok(good));
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        for bad in [
            "",
            "certificates",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            " /x",
            "/x y",
            "/x\r\nSet-Cookie: a=b",
            "/x\t",
            "/\u{e4}",
            "/\0",
            "/auth/oidc/login?provider=op-1",
            "/login?error=x",
            &long,
        ] {
            assert_eq!(check_return_to(bad), Err(NotHere), "{bad:?}");
        }
    }
}
