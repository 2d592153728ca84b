//! The configuration of an NGINX target.

use super::TYPE;
use crate::files::SymlinkPolicy;
use crate::schema::Reader;
use crate::serving::Watch;
use certctl_kernel::FieldError;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the certificate file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The leaf and the chain, as `ssl_certificate` wants it.
    Fullchain,
    /// The leaf alone.
    Leaf,
}

/// One file to write.
#[derive(Debug, Clone)]
pub struct FileSettings {
    pub path: PathBuf,
    pub mode: Option<u32>,
    pub owner: Option<String>,
    pub group: Option<String>,
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub cert_path: PathBuf,
    cert_mode: Option<u32>,
    cert_owner: Option<String>,
    cert_group: Option<String>,
    pub key: Option<FileSettings>,
    pub chain: Option<FileSettings>,
    reload: Option<Vec<String>>,
    validate: Option<Vec<String>>,
    nginx_conf: Option<PathBuf>,
    pub layout: Layout,
    pub symlink: SymlinkPolicy,
    /// `None` leaves it to the host.
    pub backups_kept: Option<usize>,
    pub command_timeout: Duration,
    pub expected_names: Vec<String>,
    pub watch: Option<Watch>,
}

/// Checks a configuration's text.
pub fn validate(config: &Value) -> Result<(), Vec<FieldError>> {
    Config::read(config).map(drop)
}

/// Broken rules in one line.
pub fn describe(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect::<Vec<_>>().join("; ")
}

struct Owned {
    mode: Option<u32>,
    owner: Option<String>,
    group: Option<String>,
}

impl Config {
    /// Reads a configuration, or names every rule that it breaks.
    pub fn read(value: &Value) -> Result<Self, Vec<FieldError>> {
        let mut reader = Reader::new("config", value);
        let cert_path = reader.path("cert_path");
        let key_path = reader.path("key_path");
        let chain_path = reader.path("chain_path");
        reader.require("cert_path", cert_path.as_ref(), "/etc/nginx/tls/www.example.com.pem");
        let cert = Owned {
            mode: reader.mode("cert_file_mode"),
            owner: reader.account("cert_file_owner"),
            group: reader.account("cert_file_group"),
        };
        let key = Owned {
            mode: reader.mode("key_file_mode"),
            owner: reader.account("key_file_owner"),
            group: reader.account("key_file_group"),
        };
        let chain = Owned {
            mode: reader.mode("chain_file_mode"),
            owner: reader.account("chain_file_owner"),
            group: reader.account("chain_file_group"),
        };
        if key.mode.is_some_and(|mode| mode & 0o007 != 0) {
            reader.refuse("key_file_mode", "mode", "must not let everyone use the key, such as \"0640\"");
        }
        let paths = [("key_path", &key_path), ("chain_path", &chain_path)];
        for (name, path) in paths {
            if path.is_some() && *path == cert_path {
                reader.refuse(name, "unique", "must differ from cert_path");
            }
        }
        if key_path.is_some() && key_path == chain_path {
            reader.refuse("chain_path", "unique", "must differ from key_path");
        }

        let auto = reader.word("reload", &["auto", "command"]) == Some("auto");
        let reload = reader.command("reload_command");
        let validate = reader.command("validate_command");
        if !auto {
            reader.require(
                "reload_command",
                reload.as_ref(),
                "\"systemctl reload nginx\", or set \"reload\": \"auto\"",
            );
            reader.require("validate_command", validate.as_ref(), "\"nginx -t\", or set \"reload\": \"auto\"");
        }
        let nginx_conf = reader.path("nginx_conf");
        let command_timeout = reader.duration("command_timeout", Duration::from_mins(5));

        let layout = match reader.word("cert_layout", &["fullchain", "leaf"]) {
            Some("leaf") => Layout::Leaf,
            _ => Layout::Fullchain,
        };
        let symlink = match reader.word("symlink", &["follow", "refuse", "replace"]) {
            Some("refuse") => SymlinkPolicy::Refuse,
            Some("replace") => SymlinkPolicy::Replace,
            _ => SymlinkPolicy::Follow,
        };
        // 0 stands for the default as on the existing wire; -1 keeps none.
        let backups_kept = match reader.number("backup_retention", -1, 1000) {
            None | Some(0) => None,
            Some(number) => Some(usize::try_from(number).unwrap_or(0)),
        };
        let expected_names = reader.texts("expected_names");
        let watch = Watch::read(&mut reader);
        let errors = reader.finish();
        let (Some(cert_path), true) = (cert_path, errors.is_empty()) else { return Err(errors) };
        let file = |path: Option<PathBuf>, with: Owned| {
            path.map(|path| FileSettings { path, mode: with.mode, owner: with.owner, group: with.group })
        };
        Ok(Self {
            cert_path,
            cert_mode: cert.mode,
            cert_owner: cert.owner,
            cert_group: cert.group,
            key: file(key_path, key),
            chain: file(chain_path, chain),
            reload,
            validate,
            nginx_conf,
            layout,
            symlink,
            backups_kept,
            command_timeout: command_timeout.unwrap_or(crate::command::DEFAULT_TIMEOUT),
            expected_names,
            watch,
        })
    }

    /// The certificate file.
    pub fn cert(&self) -> FileSettings {
        FileSettings {
            path: self.cert_path.clone(),
            mode: self.cert_mode,
            owner: self.cert_owner.clone(),
            group: self.cert_group.clone(),
        }
    }

    fn nginx(&self, arguments: &[&str]) -> Vec<String> {
        let conf = self.nginx_conf.iter().flat_map(|path| ["-c".to_owned(), path.display().to_string()]);
        std::iter::once(TYPE.to_ascii_lowercase())
            .chain(conf)
            .chain(arguments.iter().map(|argument| (*argument).to_owned()))
            .collect()
    }

    /// The command that checks the live configuration.
    pub fn validate_command(&self) -> Vec<String> {
        self.validate.clone().unwrap_or_else(|| self.nginx(&["-t"]))
    }

    /// The command that makes the service read its files again.
    pub fn reload_command(&self) -> Vec<String> {
        self.reload.clone().unwrap_or_else(|| {
            if self.nginx_conf.is_none() && Path::new("/run/systemd/system").exists() {
                ["systemctl", "reload", "nginx"].map(str::to_owned).to_vec()
            } else {
                self.nginx(&["-s", "reload"])
            }
        })
    }

    /// The nginx program that the commands name, if they name one.
    pub fn binary(&self) -> Option<String> {
        [self.validate_command(), self.reload_command()].into_iter().find_map(|words| {
            let program = words.into_iter().next()?;
            let name = Path::new(&program).file_name()?.to_str()?.to_owned();
            (name == "nginx" || name == "openresty").then_some(program)
        })
    }
}
