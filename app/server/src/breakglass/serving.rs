//! The emergency way in on a server that runs.

use crate::boot::BootError;
use crate::config::{BreakglassConfig, Config};
use certctl_breakglass::{LockoutSettings, tell_of_end};
use certctl_kernel::{DomainError, RequestContext, timestamp};
use certctl_ports::Ambient;
use certctl_unit_of_work::{Database, Stores};

fn time(length: std::time::Duration) -> time::Duration {
    time::Duration::try_from(length).unwrap_or(time::Duration::MAX)
}

/// How credentials lock, from the settings.
pub(crate) fn lockout(config: &BreakglassConfig) -> LockoutSettings {
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
