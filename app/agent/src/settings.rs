//! Settings from the command line, the environment and a TOML file, in that order; every problem is told at once.

use crate::command_line::Options;
use certctl_kernel::{IdKind, Secret};
use certctl_targets::{DEFAULT_COMMANDS, parse_duration};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::{DeTable, DeValue};
use url::Url;

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "/etc/certctl/agent.toml";

/// Every key, in the file's spelling, with an example. Its variable is `CERTCTL_` and the key in upper case.
const KEYS: &[(&str, &str)] = &[
    ("server_url", "https://certctl.example.com:8443"),
    ("server_ca_bundle_path", "/etc/certctl/ca.pem"),
    ("server_tls_insecure_skip_verify", "false"),
    ("api_key", "cctl_..."),
    ("agent_id", "agt-0123"),
    ("agent_name", "web-1"),
    ("agent_bootstrap_token", "the enrolment token of the control plane"),
    ("key_dir", "/var/lib/certctl/keys"),
    ("agent_state_dir", "/var/lib/certctl"),
    ("log_level", "info"),
    ("agent_heartbeat_interval", "60s"),
    ("agent_poll_interval", "30s"),
    ("agent_max_parallel", "4"),
    ("agent_command_allow", "nginx, systemctl reload"),
    ("deploy_backup_retention", "3"),
    ("verify_deployment", "true"),
];
/// Keys whose values are secrets and may come from a file of their own.
const SECRETS: &[&str] = &["api_key", "agent_bootstrap_token"];

/// The agent's settings.
#[derive(Debug)]
pub struct Settings {
    /// Control plane, without a trailing slash.
    pub server: String,
    /// CA certificates to trust in place of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Trust anything.
    pub insecure_skip_verify: bool,
    /// Id and key that an operator gave.
    pub given: Option<(String, Secret<String>)>,
    /// Name to enrol under.
    pub name: String,
    /// Enrolment token.
    pub bootstrap_token: Option<Secret<String>>,
    /// Private keys.
    pub key_dir: PathBuf,
    /// Everything else that is kept.
    pub state_dir: PathBuf,
    /// Log level.
    pub log_level: String,
    /// Time between heartbeats.
    pub heartbeat_interval: Duration,
    /// Time between polls.
    pub poll_interval: Duration,
    /// Jobs at once.
    pub max_parallel: usize,
    /// Commands that targets may run.
    pub command_allow: Vec<String>,
    /// Backups kept a file.
    pub backup_retention: usize,
    /// Whether what an endpoint serves is reported.
    pub verify_deployment: bool,
}

/// The environment, or a stand-in.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

fn variable(key: &str) -> String {
    format!("CERTCTL_{}", key.to_ascii_uppercase())
}

/// Where a value came from, for messages, and the value.
struct Value {
    origin: String,
    text: String,
}

struct Collector {
    values: BTreeMap<&'static str, Value>,
    problems: Vec<String>,
}

impl Collector {
    fn put(&mut self, key: &str, origin: String, text: String) {
        if let Some((known, _)) = KEYS.iter().find(|(name, _)| *name == key) {
            self.values.insert(known, Value { origin, text });
        }
    }

