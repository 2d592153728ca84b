//! The permission catalogue: one list from which seed, checks, OpenAPI and documentation come.

use crate::DefaultRole;

macro_rules! permissions {
    ($($variant:ident = $name:literal, [$($role:ident),*];)*) => {
        /// Every permission. The administrator role holds all; each row names the other default roles that hold it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Permission {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Permission {
            /// Every permission, by name.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The default roles besides the administrator's that hold it.
            pub const fn default_roles(self) -> &'static [DefaultRole] {
                match self { $(Self::$variant => &[$(DefaultRole::$role),*]),* }
            }
        }
    };
}

// Differs from the inherited catalogue of 82 by design: `cert.export` is apart from `cert.read`, agents may report
// verifications, the auditor reads the trail and nothing else, and only people or their approver role approve.
permissions! {
    AgentEdit = "agent.edit", [Operator, Cli];
    AgentHeartbeat = "agent.heartbeat", [Agent];
    AgentJobComplete = "agent.job.complete", [Agent];
    AgentJobPoll = "agent.job.poll", [Agent];
    AgentJobReport = "agent.job.report", [Agent];
    AgentRead = "agent.read", [Operator, Viewer, Mcp, Cli];
    AgentRetire = "agent.retire", [];
    ApprovalApprove = "approval.approve", [Operator, Cli, Approver];
    ApprovalRead = "approval.read", [Operator, Viewer, Mcp, Cli, Approver];
    ApprovalReject = "approval.reject", [Operator, Cli, Approver];
    AuditExport = "audit.export", [Auditor];
    AuditRead = "audit.read", [Operator, Viewer, Mcp, Cli, Auditor];
    AuthBootstrapUse = "auth.bootstrap.use", [];
    AuthBreakglassAdmin = "auth.breakglass.admin", [];
    AuthBreakglassLogin = "auth.breakglass.login", [];
    AuthKeyCreate = "auth.key.create", [Cli];
    AuthKeyDelete = "auth.key.delete", [];
    AuthKeyList = "auth.key.list", [Cli];
    AuthKeyRotate = "auth.key.rotate", [Cli];
    AuthOidcCreate = "auth.oidc.create", [];
    AuthOidcDelete = "auth.oidc.delete", [];
    AuthOidcEdit = "auth.oidc.edit", [];
    AuthOidcList = "auth.oidc.list", [];
    AuthRoleAssign = "auth.role.assign", [];
    AuthRoleCreate = "auth.role.create", [];
    AuthRoleDelete = "auth.role.delete", [];
    AuthRoleEdit = "auth.role.edit", [];
    AuthRoleList = "auth.role.list", [];
    AuthRoleRevoke = "auth.role.revoke", [];
    AuthSessionList = "auth.session.list", [];
    AuthSessionListAll = "auth.session.list.all", [];
    AuthSessionRevoke = "auth.session.revoke", [];
    AuthUserDeactivate = "auth.user.deactivate", [];
    AuthUserRead = "auth.user.read", [Operator];
    CaHierarchyManage = "ca.hierarchy.manage", [];
    CertBulkRevoke = "cert.bulk_revoke", [];
    CertDelete = "cert.delete", [Operator, Cli];
    CertEdit = "cert.edit", [Operator, Mcp, Cli];
    CertExport = "cert.export", [Operator, Mcp, Cli];
    CertIssue = "cert.issue", [Operator, Mcp, Cli];
    CertRead = "cert.read", [Operator, Viewer, Agent, Mcp, Cli, Approver];
    CertRevoke = "cert.revoke", [Operator, Mcp, Cli];
    CrlAdmin = "crl.admin", [];
    DigestRead = "digest.read", [Operator, Viewer, Mcp, Cli];
    DigestSend = "digest.send", [Operator, Cli];
    DiscoveryClaim = "discovery.claim", [Operator, Mcp, Cli];
    DiscoveryRead = "discovery.read", [Operator, Viewer, Mcp, Cli];
    DiscoveryRun = "discovery.run", [Operator, Agent, Cli];
    EstAdmin = "est.admin", [];
    HealthcheckAcknowledge = "healthcheck.acknowledge", [Operator, Mcp, Cli];
    HealthcheckDelete = "healthcheck.delete", [Operator];
    HealthcheckEdit = "healthcheck.edit", [Operator, Cli];
    HealthcheckRead = "healthcheck.read", [Operator, Viewer, Mcp, Cli];
    IssuerDelete = "issuer.delete", [];
    IssuerEdit = "issuer.edit", [Operator, Mcp, Cli];
    IssuerRead = "issuer.read", [Operator, Viewer, Mcp, Cli];
    JobCancel = "job.cancel", [Operator, Mcp, Cli];
    JobRead = "job.read", [Operator, Viewer, Mcp, Cli];
    MetricsRead = "metrics.read", [Operator, Viewer, Mcp, Cli];
    NetworkScanEdit = "network_scan.edit", [Operator, Cli];
    NetworkScanRead = "network_scan.read", [Operator, Viewer, Mcp, Cli];
    NetworkScanRun = "network_scan.run", [Operator, Mcp, Cli];
    NotificationEdit = "notification.edit", [Operator, Mcp, Cli];
    NotificationRead = "notification.read", [Operator, Viewer, Mcp, Cli];
    OwnerDelete = "owner.delete", [Operator];
    OwnerEdit = "owner.edit", [Operator, Cli];
    OwnerRead = "owner.read", [Operator, Viewer, Mcp, Cli];
    PolicyDelete = "policy.delete", [Operator, Cli];
    PolicyEdit = "policy.edit", [Operator, Cli];
    PolicyRead = "policy.read", [Operator, Viewer, Mcp, Cli];
    ProfileDelete = "profile.delete", [];
    ProfileEdit = "profile.edit", [Operator, Mcp, Cli];
    ProfileRead = "profile.read", [Operator, Viewer, Mcp, Cli, Approver];
    ScepAdmin = "scep.admin", [];
    StatsRead = "stats.read", [Operator, Viewer, Mcp, Cli];
    TargetDelete = "target.delete", [Operator, Cli];
    TargetEdit = "target.edit", [Operator, Mcp, Cli];
    TargetRead = "target.read", [Operator, Viewer, Mcp, Cli];
    TeamDelete = "team.delete", [Operator];
    TeamEdit = "team.edit", [Operator, Cli];
    TeamRead = "team.read", [Operator, Viewer, Mcp, Cli];
    VerificationRead = "verification.read", [Operator, Viewer, Mcp, Cli];
    VerificationRun = "verification.run", [Operator, Agent, Mcp, Cli];
}

