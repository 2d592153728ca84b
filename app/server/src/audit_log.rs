//! The sealed log under the audit trail: its key in a file, and the loop that seals and signs.

use crate::boot::BootError;
use crate::config::Config;
use crate::metrics;
use certctl_audit_log::{
    LogKey, NoteKey, RunResult, SealError, SealOutcome, SealSettings, SealedLog, TrustedKeys, abandon, seal, sign_now,
    verify_step,
};
use certctl_kernel::{DomainError, Secret, StoreError};
use certctl_ports::{Ambient, KeyAlgorithm, KeyGenerator as _, SigningKey};
use certctl_postgres::Postgres;
use certctl_signers::{RingKeys, load_key_file};
use certctl_system::FileWitness;
use certctl_unit_of_work::Database;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const TICK: Duration = Duration::from_millis(500);
/// The backlog is measured once in so many passes.
const LOOK: u32 = 10;
/// A trouble that lasts is told about this often.
const REMIND: Duration = Duration::from_mins(1);

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

/// The file of the key: the configured one, or our own in the data directory.
pub(crate) fn key_path(config: &Config, data_dir: &Path) -> PathBuf {
    config.audit_signing_key.clone().unwrap_or_else(|| folder(data_dir).join("checkpoint.key"))
}

/// Where the last checkpoint is kept.
pub(crate) fn witness_path(data_dir: &Path) -> PathBuf {
    folder(data_dir).join("checkpoint")
}

/// Loads the key; makes our own at the first start. A configured key must be there.
fn signing_key(config: &Config, data_dir: &Path) -> Result<Arc<dyn SigningKey>, BootError> {
    let path = key_path(config, data_dir);
    if config.audit_signing_key.is_none() && !path.exists() {
        make_key(&path).map_err(|source| BootError::Io { what: format!("making {}", path.display()), source })?;
    }
    load_key_file(&path).map(Arc::from).map_err(|error| BootError::AuditLog(error.to_string()))
}

fn make_key(path: &Path) -> std::io::Result<()> {
    let pkcs8 = RingKeys::new().generate(KeyAlgorithm::Ed25519).map_err(std::io::Error::other)?;
    let text = Secret::new(certctl_x509::pem::encode("PRIVATE KEY", &pkcs8));
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // A crash half-way leaves no half a key under the name.
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Opens the log: key, trusted keys, and the last checkpoint kept in the data directory.
pub(crate) async fn open(
    config: &Config,
    data_dir: &Path,
    database: &Postgres,
    ambient: &Ambient,
) -> Result<Arc<SealedLog>, BootError> {
    let broken = |error: &dyn std::fmt::Display| BootError::AuditLog(error.to_string());
    let key = signing_key(config, data_dir)?;
    let origin = database.audit_origin(ambient.octets::<16>()).await?;
    let key = LogKey::new(NoteKey::new(&origin, key).map_err(|error| broken(&error))?);
    let settings = SealSettings {
        interval: time::Duration::try_from(config.audit_checkpoint_interval).unwrap_or(time::Duration::MAX),
        rows: config.audit_checkpoint_rows,
        ..SealSettings::default()
    };
    let path = witness_path(data_dir);
    if let Some(folder) = path.parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| BootError::Io { what: format!("making {}", folder.display()), source })?;
    }
    let witness = FileWitness::new(path.clone(), config.audit_checkpoint_file.clone());
    let trusted = TrustedKeys(config.audit_trusted_keys.clone());
    let log = SealedLog::open(key, trusted, settings, Arc::new(witness)).await.map_err(|error| {
        BootError::AuditLog(format!(
            "{}: {error}; name the old key in CERTCTL_AUDIT_TRUSTED_KEYS if the key was exchanged, or run \
             `certctl-server audit accept` if the database was replaced on purpose",
            path.display()
        ))
    })?;
    tracing::info!(key = %log.key.verifier(), "the audit log is open; give this verifier key to whoever checks it");
    Ok(Arc::new(log))
}

/// Seals and signs until the server stops.
pub(crate) fn run(
    log: Arc<SealedLog>,
    database: Arc<dyn Database>,
    ambient: Ambient,
    mut stopping: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    actix_web::rt::spawn(async move {
        let mut told: Option<tokio::time::Instant> = None;
        let mut passes = 0_u32;
        loop {
            if passes.is_multiple_of(LOOK)
                && let Err(error) = metrics::look_at_log(database.as_ref(), ambient.now()).await
            {
                tracing::debug!(%error, "the audit log's backlog could not be measured");
            }
            passes = passes.wrapping_add(1);
            let trouble = match tick(&log, database.as_ref(), &ambient).await {
                Ok(SealOutcome { more: true, .. }) => continue,
                Ok(outcome) => outcome.forked.map(|fork| fork.to_string()),
                Err(error) => Some(error),
            };
            if let Some(trouble) = trouble {
                if told.is_none_or(|told| told.elapsed() >= REMIND) {
                    tracing::error!(error = trouble, "the audit log could not be sealed or signed");
                    told = Some(tokio::time::Instant::now());
                }
            } else {
                told = None;
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                _ = stopping.changed() => return,
            }
        }
    })
}