    fn read_file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("{}: {error}", path.display())),
        };
        match DeTable::parse(&text) {
            Ok(table) => self.read_table(path, &text, "", table.get_ref()),
            Err(error) => self.problems.push(format!("{}: {}", path.display(), error.message())),
        }
    }

    fn read_table(&mut self, path: &Path, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let line = text[..key.span().start].lines().count().max(1);
            let line = if text[..key.span().start].ends_with('\n') { line + 1 } else { line };
            let name = format!("{prefix}{}", key.get_ref());
            let origin = format!("{}:{line}: {name}", path.display());
            if let DeValue::Table(nested) = value.get_ref() {
                self.read_table(path, text, &format!("{name}_"), nested);
            } else if !KEYS.iter().any(|(known, _)| *known == name) {
                let known = KEYS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
                self.problems.push(format!("{origin} is not a key of the agent; known: {known}"));
            } else if let Some(text) = scalar(value.get_ref()) {
                self.put(&name, origin, text);
            } else {
                self.problems.push(format!("{origin} must be a text, a number, true, false, or a list of texts"));
            }
        }
    }

    fn read_environment(&mut self, lookup: Lookup<'_>) {
        for (key, _) in KEYS {
            let name = variable(key);
            let given = lookup(&name).filter(|text| !text.is_empty());
            let file = SECRETS.contains(key).then(|| lookup(&format!("{name}_FILE"))).flatten();
            match (given, file.filter(|path| !path.is_empty())) {
                (Some(_), Some(_)) => self.problems.push(format!("{name} and {name}_FILE are both set; use one")),
                (Some(text), None) => self.put(key, name, text),
                (None, Some(path)) => match std::fs::read_to_string(&path) {
                    Ok(text) => {
                        let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                        self.put(key, format!("{name}_FILE"), text);
                    }
                    Err(error) => self.problems.push(format!("{name}_FILE: {path}: {error}")),
                },
                (None, None) => {}
            }
        }
    }

    fn read_options(&mut self, options: &Options) {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        for (key, flag, value) in [
            ("server_url", "--server", options.server.clone()),
            ("server_ca_bundle_path", "--ca-bundle", path(&options.ca_bundle)),
            ("agent_name", "--name", options.name.clone()),
            ("agent_id", "--agent-id", options.agent_id.clone()),
            ("key_dir", "--key-dir", path(&options.key_dir)),
            ("agent_state_dir", "--state-dir", path(&options.state_dir)),
            ("log_level", "--log-level", options.log_level.clone()),
        ] {
            if let Some(text) = value {
                self.put(key, flag.to_owned(), text);
            }
        }
        if options.insecure_skip_verify {
            self.put("server_tls_insecure_skip_verify", "--insecure-skip-verify".into(), "true".into());
        }
    }

    /// A value as `parse` reads it; `None` after a problem, or the default when nothing was given.
    fn get<T>(&mut self, key: &'static str, default: T, rule: &str, parse: impl FnOnce(&str) -> Option<T>) -> T {
        let Some(value) = self.values.get(key) else { return default };
        if let Some(parsed) = parse(value.text.trim()) {
            return parsed;
        }
        let example = KEYS.iter().find(|(name, _)| *name == key).map_or("", |(_, example)| *example);
        self.problems.push(format!("{} {rule}, such as {example}", value.origin));
        default
    }

    fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).map(|value| value.text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Array(list) => {
            let texts: Option<Vec<_>> = list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Some(true),
        "false" | "0" | "f" => Some(false),
        _ => None,
    }
}

fn interval(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|length| (Duration::from_millis(100)..=Duration::from_hours(1)).contains(length))
}

fn server(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    (url.scheme() == "https" && url.host_str().is_some() && plain).then(|| text.trim_end_matches('/').to_owned())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Reads the settings.
pub fn load(options: &Options, environment: Lookup<'_>) -> Result<Settings, Vec<String>> {
    let mut collector = Collector { values: BTreeMap::new(), problems: Vec::new() };
    let named = options.config.clone().or_else(|| environment("CERTCTL_CONFIG_FILE").map(PathBuf::from));
    if let Some(path) = named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists())) {
        collector.read_file(&path);
    }
    collector.read_environment(environment);
    collector.read_options(options);

    let server =
        collector.get("server_url", "https://localhost:8443".to_owned(), "must be an https:// address", server);
    let insecure_skip_verify = collector.get("server_tls_insecure_skip_verify", false, "must be true or false", flag);
    let verify_deployment = collector.get("verify_deployment", true, "must be true or false", flag);
    let key_dir =
        collector.get("key_dir", PathBuf::from("/var/lib/certctl/keys"), "must be an absolute path", absolute);
    let beside = key_dir.parent().unwrap_or(&key_dir).to_path_buf();
    let state_dir = collector.get("agent_state_dir", beside, "must be an absolute path", absolute);
    let ca_bundle = collector.get("server_ca_bundle_path", None, "must be a file", |text| {
        Some(PathBuf::from(text)).filter(|path| path.is_file()).map(Some)
    });
    let minute = Duration::from_mins(1);
    let heartbeat_interval =
        collector.get("agent_heartbeat_interval", minute, "must be a time from 100ms to 1h", interval);
    let poll_interval =
        collector.get("agent_poll_interval", Duration::from_secs(30), "must be a time from 100ms to 1h", interval);
    let max_parallel = collector.get("agent_max_parallel", 4, "must be a number from 1 to 64", |text| {
        text.parse().ok().filter(|count| (1..=64).contains(count))
    });
    let backup_retention = collector.get("deploy_backup_retention", 3, "must be a number from 0 to 1000", |text| {
        text.parse().ok().filter(|count| *count <= 1000)
    });
    let log_level =
        collector.get("log_level", "info".to_owned(), "must be trace, debug, info, warn or error", |text| {
            let level = text.to_ascii_lowercase();
            ["trace", "debug", "info", "warn", "error"].contains(&level.as_str()).then_some(level)
        });
    let defaults = || DEFAULT_COMMANDS.iter().map(|text| (*text).to_owned()).collect();
    let command_allow = collector.text("agent_command_allow").map_or_else(defaults, |text| {
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    });
    let given = match (collector.text("agent_id"), collector.text("api_key")) {
        (Some(id), Some(key)) => {
            if let Err(error) = IdKind::check_supplied(&id) {
                collector.problems.push(format!("CERTCTL_AGENT_ID {error}"));
            }
            Some((id, Secret::new(key)))
        }
        (Some(_), None) => {
            collector.problems.push("CERTCTL_AGENT_ID is set, but CERTCTL_API_KEY is not; set both or neither".into());
            None
        }
        (None, Some(_)) => {
            collector.problems.push("CERTCTL_API_KEY is set, but CERTCTL_AGENT_ID is not; set both or neither".into());
            None
        }
        (None, None) => None,
    };
    if !collector.problems.is_empty() {
        return Err(collector.problems);
    }
    Ok(Settings {
        server,
        ca_bundle,
        insecure_skip_verify,
        given,
        name: collector.text("agent_name").unwrap_or_else(host_name),
        bootstrap_token: collector.text("agent_bootstrap_token").map(Secret::new),
        key_dir,
        state_dir,
        log_level,
        heartbeat_interval,
        poll_interval,
        max_parallel,
        command_allow,
        backup_retention,
        verify_deployment,
    })
}

