//! The TOML file: keys are the variables' names in lower case without `CERTCTL_`, grouped freely by table.

use super::known::{Standing, standing};
use super::registry::{Kind, SETTINGS, Setting};
use super::source::{Origin, Problem, Raw, read_secret, suggestion};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    raw: &'a mut Raw,
    secrets: bool,
}

/// Reads the file's values over what stands in `raw`.
pub(super) fn read(path: &Path, raw: &mut Raw) {
    let mut problem = |place: String, reason: String| {
        raw.problems.push(Problem { variable: place, reason, example: String::new() });
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return problem(path.display().to_string(), format!("can't be read: {error}")),
    };
    let table = match DeTable::parse(&text) {
        Ok(table) => table,
        Err(error) => {
            // The error's own text quotes the line, in which a secret may stand.
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            let place = format!("{}, line {line}", path.display());
            return problem(place, format!("is not valid TOML: {}", error.message()));
        }
    };
    let mut reading = Reading { path, text: &text, raw, secrets: false };
    reading.table(table.get_ref(), &[]);
    if reading.secrets && path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let warning = format!("{} holds secrets and is readable by others; run chmod 600 on it", path.display());
        reading.raw.warnings.push(warning);
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|octet| *octet == b'\n').count()
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>, outer: &[&str]) {
        for (key, value) in table {
            let mut path = outer.to_vec();
            path.push(key.get_ref().as_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(inner, &path);
            } else {
                self.value(&path, key.span().start, value);
            }
        }
    }

    fn problem(&mut self, offset: usize, key: &str, reason: String) {
        let variable = format!("{}, line {}: {key}", self.path.display(), line_of(self.text, offset));
        self.raw.problems.push(Problem { variable, reason, example: String::new() });
    }

    /// `[server] tls_cert_path`, `[server.tls] cert_path` and `server_tls_cert_path` are one; so is `data_dir` in any
    /// table.
    fn value(&mut self, path: &[&str], offset: usize, value: &Spanned<DeValue<'_>>) {
        let shown = path.join(".");
        let joined = path.join("_").to_ascii_uppercase();
        let bare = path.last().copied().unwrap_or_default().to_ascii_uppercase();
        let Some(text) = scalar(value.get_ref()) else {
            return self.problem(offset, &shown, "must be a text, number, truth value or list of texts".to_owned());
        };
        for name in [&joined, &bare] {
            if let Some(setting) = find(name) {
                return self.set(setting, offset, &shown, text);
            }
            if let Some(setting) = name.strip_suffix("_FILE").and_then(find).filter(|s| s.kind == Kind::Secret) {
                return match read_secret(Path::new(&text), &self.raw.base()) {
                    Ok(secret) => self.set(setting, offset, &shown, secret),
                    Err(reason) => self.problem(offset, &shown, reason),
                };
            }
        }
        for name in [&joined, &bare] {
            match standing(name) {
                Some(Standing::AcceptedAndWarned(why)) => {
                    let place = format!("{}, line {}: {shown}", self.path.display(), line_of(self.text, offset));
                    return self.raw.warnings.push(format!("{place} has no effect: {why}"));
                }
                Some(Standing::OtherBinary(_)) => return,
                Some(Standing::Slip(_)) | None => {}
            }
        }
        self.problem(offset, &shown, format!("is not a setting{}", suggestion(&joined)));
    }

    fn set(&mut self, setting: &'static Setting, offset: usize, shown: &str, text: String) {
        self.secrets |= setting.kind == Kind::Secret && !shown.ends_with("_file");
        if self.raw.values.contains_key(setting.name) {
            return self.problem(offset, shown, format!("sets CERTCTL_{} a second time; keep one", setting.name));
        }
        if !text.is_empty() {
            self.raw.values.insert(setting.name, (text, Origin::File));
        }
    }
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Array(_) => None,
                    item => scalar(item).filter(|text| !text.contains(',')),
                })
                .collect();
            Some(texts?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
