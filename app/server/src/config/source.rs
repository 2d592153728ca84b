//! Where values come from: the environment over a TOML file over defaults.

use super::registry::{INHERITED, SETTINGS, Setting};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Something wrong with the configuration, with the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) variable: String,
    pub(crate) reason: String,
    pub(crate) example: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.variable, self.reason)?;
        if !self.example.is_empty() {
            write!(formatter, " (example: {})", self.example)?;
        }
        Ok(())
    }
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
}

impl Origin {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "env",
        }
    }
}

/// Raw values by setting, with warnings and problems met on the way.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) values: BTreeMap<&'static str, (String, Origin)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) problems: Vec<Problem>,
}

const PREFIX: &str = "CERTCTL_";

/// Collects the values. `environment` is passed in so that tests need not change their own.
pub(crate) fn collect(environment: &BTreeMap<String, String>, file: Option<&Path>) -> Raw {
    let mut raw = Raw::default();
    if let Some(path) = file_to_read(environment, file) {
        read_file(&path, &mut raw);
    }
    for setting in SETTINGS {
        from_environment(setting, environment, &mut raw);
    }
    unknown_names(environment, &mut raw);
    for setting in SETTINGS {
        raw.values.entry(setting.name).or_insert_with(|| (setting.default.to_owned(), Origin::Default));
    }
    raw
}

fn file_to_read(environment: &BTreeMap<String, String>, file: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = file {
        return Some(path.to_owned());
    }
    if let Some(path) = environment.get("CERTCTL_CONFIG_FILE").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let usual = PathBuf::from("/etc/certctl/certctl.toml");
    usual.exists().then_some(usual)
}

fn read_file(path: &Path, raw: &mut Raw) {
    let problem = |reason: String| Problem { variable: path.display().to_string(), reason, example: String::new() };
    let table: toml::Table = match std::fs::read_to_string(path).map(|text| text.parse()) {
        Ok(Ok(table)) => table,
        Ok(Err(error)) => return raw.problems.push(problem(format!("is not valid TOML: {error}"))),
        Err(error) => return raw.problems.push(problem(format!("can't be read: {error}"))),
    };
    for (key, value) in &table {
        match value {
            // Tables group freely: `[server] tls_cert_path` is SERVER_TLS_CERT_PATH.
            toml::Value::Table(inner) => {
                for (name, value) in inner {
                    file_value(path, &format!("{key}_{name}"), name, value, raw);
                }
            }
            value => file_value(path, key, key, value, raw),
        }
    }
}

fn file_value(path: &Path, joined: &str, bare: &str, value: &toml::Value, raw: &mut Raw) {
    let find = |name: &str| SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name));
    let Some(setting) = find(joined).or_else(|| find(bare)) else {
        raw.problems.push(Problem {
            variable: format!("{}: {joined}", path.display()),
            reason: format!("is not a setting{}", suggestion(&joined.to_ascii_uppercase())),
            example: String::new(),
        });
        return;
    };
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    };
    raw.values.insert(setting.name, (text, Origin::File));
}

fn from_environment(setting: &'static Setting, environment: &BTreeMap<String, String>, raw: &mut Raw) {
    let name = format!("{PREFIX}{}", setting.name);
    let from_file = format!("{name}_FILE");
    let direct = environment.get(&name).filter(|value| !value.is_empty());
    let secret = matches!(setting.kind, super::registry::Kind::Secret);
    let indirect = environment.get(&from_file).filter(|value| secret && !value.is_empty());
    let value = match (direct, indirect) {
        (Some(_), Some(_)) => {
            raw.problems.push(Problem {
                variable: name,
                reason: format!("is set together with {from_file}; keep one"),
                example: String::new(),
            });
            return;
        }
        (Some(value), None) => value.clone(),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => text.strip_suffix('\n').map_or_else(|| text.clone(), ToOwned::to_owned),
            Err(error) => {
                raw.problems.push(Problem {
                    variable: from_file,
                    reason: format!("can't be read: {error}"),
                    example: "/run/secrets/certctl".to_owned(),
                });
                return;
            }
        },
        (None, None) => return,
    };
    raw.values.insert(setting.name, (value, Origin::Environment));
}

fn unknown_names(environment: &BTreeMap<String, String>, raw: &mut Raw) {
    let strict = raw.values.get("STRICT_ENV").is_some_and(|(value, _)| value == "true");
    let inherited: BTreeSet<&str> = INHERITED.lines().collect();
    for name in environment.keys().filter_map(|name| name.strip_prefix(PREFIX)) {
        let bare = name.strip_suffix("_FILE").unwrap_or(name);
        if SETTINGS.iter().any(|setting| setting.name == name || setting.name == bare)
            || name == "CONFIG_FILE"
            || ["DEMO_", "TEST_", "QA_", "E2E_", "CI_"].iter().any(|prefix| name.starts_with(prefix))
        {
            continue;
        }
        if inherited.contains(name) || name.starts_with("AGENT_") || name == "CLI_PROFILE" {
            let others = ["SERVER_URL", "API_KEY", "KEY_DIR", "CLI_PROFILE"];
            if !name.starts_with("AGENT_") && !name.starts_with("SERVER_") && !others.contains(&name) {
                raw.warnings.push(format!("{PREFIX}{name} is known but has no effect in this build"));
            }
            continue;
        }
        let text = format!("{PREFIX}{name} is not a setting{}", suggestion(name));
        if strict {
            raw.problems.push(Problem {
                variable: format!("{PREFIX}{name}"),
                reason: format!("is not a setting{}", suggestion(name)),
                example: String::new(),
            });
        } else {
            raw.warnings.push(text);
        }
    }
}

/// The nearest known name, when one is near.
fn suggestion(name: &str) -> String {
    SETTINGS
        .iter()
        .map(|setting| (distance(name, setting.name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= 4)
        .map_or_else(String::new, |(_, near)| format!("; did you mean {PREFIX}{near}?"))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = previous + usize::from(x != *y);
            previous = row[j + 1];
            row[j + 1] = cost.min(previous + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
