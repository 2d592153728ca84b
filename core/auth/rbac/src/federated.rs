//! Grants that follow a federated sign-in: made exactly what the provider's groups are worth, each time.

use crate::grants::{grant_details, holder};
use crate::{Grant, RbacStore, Scope};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, IdKind, RequestContext, StoreError, Timestamp};
use certctl_ports::Ambient;
use serde_json::json;
use std::collections::BTreeSet;

/// What a sign-in is worth.
#[derive(Debug, Clone)]
pub struct FollowSignIn<'a> {
    /// Who signed in.
    pub actor: &'a Actor,
    /// `oidc:<provider>`: grants of other sources are left alone.
    pub source: &'a str,
    /// The roles, and where they hold.
    pub roles: &'a BTreeSet<(String, Scope)>,
    /// When they end, unless the actor signs in again.
    pub expires_at: Timestamp,
}

/// Makes the grants of the source exactly those of the sign-in: what is missing is added, what stays gets the new end,
/// what is left over goes. Hold the identity lock. Returns whether anything but the end changed.
pub async fn follow_sign_in(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    sign_in: &FollowSignIn<'_>,
) -> Result<bool, StoreError> {
    let stored = tx.grants(sign_in.actor).await?;
    let mut held: Vec<Grant> = stored.into_iter().filter(|grant| grant.source == sign_in.source).collect();
    let object = holder(sign_in.actor);
    let mut changed = false;
    for (role_id, scope) in sign_in.roles {
        let standing = held.iter().position(|grant| grant.role_id == *role_id && grant.scope == *scope);
        let grant = match standing {
            Some(at) => Grant { expires_at: Some(sign_in.expires_at), ..held.remove(at) },
            None => Grant {
                id: ambient.id(IdKind::Grant),
                actor: sign_in.actor.clone(),
                role_id: role_id.clone(),
                scope: scope.clone(),
                source: sign_in.source.to_owned(),
                granted_by: sign_in.source.to_owned(),
                granted_at: ambient.now(),
                expires_at: Some(sign_in.expires_at),
            },
        };
        tx.put_grant(&grant).await?;
        if standing.is_none() {
            changed = true;
            tx.record(AuditEvent::new(Action::ActorRoleGrant, context, &object, grant_details(&grant))).await?;
        }
    }
    if !held.is_empty() {
        changed = true;
        tx.remove_grants(&held.iter().map(|grant| grant.id.clone()).collect::<Vec<_>>()).await?;
        for grant in &held {
            let mut details = grant_details(grant);
            details["reason"] = json!("not_in_sign_in");
            tx.record(AuditEvent::new(Action::ActorRoleRevoke, context, &object, details)).await?;
        }
    }
    Ok(changed)
}
