//! Old months of the trail, and old days of the request log.

use crate::config::Config;
use certctl_audit_log::{ArchivePlace, Month, Retention, SealedLog, drop_archived, due, sign_now, write_archive};
use certctl_kernel::{DomainError, RequestContext};
use certctl_ports::Ambient;
use certctl_system::ArchiveFolder;
use certctl_unit_of_work::{Database, Stores};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Months of the trail that are made ahead.
const AHEAD: u32 = 3;
const INTERVAL: Duration = Duration::from_hours(1);

/// How long the trail is kept, from the settings.
pub(crate) fn settings(config: &Config) -> Retention {
    let keep = Some(config.audit_retention).filter(|keep| !keep.is_zero());
    Retention {
        keep: keep.map(|keep| time::Duration::try_from(keep).unwrap_or(time::Duration::MAX)),
        hold: config.audit_legal_hold,
    }
}

/// Where archives go, from the settings.
pub(crate) fn place(config: &Config, data_dir: &Path) -> ArchiveFolder {
    ArchiveFolder::new(config.audit_archive_dir.clone().unwrap_or_else(|| data_dir.join("audit/archive")))
}

/// Makes the partitions that will be needed, and drops the request log's old ones.
pub(crate) async fn turn(
    stores: &mut dyn Stores,
    ambient: &Ambient,
    access_log: time::Duration,
) -> Result<i64, DomainError> {
    let now = ambient.now();
    let made = stores.make_months(now, AHEAD).await?;
    let turned = stores.turn_access_log(now, now - access_log).await?;
    Ok(i64::try_from(made + turned).unwrap_or(i64::MAX))
}

/// Archives months that are old enough until the server stops.
pub(crate) fn run(
    log: Arc<SealedLog>,
    database: Arc<dyn Database>,
    ambient: Ambient,
    place: ArchiveFolder,
    retention: Retention,
    mut stopping: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    actix_web::rt::spawn(async move {
        loop {
            let context = RequestContext::system("scheduler:audit-retention");
            match months(database.as_ref(), &retention, &ambient).await {
                Ok(months) => {
                    for month in months {
                        match archive(&log, database.as_ref(), &ambient, &place, &context, &month).await {
                            Ok(events) => {
                                tracing::info!(month = month.partition, events, "a month of the trail was archived");
                            }
                            Err(error) => {
                                tracing::error!(month = month.partition, %error, "a month could not be archived");
                            }
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "old months of the trail could not be looked for"),
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = stopping.changed() => return,
            }
        }
    })
}

/// Months that are old enough to go.
pub(crate) async fn months(
    database: &dyn Database,
    retention: &Retention,
    ambient: &Ambient,
) -> Result<Vec<Month>, DomainError> {
    let mut unit = database.read().await?;
    due(unit.stores(), retention, ambient.now()).await
}

/// Writes one month to a file and drops it; gives the number of its events.
pub(crate) async fn archive(
    log: &SealedLog,
    database: &dyn Database,
    ambient: &Ambient,
    place: &dyn ArchivePlace,
    context: &RequestContext,
    month: &Month,
) -> Result<u64, DomainError> {
    let mut unit = database.begin().await?;
    let kept = log.kept();
    let signed = match sign_now(unit.stores(), ambient, &log.key, &log.settings, kept.as_ref()).await {
        Ok(signed) => signed,
        Err(error) => {
            unit.discard().await?;
            return Err(error.into());
        }
    };
    unit.save_unaudited("a head is itself the record of what was sealed").await?;
    let signed = signed.ok_or_else(|| DomainError::not_found("audit checkpoint", "latest"))?;
    log.keep(&signed).await.map_err(|error| DomainError::Internal { reason: error.to_string() })?;

    let mut reading = database.read().await?;
    let archive = write_archive(reading.stores(), place, month, signed).await?;
    drop(reading);
    let mut unit = database.begin().await?;
    match drop_archived(unit.stores(), context, &archive, ambient.now()).await {
        Ok(()) => unit.save().await?,
        Err(error) => {
            unit.discard().await?;
            return Err(error);
        }
    }
    Ok(archive.events)
}
