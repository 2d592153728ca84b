//! `certctl`: the command line of certctl's operators, over the REST API.

mod ask;
mod config;
mod failure;
mod nouns;
mod render;
mod run;
mod settings;
mod wait;
mod wire;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(run::main(std::env::args_os(), &settings::process_env))
}
