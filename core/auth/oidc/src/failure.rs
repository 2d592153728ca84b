//! Why a sign-in through a provider ended without a session.
//!
//! Each category has one wire name (in the audit trail, in `reason=` of the sign-in page and in metrics) and one text
//! for the person in front of the browser. The text says what to do and nothing that helps an attacker.

macro_rules! failures {
    ($($variant:ident = $name:literal, $text:literal;)*) => {
        /// A category of failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failure {
            $(#[doc = concat!("`", $name, "`: ", $text)] $variant,)*
        }

        impl Failure {
            /// Every category, in the order in which a sign-in can meet them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What the person who wanted to sign in reads.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

failures! {
    MissingPreLoginCookie = "missing_pre_login_cookie",
        "Your browser did not send back the cookie of this sign-in. Allow cookies for this site and begin again.";
    PreLoginConsumeFailed = "pre_login_consume_failed",
        "This sign-in has run out or was already used. Begin again.";
    PreLoginUserAgentMissing = "prelogin_ua_missing",
        "Your browser did not say which browser it is, so this sign-in can't be tied to it. Begin again.";
    PreLoginUserAgentMismatch = "prelogin_ua_mismatch",
        "This sign-in was begun in another browser. Begin again in the one that you want to use.";
    PreLoginIpMissing = "prelogin_ip_missing",
        "Your network address could not be determined, so this sign-in can't be tied to it. Begin again.";
    PreLoginIpMismatch = "prelogin_ip_mismatch",
        "Your network address changed during the sign-in. Begin again, without switching network or VPN meanwhile.";
    StateMismatch = "state_mismatch",
        "The answer does not belong to a sign-in that you began here. Begin again.";
    IdpError = "idp_error",
        "The identity provider refused the sign-in. Begin again, or ask whoever runs the provider whether you may use certctl.";
    ProviderDisabled = "provider_disabled",
        "Signing in through this provider is switched off. Choose another way, or ask an administrator.";
    JwksUnreachable = "jwks_unreachable",
        "The identity provider can't be reached at the moment. Try again in a few minutes.";
    AlgRejected = "alg_rejected",
        "The identity provider signs in a way that certctl does not accept. Tell an administrator.";
    IssParamMissing = "iss_param_missing",
        "The answer does not say which provider it comes from, as this provider's answers must. Begin again.";
    IssParamMismatch = "iss_param_mismatch",
        "The answer comes from another provider than the one you chose. Begin again.";
    PkceInvalid = "pkce_invalid",
        "The identity provider did not accept the code of this sign-in. Begin again.";
    TokenExchangeFailed = "token_exchange_failed",
        "The identity provider did not complete the sign-in. Try again, and tell an administrator if it goes on.";
    SignatureInvalid = "signature_invalid",
        "What the identity provider sent is not signed by it. Tell an administrator.";
    IdTokenIssMismatch = "id_token_iss_mismatch",
        "The identity provider names itself differently from its configuration here. Tell an administrator.";
    AudienceMismatch = "audience_mismatch",
        "The identity provider's answer is meant for another application. Tell an administrator.";
    AzpMismatch = "azp_mismatch",
        "The identity provider's answer was made for another application. Tell an administrator.";
    AtHashMismatch = "at_hash_mismatch",
        "The parts of the identity provider's answer do not belong together. Begin again.";
    TokenExpired = "token_expired",
        "The identity provider's answer had run out when it came. Begin again; if it goes on, a clock is wrong.";
    IatWindow = "iat_window",
        "The identity provider's answer was made too long ago or in the future. Begin again; if it goes on, a clock is wrong.";
    NonceMismatch = "nonce_mismatch",
        "The identity provider's answer belongs to another sign-in. Begin again.";
    EmailMissingButRequired = "email_missing_but_required",
        "The identity provider did not tell your e-mail address, which is needed here. Tell an administrator.";
    EmailUnverified = "email_unverified",
        "The identity provider has not verified your e-mail address. Verify it there, then begin again.";
    EmailDomainNotAllowed = "email_domain_not_allowed",
        "Your e-mail address is not of a domain that may sign in here. Use your account of the organisation.";
    GroupsOverage = "groups_overage",
        "You are in more groups than the identity provider lists. An administrator can have it send only the groups of this application.";
    GroupsMissing = "groups_missing",
        "The identity provider did not tell your groups. Ask an administrator to check the group claim.";
    UserDeactivated = "user_deactivated",
        "Your account here is switched off. Ask an administrator.";
    UnmappedGroups = "unmapped_groups",
        "None of your groups has a role here. Ask an administrator for access.";
    Unspecified = "unspecified",
        "The sign-in failed. Try again, and tell an administrator the time if it goes on.";
}

impl Failure {
    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|failure| failure.as_str() == text)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_category_has_a_name_and_a_text_of_its_own() {
        let names: BTreeSet<_> = Failure::ALL.iter().map(|failure| failure.as_str()).collect();
        let texts: BTreeSet<_> = Failure::ALL.iter().map(|failure| failure.text()).collect();
        assert_eq!((names.len(), texts.len()), (31, 31));
        for failure in Failure::ALL {
            assert_eq!(Failure::parse(failure.as_str()), Some(*failure));
            assert!(failure.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{failure}");
            assert!(failure.text().ends_with('.'), "{failure}: a sentence");
        }
        assert_eq!(Failure::parse("azp"), None);
    }
}