async fn tick(log: &SealedLog, database: &dyn Database, ambient: &Ambient) -> Result<SealOutcome, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut unit = database.begin().await.map_err(|error| text(&error))?;
    let kept = log.kept();
    let sealed = seal(unit.stores(), ambient, &log.key, &log.settings, kept.as_ref()).await;
    let outcome = match sealed {
        Ok(outcome) if outcome.sealed == 0 && outcome.signed.is_none() => {
            unit.discard().await.map_err(|error| text(&error))?;
            return Ok(outcome);
        }
        Ok(outcome) => outcome,
        Err(error) => {
            unit.discard().await.map_err(|error| text(&error))?;
            return Err(text(&error));
        }
    };
    unit.save_unaudited("sealing adds no event to those that it seals").await.map_err(|error| text(&error))?;
    if let Some(signed) = &outcome.signed {
        log.keep(signed).await.map_err(|error| text(&error))?;
    }
    Ok(outcome)
}

/// Events that a verification looks at in one transaction.
const WALK: u64 = 2000;

/// Carries verifications on until the server stops.
pub(crate) fn verify(
    log: Arc<SealedLog>,
    database: Arc<dyn Database>,
    ambient: Ambient,
    mut stopping: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    actix_web::rt::spawn(async move {
        loop {
            let pause = match step(&log, database.as_ref(), &ambient).await {
                // Another batch follows at once, but others are let in between.
                Ok(true) => Duration::from_millis(5),
                Ok(false) => Duration::from_secs(1),
                Err(error) => {
                    tracing::error!(%error, "the verification of the audit log could not go on");
                    Duration::from_secs(10)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.changed() => return,
            }
        }
    })
}

/// One batch; whether the run goes on.
async fn step(log: &SealedLog, database: &dyn Database, ambient: &Ambient) -> Result<bool, DomainError> {
    let mut unit = database.begin().await?;
    let run = match verify_step(unit.stores(), ambient, log, WALK).await {
        Ok(Some(run)) => run,
        Ok(None) => {
            unit.discard().await?;
            return Ok(false);
        }
        Err(error) => {
            unit.discard().await?;
            if let DomainError::Internal { reason } | DomainError::Store(StoreError::Internal { reason }) = &error {
                let mut unit = database.begin().await?;
                abandon(unit.stores(), ambient, reason).await?;
                unit.save_unaudited("a verification that ended early found nothing").await?;
            }
            return Err(error);
        }
    };
    unit.save_unaudited("a verification that found something recorded it").await?;
    if let RunResult::Ok | RunResult::Break = run.result {
        metrics::verified(run.result == RunResult::Ok, run.updated_at);
    }
    match (&run.result, &run.finding) {
        (RunResult::Break, Some(finding)) => tracing::error!(
            verification = run.id,
            code = finding.code,
            seq = finding.seq,
            event = finding.event_id,
            detail = finding.detail,
            "the audit trail was tampered with"
        ),
        (RunResult::Ok, _) => tracing::info!(verification = run.id, events = run.to_seq, "the audit log is sound"),
        _ => {}
    }
    Ok(run.result == RunResult::Running)
}

/// Seals what is left and signs the head, when the server stops.
pub(crate) async fn finish(log: &SealedLog, database: &dyn Database, ambient: &Ambient) -> Result<(), BootError> {
    let mut unit = database.begin().await?;
    let kept = log.kept();
    match sign_now(unit.stores(), ambient, &log.key, &log.settings, kept.as_ref()).await {
        Ok(signed) => {
            unit.save_unaudited("sealing adds no event to those that it seals").await?;
            if let Some(signed) = signed {
                log.keep(&signed).await.map_err(|error| BootError::AuditLog(error.to_string()))?;
            }
            Ok(())
        }
        Err(SealError::Store(error)) => {
            unit.discard().await?;
            Err(error.into())
        }
        Err(error) => {
            unit.discard().await?;
            Err(BootError::AuditLog(error.to_string()))
        }
    }
}
