//! Reads a target's configuration strictly: every broken rule at once, each under its member; unknown members are
//! errors, so that a misspelt option is never silently without effect.

use certctl_kernel::FieldError;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Longest path that a configuration may name.
const MAX_PATH: usize = 4096;
/// Longest command (lifecycle §13.6).
const MAX_COMMAND: usize = 1024;
/// Characters that have a meaning to shells; no command may hold one, though none ever reaches a shell.
const FORBIDDEN: &[char] = &[';', '|', '&', '$', '`', '(', ')', '{', '}', '<', '>', '\\', '"', '\'', '\r', '\n', '\0'];

/// Reads the members of one object.
pub struct Reader<'a> {
    at: String,
    members: Option<&'a Map<String, Value>>,
    seen: BTreeSet<&'static str>,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    /// Starts at an object that errors call `at`.
    pub fn new(at: &str, value: &'a Value) -> Self {
        let mut errors = Vec::new();
        if !value.is_object() {
            errors.push(FieldError::new(at, "type", "must be a JSON object"));
        }
        Self { at: at.to_owned(), members: value.as_object(), seen: BTreeSet::new(), errors }
    }

    /// Records a broken rule of a member.
    pub fn refuse(&mut self, name: &str, code: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}.{name}", self.at), code, message));
    }

    /// The raw value; `null` counts as absent.
    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.seen.insert(name);
        self.members?.get(name).filter(|value| !value.is_null())
    }

    /// A text without control characters.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name)?;
        match value.as_str() {
            Some(text) if text.chars().any(char::is_control) => {
                self.refuse(name, "control_character", "must not hold control characters");
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                self.refuse(name, "type", "must be a text");
                None
            }
        }
    }

    /// One of a few words.
    pub fn word(&mut self, name: &'static str, allowed: &[&'static str]) -> Option<&'static str> {
        let text = self.text(name)?;
        let found = allowed.iter().find(|word| **word == text).copied();
        if found.is_none() {
            self.refuse(name, "enum", format!("must be one of {}", allowed.join(", ")));
        }
        found
    }

    /// True or false.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.refuse(name, "type", "must be true or false");
        }
        flag
    }

    /// A whole number within bounds.
    pub fn number(&mut self, name: &'static str, min: i64, max: i64) -> Option<i64> {
        let value = self.take(name)?;
        let number = value.as_i64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, "range", format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    /// A file mode: the decimal value (420), or octal text ("0644").
    pub fn mode(&mut self, name: &'static str) -> Option<u32> {
        let value = self.take(name)?;
        let mode = match value {
            Value::String(text) => {
                let digits = text.strip_prefix("0o").unwrap_or(text);
                u32::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
            }
            _ => value.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        let mode = mode.filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            self.refuse(name, "mode", "must be a file mode up to 0777: octal text such as \"0644\", or its value, 420");
        }
        mode
    }

    /// A length of time: nanoseconds, or text with a unit ("500ms", "10s", "2m", "1h").
    pub fn duration(&mut self, name: &'static str, max: Duration) -> Option<Duration> {
        let value = self.take(name)?;
        let duration = match value {
            Value::String(text) => parse_duration(text),
            _ => value.as_u64().map(Duration::from_nanos),
        };
        let duration = duration.filter(|duration| !duration.is_zero() && *duration <= max);
        if duration.is_none() {
            let max = max.as_secs();
            self.refuse(
                name,
                "duration",
                format!("must be a time above 0 and up to {max}s: text such as \"10s\", or whole nanoseconds"),
            );
        }
        duration
    }

    /// An absolute path without `..`.
    pub fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        let text = self.text(name)?;
        match check_path(&text) {
            Ok(path) => Some(path),
            Err(message) => {
                self.refuse(name, "path", message);
                None
            }
        }
    }

    /// A list of texts, empty when absent.
    pub fn texts(&mut self, name: &'static str) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let texts: Option<Vec<String>> =
            value.as_array().and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        if texts.is_none() {
            self.refuse(name, "type", "must be a list of texts");
        }
        texts.unwrap_or_default()
    }

    /// An account name or number.
    pub fn account(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() || text.len() > 32 || text.starts_with('-') || !text.chars().all(fits) {
            self.refuse(name, "account", "must be the name of an account, such as www-data, or its number");
            return None;
        }
        Some(text)
    }

    /// A command, split into words. An empty text counts as absent.
    pub fn command(&mut self, name: &'static str) -> Option<Vec<String>> {
        let value = self.take(name)?;
        let Some(text) = value.as_str() else {
            self.refuse(name, "type", "must be a text");
            return None;
        };
        if text.len() > MAX_COMMAND {
            self.refuse(name, "too_long", format!("must have at most {MAX_COMMAND} characters"));
            return None;
        }
        if let Some(character) = text.chars().find(|c| FORBIDDEN.contains(c)) {
            let message = format!(
                "must not hold the character {character:?}: commands are split at spaces and never go through a shell"
            );
            self.refuse(name, "command_character", message);
            return None;
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() { None } else { Some(words) }
    }

    /// A member that is an object; it is read by a reader of its own, whose errors come back through [`Self::absorb`].
    pub fn object(&mut self, name: &'static str) -> Option<Reader<'a>> {
        let value = self.take(name)?;
        Some(Reader::new(&format!("{}.{name}", self.at), value))
    }

    /// Ends a nested reader.
    pub fn absorb(&mut self, nested: Reader<'_>) {
        self.errors.extend(nested.finish());
    }

    /// Records that a required member is missing, unless it is there and broken (which is an error already).
    pub fn require<T>(&mut self, name: &'static str, value: Option<&T>, example: &str) {
        let given = self.members.and_then(|members| members.get(name)).filter(|value| !value.is_null());
        let empty = given.is_none_or(|given| given.as_str().is_some_and(|text| text.trim().is_empty()));
        if value.is_none() && self.members.is_some() && empty {
            self.errors.retain(|error| error.field != format!("{}.{name}", self.at));
            self.refuse(name, "required", format!("is required, such as {example}"));
        }
    }

    /// Every broken rule, members that nobody asked for included.
    pub fn finish(mut self) -> Vec<FieldError> {
        let unknown: Vec<String> = self
            .members
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !self.seen.contains(name.as_str()))
            .cloned()
            .collect();
        for name in unknown {
            let known = self.seen.iter().copied().collect::<Vec<_>>().join(", ");
            self.refuse(&name, "unknown_member", format!("is not a member of this target type; known: {known}"));
        }
        self.errors
    }
}

