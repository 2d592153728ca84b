//! Running PostgreSQL's programs with nothing of ours but what they need.

use crate::{Cluster, PrivatePostgresError};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a program may see of our environment. The rest holds the server's secrets, which the database's user, who can
/// read its own process' environment, must not learn.
const PASSED_ON: &[&str] = &["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TMPDIR"];

/// A program of the cluster's version, as the cluster's user.
pub(crate) fn program(cluster: &Cluster, name: &str) -> Command {
    let mut command = Command::new(cluster.binaries.program(name));
    cluster.user.apply(&mut command);
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    for variable in PASSED_ON {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
}

/// Runs it to its end.
pub(crate) async fn run(mut command: Command, name: &'static str, input: &str) -> Result<(), PrivatePostgresError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(PrivatePostgresError::io(format!("starting {name}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early has closed its input; its own message says more than the broken pipe.
        if let Err(error) = stdin.write_all(input.as_bytes()).await {
            tracing::debug!(%error, name, "the program did not read its input");
        }
    }
    let output = child.wait_with_output().await.map_err(PrivatePostgresError::io(format!("waiting for {name}")))?;
    // In single-user mode a failed statement is printed, and the exit status is still 0.
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !errors.lines().any(|line| line.contains("ERROR:")) {
        return Ok(());
    }
    Err(PrivatePostgresError::Program { program: name, output: last_lines(&errors) })
}

/// The end of a program's messages, on one line. Statements are left out: one of them sets the password.
pub(crate) fn last_lines(text: &str) -> String {
    let telling = |line: &&str| !line.trim().is_empty() && !line.contains("STATEMENT:");
    let mut tail: Vec<&str> = text.lines().rev().filter(telling).take(5).collect();
    tail.reverse();
    tail.join("; ")
}
