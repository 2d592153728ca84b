//! What the command line offers.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  Enrol this host and stay (the token is used once; the credential it brings is kept in the state directory):
    CERTCTL_AGENT_BOOTSTRAP_TOKEN=... certctl-agent --server https://certctl.example.com:8443 \\
      --ca-bundle /etc/certctl/ca.pem --name web-1
  Enrol only:
    CERTCTL_AGENT_BOOTSTRAP_TOKEN=... certctl-agent enroll --server https://certctl.example.com:8443
  Do one round of work and exit:
    certctl-agent run --once

The command line wins over the environment, and that over the TOML file, whose keys are the
variables without CERTCTL_, in lower case. Variables:
  CERTCTL_SERVER_URL, CERTCTL_SERVER_CA_BUNDLE_PATH, CERTCTL_SERVER_TLS_INSECURE_SKIP_VERIFY,
  CERTCTL_AGENT_NAME, CERTCTL_AGENT_ID, CERTCTL_KEY_DIR, CERTCTL_AGENT_STATE_DIR,
  CERTCTL_LOG_LEVEL                 as the options
  CERTCTL_API_KEY[_FILE]            key of an agent that an operator registered
  CERTCTL_AGENT_BOOTSTRAP_TOKEN[_FILE]  enrolment token
  CERTCTL_AGENT_HEARTBEAT_INTERVAL  60s
  CERTCTL_AGENT_POLL_INTERVAL       30s
  CERTCTL_AGENT_MAX_PARALLEL        jobs at once: 4
  CERTCTL_AGENT_COMMAND_ALLOW       commands that targets may run, comma separated
  CERTCTL_DEPLOY_BACKUP_RETENTION   backups kept a file: 3
  CERTCTL_VERIFY_DEPLOYMENT         report what endpoints serve: true";

/// Keeps keys on this host and installs certificates into its services.
#[derive(Debug, Parser)]
#[command(name = "certctl-agent", version, after_help = EXAMPLES)]
pub struct CommandLine {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// The options.
    #[command(flatten)]
    pub options: Options,
    /// Does one heartbeat, one poll and the work it brings, then exits.
    #[arg(long, global = true)]
    pub once: bool,
}

/// What the agent can do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Heartbeats, polls and works until it is stopped or the agent is retired.
    Run,
    /// Registers this host with the enrolment token and keeps the credential, then exits.
    Enroll,
    /// Prints the version.
    Version,
}

/// Options of every task.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Address of the control plane; https only [default: https://localhost:8443]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// CA certificates (PEM) that the control plane's certificate must chain to, in place of the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// Accepts any certificate from the control plane; for experiments only
    #[arg(long, global = true)]
    pub insecure_skip_verify: bool,
    /// Name under which this host enrols [default: its host name]
    #[arg(long, global = true, value_name = "NAME")]
    pub name: Option<String>,
    /// Id of an agent that an operator registered; with CERTCTL_API_KEY, in place of enrolment
    #[arg(long, global = true, value_name = "ID")]
    pub agent_id: Option<String>,
    /// Where private keys are kept [default: /var/lib/certctl/keys]
    #[arg(long, global = true, value_name = "DIR")]
    pub key_dir: Option<PathBuf>,
    /// Where credential, journals, backups and undelivered reports are kept [default: the parent of the key directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Configuration file [default: /etc/certctl/agent.toml when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// trace, debug, info, warn or error [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// Options that the former agent took with one dash (`-server`).
const FORMER: &[&str] = &["server", "name", "agent-id", "key-dir", "ca-bundle", "insecure-skip-verify"];

/// Turns the former spelling into ours.
pub fn accept_single_dashes(arguments: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    arguments.map(|argument| {
        let name = argument.strip_prefix('-').map(|rest| rest.split('=').next().unwrap_or(rest));
        if name.is_some_and(|name| FORMER.contains(&name)) { format!("-{argument}") } else { argument }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> CommandLine {
        let words = line.split(' ').map(str::to_owned);
        CommandLine::try_parse_from(accept_single_dashes(words)).expect("valid")
    }

    #[test]
    fn options_stand_before_or_after_the_task_in_either_spelling() {
        for line in [
            "certctl-agent --server https://a -key-dir=/k run --once",
            "certctl-agent run --once -server https://a --key-dir /k",
        ] {
            let parsed = parse(line);
            assert!(parsed.once && matches!(parsed.task, Some(Task::Run)));
            assert_eq!(parsed.options.server.as_deref(), Some("https://a"));
            assert_eq!(parsed.options.key_dir, Some("/k".into()));
        }
        assert!(parse("certctl-agent").task.is_none());
    }
}
