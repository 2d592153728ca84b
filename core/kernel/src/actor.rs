//! Who acts, and the request on whose behalf.

use serde::{Deserialize, Serialize};

/// Kinds of principal, in their exact wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ActorType {
    /// A federated or local person.
    User,
    /// The product itself: scheduler, boot, garbage collection.
    System,
    /// An enrolled agent process.
    Agent,
    /// A caller with an API key.
    APIKey,
    /// The demo principal.
    Anonymous,
}

impl ActorType {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 5] = [Self::User, Self::System, Self::Agent, Self::APIKey, Self::Anonymous];

    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::System => "System",
            Self::Agent => "Agent",
            Self::APIKey => "APIKey",
            Self::Anonymous => "Anonymous",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A principal: identity is the triple of id, kind and tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Key name, user id or agent id, by kind.
    pub id: String,
    /// The kind of principal.
    pub kind: ActorType,
    /// The tenant that the principal belongs to.
    pub tenant_id: String,
}

impl Actor {
    /// A principal of the default tenant.
    pub fn new(id: impl Into<String>, kind: ActorType) -> Self {
        Self { id: id.into(), kind, tenant_id: crate::DEFAULT_TENANT.to_owned() }
    }

    /// The product itself.
    pub fn system() -> Self {
        Self::new("system", ActorType::System)
    }
}

/// What a use case knows of the request it runs for: who asks, under which request id, from where.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The authenticated principal.
    pub actor: Actor,
    /// Correlates log lines, error bodies and audit events.
    pub request_id: String,
    /// The client's address after trusted-proxy resolution, as text; absent for internal work.
    pub source_ip: Option<String>,
}

impl RequestContext {
    /// Context of the product's own work, such as a scheduler loop; `run` names it in the audit trail.
    pub fn system(run: impl Into<String>) -> Self {
        Self { actor: Actor::system(), request_id: run.into(), source_ip: None }
    }
}
