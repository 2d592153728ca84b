//! What applies to this run: flags before the environment before the profile before defaults.

use crate::config::{self, Config, Profile};
use crate::failure::Failure;
use certctl_kernel::Secret;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Where a server is looked for when nothing says otherwise.
pub(crate) const DEFAULT_SERVER: &str = "https://localhost:8443";

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Address of the server [env: CERTCTL_SERVER_URL] [default: https://localhost:8443]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// API key; visible in process lists, so prefer `certctl login` [env: CERTCTL_API_KEY]
    #[arg(long, global = true, value_name = "KEY", hide = true)]
    pub(crate) api_key: Option<String>,
    /// PEM file of authorities to trust instead of the system's [env: CERTCTL_SERVER_CA_BUNDLE_PATH]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Don't verify the server's certificate; for development only [env: CERTCTL_SERVER_TLS_INSECURE_SKIP_VERIFY]
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// Form of the output [default: table]
    #[arg(short = 'o', long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Older name of --output; commands with a `--format` of their own keep it.
    #[arg(skip)]
    pub(crate) format: Option<Format>,
    /// Time limit of a request [default: 30s]; with --wait, of the waiting [default: 5m]
    #[arg(long, global = true, value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// Profile of the configuration file, everywhere; --profile means the same where a command doesn't take a certificate profile [env: CERTCTL_CLI_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) cli_profile: Option<String>,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// More columns.
    Wide,
    /// The server's object.
    Json,
    /// The server's object.
    Yaml,
    /// The wide columns, comma-separated.
    Csv,
    /// Ids only, one a line.
    Name,
}

/// Reads `30s`, `5m`, `1h`, `500ms`, or plain seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a duration that may also be nothing, such as `0s`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "write a number and a unit, such as 30s, 5m or 1h".to_owned())?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("unknown unit {unit:?}; use ms, s, m or h")),
    };
    millis.map(Duration::from_millis).ok_or_else(|| "is beyond reason".to_owned())
}

/// The environment, as a lookup, so that tests bring their own.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the process's environment; an empty variable counts as unset.
pub(crate) fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The settings of one run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) server: Url,
    pub(crate) api_key: Option<Secret<String>>,
    pub(crate) ca_bundle: Option<PathBuf>,
    pub(crate) ca_fingerprint: Option<String>,
    pub(crate) insecure: bool,
    pub(crate) timeout: Duration,
}

/// Checks that an address is one the client speaks to.
pub(crate) fn parse_server(text: &str) -> Result<Url, Failure> {
    let refuse = |reason: &str| Failure::Local(format!("server address {text:?}: {reason}"));
    if text.trim().is_empty() {
        return Err(Failure::Local("the server address is empty; write one such as https://localhost:8443".to_owned()));
    }
    let url = match Url::parse(text.trim()) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => return Err(refuse("the scheme is missing; write https://…")),
        Err(error) => return Err(refuse(&error.to_string())),
    };
    match url.scheme() {
        "https" => {}
        "http" => return Err(refuse("plain HTTP would show the key to the network; use https://…")),
        other => return Err(refuse(&format!("the scheme {other} is not supported; use https://…"))),
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: the text holds a secret.
        return Err(Failure::Local("the server address must not carry a user name or password".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must not carry a query or fragment"));
    }
    Ok(url)
}

impl Global {
    /// The profile asked for by flag or environment.
    pub(crate) fn profile_name(&self, env: Env) -> Option<String> {
        self.cli_profile.clone().or_else(|| env("CERTCTL_CLI_PROFILE"))
    }

    /// The output format, where the profile may name one.
    pub(crate) fn output(&self, profile: Option<&Profile>) -> Result<Format, Failure> {
        if let Some(format) = self.output.or(self.format) {
            return Ok(format);
        }
        match profile.and_then(|profile| profile.output.as_deref()) {
            None => Ok(Format::Table),
            Some(text) => <Format as clap::ValueEnum>::from_str(text, true)
                .map_err(|_| Failure::Local(format!("output {text:?} of the profile is none of the known formats"))),
        }
    }
}

impl Settings {
    /// Puts the sources in their order.
    pub(crate) fn resolve(global: &Global, env: Env, profile: Option<&Profile>) -> Result<Self, Failure> {
        let profile = profile.cloned().unwrap_or_default();
        let server = global
            .server
            .clone()
            .or_else(|| env("CERTCTL_SERVER_URL"))
            .or_else(|| profile.server.clone())
            .unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let explicit_bundle = global.ca_bundle.clone().or_else(|| env("CERTCTL_SERVER_CA_BUNDLE_PATH").map(Into::into));
        // A pin belongs to the bundle it was stored with.
        let ca_fingerprint = if explicit_bundle.is_some() { None } else { profile.ca_fingerprint.clone() };
        let api_key = match global.api_key.clone().or_else(|| env("CERTCTL_API_KEY")) {
            Some(key) => Some(Secret::new(key)),
            None => key_of(&profile)?,
        };
        if let Some(key) = &api_key
            && !key.expose().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Failure::Local("the API key holds a space, line break or other unprintable byte".to_owned()));
        }
        Ok(Self {
            server: parse_server(&server)?,
            api_key,
            ca_bundle: explicit_bundle.or_else(|| profile.ca_bundle.clone()),
            ca_fingerprint,
            insecure: global.insecure
                || env("CERTCTL_SERVER_TLS_INSECURE_SKIP_VERIFY").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            timeout: global.timeout.unwrap_or(Duration::from_secs(30)),
        })
    }
}