fn check_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    if text.len() > MAX_PATH {
        return Err("is longer than 4096 characters");
    }
    if !path.is_absolute() {
        return Err("must be an absolute path, such as /etc/nginx/tls/site.pem");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("must not hold \"..\"");
    }
    if path.file_name().is_none() || text.ends_with('/') {
        return Err("must name a file");
    }
    Ok(path.to_path_buf())
}

/// Reads `500ms`, `10s`, `2m`, `1h`, and sequences such as `1m30s`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => Duration::from_nanos(amount),
            "us" => Duration::from_micros(amount),
            "ms" => Duration::from_millis(amount),
            "s" => Duration::from_secs(amount),
            "m" => Duration::from_secs(amount.checked_mul(60)?),
            "h" => Duration::from_secs(amount.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(unit)?;
        rest = &rest[end..];
    }
    if text.is_empty() { None } else { Some(total) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read<T>(value: &Value, read: impl FnOnce(&mut Reader<'_>) -> T) -> (T, Vec<FieldError>) {
        let mut reader = Reader::new("config", value);
        let result = read(&mut reader);
        (result, reader.finish())
    }

    #[test]
    fn modes_are_decimal_values_or_octal_text() {
        for (given, mode) in
            [(json!(420), 0o644), (json!("0644"), 0o644), (json!("0o600"), 0o600), (json!("640"), 0o640)]
        {
            assert_eq!(read(&json!({"m": given}), |r| r.mode("m")), (Some(mode), vec![]));
        }
        for bad in [json!(1000), json!("0888"), json!("rw"), json!(-1), json!("+644"), json!(true)] {
            let (mode, errors) = read(&json!({"m": bad}), |r| r.mode("m"));
            assert_eq!((mode, errors[0].field.as_str()), (None, "config.m"), "{bad}");
        }
    }

    #[test]
    fn durations_are_nanoseconds_or_text_with_a_unit() {
        let max = Duration::from_mins(10);
        for (given, expected) in [
            (json!(10_000_000_000_u64), Duration::from_secs(10)),
            (json!("10s"), Duration::from_secs(10)),
            (json!("1m30s"), Duration::from_secs(90)),
            (json!("250ms"), Duration::from_millis(250)),
        ] {
            assert_eq!(read(&json!({"d": given}), |r| r.duration("d", max)), (Some(expected), vec![]));
        }
        for bad in [json!("10"), json!("s"), json!(0), json!("2h"), json!("-1s"), json!(""), json!(1.5)] {
            let (duration, errors) = read(&json!({"d": bad}), |r| r.duration("d", max));
            assert_eq!((duration, errors.len()), (None, 1), "{bad}");
        }
    }

    #[test]
    fn commands_are_words_without_shell_characters() {
        let (words, errors) = read(&json!({"c": "nginx  -s reload"}), |r| r.command("c"));
        assert_eq!((words.expect("words"), errors), (vec!["nginx".into(), "-s".into(), "reload".into()], vec![]));
        for character in FORBIDDEN {
            let (words, errors) = read(&json!({"c": format!("nginx -t{character} x")}), |r| r.command("c"));
            assert_eq!((words, errors.len()), (None, 1), "{character:?}");
        }
        let (_, errors) = read(&json!({"c": "x".repeat(1025)}), |r| r.command("c"));
        assert_eq!(errors[0].code, "too_long");
    }

    #[test]
    fn paths_are_absolute_and_never_climb() {
        for bad in ["a/b", "/a/../b", "/", "/a/", ""] {
            let (path, errors) = read(&json!({"p": bad}), |r| r.path("p"));
            assert_eq!((path, errors.len()), (None, 1), "{bad}");
        }
    }

    #[test]
    fn members_nobody_asked_for_are_named() {
        let (_, errors) = read(&json!({"p": "/a", "P": 1}), |r| r.path("p"));
        assert_eq!((errors[0].field.as_str(), errors[0].code.as_str()), ("config.P", "unknown_member"));
    }
}