impl Permission {
    /// Parses the wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == name)
    }

    /// The database id: `p-` and the name with `.` and `_` turned into `-`.
    pub fn id(self) -> String {
        format!("p-{}", self.as_str().replace(['.', '_'], "-"))
    }

    /// The name without its last segment; `auth.session` for `auth.session.list.all`.
    pub fn namespace(self) -> &'static str {
        if matches!(self, Self::AuthSessionListAll) {
            return "auth.session";
        }
        self.as_str().rsplit_once('.').map_or(self.as_str(), |(head, _)| head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(role: DefaultRole) -> usize {
        Permission::ALL.iter().filter(|p| p.default_roles().contains(&role)).count()
    }

    #[test]
    fn the_auditor_reads_the_trail_and_nothing_else() {
        let names: Vec<_> = Permission::ALL
            .iter()
            .filter(|p| p.default_roles().contains(&DefaultRole::Auditor))
            .map(|p| p.as_str())
            .collect();
        assert_eq!(names, ["audit.export", "audit.read"]);
    }

    #[test]
    fn the_catalogue_has_the_inherited_size_plus_the_additions() {
        assert_eq!(Permission::ALL.len(), 83);
        assert_eq!(held_by(DefaultRole::Operator), 49);
        assert_eq!(held_by(DefaultRole::Viewer), 19);
        assert_eq!(held_by(DefaultRole::Agent), 7);
        assert_eq!(held_by(DefaultRole::Mcp), 32);
        assert_eq!(held_by(DefaultRole::Cli), 48);
        assert_eq!(held_by(DefaultRole::Approver), 5);
    }

    #[test]
    fn ids_and_namespaces_follow_the_rule() {
        assert_eq!(Permission::CertBulkRevoke.id(), "p-cert-bulk-revoke");
        assert_eq!(Permission::CaHierarchyManage.namespace(), "ca.hierarchy");
        assert_eq!(Permission::AuthSessionListAll.namespace(), "auth.session");
        assert_eq!(Permission::parse("cert.read"), Some(Permission::CertRead));
    }
}
