//! Weak public keys (RFC 5280 says nothing about them; these are the checks every careful CA makes).

use crate::Error;
use crate::asn1::oid;
use crate::key::{KeyFacts, KeyType, bit_length, read_spki, rsa_key};
use num_bigint::BigUint;

/// Rounds of Fermat's method: enough for primes that share their upper half.
const FERMAT_ROUNDS: u32 = 100;

/// Primes under which keys of the flawed RSALib (CVE-2017-15361) fall into the subgroup of 65537.
const ROCA_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Every rule that the key breaks, in words; empty when it may be certified.
pub(crate) fn findings(spki_der: &[u8]) -> Vec<String> {
    let facts = match KeyFacts::from_spki(spki_der) {
        Ok(facts) => facts,
        Err(Error::Rule { message, .. }) => return vec![message],
        Err(error) => return vec![error.to_string()],
    };
    let Ok(spki) = read_spki(spki_der) else { return vec!["the public key can't be read".to_owned()] };
    let octets = spki.subject_public_key.as_bytes().unwrap_or_default();
    match facts.key_type {
        KeyType::Rsa => {
            if spki.algorithm.parameters.is_none_or(|parameters| !parameters.is_null()) {
                return vec!["the RSA key's algorithm parameters must be NULL".to_owned()];
            }
            rsa_key(&spki).map_or_else(
                |error| vec![error.to_string()],
                |key| rsa_findings(key.modulus.as_bytes(), key.exponent.as_bytes()),
            )
        }
        KeyType::Ecdsa => ec_findings(facts.size, octets),
        KeyType::Ed25519 => {
            if spki.algorithm.oid == oid::ED25519 && spki.algorithm.parameters.is_some() {
                return vec!["an Ed25519 key has no algorithm parameters".to_owned()];
            }
            ed25519_findings(octets)
        }
    }
}

fn ec_findings(size: u32, point: &[u8]) -> Vec<String> {
    let expected = match size {
        256 => 65,
        384 => 97,
        _ => 133,
    };
    // Whether the point lies on the curve is checked by the signature check, which every caller makes.
    if point.len() != expected || point.first() != Some(&4) {
        return vec!["the elliptic-curve point must be uncompressed".to_owned()];
    }
    if size == 521 && !crate::signature::is_p521_point(point) {
        return vec!["the public key is no point of P-521".to_owned()];
    }
    Vec::new()
}

fn rsa_findings(modulus: &[u8], exponent: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let bits = bit_length(modulus);
    if !(2048..=8192).contains(&bits) || !bits.is_multiple_of(8) {
        found.push(format!("RSA keys must have 2048 to 8192 bits, in steps of 8; this one has {bits}"));
        // The remaining checks would cost time quadratic in an arbitrary size.
        return found;
    }
    // ring verifies with exponents of up to 33 bits; a larger one has no honest use.
    let exponent = match <[u8; 8]>::try_from(left_pad(exponent).as_slice()) {
        Ok(octets) => u64::from_be_bytes(octets),
        Err(_) => u64::MAX,
    };
    if exponent.is_multiple_of(2) || !(65_537..1 << 33).contains(&exponent) {
        found.push("the RSA exponent must be odd, at least 65537 and below 2^33".to_owned());
    }
    let modulus = BigUint::from_bytes_be(modulus);
    if let Some(prime) = small_primes().find(|prime| &modulus % *prime == BigUint::ZERO) {
        found.push(format!("the RSA modulus has the small factor {prime}"));
    } else if is_roca(&modulus) {
        found.push("the RSA key has the structure of CVE-2017-15361 (ROCA)".to_owned());
    } else if is_fermat_weak(&modulus) {
        found.push("the two primes of the RSA modulus lie too close together".to_owned());
    }
    found
}

fn left_pad(octets: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; 8usize.saturating_sub(octets.len())];
    padded.extend_from_slice(octets);
    padded
}

