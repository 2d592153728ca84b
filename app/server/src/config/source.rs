//! Where values come from: the environment over a TOML file over defaults.

use super::advice;
use super::known::{self, Standing, standing};
use super::registry::{Kind, SETTINGS, Setting};
use std::collections::BTreeMap;
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
#[derive(Default)]
pub(crate) struct Raw {
    pub(crate) values: BTreeMap<&'static str, (String, Origin)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) problems: Vec<Problem>,
}

const PREFIX: &str = "CERTCTL_";

impl Raw {
    /// The data directory, against which relative paths resolve.
    pub(super) fn base(&self) -> PathBuf {
        let set = self.values.get("DATA_DIR").map(|(value, _)| value.as_str()).filter(|value| !value.is_empty());
        set.map_or_else(crate::data_dir::default_path, PathBuf::from)
    }
}

/// Collects the values. `environment` is passed in so that tests need not change their own.
pub(crate) fn collect(environment: &BTreeMap<String, String>, file: Option<&Path>) -> Raw {
    let mut raw = Raw::default();
    // First, because paths in the file resolve against it.
    if let Some(path) = file_to_read(environment, file) {
        super::file::read(&path, &mut raw);
    }
    let data_dir = SETTINGS.iter().filter(|setting| setting.name == "DATA_DIR");
    for setting in data_dir.chain(SETTINGS.iter().filter(|setting| setting.name != "DATA_DIR")) {
        from_environment(setting, environment, &mut raw);
    }
    for setting in SETTINGS {
        raw.values.entry(setting.name).or_insert_with(|| (setting.default(), Origin::Default));
    }
    unknown_names(environment, &mut raw);
    advice::give(&mut raw);
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

fn from_environment(setting: &'static Setting, environment: &BTreeMap<String, String>, raw: &mut Raw) {
    let name = format!("{PREFIX}{}", setting.name);
    let from_file = format!("{name}_FILE");
    let direct = environment.get(&name).filter(|value| !value.is_empty());
    let indirect = environment.get(&from_file).filter(|value| setting.kind == Kind::Secret && !value.is_empty());
    let base = raw.base();
    let mut problem = |variable: String, reason: String, example: &str| {
        raw.problems.push(Problem { variable, reason, example: example.to_owned() });
    };
    let value = match (direct, indirect) {
        (Some(_), Some(_)) => return problem(name, format!("is set together with {from_file}; keep one"), ""),
        (Some(value), None) => value.clone(),
        (None, Some(path)) => match read_secret(Path::new(path), &base) {
            Ok(text) => text,
            Err(reason) => return problem(from_file, reason, "/run/secrets/certctl"),
        },
        (None, None) => return,
    };
    raw.values.insert(setting.name, (value, Origin::Environment));
}

/// A secret from a file; one final line break is not part of it.
pub(super) fn read_secret(path: &Path, base: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(base.join(path)).map_err(|error| format!("can't be read: {error}"))?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(line.to_owned())
}

fn unknown_names(environment: &BTreeMap<String, String>, raw: &mut Raw) {
    let strict = raw.values.get("STRICT_ENV").is_some_and(|(value, _)| super::values::truth(value) == Some(true));
    for name in environment.keys().filter_map(|name| name.strip_prefix(PREFIX)) {
        let bare = name.strip_suffix("_FILE");
        let secret = |bare: &str| SETTINGS.iter().any(|setting| setting.name == bare && setting.kind == Kind::Secret);
        if name == "CONFIG_FILE" || SETTINGS.iter().any(|setting| setting.name == name) || bare.is_some_and(secret) {
            continue;
        }
        let reason = match standing(name).or_else(|| bare.and_then(standing)) {
            Some(Standing::OtherBinary(_)) => continue,
            Some(Standing::AcceptedAndWarned(why)) => {
                raw.warnings.push(format!("{PREFIX}{name} has no effect: {why}"));
                continue;
            }
            Some(Standing::Slip(right)) => format!("is not a setting; did you mean {PREFIX}{right}?"),
            None if bare.is_some_and(|bare| SETTINGS.iter().any(|setting| setting.name == bare)) => {
                "is not a setting: only secrets can come from files".to_owned()
            }
            None => format!("is not a setting{}", suggestion(name)),
        };
        if strict {
            raw.problems.push(Problem { variable: format!("{PREFIX}{name}"), reason, example: String::new() });
        } else {
            raw.warnings.push(format!("{PREFIX}{name} {reason}"));
        }
    }
}

/// The nearest known name, when one is near.
pub(super) fn suggestion(name: &str) -> String {
    let others = known::all().into_iter().filter(|(_, standing)| !matches!(standing, Standing::Slip(_)));
    let names = SETTINGS.iter().map(|setting| setting.name).chain(others.map(|(name, _)| name));
    names
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= (name.len() / 3).clamp(1, 4))
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
