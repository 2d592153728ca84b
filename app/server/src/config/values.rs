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

/// `90s`, `1h30m`, `500ms`, `2d`, `1w`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
        let amount: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_end);
        rest = after;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total += Duration::from_millis(amount.checked_mul(millis)?);
    }
    (!text.is_empty()).then_some(total)
}

pub(super) struct Reader<'a> {
    raw: &'a Raw,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(raw: &'a Raw) -> Self {
        Self { raw, problems: raw.problems.clone() }
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
        let default = || Self::setting(name).default.to_owned();
        self.raw.values.get(name).map_or_else(default, |(value, _)| value.clone())
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret<String>> {
        let text = self.text(name);
        (!text.is_empty()).then(|| Secret::new(text))
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        split(&self.text(name))
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.text(name).as_str() {
            "true" | "True" | "TRUE" | "1" | "yes" | "on" => true,
            "false" | "False" | "FALSE" | "0" | "no" | "off" => false,
            _ => {
                self.problem(name, "must be true or false");
                false
            }
        }
    }

    pub(super) fn number<T: TryFrom<i64> + Default>(&mut self, name: &str) -> T {
        let Kind::Int { min, max } = Self::setting(name).kind else { return T::default() };
        match self.text(name).parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => T::try_from(value).unwrap_or_default(),
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
            Some(value) if value.as_secs() >= min_seconds => value,
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
