//! Who asks and who decides: persons, whatever their credentials.

use crate::ApprovalError;
use certctl_kernel::{Actor, ActorType};

/// The actor that decides when approvals are switched off for a demonstration.
pub const BYPASS: &str = "system-bypass";
/// The actor that lets requests expire.
pub const REAPER: &str = "system-reaper";
/// The actor that carries out what was approved.
pub const SYSTEM: &str = "approval-system";

/// What the server knows of the person behind a credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The person who holds every working credential of the actor.
    pub owner: Option<String>,
    /// Where no owner is named: the person who made the credential, and so holds it as well.
    pub maker: Option<String>,
}

/// One side of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Party {
    /// The actor's id.
    pub id: String,
    /// The actor's kind.
    pub kind: ActorType,
    /// The person behind it, as far as known.
    pub person: Option<String>,
}

impl Party {
    /// The side that asks. A key without an owner counts as its maker's.
    pub fn asking(actor: &Actor, standing: Standing) -> Self {
        Self { id: actor.id.clone(), kind: actor.kind, person: standing.owner.or(standing.maker) }
    }

    /// The side that decides. Only an owner counts: who made a key need not be who uses it.
    pub fn deciding(actor: &Actor, standing: Standing) -> Self {
        Self { id: actor.id.clone(), kind: actor.kind, person: standing.owner }
    }

    /// A part of the product.
    pub fn system(id: &str) -> Self {
        Self { id: id.to_owned(), kind: ActorType::System, person: None }
    }

    /// Whether both are one actor or one person.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.id == other.id && self.kind == other.kind) || (self.person.is_some() && self.person == other.person)
    }

    /// Whether this party may decide what `requester` asked for: it must be a known person, and another one.
    pub fn may_decide_for(&self, requester: &Self) -> Result<(), ApprovalError> {
        if self.is_same(requester) {
            return Err(ApprovalError::TwoPersons(
                "the person who asked, by whatever credential, can't decide; let someone else do it",
            ));
        }
        match self.kind {
            ActorType::User | ActorType::APIKey if self.person.is_some() => Ok(()),
            ActorType::APIKey => Err(ApprovalError::TwoPersons(
                "this API key names no person as its owner, so it can't decide; rotate it with an owner_user_id",
            )),
            _ => Err(ApprovalError::TwoPersons("only a person can decide")),
        }
    }
}
