//! Reasons of revocation (RFC 5280 §5.3.1).

/// Why a certificate was revoked, in the exact wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// No reason given.
    Unspecified,
    /// The private key is known to someone else.
    KeyCompromise,
    /// The CA's key is known to someone else.
    CaCompromise,
    /// The subject's affiliation changed.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// No longer needed.
    CessationOfOperation,
    /// Suspended; may be lifted.
    CertificateHold,
    /// A privilege was withdrawn.
    PrivilegeWithdrawn,
    /// The attribute authority's key is known to someone else.
    AaCompromise,
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "caCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aaCompromise",
        }
    }

    /// The code of CRLs and OCSP; 8 is `removeFromCRL`, no reason of its own.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// Parses the wire spelling, its snake_case form, or RFC 5280's `aACompromise`; nothing else, and no other case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text || snake_case(reason.as_str()) == text)
            .or_else(|| ["aACompromise", "aacompromise"].contains(&text).then_some(Self::AaCompromise))
    }

    /// The spellings, for messages.
    pub fn spellings() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

fn snake_case(camel: &str) -> String {
    let mut out = String::new();
    for character in camel.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same_and_others_nothing() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::parse(reason.as_str()), Some(reason));
            assert_eq!(RevocationReason::parse(&snake_case(reason.as_str())), Some(reason));
        }
        assert_eq!(RevocationReason::parse("key_compromise"), Some(RevocationReason::KeyCompromise));
        for other in ["", "KeyCompromise", "keycompromise", "removeFromCRL", "1"] {
            assert_eq!(RevocationReason::parse(other), None, "{other}");
        }
    }

    #[test]
    fn codes_are_those_of_rfc_5280_without_7_and_8() {
        let codes = RevocationReason::ALL.map(RevocationReason::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 9, 10]);
    }
}
