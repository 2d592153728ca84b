//! The data on disk: initialised once, and refused when another version wrote it.

use crate::folders::{let_through, private_folder, socket_folder, sync, write_private};
use crate::program::{program, run};
use crate::runtime_user::{RuntimeUser, name_of};
use crate::{Binaries, PrivatePostgresError, orphan};
use certctl_kernel::Secret;
use certctl_ports::Random;
use data_encoding::BASE64URL_NOPAD;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The database and role that the server uses.
const NAME: &str = "certctl";
const CONNECTIONS: usize = 100;
/// Connections beside those of the pool: the superuser's reserve, a person with `psql`, a listener or two.
const SPARE_CONNECTIONS: usize = 20;

/// An initialised cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) binaries: Binaries,
    pub(crate) user: RuntimeUser,
    pub(crate) data: PathBuf,
    pub(crate) sockets: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) connections: usize,
    password: Secret<String>,
}

impl Cluster {
    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// Role and database.
    pub const fn name(&self) -> &'static str {
        NAME
    }

    /// The role's password.
    pub const fn password(&self) -> &Secret<String> {
        &self.password
    }

    /// Leaves room for a pool of this size; without it, for 80 connections.
    #[must_use]
    pub fn with_pool(mut self, connections: usize) -> Self {
        self.connections = connections.saturating_add(SPARE_CONNECTIONS).max(CONNECTIONS);
        self
    }
}

/// How to reach the cluster of another process, which holds the lock of its data directory and runs it.
pub struct Running {
    sockets: PathBuf,
    password: Secret<String>,
}

impl Running {
    /// Looks into `data_dir`; changes nothing there.
    pub fn find(data_dir: &Path) -> Result<Self, PrivatePostgresError> {
        let password = stored_password(&data_dir.join("postgres.password"))?;
        let missing = || PrivatePostgresError::NotReady("its server has not made it yet".to_owned());
        Ok(Self { sockets: socket_folder(data_dir), password: password.ok_or_else(missing)? })
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// Role and database.
    pub const fn name(&self) -> &'static str {
        NAME
    }

    /// The role's password.
    pub const fn password(&self) -> &Secret<String> {
        &self.password
    }
}

/// Makes the cluster in `data_dir` if it is not there yet. A crash half-way leaves nothing that a later start would
/// take for a cluster. The caller holds the lock of `data_dir`.
pub async fn prepare(data_dir: &Path, random: &dyn Random) -> Result<Cluster, PrivatePostgresError> {
    let data = data_dir.join("postgres");
    let existing = existing(&data)?;
    let found = existing.as_ref().map(|(version, _)| version.as_str());
    let binaries = Binaries::find(found)?;
    if let Some(found) = found
        && *found != binaries.major
    {
        return Err(PrivatePostgresError::ForeignVersion {
            folder: data,
            found: found.to_owned(),
            available: binaries.major,
        });
    }
    let user = RuntimeUser::choose(existing.as_ref().map(|(_, owner)| owner))?;
    if let Some((_, owner)) = &existing
        && owner.uid() != user.uid()
    {
        return Err(PrivatePostgresError::ForeignOwner { folder: data, owner: name_of(owner.uid()) });
    }
    let_through(data_dir, user)?;
    let sockets = socket_folder(data_dir);
    private_folder(&sockets, user)?;
    let log = data_dir.join("postgres.log");
    let password_file = data_dir.join("postgres.password");
    let stored = stored_password(&password_file)?;
    let lost = stored.is_none();
    let password = stored.unwrap_or_else(|| fresh_password(random));
    let cluster = Cluster { binaries, user, data, sockets, log, connections: CONNECTIONS, password };
    if existing.is_none() {
        initialise(&cluster, data_dir).await?;
    } else if lost {
        tracing::warn!(file = %password_file.display(), "the database's password was lost; giving it a new one");
        orphan::stop(&cluster).await?;
        single_user(&cluster, &cluster.data, NAME, &set_password(&cluster)).await?;
    }
    if lost {
        // Last: a crash before this line leads to a new password at the next start, not to a wrong one.
        write_private(&password_file, cluster.password.expose())?;
        sync(data_dir)?;
    }
    Ok(cluster)
}

