//! A private PostgreSQL in the server's data directory: found, initialised, started, supervised, stopped.
//!
//! It listens on a Unix socket only, asks for a password, keeps checksums, and runs as an unprivileged user when the
//! server runs as root (PostgreSQL refuses to run as root).

mod binaries;
mod cluster;
mod runtime_user;
mod supervisor;

pub use binaries::Binaries;
pub use cluster::{Cluster, prepare};
pub use supervisor::PrivatePostgres;

use std::path::PathBuf;

/// Why there is no private PostgreSQL, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No server binaries on this machine.
    #[error(
        "no PostgreSQL server binaries found (looked in PATH, pg_config --bindir and the usual folders): install them, \
         such as with `apt-get install postgresql`, or set CERTCTL_DATABASE_URL to a server of your own"
    )]
    NoBinaries,
    /// No unprivileged user to run as.
    #[error("running as root needs an unprivileged user for PostgreSQL: neither `postgres` nor `nobody` exists")]
    NoUser,
    /// The data was written by another major version.
    #[error(
        "the data in {folder} was written by PostgreSQL {found}, but the binaries found are of version {available}: \
         install PostgreSQL {found}, or dump with the old version and restore, or run pg_upgrade"
    )]
    ForeignVersion {
        /// The cluster's folder.
        folder: PathBuf,
        /// Major version of the data.
        found: String,
        /// Major version of the binaries.
        available: String,
    },
    /// The path of the socket is too long for the operating system.
    #[error("the data directory's path is too long for a Unix socket ({0}); choose a shorter CERTCTL_DATA_DIR")]
    SocketPath(PathBuf),
    /// A step of the operating system failed.
    #[error("{step}: {source}")]
    Io {
        /// What was tried.
        step: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A PostgreSQL program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// The server did not become ready.
    #[error("PostgreSQL did not become ready: {0}")]
    NotReady(String),
}

impl PrivatePostgresError {
    pub(crate) fn io(step: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let step = step.into();
        move |source| Self::Io { step, source }
    }
}
