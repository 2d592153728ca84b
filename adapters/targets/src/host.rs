//! What the agent decides for every connector on its host; the control plane can't change any of it.

use crate::files::Stage;
use certctl_ports::Clock;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Told of each stage of a file transaction, for logs.
pub type Observer = Arc<dyn Fn(Stage, &Path) + Send + Sync>;

/// Commands that targets may run unless the host's operator says otherwise. An entry is the first words of a command:
/// a bare name stands for that program in one of the system's own directories, a path for just that file.
pub const DEFAULT_COMMANDS: &[&str] = &[
    "nginx",
    "openresty",
    "apachectl",
    "apache2ctl",
    "httpd",
    "haproxy",
    "postfix",
    "postconf",
    "doveadm",
    "systemctl reload",
    "systemctl restart",
    "systemctl try-reload-or-restart",
    "systemctl reload-or-restart",
    "service",
];

/// Files that no deployment writes, whatever its configuration says, with everything below them.
const NEVER: &[&str] = &[
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/gshadow",
    "/etc/sudoers",
    "/root/.ssh",
    "/proc",
    "/sys",
    "/dev",
];

/// Settings of the host that connectors run on.
#[derive(Clone)]
pub struct Host {
    /// Journals, locks and backups; 0700.
    pub state_dir: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What may run; see [`DEFAULT_COMMANDS`].
    pub allow_commands: Vec<String>,
    /// Where deployments may write; empty means everywhere outside the places that are never written.
    pub allow_paths: Vec<PathBuf>,
    /// Where they may not, on top of those places and of `state_dir`.
    pub deny_paths: Vec<PathBuf>,
    /// Backups kept a file when the target does not say.
    pub backup_retention: usize,
    /// Told of each stage.
    pub observer: Observer,
}

impl Host {
    /// The defaults over a state directory.
    pub fn new(state_dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            state_dir: state_dir.into(),
            clock,
            allow_commands: DEFAULT_COMMANDS.iter().map(|text| (*text).to_owned()).collect(),
            allow_paths: Vec::new(),
            deny_paths: Vec::new(),
            backup_retention: 3,
            observer: Arc::new(|_, _| {}),
        }
    }

    /// Checks that deployments may write this file (its links resolved).
    pub(crate) fn check_path(&self, path: &Path) -> Result<(), String> {
        let denied = NEVER.iter().map(Path::new).chain(self.deny_paths.iter().map(PathBuf::as_path));
        let state = self.state_dir.canonicalize().unwrap_or_else(|_| self.state_dir.clone());
        for place in denied.chain([state.as_path()]) {
            if path.starts_with(place) {
                return Err(format!("{} lies in {}, which no deployment may write", path.display(), place.display()));
            }
        }
        if !self.allow_paths.is_empty() && !self.allow_paths.iter().any(|place| path.starts_with(place)) {
            return Err(format!("{} lies outside the paths that this agent may write", path.display()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Host").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}
