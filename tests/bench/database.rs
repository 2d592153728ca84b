//! The server's own PostgreSQL, reached beside the server: for loading data, and for pgbench on the same disk.

use crate::Outcome;
use crate::processes::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Process id of the private PostgreSQL.
pub fn postmaster(data: &Path) -> Outcome<u32> {
    let run = data.join("run");
    let lock = std::fs::read_dir(&run)
        .map_err(|error| format!("{}: {error}", run.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "lock"))
        .ok_or_else(|| format!("PostgreSQL keeps no lock in {}", run.display()))?;
    let text = std::fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    text.lines().next().and_then(|line| line.trim().parse().ok()).ok_or_else(|| format!("{} is odd", lock.display()))
}

/// A program of PostgreSQL: from the distribution's folders, newest first, or from the path.
fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

fn command(server: &Server, name: &str) -> Outcome<Command> {
    let data = server.data();
    let password = std::fs::read_to_string(data.join("postgres.password")).map_err(|error| error.to_string())?;
    let mut command = Command::new(program(name));
    command.env("PGPASSWORD", password.trim()).arg("-h").arg(data.join("run")).args(["-U", "certctl"]);
    Ok(command)
}

fn output(mut command: Command, name: &str) -> Outcome<String> {
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Runs SQL; the rows as text, a line each.
pub fn sql(server: &Server, text: &str) -> Outcome<Vec<String>> {
    let mut psql = command(server, "psql")?;
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "certctl", "-c", text]);
    Ok(output(psql, "psql")?.lines().map(ToOwned::to_owned).collect())
}

/// pgbench with tables of its own in a schema of its own.
pub struct Pgbench<'a>(&'a Server);

impl<'a> Pgbench<'a> {
    /// Makes the tables.
    pub fn prepare(server: &'a Server) -> Outcome<Self> {
        sql(server, "CREATE SCHEMA bench")?;
        let pgbench = Self(server);
        pgbench.call(&["-i", "-q", "-s", "10"])?;
        Ok(pgbench)
    }

    fn call(&self, arguments: &[&str]) -> Outcome<String> {
        let mut pgbench = command(self.0, "pgbench")?;
        pgbench.env("PGOPTIONS", "-c search_path=bench").args(arguments).arg("certctl");
        output(pgbench, "pgbench")
    }

    /// Commits a second of the built-in transaction without its hot rows (`-N`).
    pub fn run(&self, sessions: usize, length: Duration) -> Outcome<f64> {
        let (sessions, seconds) = (sessions.to_string(), length.as_secs().to_string());
        let text = self.call(&["-N", "-n", "-c", &sessions, "-j", "2", "-T", &seconds])?;
        text.lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("pgbench told no rate: {text}"))
    }

    /// Takes the tables away again.
    pub fn drop_tables(self) -> Outcome<()> {
        sql(self.0, "SET client_min_messages = warning; DROP SCHEMA bench CASCADE").map(drop)
    }
}
