//! Letting a person in whom a provider vouched for: the person, their roles and the session, in one transaction.

use crate::{Failure, OidcStore, Refused, Vouched};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_bootstrap::{AdminGroups, FirstAdminStore, Newcomer, first_admin_by_group};
use certctl_kernel::{Actor, ActorType, DomainError, RequestContext, StoreError};
use certctl_ports::Ambient;
use certctl_rbac::{ADMIN_ROLE, FollowSignIn, RbacStore, Scope, follow_sign_in, grant_source, rotate_csrf};
use certctl_session::{Maker, Minted, NewSession, SessionError, SessionStore, Way, create};
use certctl_user::{SignIn, SignInError, SubjectPepper, UserStore, sign_in};
use data_encoding::HEXLOWER;
use ring::digest;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Groups that an event names; more are only counted.
const MOST_GROUPS_TOLD: usize = 100;

/// A person at the door.
pub struct Admission<'a> {
    /// The provider's id.
    pub provider_id: &'a str,
    /// What it vouched for.
    pub vouched: &'a Vouched,
    /// Where from.
    pub source_ip: &'a str,
    /// With which browser.
    pub user_agent: &'a str,
    /// `pl-…` of the sign-in.
    pub sign_in_id: &'a str,
}

/// What letting people in needs.
pub struct Door<'a> {
    /// Makes sessions.
    pub maker: Maker<'a>,
    /// Recognises people.
    pub pepper: &'a SubjectPepper,
    /// Who becomes the first administrator.
    pub admin_groups: &'a AdminGroups,
}

/// Why a person is not let in; the transaction must not be saved.
#[derive(Debug)]
pub enum AdmitError {
    /// For a reason that has a category.
    Refused(Refused),
    /// The store, or a fault of ours.
    Domain(DomainError),
}

impl From<StoreError> for AdmitError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

impl From<SessionError> for AdmitError {
    fn from(error: SessionError) -> Self {
        Self::Domain(match error {
            SessionError::Domain(error) => error,
            other => DomainError::Internal { reason: other.to_string() },
        })
    }
}

