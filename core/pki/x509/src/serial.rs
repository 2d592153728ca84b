//! Serial numbers: one canonical text form for every source (external CA, URL, OCSP, revocation request).

use crate::Error;
use data_encoding::HEXLOWER;

/// Digits of the canonical form of up to 20 octets.
const DIGITS: usize = 40;

/// Longest serial accepted at all, in digits; no CA writes more, and storage is bounded by it.
const MAX_DIGITS: usize = 128;

/// The canonical text: lower-case hex, zero-padded to 40 digits, longer only when an external CA really exceeds 20
/// octets. Accepts `0x`, colons and whitespace, in any case.
pub fn canonical(text: &str) -> Result<String, Error> {
    let invalid = |reason: &str| Error::malformed("serial number", reason);
    let text = text.trim();
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut digits = String::with_capacity(DIGITS);
    for c in text.chars().filter(|c| *c != ':' && !c.is_whitespace()) {
        if !c.is_ascii_hexdigit() {
            return Err(invalid("only hexadecimal digits and colons are allowed"));
        }
        digits.push(c.to_ascii_lowercase());
    }
    if digits.is_empty() {
        return Err(invalid("it is empty"));
    }
    let significant = digits.trim_start_matches('0');
    if significant.len() > MAX_DIGITS {
        return Err(invalid("it is too long"));
    }
    Ok(format!("{significant:0>DIGITS$}"))
}

/// The canonical text of a big-endian unsigned integer.
pub(crate) fn canonical_octets(octets: &[u8]) -> Result<String, Error> {
    if octets.is_empty() {
        return Err(Error::malformed("serial number", "it is empty"));
    }
    canonical(&HEXLOWER.encode(octets))
}

/// A serial number of up to 20 octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial([u8; 20]);

impl Serial {
    /// A serial for a new certificate: uniform in [1, 2^159) when `random` is uniform. None in the one case of zero:
    /// draw again.
    pub fn from_random(mut random: [u8; 20]) -> Option<Self> {
        random[0] &= 0x7F;
        (random != [0; 20]).then_some(Self(random))
    }

    /// Reads any text form of up to 20 octets.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = canonical(text)?;
        let mut octets = [0u8; 20];
        if text.len() != DIGITS || HEXLOWER.decode_mut(text.as_bytes(), &mut octets) != Ok(octets.len()) {
            return Err(Error::malformed("serial number", "it exceeds 20 octets"));
        }
        Ok(Self(octets))
    }

    /// The canonical text: 40 lower-case hex digits.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// The octets, big endian.
    pub fn octets(&self) -> &[u8; 20] {
        &self.0
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.hex())
    }
}

impl std::fmt::Debug for Serial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Serial({})", self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_serial_gives_one_text() {
        let expected = format!("{}0abc", "0".repeat(36));
        for spelling in
            ["abc", "0ABC", "0x0abc", " 0A:bc ", "00:00:0a:BC", "0X0000000000000000000000000000000000000ABC"]
        {
            assert_eq!(canonical(spelling).expect("valid"), expected, "{spelling}");
        }
        for bad in ["", "0x", ":", "-1", "12g4", "١٢", &"1".repeat(129)] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_foreign_serial_of_more_than_20_octets_keeps_its_length() {
        let long = "ff".repeat(21);
        assert_eq!(canonical(&long).expect("valid"), long);
        assert!(Serial::parse(&long).is_err());
    }

    #[test]
    fn c02_b08_new_serials_are_positive_and_fit_20_octets() {
        assert_eq!(Serial::from_random([0; 20]), None);
        let mut sign_bit_only = [0; 20];
        sign_bit_only[0] = 0x80;
        assert_eq!(Serial::from_random(sign_bit_only), None);
        assert_eq!(Serial::from_random([0xFF; 20]).expect("not zero").hex(), format!("7f{}", "ff".repeat(19)));
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(octets in proptest::collection::vec(any::<u8>(), 1..30), upper in any::<bool>()) {
            let mut text = HEXLOWER.encode(&octets);
            if upper {
                text = text.to_uppercase();
            }
            let once = canonical(&text).expect("hex");
            prop_assert!(once.len() >= 40);
            prop_assert_eq!(&canonical(&once).expect("canonical"), &once);
            let plain = HEXLOWER.encode(&octets);
            prop_assert_eq!(once.trim_start_matches('0'), plain.trim_start_matches('0'));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
            if let Ok(serial) = canonical(&text) {
                prop_assert!(serial.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
            }
        }
    }
}
