//! The tree of an issuer's CAs: what may be made below what, and how a CA leaves.

use crate::{CaRecord, CaState};
use certctl_kernel::{DomainError, Timestamp};
use std::collections::BTreeMap;
use time::Duration;

/// Deepest tree.
const MAX_DEPTH: usize = 10;

/// A parent that ends sooner signs no CA.
const PARENT_LEFT: Duration = Duration::hours(24);

/// The CA with this id and those above it, from the rows of one issuer; an error where the tree is broken.
pub fn path<'a>(records: &'a [CaRecord], id: &str) -> Result<Vec<&'a CaRecord>, DomainError> {
    let by_id: BTreeMap<&str, &CaRecord> = records.iter().map(|record| (record.id.as_str(), record)).collect();
    let mut out = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        let record = *by_id.get(id).ok_or_else(|| DomainError::not_found("CA", id))?;
        if out.len() == MAX_DEPTH {
            let message = format!("a chain has at most {MAX_DEPTH} CAs");
            return Err(DomainError::invalid("parent_ca_id", "too_deep", message));
        }
        out.push(record);
        next = record.parent_ca_id.as_deref();
    }
    Ok(out)
}

/// Whether the first of a [`path`] may sign a CA: it is active, no CA above it has gone, and all are in their time.
pub fn may_certify(path: &[&CaRecord], now: Timestamp) -> Result<(), DomainError> {
    let conflict = |code: &'static str, message: String| Err(DomainError::conflict(code, message));
    let Some(parent) = path.first() else { return Ok(()) };
    if parent.state != CaState::Active {
        return conflict(
            "parent_not_active",
            format!("CA {} is {}; it signs no CAs", parent.id, parent.state.as_str()),
        );
    }
    if path.len() == MAX_DEPTH {
        return conflict("too_deep", format!("a chain has at most {MAX_DEPTH} CAs"));
    }
    for ca in path {
        if ca.state == CaState::Retired {
            return conflict("ancestor_retired", format!("CA {} above is retired", ca.id));
        }
        if ca.not_after <= now + PARENT_LEFT {
            return conflict("ancestor_expiring", format!("CA {} ends within 24 hours or has ended", ca.id));
        }
        if ca.not_before > now {
            return conflict("ancestor_not_yet_valid", format!("CA {} is not valid yet", ca.id));
        }
    }
    Ok(())
}

/// What stands in the way of retiring a CA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaUsage {
    /// CAs below it that are active or retiring.
    pub children: i64,
    /// Certificates that it signed and that have not expired.
    pub certificates: i64,
    /// Whether the issuer signs leaves with it.
    pub issuing: bool,
}

/// The state after an order to retire. Drain first: an active CA retires in two steps, and the second needs a
/// confirmation, no CA in force below, and no unexpired certificate unless it is forced.
pub fn retire(state: CaState, usage: CaUsage, confirm: bool, force: bool) -> Result<CaState, DomainError> {
    if usage.issuing && state == CaState::Active {
        let message = "the issuer signs with this CA; activate another one first";
        return Err(DomainError::conflict("issuing_ca", message));
    }
    match state {
        CaState::Active => Ok(CaState::Retiring),
        CaState::Retiring if !confirm => {
            Err(DomainError::conflict("confirm_required", "the last step can't be taken back; repeat it with confirm"))
        }
        CaState::Retiring if usage.children > 0 => {
            let message = format!("{} CAs below it are still in force; retire them first", usage.children);
            Err(DomainError::conflict("active_children", message))
        }
        CaState::Retiring if usage.certificates > 0 && !force => {
            let message = format!(
                "{} certificates that it signed have not expired; wait, replace them, or repeat it with force and a note",
                usage.certificates
            );
            Err(DomainError::conflict("live_certificates", message))
        }
        CaState::Retiring => Ok(CaState::Retired),
        CaState::Retired => Err(DomainError::conflict("already_retired", "the CA is retired")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ca_retires_in_two_steps_and_only_when_it_is_drained() {
        let free = CaUsage::default();
        let code = |outcome: Result<CaState, DomainError>| match outcome {
            Err(DomainError::Conflict { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(retire(CaState::Active, free, false, false).ok(), Some(CaState::Retiring));
        assert_eq!(code(retire(CaState::Retiring, free, false, false)), "confirm_required");
        assert_eq!(retire(CaState::Retiring, free, true, false).ok(), Some(CaState::Retired));
        assert_eq!(code(retire(CaState::Retired, free, true, true)), "already_retired");
        let parent = CaUsage { children: 1, ..free };
        assert_eq!(code(retire(CaState::Retiring, parent, true, true)), "active_children");
        let busy = CaUsage { certificates: 3, ..free };
        assert_eq!(code(retire(CaState::Retiring, busy, true, false)), "live_certificates");
        assert_eq!(retire(CaState::Retiring, busy, true, true).ok(), Some(CaState::Retired));
        assert_eq!(code(retire(CaState::Active, CaUsage { issuing: true, ..free }, true, true)), "issuing_ca");
    }

    proptest! {
        /// P10: three CAs in a row, retired in any order and any number of steps, forced or not.
        #[test]
        fn p10_no_sequence_of_orders_retires_a_ca_above_one_in_force(
            orders in proptest::collection::vec((0..3usize, any::<bool>(), any::<bool>()), 1..40)
        ) {
            let mut states = [CaState::Active; 3];
            for (at, confirm, force) in orders {
                let children = i64::from(states.get(at + 1).is_some_and(|child| *child != CaState::Retired));
                if let Ok(next) = retire(states[at], CaUsage { children, ..CaUsage::default() }, confirm, force) {
                    states[at] = next;
                }
                for pair in states.windows(2) {
                    prop_assert!(pair[0] != CaState::Retired || pair[1] == CaState::Retired);
                }
            }
        }
    }
}
