//! Actions of the audit trail.

/// Categories, in their wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Certificates, keys, jobs, agents.
    CertLifecycle,
    /// Principals, roles, credentials, approvals.
    Auth,
    /// Configuration objects and the server itself.
    Config,
}

impl Category {
    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CertLifecycle => "cert_lifecycle",
            Self::Auth => "auth",
            Self::Config => "config",
        }
    }

    /// Parses the wire spelling; `pki` is an old alias of `cert_lifecycle`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "cert_lifecycle" | "pki" => Some(Self::CertLifecycle),
            "auth" => Some(Self::Auth),
            "config" => Some(Self::Config),
            _ => None,
        }
    }
}

macro_rules! actions {
    ($($variant:ident = $name:literal, $category:ident, $resource:literal;)*) => {
        /// Everything the product records, with the wire name, category and resource type of each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $(#[doc = concat!("`", $name, "` on a `", $resource, "`.")] $variant,)*
        }

        impl Action {
            /// Every action, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The category that filters select by.
            pub const fn category(self) -> Category {
                match self { $(Self::$variant => Category::$category),* }
            }

            /// The kind of object acted on.
            pub const fn resource_type(self) -> &'static str {
                match self { $(Self::$variant => $resource),* }
            }
        }
    };
}

actions! {
    BootstrapConsume = "bootstrap.consume", Auth, "api_key";
    BootstrapConsumeFailed = "bootstrap.consume_failed", Auth, "api_key";
    BootstrapReopened = "bootstrap.reopened", Auth, "tenant";
    ApiKeyCreated = "api_key.created", Auth, "api_key";
    ApiKeyRotated = "api_key.rotated", Auth, "api_key";
    ApiKeyUpdated = "api_key.updated", Auth, "api_key";
    ApiKeyRevoked = "api_key.revoked", Auth, "api_key";
    ApiKeyExpired = "api_key.expired", Auth, "api_key";
    ActorRoleGrant = "actor_role.grant", Auth, "actor_role";
    ActorRoleRevoke = "actor_role.revoke", Auth, "actor_role";
    ActorRoleExpired = "actor_role.expired", Auth, "actor_role";
    RoleCreate = "role.create", Auth, "role";
    RoleUpdate = "role.update", Auth, "role";
    RoleDelete = "role.delete", Auth, "role";
    RolePermissionAdd = "role.permission.add", Auth, "role";
    RolePermissionRemove = "role.permission.remove", Auth, "role";
    DemoResidualGrantsDetected = "auth.demo_residual_grants_detected", Auth, "actor_role";
    DemoResidualGrantsCleaned = "auth.demo_residual_grants_cleaned", Auth, "actor_role";
    RuntimeConfigRead = "auth.runtime_config_read", Auth, "server";
    OidcLoginSucceeded = "auth.oidc_login_succeeded", Auth, "session";
    OidcLoginFailed = "auth.oidc_login_failed", Auth, "session";
    OidcLoginUnmappedGroups = "auth.oidc_login_unmapped_groups", Auth, "session";
    OidcFirstAdmin = "bootstrap.oidc_first_admin", Auth, "user";
    OidcBackChannelLogout = "auth.oidc_back_channel_logout", Auth, "session";
    OidcBackChannelLogoutFailed = "auth.oidc_back_channel_logout_failed", Auth, "session";
    OidcProviderCreated = "auth.oidc_provider_created", Auth, "oidc_provider";
    OidcProviderUpdated = "auth.oidc_provider_updated", Auth, "oidc_provider";
    OidcProviderArchived = "auth.oidc_provider_archived", Auth, "oidc_provider";
    OidcProviderDeleted = "auth.oidc_provider_deleted", Auth, "oidc_provider";
    OidcProviderRefreshed = "auth.oidc_provider_refreshed", Auth, "oidc_provider";
    OidcProviderTested = "auth.oidc_provider_tested", Auth, "oidc_provider";
    OidcJwksStatusRead = "auth.oidc_jwks_status_read", Auth, "oidc_provider";
    GroupMappingAdded = "auth.group_mapping_added", Auth, "group_role_mapping";
    GroupMappingUpdated = "auth.group_mapping_updated", Auth, "group_role_mapping";
    GroupMappingRemoved = "auth.group_mapping_removed", Auth, "group_role_mapping";
    SessionCreated = "auth.session_created", Auth, "session";
    SessionRevoked = "auth.session_revoked", Auth, "session";
    SessionsRevokedForActor = "auth.sessions_revoked_for_actor", Auth, "session";
    SessionsRevokedExceptCurrent = "auth.sessions_revoked_all_except_current", Auth, "session";
    SessionsRevokedForProvider = "auth.sessions_revoked_for_provider", Auth, "oidc_provider";
    SessionCsrfRotated = "auth.session_csrf_rotated", Auth, "session";
    SessionIpMismatch = "auth.session_ip_mismatch", Auth, "session";
    SessionUserAgentMismatch = "auth.session_ua_mismatch", Auth, "session";
    SessionSigningKeyBootstrap = "auth.session_signing_key_bootstrap", Auth, "session_signing_key";
    SessionSigningKeyRotated = "auth.session_signing_key_rotated", Auth, "session_signing_key";
    BreakglassPasswordSet = "auth.breakglass_password_set", Auth, "breakglass_credential";
    BreakglassLoginFailed = "auth.breakglass_login_failed", Auth, "breakglass_credential";
    BreakglassLoginSucceeded = "auth.breakglass_login_succeeded", Auth, "breakglass_credential";
    BreakglassUnlocked = "auth.breakglass_unlocked", Auth, "breakglass_credential";
    BreakglassCredentialRemoved = "auth.breakglass_credential_removed", Auth, "breakglass_credential";
    BreakglassAccountCreated = "auth.breakglass_account_created", Auth, "breakglass_credential";
    BreakglassEnabled = "auth.breakglass_enabled", Auth, "breakglass_window";
    BreakglassDisabled = "auth.breakglass_disabled", Auth, "breakglass_window";
    BreakglassKeyRegistered = "auth.breakglass_key_registered", Auth, "security_key";
    BreakglassKeyRemoved = "auth.breakglass_key_removed", Auth, "security_key";
    UserList = "auth.user_list", Auth, "user";
    UserDeactivated = "auth.user_deactivated", Auth, "user";
    UserDeactivateSelfRejected = "auth.user_deactivate_self_rejected", Auth, "user";
    UserReactivated = "auth.user_reactivated", Auth, "user";
    UserExported = "user.export_pii", Auth, "user";
    UserPurgePii = "user.purge_pii", Auth, "user";
    ApprovalRequested = "approval_requested", Auth, "approval_request";
    ApprovalProfileEditRequested = "approval_profile_edit_requested", Auth, "approval_request";
    ApprovalApproved = "approval_approved", Auth, "approval_request";
    ApprovalRejected = "approval_rejected", Auth, "approval_request";
    ApprovalExpired = "approval_expired", Auth, "approval_request";
    ApprovalBypassed = "approval_bypassed", Auth, "approval_request";
    ApprovalWithdrawn = "approval_withdrawn", Auth, "approval_request";
    ApprovalCommented = "approval_commented", Auth, "approval_request";
    ProfileEditRequest = "profile.edit_request", Auth, "certificate_profile";
    ProfileEditApplied = "profile.edit_applied", Auth, "certificate_profile";
    AuthenticationFailed = "auth.authentication_failed", Auth, "request";
    PermissionDenied = "auth.permission_denied", Auth, "request";
    RateLimited = "auth.rate_limited", Auth, "rate_limit";
    DemoModeEnabled = "demo_mode.enabled", Auth, "server";
    ServerStarted = "server.started", Config, "server";
    ServerStopped = "server.stopped", Config, "server";
    TlsReloaded = "tls.reloaded", Config, "server";
    TlsReloadFailed = "tls.reload_failed", Config, "server";
    AuditExport = "audit.export", Auth, "audit";
    AuditVerifyRequested = "audit.verify_requested", Auth, "audit";
    AuditBreakDetected = "audit.break_detected", Auth, "audit";
    AuditArchived = "audit.archived", Auth, "audit";
    SecretsResealed = "secrets.resealed", Config, "secret";
    AuditImported = "audit.imported", Auth, "audit";
    AuditAccepted = "audit.accepted", Auth, "audit";
    SchemaMigrated = "schema.migrated", Config, "server";
    CreateTeam = "create_team", Config, "team";
    UpdateTeam = "update_team", Config, "team";
    DeleteTeam = "delete_team", Config, "team";
    CreateOwner = "create_owner", Config, "owner";
    UpdateOwner = "update_owner", Config, "owner";
    DeleteOwner = "delete_owner", Config, "owner";
    CreateProfile = "create_profile", Config, "certificate_profile";
    UpdateProfile = "update_profile", Config, "certificate_profile";
    DeleteProfile = "delete_profile", Config, "certificate_profile";
    CreateRenewalPolicy = "create_renewal_policy", Config, "renewal_policy";
    UpdateRenewalPolicy = "update_renewal_policy", Config, "renewal_policy";
    DeleteRenewalPolicy = "delete_renewal_policy", Config, "renewal_policy";
    CreateIssuer = "create_issuer", Config, "issuer";
    UpdateIssuer = "update_issuer", Config, "issuer";
    DeleteIssuer = "delete_issuer", Config, "issuer";
    IssuerTestSuccess = "issuer_test_connection_success", Config, "issuer";
    IssuerTestFailed = "issuer_test_connection_failed", Config, "issuer";
    CreateTarget = "create_target", Config, "target";
    UpdateTarget = "update_target", Config, "target";
    DeleteTarget = "delete_target", Config, "target";
    TargetTestSuccess = "target_test_connection_success", Config, "target";
    TargetTestFailed = "target_test_connection_failed", Config, "target";
    CertificateCreated = "certificate_created", CertLifecycle, "certificate";
    CertificateUpdated = "certificate_updated", CertLifecycle, "certificate";
    CertificateArchived = "certificate_archived", CertLifecycle, "certificate";
    CertificateIssued = "certificate_issued", CertLifecycle, "certificate";
    CertificateRevoked = "certificate_revoked", CertLifecycle, "certificate";
    CertificateUnheld = "certificate_unheld", CertLifecycle, "certificate";
    BulkRevocationInitiated = "bulk_revocation_initiated", CertLifecycle, "certificate";
    EstBulkRevoke = "est_bulk_revoke", CertLifecycle, "certificate";
    CertificateRetrieved = "certificate_retrieved", CertLifecycle, "certificate";
    CertificateIssuanceRefused = "certificate_issuance_refused", CertLifecycle, "certificate";
    CertificateExpiryStatus = "certificate_status_changed", CertLifecycle, "certificate";
    CertExportPem = "cert_export_pem", CertLifecycle, "certificate";
    CertExportPkcs12 = "cert_export_pkcs12", CertLifecycle, "certificate";
    CertExportFailed = "cert_export_failed", CertLifecycle, "certificate";
    RenewalTriggered = "renewal_triggered", CertLifecycle, "certificate";
    DeploymentTriggered = "deployment_triggered", CertLifecycle, "certificate";
    CsrSubmitted = "csr_submitted", CertLifecycle, "certificate";
    RenewalJobCreated = "renewal_job_created", CertLifecycle, "job";
    RenewalJobCompleted = "renewal_job_completed", CertLifecycle, "job";
    RenewalJobFailed = "renewal_job_failed", CertLifecycle, "job";
    RenewalAwaitingCsr = "renewal_awaiting_csr", CertLifecycle, "job";
    DeploymentJobsCreated = "deployment_jobs_created", CertLifecycle, "certificate";
    DeploymentJobCompleted = "deployment_job_completed", CertLifecycle, "job";
    DeploymentJobFailed = "deployment_job_failed", CertLifecycle, "job";
    JobStatusReported = "job_status_reported", CertLifecycle, "job";
    JobClaimed = "job_claimed", CertLifecycle, "job";
    JobCancelled = "job_cancelled", CertLifecycle, "job";
    JobRetry = "job_retry", CertLifecycle, "job";
    JobTimeout = "job_timeout", CertLifecycle, "job";
    JobOfflineAgentReap = "job_offline_agent_reap", CertLifecycle, "job";
    JobVerificationSuccess = "job_verification_success", CertLifecycle, "job";
    JobVerificationFailed = "job_verification_failed", CertLifecycle, "job";
    AgentRegistered = "agent_registered", CertLifecycle, "agent";
    AgentRegistrationRefused = "agent_registration_refused", Auth, "agent";
    AgentRetired = "agent_retired", CertLifecycle, "agent";
    AgentRetirementCascaded = "agent_retirement_cascaded", CertLifecycle, "agent";
    AgentOffline = "agent_offline", CertLifecycle, "agent";
    CaCreated = "intermediate_ca_root_created", CertLifecycle, "intermediate_ca";
    CaChildCreated = "intermediate_ca_child_created", CertLifecycle, "intermediate_ca";
    CaRetiring = "intermediate_ca_retiring", CertLifecycle, "intermediate_ca";
    CaRetired = "intermediate_ca_retired", CertLifecycle, "intermediate_ca";
    CaActivated = "ca_rotation_activated", CertLifecycle, "intermediate_ca";
    CaLoaded = "ca_loaded", CertLifecycle, "intermediate_ca";
    CrlPublished = "crl_published", CertLifecycle, "intermediate_ca";
    OcspResponderRotated = "ocsp_responder_rotated", CertLifecycle, "intermediate_ca";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn wire_names_are_unique() {
        let names: HashSet<_> = Action::ALL.iter().map(|a| a.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
    }
}
