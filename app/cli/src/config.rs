//! The configuration file: named profiles, one of them current, readable by its owner alone.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Everything in the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Name of the profile that is used when none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// Profiles by name.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// One server and how to speak to it. No `Debug`: it may hold a key.
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// `https://…`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// The key itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// File whose first line is the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Shell command whose first line of output is the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_command: Option<String>,
    /// PEM file of authorities to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// SHA-256 of the only authority in the bundle to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_fingerprint: Option<String>,
    /// Output format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
}

/// The directory of the configuration, from `XDG_CONFIG_HOME` or the home directory.
pub(crate) fn directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // The specification of the variable says that a relative path is invalid and to be ignored.
    match env("XDG_CONFIG_HOME").filter(|text| Path::new(text).is_absolute()) {
        Some(base) => Some(PathBuf::from(base).join("certctl")),
        None => Some(PathBuf::from(env("HOME")?).join(".config/certctl")),
    }
}

/// The file inside `directory`.
pub(crate) fn file_in(directory: &Path) -> PathBuf {
    directory.join("config.toml")
}

fn trouble(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::Local(format!("cannot {what} {}: {error}", path.display()))
}

impl Config {
    /// Reads the file; a missing one is an empty configuration, one that others may read is refused.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(trouble(path, "read", &error)),
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Failure::Local(format!(
                "{path} may hold a key but others can read it (mode {mode:04o}); run: chmod 600 {path}",
                path = path.display(),
            )));
        }
        let text = fs::read_to_string(path).map_err(|error| trouble(path, "read", &error))?;
        // The parser's own text quotes the line, which may be the key's.
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let reason = error.message().lines().next().unwrap_or_default();
            Failure::Local(format!("{} is not valid at line {line}: {reason}", path.display()))
        })
    }

    /// Writes the file beside itself and puts it in place, so that no reader sees half of it.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::Local(format!("cannot render the configuration: {error}")))?;
        write_private(path, text.as_bytes())
    }

    /// The named profile, or the current one.
    pub(crate) fn profile(&self, name: Option<&str>) -> Result<Option<(&str, &Profile)>, Failure> {
        let Some(wanted) = name.or(self.current.as_deref()) else {
            return Ok(None);
        };
        match self.profiles.get_key_value(wanted) {
            Some((name, profile)) => Ok(Some((name, profile))),
            None => Err(Failure::NotFound { kind: "profile in the configuration", text: wanted.to_owned() }),
        }
    }
}

/// Writes a file that only its owner can read, atomically, with its directory made when missing.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| trouble(directory, "create", &error))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        trouble(path, "write", &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key() -> Config {
        let profile = Profile {
            server: Some("https://one.example:8443".to_owned()),
            api_key: Some("cctl_secret".to_owned()),
            ..Profile::default()
        };
        Config { current: Some("one".to_owned()), profiles: BTreeMap::from([("one".to_owned(), profile)]) }
    }

    #[test]
    fn saved_file_is_private_and_reads_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/config.toml");
        with_key().save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (name, profile) = Config::load(&path).map(|c| (c.current.clone(), c.profiles["one"].clone())).unwrap();
        assert_eq!(name.as_deref(), Some("one"));
        assert_eq!(profile.api_key.as_deref(), Some("cctl_secret"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        with_key().save(&path).unwrap();
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Config::load(&path).err().expect("refused").to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn missing_file_is_an_empty_configuration() {
        let home = tempfile::tempdir().unwrap();
        let config = Config::load(&home.path().join("config.toml")).unwrap();
        assert!(config.profile(None).unwrap().is_none());
        assert!(matches!(config.profile(Some("x")), Err(Failure::NotFound { .. })));
    }

    #[test]
    fn broken_file_is_reported_without_its_content() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        write_private(&path, b"[profiles.one]\nserver = \"https://x\"\napi_key = cctl_topsecret\n").unwrap();
        let error = Config::load(&path).err().expect("refused").to_string();
        assert!(error.contains("line 3"), "{error}");
        assert!(!error.contains("topsecret"), "{error}");
    }

    #[test]
    fn directory_follows_the_environment() {
        let env = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some("/etc/xdg".to_owned()),
            "HOME" => Some("/home/o".to_owned()),
            _ => None,
        };
        assert_eq!(directory(&env).unwrap(), Path::new("/etc/xdg/certctl"));
        let home_only = |name: &str| (name == "HOME").then(|| "/home/o".to_owned());
        assert_eq!(directory(&home_only).unwrap(), Path::new("/home/o/.config/certctl"));
        assert!(directory(&|_: &str| None).is_none());
    }
}
