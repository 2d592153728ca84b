//! The first administrator by a group of the identity provider.

use crate::{FirstAdminStore, closed};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, RequestContext, StoreError};
use certctl_ports::Ambient;
use certctl_rbac::{ADMIN_ROLE, RbacStore, Scope};
use serde_json::json;

/// Which groups make the first administrator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminGroups {
    /// Their names, by the letter; empty when no group does.
    pub groups: Vec<String>,
    /// The one provider whose groups count; any when left out.
    pub provider_id: Option<String>,
}

/// Somebody who just signed in.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// Who.
    pub user: &'a Actor,
    /// Through which provider.
    pub provider_id: &'a str,
    /// With which groups.
    pub groups: &'a [String],
}

impl AdminGroups {
    /// The first group of the newcomer that makes an administrator.
    fn matching<'a>(&self, newcomer: &Newcomer<'a>) -> Option<&'a String> {
        if self.provider_id.as_ref().is_some_and(|only| only != newcomer.provider_id) {
            return None;
        }
        newcomer.groups.iter().find(|group| self.groups.iter().any(|listed| listed.trim() == group.as_str()))
    }
}

/// Makes the newcomer the first administrator, if there never was one, and one of its groups says so. Of several at
/// once, on whichever replica, one becomes it: the check and the grant happen under one lock in one transaction.
/// Returns whether it did.
pub async fn first_admin_by_group(
    tx: &mut (impl RbacStore + FirstAdminStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    admin_groups: &AdminGroups,
    newcomer: Newcomer<'_>,
) -> Result<bool, StoreError> {
    let Some(group) = admin_groups.matching(&newcomer) else { return Ok(false) };
    let now = ambient.now();
    tx.lock_identity().await?;
    if closed(tx, now).await? {
        return Ok(false);
    }
    tx.add_grant(newcomer.user, ADMIN_ROLE, &Scope::Global, "bootstrap", "oidc-bootstrap", None).await?;
    tx.set_first_admin_at(Some(now)).await?;
    let details = json!({
        "user_id": newcomer.user.id, "provider_id": newcomer.provider_id, "trigger": "oidc_group_match",
        "group": group, "role_id": ADMIN_ROLE,
    });
    let event = AuditEvent::new(Action::OidcFirstAdmin, context, &newcomer.user.id, details);
    tx.record(event.by(newcomer.user.clone())).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_kernel::ActorType;

    #[test]
    fn br_03_br_04_the_group_and_the_provider_must_be_the_ones_named() {
        let user = Actor::new("u-1", ActorType::User);
        let groups = ["eng".to_owned(), "pki-admins".to_owned()];
        let newcomer = Newcomer { user: &user, provider_id: "op-1", groups: &groups };
        let named = |names: &[&str], provider: Option<&str>| AdminGroups {
            groups: names.iter().map(|name| (*name).to_owned()).collect(),
            provider_id: provider.map(ToOwned::to_owned),
        };
        assert_eq!(named(&["x", " pki-admins "], None).matching(&newcomer), Some(&groups[1]), "the list is trimmed");
        assert_eq!(named(&["pki-admins"], Some("op-1")).matching(&newcomer), Some(&groups[1]));
        assert_eq!(named(&["pki-admins"], Some("op-2")).matching(&newcomer), None);
        for other in ["PKI-admins", "/pki-admins", "pki-admin", ""] {
            assert_eq!(named(&[other], None).matching(&newcomer), None, "{other}");
        }
        assert_eq!(AdminGroups::default().matching(&newcomer), None);
    }
}
