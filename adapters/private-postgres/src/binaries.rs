//! Finding server binaries.

use crate::PrivatePostgresError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with `initdb` and `postgres`, and their major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub folder: PathBuf,
    /// Major version, such as `16`.
    pub major: String,
}

const FOLDERS: &[&str] = &["/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt"];

impl Binaries {
    /// Every usable folder on this machine, newest version first.
    pub fn all() -> Vec<Self> {
        let mut folders: Vec<PathBuf> = Vec::new();
        if let Some(path) = std::env::var_os("PATH") {
            folders.extend(std::env::split_paths(&path));
        }
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
            && let Ok(text) = String::from_utf8(output.stdout)
        {
            folders.push(PathBuf::from(text.trim()));
        }
        for parent in FOLDERS {
            let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
            folders.extend(entries.map(|entry| entry.path().join("bin")));
        }
        folders.extend((14..=18).map(|major| PathBuf::from(format!("/usr/pgsql-{major}/bin"))));
        let mut found: Vec<Self> = folders.iter().filter_map(|folder| Self::at(folder)).collect();
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major.parse::<u32>().unwrap_or(0)));
        found.dedup();
        found
    }

    /// The newest, or those of the wanted version.
    pub fn find(major: Option<&str>) -> Result<Self, PrivatePostgresError> {
        let all = Self::all();
        let wanted = major.and_then(|major| all.iter().find(|binaries| binaries.major == major));
        wanted.or_else(|| all.first()).cloned().ok_or(PrivatePostgresError::NoBinaries)
    }

    fn at(folder: &Path) -> Option<Self> {
        let postgres = folder.join("postgres");
        // Links of PATH lead to the folder where the version's other programs are.
        let folder = postgres.canonicalize().ok()?.parent()?.to_path_buf();
        if !folder.join("initdb").exists() {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let major: String = version.chars().take_while(char::is_ascii_digit).collect();
        (major.parse::<u32>().ok()? >= 14).then_some(Self { folder, major })
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
