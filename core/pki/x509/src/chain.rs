//! Chains: leaf first, each next certificate signs the one before.

use crate::asn1::{self, Signed};
use crate::certificate::inspect;
use crate::{Error, signature};

/// Checks that each certificate of `chain` is a CA, is named as the issuer of the one before (`leaf` first), signed
/// it, and stands there once. Validity in time is the caller's matter.
pub fn check(leaf: &[u8], chain: &[Vec<u8>]) -> Result<(), Error> {
    let mut seen = vec![leaf];
    let mut below = inspect(leaf)?;
    for (index, der) in chain.iter().enumerate() {
        let place = index + 1;
        if seen.contains(&der.as_slice()) {
            return Err(Error::rule("chain_duplicate", format!("certificate {place} of the chain stands there twice")));
        }
        let above = inspect(der)?;
        if !above.is_ca {
            return Err(Error::rule(
                "chain_not_ca",
                format!("certificate {place} of the chain is not a CA certificate"),
            ));
        }
        if below.issuer_der != above.subject_der {
            return Err(Error::rule(
                "chain_order",
                format!(
                    "certificate {place} of the chain ({}) is not the issuer {}",
                    above.subject_dn, below.issuer_dn
                ),
            ));
        }
        let signed: Signed<'_> = asn1::read(&below.der, "certificate")?;
        signature::verify_signed(&signed, &above.spki_der).map_err(|error| {
            Error::rule(
                "chain_signature",
                format!("certificate {place} of the chain did not sign the one before: {error}"),
            )
        })?;
        seen.push(der);
        below = above;
    }
    Ok(())
}
