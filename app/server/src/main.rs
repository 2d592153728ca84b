//! The certctl control plane.

mod access;
mod attached;
mod audit_commands;
mod audit_log;
mod boot;
mod breakglass;
mod commands;
mod config;
mod data_dir;
mod database;
mod doctor;
mod local_issuer;
mod logging;
mod metrics;
mod oidc;
mod people;
mod retention;
mod scheduler;
mod secrets;
mod serve;
mod sessions;
mod tls;

use certctl_postgres::MigrationStatus;
use clap::Parser as _;
use commands::{AuthCommand, Cli, Command, DbCommand, KeysCommand, SecretsCommand, Serve, TlsCommand};
use config::Config;
use std::collections::BTreeMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let raw = config::collect(&environment, cli.config.as_deref());
    let unix_now = boot::ambient().now().unix_timestamp();
    let typed = || {
        Config::from_raw(&raw, unix_now, data_dir::default_path()).map_err(|problems| {
            for problem in problems {
                eprintln!("error: {problem}");
            }
        })
    };
    match cli.command.unwrap_or(Command::Serve(Serve::default())) {
        Command::Config(command) => ExitCode::from(command.run(&raw, unix_now)),
        Command::Openapi => {
            print!("{}", certctl_http::openapi::document(&certctl_http::routes::all()));
            ExitCode::SUCCESS
        }
        Command::Keys(KeysCommand::Init { id }) => {
            let random = certctl_system::SystemRandom::new();
            let entry = id.map(|id| format!("{id}:")).unwrap_or_default();
            println!("{entry}{}", certctl_system::Keyring::generate_passphrase(&random).expose());
            ExitCode::SUCCESS
        }
        Command::Secrets(SecretsCommand::Status) => match typed() {
            Ok(config) => actix_web::rt::System::new().block_on(secrets::status(&config)),
            Err(()) => ExitCode::FAILURE,
        },
        Command::Reseal(arguments) => match typed() {
            Ok(config) => actix_web::rt::System::new().block_on(secrets::reseal(&config, &arguments)),
            Err(()) => ExitCode::FAILURE,
        },
        Command::Breakglass(command) => match typed() {
            Ok(config) => {
                logging::start("warn", config.log_json);
                actix_web::rt::System::new().block_on(breakglass::run(&config, &command))
            }
            Err(()) => ExitCode::FAILURE,
        },
        Command::Auth(AuthCommand::ReopenBootstrap) => match typed() {
            Ok(config) => actix_web::rt::System::new().block_on(oidc::reopen_bootstrap(&config)),
            Err(()) => ExitCode::FAILURE,
        },
        Command::Auth(AuthCommand::Doctor) => match typed() {
            Ok(config) => actix_web::rt::System::new().block_on(doctor::run(&config)),
            Err(()) => ExitCode::FAILURE,
        },
        Command::Tls(TlsCommand::Ca) => print_ca(&raw),
        Command::Audit(command) => match typed() {
            Ok(config) => {
                logging::start("warn", config.log_json);
                actix_web::rt::System::new().block_on(audit_commands::run(&config, &command))
            }
            Err(()) => ExitCode::FAILURE,
        },
        Command::Db(DbCommand::Grants { role }) => {
            if let Some(sql) = certctl_postgres::grants(&role) {
                print!("{sql}");
                return ExitCode::SUCCESS;
            }
            eprintln!("error: --role must be 1 to 63 letters, digits and underscores, such as certctl_runtime");
            ExitCode::from(2)
        }
        Command::Migrate(arguments) => match typed() {
            Ok(config) => actix_web::rt::System::new().block_on(migrate(&config, arguments.check)),
            Err(()) => ExitCode::FAILURE,
        },
        Command::Serve(_) => match typed() {
            Ok(config) => {
                logging::start(&config.log_level, config.log_json);
                for warning in &raw.warnings {
                    tracing::warn!("{warning}");
                }
                match actix_web::rt::System::new().block_on(serve::run(config)) {
                    Ok(true) => ExitCode::SUCCESS,
                    Ok(false) => ExitCode::FAILURE,
                    Err(error) => {
                        tracing::error!(%error, "the server can't run");
                        eprintln!("error: {error}");
                        ExitCode::FAILURE
                    }
                }
            }
            Err(()) => ExitCode::FAILURE,
        },
    }
}

fn print_ca(raw: &config::Raw) -> ExitCode {
    let folder = raw.values.get("DATA_DIR").map(|(value, _)| value.clone()).filter(|value| !value.is_empty());
    let path = folder.map_or_else(data_dir::default_path, std::path::PathBuf::from).join("tls/ca.crt");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!(
                "error: {}: {error}; the server makes it at its first start without CERTCTL_SERVER_TLS_CERT_PATH",
                path.display()
            );
            ExitCode::FAILURE
        }
    }
}

async fn migrate(config: &Config, check: bool) -> ExitCode {
    let outcome = async {
        let data_dir = data_dir::DataDir::lock(&config.data_dir)?;
        let ambient = boot::ambient();
        if !check {
            let opened = boot::open_database(config, &data_dir, &ambient).await?;
            opened.database.close();
            if let Some(private) = opened.private {
                private.stop().await;
            }
            return Ok(MigrationStatus::Current);
        }
        let opened = database::open(config, data_dir.path(), &ambient).await?;
        let status = certctl_postgres::check(&opened.database).await;
        opened.database.close();
        if let Some(private) = opened.private {
            private.stop().await;
        }
        Ok::<_, boot::BootError>(status?)
    };
    match outcome.await {
        Ok(MigrationStatus::Current) => {
            println!("the schema is current");
            ExitCode::SUCCESS
        }
        Ok(MigrationStatus::Pending(names)) => {
            println!("pending migrations: {}", names.join(", "));
            ExitCode::from(3)
        }
        Ok(MigrationStatus::Newer(names)) => {
            eprintln!("error: the schema is newer than this build: {}", names.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
