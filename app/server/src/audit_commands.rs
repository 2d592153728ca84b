//! `certctl-server audit` and `certctl-server db`: what is done to the trail on the server's own machine.

use crate::boot::{self, BootError};
use crate::commands::AuditCommand;
use crate::config::Config;
use crate::{audit_log, data_dir, database, retention};
use certctl_audit::{Action, AuditEvent};
use certctl_audit_log::{LegacyImport, import_legacy, prepare_import};
use certctl_kernel::RequestContext;
use certctl_unit_of_work::Database as _;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Runs one of them; the server must not be running on the directory.
pub(crate) async fn run(config: &Config, command: &AuditCommand) -> ExitCode {
    match perform(config, command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(config: &Config, command: &AuditCommand) -> Result<(), BootError> {
    let ambient = boot::ambient();
    let data_dir = data_dir::DataDir::lock(&config.data_dir)?;
    let database::Opened { database, private, .. } = boot::open_database(config, &data_dir, &ambient).await?;
    let outcome = async {
        match command {
            AuditCommand::Key => {
                let log = audit_log::open(config, data_dir.path(), &database, &ambient).await?;
                println!("{}", log.key.verifier());
            }
            AuditCommand::Import { file, head, despite_breaks, dry_run } => {
                let import = read(file, head.as_deref(), *despite_breaks)?;
                if *dry_run {
                    println!("{} events would be taken over", import.events.len());
                } else {
                    take_over(config, data_dir.path(), &database, &ambient, &import).await?;
                }
            }
            AuditCommand::Accept => accept(config, data_dir.path(), &database, &ambient).await?,
            AuditCommand::Archive { dry_run } => {
                let retention = retention::settings(config);
                let months = retention::months(&database, &retention, &ambient).await?;
                if months.is_empty() {
                    println!("no month is old enough, or CERTCTL_AUDIT_RETENTION keeps all of them");
                }
                let log = audit_log::open(config, data_dir.path(), &database, &ambient).await?;
                let place = retention::place(config, data_dir.path());
                let context = RequestContext::system("command:audit-archive");
                for month in months {
                    if *dry_run {
                        println!("{} would be archived and dropped", month.partition);
                        continue;
                    }
                    let events = retention::archive(&log, &database, &ambient, &place, &context, &month).await?;
                    println!("{}: {events} events archived and dropped", month.partition);
                }
            }
        }
        Ok(())
    };
    let outcome = outcome.await;
    database.close();
    if let Some(private) = private {
        private.stop().await;
    }
    outcome
}

/// Reads the old rows and verifies their chain, which must hold unless breaks are known and accepted.
fn read(file: &Path, head: Option<&str>, despite_breaks: bool) -> Result<LegacyImport, BootError> {
    let failed = |error: &dyn std::fmt::Display| BootError::AuditLog(format!("{}: {error}", file.display()));
    let import = if file == Path::new("-") {
        prepare_import(std::io::stdin().lock(), head)
    } else {
        let open = std::fs::File::open(file).map_err(|error| failed(&error))?;
        prepare_import(std::io::BufReader::new(open), head)
    };
    let import = import.map_err(|error| failed(&error))?;
    match &import.chain {
        Ok(chain) => println!("the old chain holds: {} events, head {}", chain.rows, chain.head),
        Err(error) if despite_breaks => println!("the old chain does not hold: {error}"),
        Err(error) => {
            return Err(failed(&format!("{error}; with --despite-breaks its rows are taken over all the same")));
        }
    }
    Ok(import)
}

/// Adds the events in one transaction, and signs a checkpoint over them.
async fn take_over(
    config: &Config,
    data_dir: &Path,
    database: &certctl_postgres::Postgres,
    ambient: &certctl_ports::Ambient,
    import: &LegacyImport,
) -> Result<(), BootError> {
    let log = audit_log::open(config, data_dir, database, ambient).await?;
    let mut unit = database.begin().await?;
    let context = RequestContext::system("command:audit-import");
    let done = import_legacy(unit.stores(), &context, import).await;
    let done = done.map_err(|error| BootError::AuditLog(error.to_string()))?;
    unit.save().await?;
    audit_log::finish(&log, database, ambient).await?;
    println!("{} events taken over, {} were there already; a checkpoint is signed over them", done.added, done.known);
    Ok(())
}

/// Puts the kept checkpoint aside, so that the log may begin anew from what is in the database; the trail tells of it.
async fn accept(
    config: &Config,
    data_dir: &Path,
    database: &certctl_postgres::Postgres,
    ambient: &certctl_ports::Ambient,
) -> Result<(), BootError> {
    let kept = audit_log::witness_path(data_dir);
    if !kept.exists() {
        println!("no checkpoint is kept; there is nothing to accept");
        return Ok(());
    }
    let io = |source| BootError::Io { what: format!("putting {} aside", kept.display()), source };
    let note = std::fs::read_to_string(&kept).map_err(io)?;
    let aside = kept.with_extension(format!("{}.old", ambient.now().unix_timestamp()));
    let mut unit = database.begin().await?;
    let details = json!({"checkpoint": note, "kept_as": aside.display().to_string()});
    let context = RequestContext::system("command:audit-accept");
    unit.stores().record(AuditEvent::new(Action::AuditAccepted, &context, "log", details)).await?;
    unit.save().await?;
    std::fs::rename(&kept, &aside).map_err(io)?;
    let log = audit_log::open(config, data_dir, database, ambient).await?;
    audit_log::finish(&log, database, ambient).await?;
    println!("the log goes on from what is in the database; the old checkpoint is kept as {}", aside.display());
    Ok(())
}
