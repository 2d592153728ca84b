//! One throw-away PostgreSQL cluster a test process, from the machine's own binaries.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio_postgres::{Config, NoTls};

/// The running cluster.
pub struct Cluster {
    socket_directory: PathBuf,
    /// Holds the pipe whose end tells the keeper to stop the server and to clear the directory: that happens however
    /// this process ends.
    _keeper: Child,
}

/// Stops the server and removes the directory when the pipe on its standard input ends. A server that is only just
/// starting does not hear the first signal.
const KEEPER: &str = r#"
trap '' INT TERM HUP
"$1/postgres" -D "$2/data" >"$2/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
while kill -QUIT "$server" 2>/dev/null; do sleep 0.1; done
rm -rf "$2"
"#;

impl Cluster {
    /// The cluster of this process, started on first use.
    pub fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Self::start)
    }

    /// How to reach `database` as the superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.socket_directory).user("postgres").dbname(database);
        config
    }

    fn start() -> Self {
        let binaries = binaries();
        let home = tempfile::Builder::new().prefix("certctl-it-").tempdir().expect("a temporary directory").keep();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("the directory is ours");
        // PostgreSQL refuses to run as root.
        let as_root = fs::metadata(&home).expect("the directory exists").uid() == 0;
        let account = as_root.then(unprivileged_account);
        if let Some((uid, gid)) = account {
            chown(&home, Some(uid), Some(gid)).expect("root may give the directory away");
        }
        let drop_privileges = |command: &mut Command| {
            if let Some((uid, gid)) = account {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&home).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
        };

        let mut initdb = Command::new(binaries.join("initdb"));
        drop_privileges(&mut initdb);
        let output = initdb
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(home.join("data"))
            .output()
            .expect("initdb runs");
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 200\nshared_buffers = 64MB\n\
             fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\nwal_level = minimal\n\
             max_wal_senders = 0\ntimezone = 'UTC'\n",
            home.display()
        );
        fs::write(home.join("data/postgresql.auto.conf"), settings).expect("the cluster's settings");

        let mut keeper = Command::new("/bin/sh");
        drop_privileges(&mut keeper);
        let keeper = keeper
            .args(["-c", KEEPER, "keeper"])
            .args([&binaries, &home])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: an interrupt at the terminal reaches only the tests, whose end then ends it.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let cluster = Self { socket_directory: home.clone(), _keeper: keeper };
        cluster.wait_until_ready(&home);
        cluster
    }

    fn wait_until_ready(&self, home: &Path) {
        let config = self.config("postgres");
        let ready = async {
            loop {
                match config.connect(NoTls).await {
                    Ok(_) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        // Called from inside a test's runtime, so it needs a thread and a runtime of its own.
        let answered = std::thread::scope(|scope| {
            let bounded = async { tokio::time::timeout(Duration::from_mins(1), ready).await };
            scope.spawn(|| runtime().block_on(bounded)).join()
        });
        let answered = answered.expect("the waiting thread does not panic");
        assert!(answered.is_ok(), "PostgreSQL did not start: {:?}", fs::read_to_string(home.join("log")));
    }
}

/// A runtime for work outside a test's own.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn binaries() -> PathBuf {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let configured = Command::new("pg_config").arg("--bindir").output().ok().filter(|out| out.status.success());
    let configured = configured.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
        .collect();
    packaged.sort();
    on_path
        .chain(configured)
        .chain(packaged.into_iter().rev())
        .chain([PathBuf::from("/usr/pgsql/bin"), PathBuf::from("/usr/local/pgsql/bin")])
        .filter(|directory| directory.join("initdb").exists() && directory.join("postgres").exists())
        // A link in /usr/local/bin stands for the folder it points into, where the server finds its own files.
        .find_map(|directory| fs::canonicalize(directory.join("postgres")).ok()?.parent().map(Path::to_owned))
        .expect("the tests need PostgreSQL's server binaries: scripts/test installs them")
}

fn unprivileged_account() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").expect("a list of accounts");
    let find = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("an unprivileged account: postgres or nobody")
}
