//! Reading typed values; every problem is kept.

use super::registry::{Kind, SETTINGS, Setting};
use super::source::{Problem, Raw};
use certctl_http::edge::TrustedProxies;
use certctl_kernel::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Comma-separated, trimmed, empty items dropped.
pub(super) fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect()
}

/// A truth value in any accepted spelling.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "1" | "yes" | "on" => Some(true),
        "false" | "False" | "FALSE" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Beyond a hundred years, sums with today's date leave the calendar.
const LONGEST: Duration = Duration::from_hours(36_525 * 24);

/// `90s`, `1h30m`, `1.5h`, `500ms`, `2d`, `1w`; a bare `0` needs no unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        rest = after;
        let nanos: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let parts = whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction.parse().ok()?)?;
        total = total.checked_add(parts.checked_mul(nanos)? / scale)?;
    }
    let whole = u64::try_from(total / 1_000_000_000).ok()?;
    let nanos = u32::try_from(total % 1_000_000_000).ok()?;
    (!text.is_empty()).then(|| Duration::new(whole, nanos))
}

pub(super) struct Reader<'a> {
    raw: &'a Raw,
    problems: Vec<Problem>,
    /// Relative paths resolve against it.
    data_dir: PathBuf,
}

impl<'a> Reader<'a> {
    pub(super) fn new(raw: &'a Raw, data_dir_default: PathBuf) -> Self {
        let set = raw.values.get("DATA_DIR").map(|(value, _)| value.as_str()).filter(|value| !value.is_empty());
        let data_dir = set.map_or(data_dir_default, PathBuf::from);
        // Only the data directory itself is relative to where the server was started.
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        Self { raw, problems: raw.problems.clone(), data_dir }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    pub(super) fn problem(&mut self, name: &str, reason: &str) {
        let example = SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| setting.example);
        self.problems.push(Problem {
            variable: format!("CERTCTL_{name}"),
            reason: reason.to_owned(),
            example: example.to_owned(),
        });
    }

    fn setting(name: &str) -> &'static Setting {
        SETTINGS.iter().find(|setting| setting.name == name).expect("every name read stands in the registry")
    }

    pub(super) fn text(&self, name: &str) -> String {
        let default = || Self::setting(name).default();
        self.raw.values.get(name).map_or_else(default, |(value, _)| value.clone())
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret<String>> {
        let text = self.text(name);
        (!text.is_empty()).then(|| Secret::new(text))
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name);
        (!text.is_empty()).then(|| self.data_dir.join(text))
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        split(&self.text(name))
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        truth(&self.text(name)).unwrap_or_else(|| {
            self.problem(name, "must be true or false");
            false
        })
    }

    pub(super) fn number<T: TryFrom<i64> + Default>(&mut self, name: &str) -> T {
        let Kind::Int { min, max } = Self::setting(name).kind else { return T::default() };
        // Requests a second used to be a fraction; a whole one is still welcome in that form.
        let text = self.text(name);
        match text.strip_suffix(".0").unwrap_or(&text).parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => T::try_from(value).unwrap_or_else(|_| {
                self.problem(name, "is too large");
                T::default()
            }),
            Ok(_) if max == i64::MAX => {
                self.problem(name, &format!("must be at least {min}"));
                T::default()
            }
            Ok(_) => {
                self.problem(name, &format!("must be from {min} to {max}"));
                T::default()
            }
            Err(_) => {
                self.problem(name, "must be a whole number");
                T::default()
            }
        }
    }

    pub(super) fn duration(&mut self, name: &str) -> Duration {
        let Kind::Duration { min_seconds } = Self::setting(name).kind else { return Duration::ZERO };
        match duration(&self.text(name)) {
            Some(value) if value >= Duration::from_secs(min_seconds) && value <= LONGEST => value,
            Some(value) if value > LONGEST => {
                self.problem(name, "must be at most a hundred years");
                Duration::ZERO
            }
            Some(_) => {
                self.problem(name, &format!("must be at least {min_seconds}s"));
                Duration::ZERO
            }
            None => {
                self.problem(name, "must be a duration such as 90s, 1h30m or 7d");
                Duration::ZERO
            }
        }
    }

    pub(super) fn choice(&mut self, name: &str) -> String {
        let value = self.text(name);
        if let Kind::Choice(choices) = Self::setting(name).kind
            && !choices.contains(&value.as_str())
        {
            self.problem(name, &format!("must be one of {}", choices.join(", ")));
        }
        value
    }

    /// Origins as browsers send them: scheme, host and perhaps port.
    pub(super) fn origins(&mut self, name: &str) -> Vec<String> {
        let origins = self.list(name);
        for origin in origins.iter().filter(|origin| *origin != "*") {
            let exact = url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !exact {
                self.problem(
                    name,
                    &format!("{origin} is no origin: scheme://host[:port] in lower case, no final slash"),
                );
            }
        }
        origins
    }

    pub(super) fn networks(&mut self, name: &str) -> TrustedProxies {
        let mut networks = Vec::new();
        for item in self.list(name) {
            match item.parse().or_else(|_| item.parse::<std::net::IpAddr>().map(Into::into)) {
                Ok(network) => networks.push(network),
                Err(_) => self.problem(name, &format!("{item} is neither a network nor an address")),
            }
        }
        TrustedProxies::new(networks)
    }

    pub(super) fn address(&mut self, name: &str) -> Option<SocketAddr> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problem(name, "must be address:port");
        }
        parsed
    }

    pub(super) fn origin(&mut self, name: &str) -> Option<String> {
        let text = self.text(name);
        if text.is_empty() {
            return None;
        }
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => {
                Some(text.trim_end_matches('/').to_owned())
            }
            _ => {
                self.problem(name, "must be an http or https URL");
                None
            }
        }
    }
}
