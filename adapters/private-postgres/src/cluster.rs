//! The data on disk: initialised once, and refused when another version wrote it.

use crate::runtime_user::RuntimeUser;
use crate::{Binaries, PrivatePostgresError};
use certctl_kernel::Secret;
use certctl_ports::Random;
use data_encoding::BASE64URL_NOPAD;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The database and role that the server uses.
pub(crate) const NAME: &str = "certctl";

/// An initialised cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) binaries: Binaries,
    pub(crate) user: RuntimeUser,
    pub(crate) data: PathBuf,
    pub(crate) sockets: PathBuf,
    pub(crate) log: PathBuf,
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
}

/// Makes the cluster in `data_dir` if it is not there yet. A crash half-way leaves nothing that a later start would
/// take for a cluster.
pub async fn prepare(data_dir: &Path, random: &dyn Random) -> Result<Cluster, PrivatePostgresError> {
    let data = data_dir.join("postgres");
    let found = std::fs::read_to_string(data.join("PG_VERSION")).ok().map(|text| text.trim().to_owned());
    let binaries = Binaries::find(found.as_deref())?;
    if let Some(found) = &found
        && *found != binaries.major
    {
        return Err(PrivatePostgresError::ForeignVersion {
            folder: data,
            found: found.clone(),
            available: binaries.major,
        });
    }
    let user = RuntimeUser::choose()?;
    // PostgreSQL's user must be able to pass through the folder, not to read it.
    if matches!(user, RuntimeUser::Other { .. }) {
        set_mode(data_dir, 0o711)?;
    }
    let sockets = data_dir.join("run");
    if sockets.as_os_str().len() > 80 {
        return Err(PrivatePostgresError::SocketPath(sockets));
    }
    folder(&sockets, user)?;
    let log = data_dir.join("postgres.log");
    let password = password(&data_dir.join("postgres.password"), random)?;
    let cluster = Cluster { binaries, user, data, sockets, log, password };
    if found.is_none() {
        initialise(&cluster, data_dir).await?;
    }
    Ok(cluster)
}

async fn initialise(cluster: &Cluster, data_dir: &Path) -> Result<(), PrivatePostgresError> {
    tracing::info!(version = cluster.binaries.major, "initialising the private PostgreSQL");
    let fresh = data_dir.join("postgres.new");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(PrivatePostgresError::io("removing a half-made cluster"))?;
    }
    folder(&fresh, cluster.user)?;
    let handover = cluster.sockets.join("initdb.password");
    write_private(&handover, cluster.password.expose())?;
    cluster.user.own(&handover)?;
    let mut initdb = Command::new(cluster.binaries.program("initdb"));
    initdb
        .args(["--username", NAME, "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--data-checksums"])
        .args(["--encoding=UTF8", "--locale=C", "--no-instructions"])
        .arg("--pwfile")
        .arg(&handover)
        .arg("--pgdata")
        .arg(&fresh);
    let outcome = run(initdb, cluster.user, "initdb", None).await;
    std::fs::remove_file(&handover).map_err(PrivatePostgresError::io("removing initdb's password file"))?;
    outcome?;
    let mut single = Command::new(cluster.binaries.program("postgres"));
    single.arg("--single").arg("-D").arg(&fresh).arg("postgres");
    run(single, cluster.user, "postgres --single", Some(&format!("CREATE DATABASE {NAME};\n"))).await?;
    std::fs::rename(&fresh, &cluster.data).map_err(PrivatePostgresError::io("putting the cluster in place"))
}

async fn run(
    mut command: Command,
    user: RuntimeUser,
    program: &'static str,
    input: Option<&str>,
) -> Result<(), PrivatePostgresError> {
    user.apply(&mut command);
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("PGDATA").env("LC_ALL", "C");
    let mut child = command.spawn().map_err(PrivatePostgresError::io(format!("starting {program}")))?;
    if let Some(mut stdin) = child.stdin.take()
        && let Some(text) = input
    {
        stdin.write_all(text.as_bytes()).await.map_err(PrivatePostgresError::io(format!("talking to {program}")))?;
    }
    let output = child.wait_with_output().await.map_err(PrivatePostgresError::io(format!("waiting for {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = text.lines().rev().take(5).collect();
    Err(PrivatePostgresError::Program { program, output: tail.into_iter().rev().collect::<Vec<_>>().join("; ") })
}

fn password(path: &Path, random: &dyn Random) -> Result<Secret<String>, PrivatePostgresError> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim().to_owned())),
        Ok(_) | Err(_) => {
            let mut octets = [0u8; 32];
            random.fill(&mut octets);
            let password = BASE64URL_NOPAD.encode(&octets);
            write_private(path, &password)?;
            Ok(Secret::new(password))
        }
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), PrivatePostgresError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(PrivatePostgresError::io(format!("writing {}", path.display())))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(PrivatePostgresError::io(format!("writing {}", path.display())))
}

fn folder(path: &Path, user: RuntimeUser) -> Result<(), PrivatePostgresError> {
    if !path.exists() {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(PrivatePostgresError::io(format!("making {}", path.display())))?;
    }
    set_mode(path, 0o700)?;
    user.own(path)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PrivatePostgresError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(PrivatePostgresError::io(format!("setting the mode of {}", path.display())))
}
