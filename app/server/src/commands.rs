//! The command line of the server.

use crate::breakglass::BreakglassCommand;
use crate::config::{self, Format};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Version and commit, for `--version`.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CERTCTL_COMMIT"), ")");

/// The certctl control plane.
#[derive(Parser)]
#[command(
    name = "certctl-server",
    version = VERSION,
    after_help = "Examples:\n  certctl-server keys init\n  certctl-server config check\n  certctl-server serve\n\n\
                  Settings come from CERTCTL_* variables over a TOML file; `certctl-server config docs` lists them."
)]
pub(crate) struct Cli {
    /// TOML file with settings; default CERTCTL_CONFIG_FILE, then /etc/certctl/certctl.toml when present.
    #[arg(long, global = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server (the default).
    Serve(Serve),
    /// Look at the configuration.
    #[command(
        subcommand,
        after_help = "Examples:\n  certctl-server config check\n  certctl-server config show --format toml\n  \
                      certctl-server --config ./certctl.toml config check\n  certctl-server config docs > settings.md"
    )]
    Config(ConfigCommand),
    /// Bring the database schema up to this build.
    Migrate(Migrate),
    /// Print the OpenAPI document of this build.
    Openapi,
    /// The control plane's own TLS material.
    #[command(
        subcommand,
        after_help = "Example:\n  certctl-server tls ca > ca.pem && curl --cacert ca.pem https://localhost:8443/health"
    )]
    Tls(TlsCommand),
    /// Who gets in.
    #[command(
        subcommand,
        after_help = "Examples:\n  certctl-server auth reopen-bootstrap\n  certctl-server auth doctor\n\nWorks beside a running server."
    )]
    Auth(AuthCommand),
    /// Encryption keys.
    #[command(
        subcommand,
        after_help = "Example:\n  umask 077; certctl-server keys init > /etc/certctl/encryption.key\n  \
                      export CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=/etc/certctl/encryption.key"
    )]
    Keys(KeysCommand),
    /// What is sealed in the database, and under which key.
    #[command(subcommand, after_help = "Example:\n  certctl-server secrets status\n\nWorks beside a running server.")]
    Secrets(SecretsCommand),
    /// Seal every secret in the database anew under the first key of the keyring.
    #[command(after_help = "Example, the new key k2 before the old k1:\n  \
                      CERTCTL_CONFIG_ENCRYPTION_KEYS=\"k2:$NEW,k1:$OLD\" certctl-server reseal --dry-run\n\n\
                      Works beside a running server, which must know both keys. A run that was cut short is taken up \
                      by the next. Exit 0: all is under the first key; 1: some values could not be moved, or an error.")]
    Reseal(Reseal),
    /// The audit log, on the server's own machine; stop the server first.
    #[command(
        subcommand,
        after_help = "Examples:\n  certctl-server audit key > audit.key\n  certctl-server audit archive --dry-run\n  \
                      psql -d old -Atc 'SELECT row_to_json(e) FROM (SELECT *, details::text AS details FROM audit_events) e' > old.jsonl\n  \
                      certctl-server audit import old.jsonl --head \"$(psql -d old -Atc 'SELECT row_hash FROM audit_chain_head')\" --dry-run"
    )]
    Audit(AuditCommand),
    /// Emergency accounts, and the window in which they may sign in; works beside a running server.
    #[command(
        subcommand,
        after_help = "Examples:\n  certctl-server breakglass create drill-1 --role admin\n  \
                      certctl-server breakglass enable --for 2h --reason 'the identity provider is down'\n  \
                      certctl-server breakglass status\n  certctl-server breakglass disable --end-sessions\n\n\
                      Each change is in the audit trail. Exit 0: done; 1: refused or an error."
    )]
    Breakglass(BreakglassCommand),
    /// The database.
    #[command(subcommand, after_help = "Example:\n  certctl-server db grants | psql -d certctl")]
    Db(DbCommand),
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the key that the log's checkpoints are checked with.
    Key,
    /// After a backup was restored on purpose: go on from what is in the database, though the checkpoint kept outside
    /// says otherwise. The trail tells of it.
    Accept,
    /// Write months that are older than CERTCTL_AUDIT_RETENTION to files and drop them, as the server does by itself.
    Archive {
        /// Only tell which.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take over the trail of a Go certctl: rows of its audit_events, a JSON object a line. Their chain is verified,
    /// they become events in its order with the old hashes beside them, and a checkpoint is signed over them.
    Import {
        /// The rows; - reads standard input.
        file: PathBuf,
        /// The old chain's head, without which a removed end does not show.
        #[arg(long)]
        head: Option<String>,
        /// Take the rows over although their chain does not hold; the trail then says where it breaks.
        #[arg(long)]
        despite_breaks: bool,
        /// Verify and count only.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum DbCommand {
    /// Print the SQL that gives a role what the server needs at run time, and no right to change the audit trail. The
    /// owner of the schema runs it after `certctl-server migrate`.
    Grants {
        /// The role that CERTCTL_DATABASE_URL signs in as.
        #[arg(long, default_value = "certctl_runtime")]
        role: String,
    },
}

#[derive(Args, Default)]
pub(crate) struct Serve {}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check everything and report all problems; exit 0 or 2. Touches no database.
    Check,
    /// Print effective values with their origin; secrets are masked.
    Show {
        /// How to print them.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Print the table of all settings as Markdown.
    Docs,
}

#[derive(Args)]
pub(crate) struct Migrate {
    /// Only tell: exit 0 when current, 3 when migrations are pending, 1 on error.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) check: bool,
}

#[derive(Subcommand)]
pub(crate) enum AuthCommand {
    /// Let a first administrator be made once more, by CERTCTL_BOOTSTRAP_TOKEN or CERTCTL_BOOTSTRAP_ADMIN_GROUPS, when
    /// all administrators are gone.
    ReopenBootstrap,
    /// Look at what of signing in the API does not show: whether secrets open, keys of cookies go, and loops run. Exit 3
    /// when something is wrong.
    Doctor,
}

#[derive(Subcommand)]
pub(crate) enum TlsCommand {
    /// Print the PEM of the CA that clients must trust when the server made its own certificate.
    Ca,
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Print a fresh value for CERTCTL_CONFIG_ENCRYPTION_KEY, or with --id an entry of CERTCTL_CONFIG_ENCRYPTION_KEYS.
    Init {
        /// Name of the key in the keyring, 1 to 4 characters.
        #[arg(long, value_parser = key_id)]
        id: Option<String>,
    },
}

fn key_id(text: &str) -> Result<String, String> {
    let sound =
        (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b','));
    if sound { Ok(text.to_owned()) } else { Err("must have 1 to 4 visible characters, none of them : or ,".to_owned()) }
}