/// The profile's key: written in it, in a file it names, or printed by a command it names.
fn key_of(profile: &Profile) -> Result<Option<Secret<String>>, Failure> {
    if let Some(key) = &profile.api_key {
        return Ok(Some(Secret::new(key.clone())));
    }
    if let Some(path) = &profile.api_key_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Local(format!("cannot read the key file {}: {error}", path.display())))?;
        return first_line(&text, "the key file").map(Some);
    }
    if let Some(command) = &profile.api_key_command {
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(std::process::Stdio::inherit())
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|error| Failure::Local(format!("cannot run api_key_command: {error}")))?;
        if !output.status.success() {
            return Err(Failure::Local(format!("api_key_command ended with {}", output.status)));
        }
        let text = Secret::new(output.stdout);
        let text = std::str::from_utf8(text.expose())
            .map_err(|_| Failure::Local("api_key_command printed something that is not text".to_owned()))?;
        return first_line(text, "api_key_command").map(Some);
    }
    Ok(None)
}

fn first_line(text: &str, what: &str) -> Result<Secret<String>, Failure> {
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line.to_owned())),
        None => Err(Failure::Local(format!("{what} gives no key in its first line"))),
    }
}

/// The configuration file's place and content.
pub(crate) struct Stored {
    /// None where the environment names no home: then nothing is stored, and nothing can be.
    directory: Option<PathBuf>,
    pub(crate) config: Config,
}

impl Stored {
    /// Reads the file of this user.
    pub(crate) fn load(env: Env) -> Result<Self, Failure> {
        match config::directory(env) {
            Some(directory) => {
                let config = Config::load(&config::file_in(&directory))?;
                Ok(Self { directory: Some(directory), config })
            }
            None => Ok(Self { directory: None, config: Config::default() }),
        }
    }