fn absolute(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|path| path.is_absolute() && path.parent().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("writes");
        file
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
        let file = write(
            "agent_name = \"file\"\nlog_level = \"warn\"\n[server]\nurl = \"https://file\"\n[agent]\npoll_interval = \"5s\"\n",
        );
        let options = Options {
            server: Some("https://flag/".into()),
            config: Some(file.path().to_owned()),
            ..Options::default()
        };
        let settings = load(&options, &|name| match name {
            "CERTCTL_AGENT_NAME" => Some("variable".into()),
            "CERTCTL_SERVER_URL" => Some("https://variable".into()),
            _ => None,
        })
        .expect("valid");
        assert_eq!((settings.server.as_str(), settings.name.as_str()), ("https://flag", "variable"));
        assert_eq!((settings.log_level.as_str(), settings.poll_interval), ("warn", Duration::from_secs(5)));
        assert_eq!(settings.state_dir, Path::new("/var/lib/certctl"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let file = write("\nserver_urll = \"https://x\"\n[agent]\nname = { first = 1 }\n");
        let options = Options { config: Some(file.path().to_owned()), ..Options::default() };
        let problems = load(&options, &|name| match name {
            "CERTCTL_SERVER_URL" => Some("http://plain".into()),
            "CERTCTL_AGENT_POLL_INTERVAL" => Some("30".into()),
            "CERTCTL_AGENT_ID" => Some("agt-1".into()),
            "CERTCTL_AGENT_MAX_PARALLEL" => Some("0".into()),
            _ => None,
        })
        .expect_err("invalid");
        let all = problems.join("\n");
        for part in [
            ":2: server_urll is not a key",
            ":4: agent_name_first is not a key",
            "CERTCTL_SERVER_URL must be an https:// address",
            "CERTCTL_AGENT_POLL_INTERVAL must be a time",
            "CERTCTL_API_KEY is not",
            "CERTCTL_AGENT_MAX_PARALLEL must",
        ] {
            assert!(all.contains(part), "{part} is missing in:\n{all}");
        }
        assert_eq!(problems.len(), 6, "{all}");
    }

    #[test]
    fn secrets_come_from_files_too_and_never_show() {
        let file = write("s3cret\n");
        let path = file.path().display().to_string();
        let settings =
            load(&Options::default(), &|name| (name == "CERTCTL_AGENT_BOOTSTRAP_TOKEN_FILE").then(|| path.clone()))
                .expect("valid");
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert_eq!(settings.bootstrap_token.expect("read").expose(), "s3cret");
        let both =
            load(&Options::default(), &|name| name.starts_with("CERTCTL_AGENT_BOOTSTRAP_TOKEN").then(|| path.clone()));
        assert!(both.expect_err("both").join("").contains("use one"));
    }
}