/// Version and owner of the cluster that is already there.
fn existing(data: &Path) -> Result<Option<(String, Metadata)>, PrivatePostgresError> {
    let version = data.join("PG_VERSION");
    match std::fs::read_to_string(&version) {
        Ok(text) => {
            let owner = data.metadata().map_err(PrivatePostgresError::io(format!("looking at {}", data.display())))?;
            Ok(Some((text.trim().to_owned(), owner)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let owner = data.metadata().map_or_else(|_| "another user".to_owned(), |owner| name_of(owner.uid()));
            Err(PrivatePostgresError::ForeignOwner { folder: data.to_owned(), owner })
        }
        Err(error) => Err(PrivatePostgresError::io(format!("reading {}", version.display()))(error)),
    }
}

async fn initialise(cluster: &Cluster, data_dir: &Path) -> Result<(), PrivatePostgresError> {
    tracing::info!(version = cluster.binaries.major, "initialising the private PostgreSQL");
    let fresh = data_dir.join("postgres.new");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(PrivatePostgresError::io("removing a half-made cluster"))?;
    }
    private_folder(&fresh, cluster.user)?;
    let handover = cluster.sockets.join("initdb.password");
    write_private(&handover, cluster.password.expose())?;
    cluster.user.own(&handover)?;
    let mut initdb = program(cluster, "initdb");
    initdb
        .args(["--username", NAME, "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--data-checksums"])
        .args(["--encoding=UTF8", "--locale=C", "--no-instructions"])
        .arg("--pwfile")
        .arg(&handover)
        .arg("--pgdata")
        .arg(&fresh);
    let outcome = run(initdb, "initdb", "").await;
    std::fs::remove_file(&handover).map_err(PrivatePostgresError::io("removing initdb's password file"))?;
    outcome.map_err(|error| explain(error, cluster, &fresh))?;
    single_user(cluster, &fresh, "postgres", &format!("CREATE DATABASE {NAME};\n")).await?;
    std::fs::rename(&fresh, &cluster.data).map_err(PrivatePostgresError::io("putting the cluster in place"))?;
    sync(data_dir)
}

async fn single_user(
    cluster: &Cluster,
    data: &Path,
    database: &str,
    statement: &str,
) -> Result<(), PrivatePostgresError> {
    let mut single = program(cluster, "postgres");
    single.arg("--single").arg("-D").arg(data).arg(database);
    run(single, "postgres --single", statement).await
}

/// The password is URL-safe Base64, so it needs no quoting.
fn set_password(cluster: &Cluster) -> Zeroizing<String> {
    Zeroizing::new(format!("ALTER ROLE {NAME} PASSWORD '{}';\n", cluster.password.expose()))
}

/// A failing program often says no more than `Permission denied`; the closed folder is what helps.
pub(crate) fn explain(error: PrivatePostgresError, cluster: &Cluster, data: &Path) -> PrivatePostgresError {
    match cluster.user.blocked_at(data.parent().unwrap_or(data)) {
        Some(folder) => PrivatePostgresError::Blocked { folder, user: name_of(cluster.user.uid()) },
        None => error,
    }
}

fn stored_password(path: &Path) -> Result<Option<Secret<String>>, PrivatePostgresError> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(Secret::new(text.trim().to_owned()))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PrivatePostgresError::io(format!("reading {}", path.display()))(error)),
    }
}

fn fresh_password(random: &dyn Random) -> Secret<String> {
    let mut octets = Zeroizing::new([0u8; 32]);
    random.fill(octets.as_mut_slice());
    Secret::new(BASE64URL_NOPAD.encode(octets.as_slice()))
}