    /// Writes it back.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        self.config.save(&self.path()?)
    }

    /// The file.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        Ok(config::file_in(self.home()?))
    }

    fn home(&self) -> Result<&Path, Failure> {
        self.directory.as_deref().ok_or_else(|| {
            Failure::Local(
                "neither XDG_CONFIG_HOME nor HOME is set, so there is no place for the configuration".to_owned(),
            )
        })
    }

    /// Where the authority trusted for this profile is kept.
    pub(crate) fn authority_path(&self, profile: &str) -> Result<PathBuf, Failure> {
        Ok(self.home()?.join("ca").join(format!("{profile}.pem")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    fn profile() -> Profile {
        Profile {
            server: Some("https://profile.example".to_owned()),
            api_key: Some("profile-key".to_owned()),
            ca_bundle: Some("/profile.pem".into()),
            ca_fingerprint: Some("ab".repeat(32)),
            output: Some("yaml".to_owned()),
            ..Profile::default()
        }
    }

    fn env(name: &str) -> Option<String> {
        let value = match name {
            "CERTCTL_SERVER_URL" => "https://env.example",
            "CERTCTL_API_KEY" => "env-key",
            "CERTCTL_SERVER_CA_BUNDLE_PATH" => "/env.pem",
            "CERTCTL_SERVER_TLS_INSECURE_SKIP_VERIFY" => "TRUE",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn flag_beats_environment_beats_profile_beats_default() {
        let stored = profile();
        let flags = Global {
            server: Some("https://flag.example".to_owned()),
            api_key: Some("flag-key".to_owned()),
            ca_bundle: Some("/flag.pem".into()),
            ..Global::default()
        };
        let seen = |global: &Global, env: Env, profile| {
            let got = Settings::resolve(global, env, profile).unwrap();
            (
                got.server.host_str().unwrap().to_owned(),
                got.api_key.map(|key| key.expose().clone()),
                got.ca_bundle.map(|path| path.display().to_string()),
            )
        };
        let wanted =
            |host: &str, key: &str, bundle: &str| (host.to_owned(), Some(key.to_owned()), Some(bundle.to_owned()));
        let with_profile = Some(&stored);
        assert_eq!(seen(&flags, &env, with_profile), wanted("flag.example", "flag-key", "/flag.pem"));
        assert_eq!(seen(&Global::default(), &env, with_profile), wanted("env.example", "env-key", "/env.pem"));
        assert_eq!(
            seen(&Global::default(), &none, with_profile),
            wanted("profile.example", "profile-key", "/profile.pem")
        );
        assert_eq!(seen(&Global::default(), &none, None), ("localhost".to_owned(), None, None));
    }

    #[test]
    fn pin_of_the_profile_does_not_apply_to_another_bundle() {
        let stored = profile();
        let own = Settings::resolve(&Global::default(), &none, Some(&stored)).unwrap();
        assert!(own.ca_fingerprint.is_some());
        let other = Settings::resolve(&Global::default(), &env, Some(&stored)).unwrap();
        assert!(other.ca_fingerprint.is_none());
        assert!(other.insecure, "any case of `true` counts");
    }

    #[test]
    fn only_https_addresses_are_accepted_and_the_reason_is_said() {
        for (text, reason) in [
            ("", "empty"),
            ("http://localhost:8443", "plain HTTP"),
            ("localhost", "scheme is missing"),
            ("ftp://localhost", "not supported"),
            ("https://", "empty host"),
            ("https://u:p@localhost", "user name"),
            ("https://localhost?x=1", "query"),
        ] {
            let error = parse_server(text).expect_err(text);
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert_eq!(error.exit_code(), 1);
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
        assert!(parse_server("https://localhost:8443/prefix").is_ok());
    }

    #[test]
    fn output_comes_from_flag_alias_or_profile() {
        let stored = profile();
        let with = |output, format| Global { output, format, ..Global::default() }.output(Some(&stored)).unwrap();
        assert_eq!(with(Some(Format::Csv), Some(Format::Json)), Format::Csv);
        assert_eq!(with(None, Some(Format::Json)), Format::Json);
        assert_eq!(with(None, None), Format::Yaml);
        assert_eq!(Global::default().output(None).unwrap(), Format::Table);
    }

    #[test]
    fn durations_need_a_known_unit() {
        assert_eq!(parse_duration("5m").unwrap(), Duration::from_mins(5));
        assert_eq!(parse_duration("45").unwrap(), Duration::from_secs(45));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_span("0s").unwrap(), Duration::ZERO, "an overlap may be nothing");
        for wrong in ["", "m", "5x", "0s", "-1s", "99999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn key_with_a_line_break_is_refused_without_repeating_it() {
        let global = Global { api_key: Some("cctl_topsecret\nX: y".to_owned()), ..Global::default() };
        let error = Settings::resolve(&global, &none, None).unwrap_err().to_string();
        assert!(!error.contains("topsecret"), "{error}");
    }

    #[test]
    fn key_comes_from_a_file_or_a_command_of_the_profile() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("key");
        std::fs::write(&file, "file-key\n").unwrap();
        let by_file = Profile { api_key_file: Some(file), ..Profile::default() };
        let by_command =
            Profile { api_key_command: Some("printf 'command-key\\nrest'".to_owned()), ..Profile::default() };
        let failing = Profile { api_key_command: Some("exit 3".to_owned()), ..Profile::default() };
        assert_eq!(key_of(&by_file).unwrap().unwrap().expose(), "file-key");
        assert_eq!(key_of(&by_command).unwrap().unwrap().expose(), "command-key");
        assert!(key_of(&failing).is_err());
    }
}
