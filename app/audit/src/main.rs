//! Checks exports of the audit trail, for those who have files and no server: an auditor's tool, small enough to be
//! built as one static file (`just audit-static`).

use certctl_audit_log::{
    ExportLine, OfflineError, TrustedKeys, VerifierKey, bundle, check_bundle, check_export, check_legacy,
};
use clap::{Args, Parser, Subcommand};
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check exports of certctl's audit trail against checkpoints. Exit codes: 0 holds, 1 a file can't be used, 2 usage,
/// 5 something does not hold.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check an export, a bundle, or rows of the old linear chain.
    Verify(Verify),
    /// Prove that an event is in the log.
    Prove {
        /// Id of the event.
        id: String,
        #[command(flatten)]
        source: Source,
    },
    /// Put events, their proofs and the checkpoint into one file.
    Bundle {
        #[command(flatten)]
        source: Source,
        /// This event; repeat for several.
        #[arg(long)]
        id: Vec<String>,
        /// Events of this actor.
        #[arg(long)]
        actor: Option<String>,
        /// Events of this action.
        #[arg(long)]
        action: Option<String>,
        /// Events on this kind of object.
        #[arg(long)]
        resource_type: Option<String>,
        /// Events on this object.
        #[arg(long)]
        resource_id: Option<String>,
    },
}

#[derive(Args)]
struct Trust {
    /// Verifier key name+hash+key, or a file of them; repeat for several.
    #[arg(long)]
    key: Vec<String>,
    /// File of a checkpoint kept elsewhere that must hold; repeat for several.
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
}

#[derive(Args)]
struct Verify {
    /// Export to check.
    #[arg(required_unless_present_any = ["bundle", "legacy"], conflicts_with_all = ["bundle", "legacy"])]
    file: Option<PathBuf>,
    /// Check a bundle instead.
    #[arg(long, conflicts_with = "legacy")]
    bundle: Option<PathBuf>,
    /// Check rows of the old linear chain, a JSON object a line.
    #[arg(long)]
    legacy: Option<PathBuf>,
    /// With --legacy: the chain's head, without which a removed end does not show.
    #[arg(long, requires = "legacy")]
    head: Option<String>,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Args)]
struct Source {
    /// Export that holds the events.
    #[arg(long)]
    export: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Write here; without, on standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A message and an exit code.
struct Failure(String, u8);

fn local(path: &Path) -> impl FnOnce(std::io::Error) -> Failure + '_ {
    move |error| Failure(format!("{}: {error}", path.display()), 1)
}

fn judged<T>(outcome: Result<T, OfflineError>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure(error.to_string(), if matches!(error, OfflineError::Io(_)) { 1 } else { 5 }))
}

impl Trust {
    fn keys(&self) -> Result<TrustedKeys, Failure> {
        let mut keys = Vec::new();
        for text in &self.key {
            if let Ok(key) = VerifierKey::parse(text) {
                keys.push(key);
                continue;
            }
            let file = std::fs::read_to_string(text).map_err(local(Path::new(text)))?;
            for line in file.lines().filter(|line| !line.trim().is_empty()) {
                keys.push(VerifierKey::parse(line).map_err(|error| Failure(format!("{text}: {error}"), 2))?);
            }
        }
        if keys.is_empty() {
            Err(Failure("give the log's verifier key with --key".to_owned(), 2))
        } else {
            Ok(TrustedKeys(keys))
        }
    }

    fn notes(&self) -> Result<Vec<String>, Failure> {
        self.checkpoint.iter().map(|path| std::fs::read_to_string(path).map_err(local(path))).collect()
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    File::open(path).map(BufReader::new).map_err(local(path))
}

fn verify(verify: &Verify) -> Result<String, Failure> {
    if let Some(path) = &verify.legacy {
        let chain = check_legacy(open(path)?, verify.head.as_deref()).map_err(|error| Failure(error.to_string(), 5))?;
        return Ok(format!("{} rows hold; the head is {}\n", chain.rows, chain.head));
    }
    let keys = verify.trust.keys()?;
    if let Some(path) = &verify.bundle {
        let text = std::fs::read_to_string(path).map_err(local(path))?;
        let checked = judged(check_bundle(&text, &keys))?;
        return Ok(format!("{} events are in the log of {}\n", checked.events, checked.size));
    }
    let path = verify.file.as_deref().ok_or_else(|| Failure("name a file".to_owned(), 2))?;
    let checked = judged(check_export(open(path)?, &keys, &verify.trust.notes()?))?;
    Ok(format!(
        "{} events hold, {} more by their hashes, under checkpoints of {:?} events\n",
        checked.events, checked.skipped, checked.checkpoints
    ))
}

fn make(source: &Source, keep: impl FnMut(&ExportLine) -> bool) -> Result<usize, Failure> {
    let made = judged(bundle(open(&source.export)?, &source.trust.keys()?, &source.trust.notes()?, keep))?;
    let text = serde_json::to_string_pretty(&made).map_err(|error| Failure(error.to_string(), 1))?;
    match &source.out {
        Some(path) => std::fs::write(path, format!("{text}\n")).map_err(local(path))?,
        None => writeln!(std::io::stdout(), "{text}").map_err(local(Path::new("standard output")))?,
    }
    Ok(made.events.len())
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Verify(arguments) => {
            let line = verify(arguments)?;
            std::io::stdout().write_all(line.as_bytes()).map_err(local(Path::new("standard output")))
        }
        Command::Prove { id, source } => match make(source, |event| event.id == *id)? {
            0 => Err(Failure(format!("event {id} is not in the export"), 5)),
            _ => Ok(()),
        },
        Command::Bundle { source, id, actor, action, resource_type, resource_id } => {
            let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
            make(source, |event| {
                (id.is_empty() || id.contains(&event.id))
                    && is(actor, &event.actor)
                    && is(action, &event.action)
                    && is(resource_type, &event.resource_type)
                    && is(resource_id, &event.resource_id)
            })
            .map(|_| ())
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message, code)) => {
            eprintln!("error: {message}");
            ExitCode::from(code)
        }
    }
}
