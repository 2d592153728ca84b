//! Roles, what they permit, and grants of them.

use crate::{Permission, Scope};
use certctl_kernel::Timestamp;

/// Id of the role that holds every permission.
pub const ADMIN_ROLE: &str = "r-admin";

/// The roles every installation has; they can't be changed or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefaultRole {
    /// Everything.
    Admin,
    /// Daily work.
    Operator,
    /// Reading.
    Viewer,
    /// An agent process.
    Agent,
    /// The MCP server.
    Mcp,
    /// Automation through the command line.
    Cli,
    /// Reading the audit trail.
    Auditor,
    /// Deciding approvals.
    Approver,
}

impl DefaultRole {
    /// Every default role.
    pub const ALL: [Self; 8] =
        [Self::Admin, Self::Operator, Self::Viewer, Self::Agent, Self::Mcp, Self::Cli, Self::Auditor, Self::Approver];

    /// The role's id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Admin => ADMIN_ROLE,
            Self::Operator => "r-operator",
            Self::Viewer => "r-viewer",
            Self::Agent => "r-agent",
            Self::Mcp => "r-mcp",
            Self::Cli => "r-cli",
            Self::Auditor => "r-auditor",
            Self::Approver => "r-approver",
        }
    }

    /// The role's name: its id without `r-`.
    pub fn name(self) -> &'static str {
        &self.id()[2..]
    }

    /// What the role is for.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Admin => "Everything",
            Self::Operator => "Daily work with certificates, agents, targets and jobs",
            Self::Viewer => "Reading, without secrets",
            Self::Agent => "An agent process on a host",
            Self::Mcp => "The MCP server",
            Self::Cli => "Automation through the command line",
            Self::Auditor => "Reading and exporting the audit trail",
            Self::Approver => "Deciding approvals",
        }
    }

    /// Accepts `viewer` and `r-viewer` alike.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == text || role.name() == text)
    }

    /// The permissions that the role holds, all global.
    pub fn permissions(self) -> Vec<Permission> {
        Permission::ALL
            .iter()
            .copied()
            .filter(|permission| self == Self::Admin || permission.default_roles().contains(&self))
            .collect()
    }
}

/// One permission of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePermission {
    /// The role.
    pub role_id: String,
    /// What it permits.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
}

/// A role granted to a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedRole {
    /// The role.
    pub role_id: String,
    /// Where the grant holds.
    pub scope: Scope,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}
