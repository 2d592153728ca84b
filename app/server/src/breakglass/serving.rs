//! The emergency way in on a server that runs.

use crate::boot::BootError;
use crate::config::{BreakglassConfig, Config};
use certctl_breakglass::{Cost, LockoutSettings, WebAuthn, tell_of_end};
use certctl_http::Breakglass;
use certctl_kernel::{DomainError, RequestContext, timestamp};
use certctl_ports::Ambient;
use certctl_system::PasswordPool;
use certctl_unit_of_work::{Database, Stores};
use certctl_webauthn::RelyingParty;
use std::sync::Arc;

fn time(length: std::time::Duration) -> time::Duration {
    time::Duration::try_from(length).unwrap_or(time::Duration::MAX)
}

/// Passwords that are looked at at the same time, each with 64 MiB.
const AT_ONCE: usize = 2;

/// What the edge needs for it; `None` where it is switched off. Where keys are registered that nobody could ask, the
/// start is refused: an account with a key would be out of reach in the very hour it is for.
pub(crate) async fn open(config: &Config, database: &dyn Database) -> Result<Option<Breakglass>, BootError> {
    if !config.breakglass.enabled {
        return Ok(None);
    }
    let webauthn: Option<Arc<dyn WebAuthn>> = match config.external_url.as_deref().map(RelyingParty::new) {
        Some(Ok(party)) => Some(Arc::new(party)),
        other => {
            let reason = other.map_or_else(
                || "is not set".to_owned(),
                |error| error.err().map_or_else(String::new, |e| e.to_string()),
            );
            if database.read().await?.any_security_key().await? {
                return Err(BootError::SecurityKeys(reason));
            }
            tracing::warn!("security keys can't be registered: CERTCTL_SERVER_EXTERNAL_URL {reason}");
            None
        }
    };
    let passwords = Arc::new(PasswordPool::new(AT_ONCE, Cost::FULL));
    Ok(Some(Breakglass { passwords, lockout: lockout(&config.breakglass), webauthn }))
}

/// How credentials lock, from the settings.
fn lockout(config: &BreakglassConfig) -> LockoutSettings {
    LockoutSettings {
        threshold: config.lockout_threshold,
        duration: time(config.lockout_duration),
        reset: time(config.lockout_reset),
    }
}

/// Opens the window where the feature is on, unless one is open or a hand closed the last; says loudly how things stand.
pub(crate) async fn open_at_boot(config: &Config, database: &dyn Database, ambient: &Ambient) -> Result<(), BootError> {
    if !config.breakglass.enabled {
        return Ok(());
    }
    let context = RequestContext::system("boot");
    let mut unit = database.begin().await?;
    let length = time(config.breakglass.boot_activation);
    let opened = certctl_breakglass::open_at_boot(unit.stores(), ambient, &context, length).await?;
    let window = unit.stores().breakglass_window().await?;
    if opened.is_some() {
        unit.save().await?;
    } else {
        unit.discard().await?;
    }
    let rules = lockout(&config.breakglass);
    let open_until =
        window.filter(|window| window.open(ambient.now())).map(|window| timestamp::to_rfc3339(window.closes_at));
    tracing::warn!(
        threshold = rules.threshold,
        lockout_seconds = rules.duration.whole_seconds(),
        open_until,
        opened_by_this_start = opened.is_some(),
        "the emergency way in is mounted (CERTCTL_BREAKGLASS_ENABLED)"
    );
    Ok(())
}

/// Tells of a window that ran out, and forgets challenges that did.
pub(crate) async fn end_of_window(stores: &mut dyn Stores, ambient: &Ambient) -> Result<i64, DomainError> {
    let context = RequestContext::system("scheduler:breakglass-window");
    stores.sweep_challenges(ambient.now()).await?;
    if tell_of_end(stores, ambient, &context).await? {
        tracing::warn!("the emergency way in has closed: its time ran out");
        return Ok(1);
    }
    Ok(0)
}
