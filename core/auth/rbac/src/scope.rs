//! Scopes of grants and of requests.

use serde::Serialize;

/// Kinds of scope, in their wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeType {
    /// Everything.
    Global,
    /// One certificate profile.
    Profile,
    /// One issuer.
    Issuer,
}

impl ScopeType {
    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Profile => "profile",
            Self::Issuer => "issuer",
        }
    }

    /// Parses the wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Global, Self::Profile, Self::Issuer].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a grant covers or a request touches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Global,
    /// The profile with this id.
    Profile(String),
    /// The issuer with this id.
    Issuer(String),
}

impl Scope {
    /// Builds a scope from its two wire members; `None` when they don't fit together.
    pub fn from_parts(kind: ScopeType, id: Option<&str>) -> Option<Self> {
        match (kind, id) {
            (ScopeType::Global, None) => Some(Self::Global),
            (ScopeType::Profile, Some(id)) if !id.is_empty() => Some(Self::Profile(id.to_owned())),
            (ScopeType::Issuer, Some(id)) if !id.is_empty() => Some(Self::Issuer(id.to_owned())),
            _ => None,
        }
    }

    /// The kind of scope.
    pub const fn kind(&self) -> ScopeType {
        match self {
            Self::Global => ScopeType::Global,
            Self::Profile(_) => ScopeType::Profile,
            Self::Issuer(_) => ScopeType::Issuer,
        }
    }

    /// The id of a scope that has one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Global => None,
            Self::Profile(id) | Self::Issuer(id) => Some(id),
        }
    }

    /// The ids of those scopes that are of this kind.
    pub fn ids_of(scopes: &[Self], kind: ScopeType) -> Vec<String> {
        scopes.iter().filter(|scope| scope.kind() == kind).filter_map(Self::id).map(ToOwned::to_owned).collect()
    }

    /// What remains when a grant of this scope carries a role permission of `other`'s scope.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Global, scope) | (scope, Self::Global) => Some(scope.clone()),
            (left, right) if left == right => Some(left.clone()),
            _ => None,
        }
    }
}