#[derive(Subcommand)]
pub(crate) enum SecretsCommand {
    /// Print how many values each column has under each key. Exit 3 when a server with these keys would not start.
    Status,
}

#[derive(Args)]
pub(crate) struct Reseal {
    /// Open every value and tell what would be moved; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Values of one transaction.
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) batch: u16,
}

impl ConfigCommand {
    /// Runs it; returns the exit code.
    pub(crate) fn run(&self, raw: &config::Raw, unix_now: i64) -> u8 {
        match self {
            Self::Check => check(raw, unix_now),
            Self::Show { format } => {
                print!("{}", config::show(raw, *format));
                report("error", &raw.problems);
                if raw.problems.is_empty() { 0 } else { UNSOUND }
            }
            Self::Docs => {
                print!("{}", config::docs());
                0
            }
        }
    }
}

const UNSOUND: u8 = 2;

fn check(raw: &config::Raw, unix_now: i64) -> u8 {
    report("warning", &raw.warnings);
    let problems = match config::Config::from_raw(raw, unix_now, crate::data_dir::default_path()) {
        Ok(config) => {
            let mut problems = crate::boot::check_files(&config);
            problems.extend(config::check_files(&config, crate::boot::ambient().now()));
            problems
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    report("error", &problems);
    if problems.is_empty() {
        println!("the configuration is sound");
        return 0;
    }
    UNSOUND
}

fn report(kind: &str, lines: &[impl std::fmt::Display]) {
    for line in lines {
        eprintln!("{kind}: {line}");
    }
}
