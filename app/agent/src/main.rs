//! The agent: makes and keeps private keys on its host, asks the control plane for certificates, and installs them
//! into the services that use them.

mod client;
mod command_line;
mod credential;
mod enrol;
mod keys;
mod log;
mod outbox;
mod private_file;
mod queue;
mod run;
mod settings;
mod stop;
mod work;

use clap::Parser;
use command_line::{CommandLine, Task};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command_line = CommandLine::parse_from(command_line::accept_single_dashes(std::env::args()));
    if matches!(command_line.task, Some(Task::Version)) {
        println!("certctl-agent {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let settings = match settings::load(&command_line.options, &|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                eprintln!("certctl-agent: {problem}");
            }
            return ExitCode::from(2);
        }
    };
    log::start(&settings.log_level);
    let done = match command_line.task {
        Some(Task::Enroll) => enrol::enrol_now(&settings).map(drop).map_err(|error| error.to_string()),
        _ if command_line.once => run::once(&settings),
        _ => run::forever(&settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(reason, "the agent ends");
            ExitCode::FAILURE
        }
    }
}
