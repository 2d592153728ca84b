//! A private PostgreSQL in the server's data directory: found, initialised, started, supervised, stopped.
//!
//! It listens on a Unix socket only, asks for a password, keeps checksums, and runs as an unprivileged user when the
//! server runs as root (PostgreSQL refuses to run as root).

mod binaries;
mod cluster;
mod folders;
mod orphan;
mod process;
mod program;
mod runtime_user;
mod supervisor;

pub use binaries::Binaries;
pub use cluster::{Cluster, Running, prepare};
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
    #[error(
        "running as root needs an unprivileged user for PostgreSQL: none of `postgres`, `certctl` and \
         `nobody` exists; install PostgreSQL's packages, which make one"
    )]
    NoUser,
    /// The data was written by another major version.
    #[error(
        "the data in {folder} was written by PostgreSQL {found}, but the binaries found are of version {available}. \
         Either install the old version (such as with `apt-get install postgresql-{found}`) and start again; or move to \
         version {available}: with both installed run initdb of the new one and `pg_upgrade` from the old folder to the \
         new, or dump with version {found} (`pg_dumpall`) and restore into a fresh data directory"
    )]
    ForeignVersion {
        /// The cluster's folder.
        folder: PathBuf,
        /// Major version of the data.
        found: String,
        /// Major version of the binaries.
        available: String,
    },
    /// The data belong to somebody else.
    #[error(
        "the data in {folder} belong to {owner}: start certctl-server as root or as {owner}, or give them away with chown -R"
    )]
    ForeignOwner {
        /// The cluster's folder.
        folder: PathBuf,
        /// Whose it is.
        owner: String,
    },
    /// The unprivileged user can't reach the data.
    #[error(
        "PostgreSQL runs as {user}, who can't pass through {folder}: allow that with `chmod o+x`, choose another \
         CERTCTL_DATA_DIR, or start certctl-server as an ordinary user"
    )]
    Blocked {
        /// The closed folder.
        folder: PathBuf,
        /// Who is kept out.
        user: String,
    },
    /// Something else lies where the socket's folder should be.
    #[error("{0} is a link or belongs to another user, so the database's socket can't go there: remove it")]
    Occupied(PathBuf),
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
