//! Looking after what is sealed: which key seals what, and moving to another one. Both work beside a running server.

use crate::attached::Attached;
use crate::boot::{self, BootError};
use crate::commands::Reseal;
use crate::config::Config;
use certctl_kernel::RequestContext;
use certctl_ports::{Ambient, SealedForm, SealingKeys};
use certctl_postgres::Postgres;
use certctl_secrets::{BatchReport, SealedColumn, SealedCount, Unreadable, reseal_batch, try_batch};
use certctl_system::Keyring;
use certctl_unit_of_work::Database as _;
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::process::ExitCode;

/// The server with these settings would not start.
const WOULD_NOT_START: u8 = 3;

/// `certctl-server secrets status`
pub(crate) async fn status(config: &Config) -> ExitCode {
    let ambient = boot::ambient();
    with_keys(config, &ambient, async |database: &Postgres, keys: &Keyring| {
        let mut unit = database.read().await?;
        let counts = unit.stores().sealed_counts().await?;
        print_counts(&counts, keys);
        match certctl_secrets::check(unit.stores(), keys).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Unreadable::Store(error)) => Err(error.into()),
            Err(unreadable) => {
                eprintln!("error: {unreadable}");
                Ok(ExitCode::from(WOULD_NOT_START))
            }
        }
    })
    .await
}

fn print_counts(counts: &[SealedCount], keys: &Keyring) {
    let ids: Vec<String> = keys.keys().iter().map(ToString::to_string).collect();
    println!("keys: {} (the first seals)", ids.join(", "));
    println!("{:<36} {:<16} {:>10}  key", "column", "form", "values");
    for SealedCount { column, form, blobs } in counts {
        let standing = match form {
            SealedForm::V4(key) if *key == keys.writing() => "seals",
            SealedForm::V4(key) if keys.keys().contains(key) => "opens; reseal moves it",
            SealedForm::V4(_) => "missing",
            SealedForm::V1 | SealedForm::V2 | SealedForm::V3 => "of the Go certctl; reseal moves it",
        };
        println!("{:<36} {:<16} {blobs:>10}  {standing}", column.to_string(), form.to_string());
    }
}

/// `certctl-server reseal`
pub(crate) async fn reseal(config: &Config, arguments: &Reseal) -> ExitCode {
    let ambient = boot::ambient();
    let limit = NonZeroU16::new(arguments.batch).unwrap_or(NonZeroU16::MIN);
    with_keys(config, &ambient, async |database: &Postgres, keys: &Keyring| {
        let mut all = Totals::default();
        for column in SealedColumn::ALL {
            let mut after = String::new();
            loop {
                let report = if arguments.dry_run {
                    try_batch(database.read().await?.stores(), keys, *column, &after, limit).await?
                } else {
                    move_batch(database, keys, *column, &after, limit).await?
                };
                let Some(last) = report.last.clone() else { break };
                after = last;
                all.add(*column, &report);
                eprintln!("{column}: {} values moved, at {after}", all.moved_of(*column));
            }
        }
        all.print(arguments.dry_run, &keys.writing().to_string());
        Ok(if all.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
    .await
}

async fn move_batch(
    database: &Postgres,
    keys: &Keyring,
    column: SealedColumn,
    after: &str,
    limit: NonZeroU16,
) -> Result<BatchReport, BootError> {
    let mut unit = database.begin().await?;
    let context = RequestContext::system("reseal");
    let report = reseal_batch(unit.stores(), keys, &context, column, after, limit).await?;
    if report.total() > 0 {
        unit.save().await?;
    } else {
        unit.discard().await?;
    }
    Ok(report)
}

#[derive(Default)]
struct Totals {
    moved: BTreeMap<(SealedColumn, SealedForm), u64>,
    failed: u64,
}

impl Totals {
    fn add(&mut self, column: SealedColumn, report: &BatchReport) {
        for (form, values) in &report.moved {
            *self.moved.entry((column, *form)).or_default() += values;
        }
        for failure in &report.failures {
            self.failed += 1;
            eprintln!("error: {column} of {}: {} ({})", failure.row_id, failure.reason, failure.form);
        }
    }

    fn moved_of(&self, column: SealedColumn) -> u64 {
        self.moved.iter().filter(|((of, _), _)| *of == column).map(|(_, values)| values).sum()
    }

    fn print(&self, trial: bool, key: &str) {
        let verb = if trial { "would be moved" } else { "moved" };
        for ((column, form), values) in &self.moved {
            println!("{column}: {values} {verb} from {form} to v4 {key}");
        }
        if self.moved.is_empty() && self.failed == 0 {
            println!("all values are under key {key}");
        }
        if self.failed > 0 {
            println!("{} values could not be opened and stay as they are", self.failed);
        }
    }
}

/// Opens database and keyring for `work`, and leaves everything as it was found.
pub(crate) async fn with_keys(
    config: &Config,
    ambient: &Ambient,
    work: impl AsyncFnOnce(&Postgres, &Keyring) -> Result<ExitCode, BootError>,
) -> ExitCode {
    let outcome = async {
        let attached = Attached::open(config, ambient).await?;
        let outcome = async {
            let keys = boot::keyring(config, &attached.database, ambient).await?;
            work(&attached.database, &keys).await
        };
        let outcome = outcome.await;
        attached.close().await;
        outcome
    };
    outcome.await.unwrap_or_else(|error: BootError| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
