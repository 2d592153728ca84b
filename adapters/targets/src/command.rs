//! Runs a service's own commands: words, never a shell; only what the host allows; with a time limit that ends the
//! whole process group, a cap on what is kept of the output, and a clean environment.

use crate::host::Host;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time limit unless the target says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// Octets of output that are kept.
const OUTPUT_CAP: usize = 8 * 1024;
/// Where a bare program name is looked for: the system's own directories, never the agent's PATH.
const DIRECTORIES: &[&str] =
    &["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/local/openresty/bin"];

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The host does not allow it.
    #[error("this agent may not run {0:?}; its operator can allow it with CERTCTL_AGENT_COMMAND_ALLOW")]
    NotAllowed(String),
    /// There is no such program.
    #[error("{0:?} is not installed in the system's directories")]
    NotFound(String),
    /// It could not be started.
    #[error("{0:?} could not be started: {1}")]
    NotStarted(String, std::io::Error),
    /// It ran out of time and was ended.
    #[error("{command:?} did not end within {} s and was killed: {output}", limit.as_secs())]
    TimedOut {
        /// What ran.
        command: String,
        /// The limit.
        limit: Duration,
        /// What it wrote.
        output: String,
    },
    /// It failed.
    #[error("{command:?} failed ({status}): {output}")]
    Failed {
        /// What ran.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        output: String,
    },
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// Finds the program that a word names.
pub fn resolve(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_absolute() && executable(path));
    }
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(program)).find(|path| executable(path))
}

/// A bare name allows that program where the system keeps its programs; a path allows just itself.
fn program_matches(allowed: &str, program: &str) -> bool {
    if allowed == program {
        return true;
    }
    let path = Path::new(program);
    !allowed.contains('/')
        && path.file_name().is_some_and(|name| name == allowed)
        && path.parent().is_some_and(|parent| DIRECTORIES.iter().any(|directory| Path::new(directory) == parent))
}

/// Checks the words against the host's list.
pub fn check_allowed(host: &Host, words: &[String]) -> Result<(), CommandError> {
    let allowed = host.allow_commands.iter().any(|entry| {
        let mut entry = entry.split_whitespace();
        let mut words = words.iter();
        let program = entry.next().zip(words.next());
        program.is_some_and(|(allowed, program)| program_matches(allowed, program))
            && entry.all(|expected| words.next().is_some_and(|word| word == expected))
    });
    if allowed { Ok(()) } else { Err(CommandError::NotAllowed(words.join(" "))) }
}

/// Runs the words and returns what they wrote.
pub fn run(host: &Host, words: &[String], limit: Duration) -> Result<String, CommandError> {
    check_allowed(host, words)?;
    let shown = words.join(" ");
    let program = words.first().map(String::as_str).unwrap_or_default();
    let path = resolve(program).ok_or_else(|| CommandError::NotFound(program.to_owned()))?;
    let not_started = |error| CommandError::NotStarted(shown.clone(), error);
    let (mut reader, writer) = std::io::pipe().map_err(not_started)?;
    let second = writer.try_clone().map_err(not_started)?;
    let mut command = Command::new(path);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .env("LANG", "C")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .process_group(0);
    let mut child = command.spawn().map_err(not_started)?;
    // The command holds the writing ends; ours must close, or the reader never sees the end.
    drop(command);

    let kept = Arc::new(Mutex::new(Vec::new()));
    let (done, ended) = channel::<()>();
    let into = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut buffer = [0u8; 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let mut kept = into.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let room = OUTPUT_CAP.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
        drop(done);
    });
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let started = Instant::now();
    let mut status = None;
    while status.is_none() && started.elapsed() < limit {
        status = child.try_wait().map_err(not_started)?;
        if status.is_none() {
            // Ends at once when the output ends, as it does for most commands when they exit.
            match ended.recv_timeout(Duration::from_millis(10)) {
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(2)),
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
    if status.is_none() {
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
    }
    // A daemon that the command left behind may hold the pipe for ever: wait for the rest of the output a moment only.
    let _ = ended.recv_timeout(Duration::from_millis(200));
    let output = String::from_utf8_lossy(&kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        .trim()
        .replace(['\n', '\r'], "; ");
    match status {
        None => Err(CommandError::TimedOut { command: shown, limit, output }),
        Some(status) if !status.success() => Err(CommandError::Failed { command: shown, status, output }),
        Some(_) => Ok(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_ports::fakes::FixedClock;

    fn host(allow: &[&str]) -> Host {
        let mut host = Host::new("/nonexistent", Arc::new(FixedClock::new(time::OffsetDateTime::UNIX_EPOCH)));
        host.allow_commands = allow.iter().map(|text| (*text).to_owned()).collect();
        host
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_listed_commands_run() {
        let host = host(&["nginx", "systemctl reload", "/opt/reload-it"]);
        for good in ["nginx -t", "/usr/sbin/nginx -s reload", "systemctl reload nginx", "/opt/reload-it now"] {
            assert!(check_allowed(&host, &words(good)).is_ok(), "{good}");
        }
        for bad in ["sh -c x", "/tmp/nginx -t", "systemctl stop sshd", "systemctl", "reload-it", "", "./nginx"] {
            assert!(check_allowed(&host, &words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn failure_tells_the_status_and_the_output() {
        let error = run(&host(&["ls"]), &words("ls /nonexistent-place"), DEFAULT_TIMEOUT).expect_err("fails");
        let text = error.to_string();
        assert!(text.contains("exit status: 2") && text.contains("No such file"), "{text}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("hang");
        let mark = folder.path().join("child");
        let body = format!("#!/bin/sh\necho before\nsleep 600 &\necho $! > {}\nwait\n", mark.display());
        std::fs::write(&script, body).expect("writes");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let script = script.to_str().expect("UTF-8");
        let error = run(&host(&[script]), &words(script), Duration::from_millis(700)).expect_err("hangs");
        assert!(matches!(&error, CommandError::TimedOut { output, .. } if output == "before"), "{error}");
        let child: i32 = std::fs::read_to_string(mark).expect("the child ran").trim().parse().expect("a number");
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let started = Instant::now();
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(30), "the child outlives its group");
            std::thread::yield_now();
        }
    }

    #[test]
    fn output_is_capped_and_the_environment_is_clean() {
        let output = run(&host(&["seq"]), &words("seq 1 100000"), DEFAULT_TIMEOUT).expect("runs");
        assert!(output.len() <= 2 * OUTPUT_CAP && output.starts_with("1; 2"), "{}", output.len());
        let output = run(&host(&["env"]), &words("env"), DEFAULT_TIMEOUT).expect("runs");
        let names: Vec<_> = output.split("; ").filter_map(|line| line.split('=').next()).collect();
        assert_eq!(names.len(), 3, "{output}");
    }
}
