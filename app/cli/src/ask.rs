//! Asking the operator: yes or no, and secrets that don't show on the screen.

use crate::failure::Failure;
use certctl_kernel::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Write};

/// Longest secret that is read.
const LONGEST: u64 = 64 * 1024;

/// Whether there is somebody to ask.
pub(crate) fn somebody() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks; only `y` or `yes` is a yes.
pub(crate) fn yes(question: &str) -> Result<bool, Failure> {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question} [y/N] ");
    let _ = err.flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|_| Failure::Local("cannot read the answer".to_owned()))?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line of text; empty when nothing was typed.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question}: ");
    let _ = err.flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|_| Failure::Local("cannot read the answer".to_owned()))?;
    Ok(line.trim().to_owned())
}

/// A secret from the first line of standard input, or typed without echo when that is a terminal.
pub(crate) fn secret(what: &str) -> Result<Secret<String>, Failure> {
    let stdin = std::io::stdin();
    let line = if stdin.is_terminal() {
        eprint!("{what}: ");
        let line = without_echo(|| read_line(&mut stdin.lock())).flatten();
        eprintln!();
        line?
    } else {
        read_line(&mut stdin.lock())?
    };
    let trimmed = line.expose().trim();
    if trimmed.is_empty() {
        return Err(Failure::Usage(format!("no {what} on standard input")));
    }
    Ok(Secret::new(trimmed.to_owned()))
}

fn read_line(input: &mut impl BufRead) -> Result<Secret<String>, Failure> {
    let mut line = String::new();
    // The reader's error could quote what was read.
    std::io::Read::take(input, LONGEST)
        .read_line(&mut line)
        .map_err(|_| Failure::Local("cannot read a line of text from standard input".to_owned()))?;
    Ok(Secret::new(line))
}

fn without_echo<T>(read: impl FnOnce() -> T) -> Result<T, Failure> {
    let stdin = std::io::stdin();
    let refuse = |error: rustix::io::Errno| Failure::Local(format!("cannot hide the typing: {error}"));
    let before = tcgetattr(&stdin).map_err(refuse)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(refuse)?;
    let out = read();
    tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(refuse)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_secret_is_not_repeated() {
        let error = read_line(&mut &b"topsecret\xff\xfe\n"[..]).unwrap_err().to_string();
        assert!(!error.contains("topsecret"), "{error}");
    }

    #[test]
    fn only_the_first_line_is_the_secret() {
        assert_eq!(read_line(&mut &b"key\nrest\n"[..]).unwrap().expose(), "key\n");
    }
}
