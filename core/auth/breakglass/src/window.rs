//! When the emergency way in is open: for a time that is set when it is opened, and not a moment longer.

use crate::BreakglassStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, Timestamp, timestamp};
use certctl_ports::Ambient;
use serde_json::{Value, json};
use time::Duration;

/// What the events about the window are about.
const WINDOW: &str = "breakglass";

/// Who opened the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenedBy {
    /// A command on the host.
    Host,
    /// A server that started with the feature switched on.
    Boot,
}

impl OpenedBy {
    /// The database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Boot => "boot",
        }
    }

    /// Parses the database spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Host, Self::Boot].into_iter().find(|by| by.as_str() == text)
    }
}

/// A time in which emergency accounts may sign in; the last one there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From when.
    pub opened_at: Timestamp,
    /// Until when, unless it is closed before.
    pub closes_at: Timestamp,
    /// When it was closed by hand.
    pub closed_at: Option<Timestamp>,
    /// Who opened it.
    pub opened_by: OpenedBy,
    /// Whether the trail knows that it is over.
    pub end_told: bool,
}

impl Window {
    /// Whether it holds at `now`.
    pub fn open(&self, now: Timestamp) -> bool {
        self.closed_at.is_none() && now < self.closes_at
    }
}

/// Opens the window for `length`, or moves the end of the open one there. `most` bounds it.
pub async fn open_window(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    length: Duration,
    most: Duration,
    reason: &str,
) -> Result<Window, DomainError> {
    if length < Duration::MINUTE || length > most {
        let rule =
            format!("must be from 1m to {}m, the value of CERTCTL_BREAKGLASS_MAX_ACTIVATION", most.whole_minutes());
        return Err(DomainError::invalid("for", "out_of_range", rule));
    }
    let now = ambient.now();
    let before = tx.breakglass_window_for_update().await?;
    tell_end(tx, context, before, now).await?;
    let open = before.filter(|window| window.open(now));
    let window = Window {
        opened_at: open.map_or(now, |window| window.opened_at),
        closes_at: now + length,
        closed_at: None,
        opened_by: OpenedBy::Host,
        end_told: false,
    };
    put(tx, context, &window, reason).await?;
    Ok(window)
}

/// Opens the window when a server starts with the feature switched on: `None` when one is open already, or when the
/// last one was closed by hand, which stands until a hand opens another.
pub async fn open_at_boot(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    length: Duration,
) -> Result<Option<Window>, DomainError> {
    if length.is_zero() {
        return Ok(None);
    }
    let now = ambient.now();
    let before = tx.breakglass_window_for_update().await?;
    if before.is_some_and(|window| window.open(now) || window.closed_at.is_some()) {
        return Ok(None);
    }
    tell_end(tx, context, before, now).await?;
    let window =
        Window { opened_at: now, closes_at: now + length, closed_at: None, opened_by: OpenedBy::Boot, end_told: false };
    put(tx, context, &window, "CERTCTL_BREAKGLASS_ENABLED").await?;
    Ok(Some(window))
}

/// Closes the window; `None` when none was open, which is then held closed against servers that start.
pub async fn close_window(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
) -> Result<Option<Window>, DomainError> {
    let now = ambient.now();
    let before = tx.breakglass_window_for_update().await?;
    let open = before.filter(|window| window.open(now));
    tell_end(tx, context, before, now).await?;
    let base = before.unwrap_or(Window {
        opened_at: now,
        closes_at: now,
        closed_at: None,
        opened_by: OpenedBy::Host,
        end_told: true,
    });
    let closed = Window { closed_at: Some(now), closes_at: base.closes_at.min(now), end_told: true, ..base };
    tx.put_breakglass_window(&closed).await?;
    let details = json!({"cause": "closed", "was_open": open.is_some()});
    tx.record(AuditEvent::new(Action::BreakglassDisabled, context, WINDOW, details)).await?;
    Ok(open.map(|_| closed))
}

/// Tells the trail of a window that ran out; returns whether one did since the last call.
pub async fn tell_of_end(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
) -> Result<bool, DomainError> {
    let window = tx.breakglass_window_for_update().await?;
    let told = tell_end(tx, context, window, ambient.now()).await?;
    if let Some(window) = window.filter(|_| told) {
        tx.put_breakglass_window(&Window { end_told: true, ..window }).await?;
    }
    Ok(told)
}

async fn tell_end(
    tx: &mut (impl AuditLog + ?Sized),
    context: &RequestContext,
    window: Option<Window>,
    now: Timestamp,
) -> Result<bool, DomainError> {
    let Some(window) = window.filter(|window| !window.open(now) && !window.end_told) else { return Ok(false) };
    let mut details = times(&window);
    details["cause"] = json!("ran_out");
    tx.record(AuditEvent::new(Action::BreakglassDisabled, context, WINDOW, details)).await?;
    Ok(true)
}

async fn put(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    context: &RequestContext,
    window: &Window,
    reason: &str,
) -> Result<(), DomainError> {
    tx.put_breakglass_window(window).await?;
    let mut details = times(window);
    details["opened_by"] = json!(window.opened_by.as_str());
    details["reason"] = json!(reason);
    tx.record(AuditEvent::new(Action::BreakglassEnabled, context, WINDOW, details)).await?;
    Ok(())
}

fn times(window: &Window) -> Value {
    json!({"from": timestamp::to_rfc3339(window.opened_at), "until": timestamp::to_rfc3339(window.closes_at)})
}