/// Lets a person in. Their roles through this provider become exactly those of their groups, until the session must
/// end; who has none is not let in, and leaves no trace but the event of the refusal.
pub async fn admit(
    tx: &mut (impl OidcStore + UserStore + RbacStore + FirstAdminStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    door: &Door<'_>,
    admission: &Admission<'_>,
) -> Result<Minted, AdmitError> {
    let Vouched { identity, groups, id_token } = admission.vouched;
    let refused = |failure, detail: &str| {
        AdmitError::Refused(Refused {
            subject: Some(identity.subject.clone()),
            groups: groups.clone(),
            ..Refused::of(failure, detail)
        })
    };
    tx.lock_identity().await?;
    // Read once more: it may have been switched off, or changed, while the provider was asked.
    let provider = tx.provider(admission.provider_id).await?.filter(crate::Provider::usable);
    let provider =
        provider.ok_or_else(|| refused(Failure::ProviderDisabled, "the provider was switched off meanwhile"))?;
    let mapped = tx.mapped_roles(&provider.id, groups).await?;
    let mut roles: BTreeSet<(String, Scope)> = mapped.into_iter().map(|role| (role.role_id, role.scope)).collect();
    // Whether the person is of the hosted domain was looked at before.
    roles.extend(provider.default_role_id.iter().map(|role| (role.clone(), Scope::Global)));

    let command = SignIn {
        provider_id: &provider.id,
        subject: &identity.subject,
        email: identity.email.as_deref(),
        name: identity.name.as_deref(),
        preferred_username: identity.preferred_username.as_deref(),
        groups,
    };
    let user = sign_in(tx, ambient, door.pepper, command).await.map_err(|error| match error {
        SignInError::Deactivated { user_id } => {
            refused(Failure::UserDeactivated, &format!("the account {user_id} is deactivated"))
        }
        SignInError::Subject | SignInError::Email => refused(Failure::Unspecified, &error.to_string()),
        SignInError::Domain(error) => AdmitError::Domain(error),
    })?;
    let actor = user.user.actor();
    let context = &RequestContext { actor: actor.clone(), ..context.clone() };

    let newcomer = Newcomer { user: &actor, provider_id: &provider.id, groups };
    let first_admin = first_admin_by_group(tx, ambient, context, door.admin_groups, newcomer).await?;
    if roles.is_empty() && !first_admin {
        return Err(refused(Failure::UnmappedGroups, "none of the groups has a role"));
    }
    let way = Way::Oidc {
        provider_id: provider.id.clone(),
        sid: identity.sid.clone(),
        id_token: provider.rp_initiated_logout.then(|| id_token.clone()),
    };
    let new =
        NewSession { actor: actor.clone(), way, source_ip: admission.source_ip, user_agent: admission.user_agent };
    let minted = create(tx, ambient, &door.maker, context, new).await?;
    let source = format!("{}{}", grant_source::OIDC, provider.id);
    let follow =
        FollowSignIn { actor: &actor, source: &source, roles: &roles, expires_at: minted.session.absolute_expires_at };
    if follow_sign_in(tx, ambient, context, &follow).await? || first_admin {
        rotate_csrf(tx, ambient.now(), context, &actor, Some(&minted.session.id)).await?;
    }
    let mut role_ids: BTreeSet<&str> = roles.iter().map(|(role, _)| role.as_str()).collect();
    if first_admin {
        role_ids.insert(ADMIN_ROLE);
    }
    let details = json!({
        "user_id": actor.id, "role_ids": role_ids, "provider_id": provider.id, "provider_name": provider.name,
        "issuer": provider.issuer_url, "subject": identity.subject, "session_id": minted.session.id,
        "sign_in_id": admission.sign_in_id, "first_time": user.first_time, "user_agent": admission.user_agent,
    });
    tx.record(AuditEvent::new(Action::OidcLoginSucceeded, context, &minted.session.id, details)).await?;
    Ok(minted)
}

/// A sign-in that failed, as events tell of it.
pub struct FailedSignIn<'a> {
    /// Why.
    pub refused: &'a Refused,
    /// Through which provider, once it is known.
    pub provider: Option<(&'a str, &'a str)>,
    /// `pl-…`, once it is known.
    pub sign_in_id: Option<&'a str>,
    /// With which browser.
    pub user_agent: &'a str,
    /// Whether groups are named, or only their hashes.
    pub name_groups: bool,
}

impl FailedSignIn<'_> {
    /// The events: one for the failure, and one more when none of the groups has a role.
    pub fn events(&self, context: &RequestContext) -> Vec<AuditEvent> {
        let Refused { failure, subject, groups, .. } = self.refused;
        let mut details = json!({
            "failure_category": failure.as_str(), "provider_id": self.provider.map(|(id, _)| id),
            "issuer": self.provider.map(|(_, issuer)| issuer), "subject_hash": subject.as_deref().map(hashed),
            "sign_in_id": self.sign_in_id, "user_agent": self.user_agent,
        });
        let object = self.sign_in_id.or(self.provider.map(|(id, _)| id)).unwrap_or("sign-in");
        let nobody = Actor::new("anonymous", ActorType::System);
        let event = |action, details: Value| AuditEvent::new(action, context, object, details).by(nobody.clone());
        let mut events = vec![event(Action::OidcLoginFailed, details.clone())];
        if *failure == Failure::UnmappedGroups {
            let told: Vec<String> = groups
                .iter()
                .take(MOST_GROUPS_TOLD)
                .map(|group| if self.name_groups { group.clone() } else { hashed(group) })
                .collect();
            details["groups"] = json!(told);
            details["group_count"] = json!(groups.len());
            events.push(event(Action::OidcLoginUnmappedGroups, details));
        }
        events
    }
}

fn hashed(text: &str) -> String {
    format!("sha256:{}", HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()))
}
