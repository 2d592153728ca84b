//! Sessions: their keys at the start, and what goes by itself.

use crate::boot::BootError;
use crate::config::Config;
use crate::scheduler::Scheduler;
use certctl_http::AppConfig;
use certctl_http::edge::Sessions;
use certctl_kernel::{DomainError, RequestContext};
use certctl_ports::{Ambient, Sealer};
use certctl_session::{SessionError, SessionKeys, collect, ensure_signing_key, rotate_when_due};
use certctl_unit_of_work::{Database, Stores};
use std::sync::Arc;

/// Makes the first signing key where there is none, and opens every one. A key that does not open refuses the start:
/// everybody would be signed out without being told why.
pub(crate) async fn open(
    config: &Config,
    database: &dyn Database,
    ambient: &Ambient,
    sealer: Arc<dyn Sealer>,
) -> Result<Sessions, BootError> {
    let mut unit = database.begin().await?;
    let context = RequestContext::system("boot");
    if ensure_signing_key(unit.stores(), ambient, sealer.as_ref(), &context).await.map_err(BootError::SessionKeys)? {
        unit.save().await?;
    } else {
        unit.discard().await?;
    }
    let keys = Arc::new(SessionKeys::new(whole(config.session_key_retention)));
    let sessions = Sessions::new(keys, config.sessions, sealer);
    sessions.reload(database).await.map_err(BootError::SessionKeys)?;
    Ok(sessions)
}

fn whole(duration: std::time::Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}

/// Reads the keys again: some changed, or may have changed unheard.
pub(crate) async fn reload(app: &AppConfig) {
    let Some(sessions) = &app.state.sessions else { return };
    if let Err(error) = sessions.reload(app.state.db.as_ref()).await {
        tracing::error!(%error, "session signing keys could not be read again; the known ones stay in use");
    }
}

/// Removes what ended long ago, and rotates the signing key when it is due.
pub(crate) fn start_loops(
    config: &Config,
    scheduler: &Scheduler,
    sealer: &Arc<dyn Sealer>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let (retention, every) = (whole(config.session_key_retention), whole(config.session_key_rotation));
    let sealer = Arc::clone(sealer);
    vec![
        scheduler.every(
            "session-gc",
            config.session_gc_interval,
            async move |stores: &mut dyn Stores, ambient: &Ambient| {
                let gone = collect(stores, ambient, retention).await?;
                Ok(i64::try_from(gone.sessions + gone.sign_ins + gone.logout_tokens + gone.keys).unwrap_or(i64::MAX))
            },
        ),
        scheduler.every(
            "session-key-rotation",
            config.session_gc_interval,
            async move |stores: &mut dyn Stores, ambient: &Ambient| {
                let context = RequestContext::system("scheduler:session-key-rotation");
                let done = rotate_when_due(stores, ambient, sealer.as_ref(), &context, every).await;
                done.map(i64::from).map_err(internal)
            },
        ),
    ]
}

fn internal(error: SessionError) -> DomainError {
    match error {
        SessionError::Domain(error) => error,
        other => DomainError::Internal { reason: other.to_string() },
    }
}
