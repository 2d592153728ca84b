//! Requests that nobody decided in time.

use crate::decide::stop;
use crate::party::{REAPER, SYSTEM};
use crate::tell::{save, tell};
use crate::{ApprovalKind, ApprovalStore, Event, Party};
use certctl_audit::{Action, AuditLog};
use certctl_inventory::CertificateStore;
use certctl_jobs::JobStore;
use certctl_kernel::{Actor, ActorType, DomainError, RequestContext};
use certctl_ports::{Ambient, Announcer};

/// Limits of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpirySettings {
    /// Requests a run.
    pub batch: i64,
}

impl Default for ExpirySettings {
    fn default() -> Self {
        Self { batch: 100 }
    }
}

/// Lets requests expire whose time is over, each together with its job, which is called off and never tried again.
/// Requests whose job ended by other ways end too. Returns how many ended.
pub async fn expire_due(
    tx: &mut (impl ApprovalStore + CertificateStore + JobStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    settings: &ExpirySettings,
) -> Result<i64, DomainError> {
    let now = ambient.now();
    let context = RequestContext {
        actor: Actor::new(REAPER, ActorType::System),
        ..RequestContext::system("scheduler:approval-expiry")
    };
    let internal = |error: crate::ApprovalError| DomainError::Internal { reason: error.to_string() };
    let mut ended = 0;
    for seen in tx.overdue_approvals(now, settings.batch).await? {
        let certificate = match &seen.certificate_id {
            Some(id) if seen.kind == ApprovalKind::CertIssuance => tx.certificate_for_update(id).await?,
            _ => None,
        };
        // Decided meanwhile, or touched in a way that calls for another look.
        let locked = tx.approval_for_update(&seen.id).await?;
        let Some(mut request) = locked.filter(|request| request.row_version == seen.row_version) else { continue };
        let (action, event) = if request.expires_at <= now {
            request.expire(now).map_err(internal)?;
            (Action::ApprovalExpired, Event::Expired)
        } else {
            request.call_off(Party::system(SYSTEM), "its job ended", now).map_err(internal)?;
            (Action::ApprovalWithdrawn, Event::Withdrawn)
        };
        save(tx, &mut request).await?;
        stop(tx, &request, certificate.as_ref(), "nobody decided the approval request in time", now).await?;
        tell(tx, &context, &request, action, event, now).await?;
        ended += 1;
    }
    Ok(ended)
}