/// Primes below 752.
fn small_primes() -> impl Iterator<Item = u32> {
    (2u32..752).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

fn residue(modulus: &BigUint, prime: u32) -> u32 {
    (modulus % prime).iter_u32_digits().next().unwrap_or(0)
}

fn is_roca(modulus: &BigUint) -> bool {
    ROCA_PRIMES.iter().all(|prime| {
        let (target, generator) = (residue(modulus, *prime), 65_537 % prime);
        let mut power = 1;
        for _ in 0..*prime {
            if power == target {
                return true;
            }
            power = power * generator % prime;
        }
        false
    })
}

/// Fermat's method: n = a² − b² with a just above √n.
fn is_fermat_weak(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a < *modulus {
        a += 1u32;
    }
    let mut remainder = &a * &a - modulus;
    for _ in 0..FERMAT_ROUNDS {
        // A square is 0, 1, 4 or 9 modulo 16: three quarters of the roots are saved.
        let low = remainder.iter_u32_digits().next().unwrap_or(0) & 0xF;
        if matches!(low, 0 | 1 | 4 | 9) {
            let root = remainder.sqrt();
            if &root * &root == remainder {
                return true;
            }
        }
        // (a+1)² − n = (a² − n) + 2a + 1
        remainder += (&a << 1u32) + 1u32;
        a += 1u32;
    }
    false
}

/// y-coordinates, little endian, of the points of small order in canonical encoding.
const SMALL_ORDER: [[u8; 32]; 5] = {
    let zero = [0u8; 32];
    let mut one = [0u8; 32];
    one[0] = 1;
    let mut minus_one = [0xFFu8; 32];
    minus_one[0] = 0xEC;
    minus_one[31] = 0x7F;
    [
        zero,
        one,
        minus_one,
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ]
};

fn ed25519_findings(octets: &[u8]) -> Vec<String> {
    let Ok(mut y) = <[u8; 32]>::try_from(octets) else {
        return vec!["an Ed25519 key has 32 octets".to_owned()];
    };
    y[31] &= 0x7F;
    // p = 2^255 − 19; an encoding of p or more is not canonical.
    let canonical = y[31] != 0x7F || y[1..31].iter().any(|octet| *octet != 0xFF) || y[0] < 0xED;
    if !canonical {
        return vec!["the Ed25519 key's encoding is not canonical".to_owned()];
    }
    if SMALL_ORDER.contains(&y) {
        return vec!["the Ed25519 key is a point of small order".to_owned()];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big(text: &str) -> BigUint {
        BigUint::parse_bytes(text.as_bytes(), 10).expect("decimal")
    }

    #[test]
    fn rsa_sizes_and_exponents_out_of_range_are_found() {
        let odd = |bits: usize| {
            let mut octets = vec![0xFFu8; bits / 8];
            octets[0] = 0x80;
            octets
        };
        assert!(rsa_findings(&odd(1024), &[1, 0, 1])[0].contains("1024"));
        assert!(rsa_findings(&odd(8200), &[1, 0, 1])[0].contains("8200"));
        for exponent in [&[3u8][..], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1; 9]] {
            assert!(rsa_findings(&odd(2048), exponent).iter().any(|f| f.contains("exponent")), "{exponent:?}");
        }
    }

    #[test]
    fn a_modulus_with_a_small_factor_is_found() {
        let modulus = (BigUint::from(1u8) << 2038u32) * 751u32 + 751u32;
        assert!(rsa_findings(&modulus.to_bytes_be(), &[1, 0, 1])[0].contains("small factor"));
    }

    #[test]
    fn primes_that_lie_close_together_are_found() {
        // Neighbouring primes, so that Fermat succeeds in the first rounds; the size does not matter to the method.
        let (p, q) = (big("1000000000000000000000007"), big("1000000000000000000000049"));
        assert!(is_fermat_weak(&(&p * &q)));
        assert!(!is_fermat_weak(&(p * big("3000000000000000000000013"))));
    }

    #[test]
    fn a_modulus_in_the_roca_subgroup_is_found_and_others_are_not() {
        let primorial: BigUint = ROCA_PRIMES.iter().map(|p| BigUint::from(*p)).product();
        let flawed = BigUint::from(65_537u32).modpow(&BigUint::from(1_234_567u32), &primorial) + &primorial * 7u32;
        assert!(is_roca(&flawed));
        assert!(!is_roca(&(flawed + 1u32)));
    }

    #[test]
    fn ed25519_points_of_small_order_and_loose_encodings_are_found() {
        for y in SMALL_ORDER {
            assert_eq!(ed25519_findings(&y).len(), 1, "{y:?}");
        }
        let mut p = [0xFF; 32];
        p[0] = 0xED;
        p[31] = 0x7F;
        assert!(ed25519_findings(&p)[0].contains("canonical"));
        assert!(ed25519_findings(&[9; 32]).is_empty());
    }
}
