//! Where a person wanted to go before signing in.

/// The address, if it is one of this server whatever a browser makes of it; the first page otherwise.
pub(super) fn or_home(text: Option<&str>) -> &str {
    text.and_then(|text| certctl_oidc::check_return_to(text).ok()).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::or_home;

    #[test]
    fn what_is_no_path_of_this_server_leads_home() {
        assert_eq!(or_home(Some("/certificates?page=2")), "/certificates?page=2");
        for elsewhere in [None, Some("//evil.example"), Some("https://evil.example"), Some("/login?error=x")] {
            assert_eq!(or_home(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
