//! Showing the configuration and its documentation.

use super::registry::{Kind, SETTINGS};
use super::source::Raw;
use std::fmt::Write as _;

/// Forms of `config show`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// One JSON object.
    Json,
    /// A file that could be used as configuration.
    Toml,
}

const MASK: &str = "********";

/// Effective values with their origin; secrets masked.
pub(crate) fn show(raw: &Raw, format: Format) -> String {
    let rows = SETTINGS.iter().map(|setting| {
        let (value, origin) = raw.values.get(setting.name).cloned().unwrap_or_default_origin(setting.default);
        let shown = if setting.kind == Kind::Secret && !value.is_empty() { MASK.to_owned() } else { value };
        (setting.name, shown, origin)
    });
    let mut text = String::new();
    match format {
        Format::Table => {
            for (name, value, origin) in rows {
                line(&mut text, format_args!("{:<48} {:<8} {value}", format!("CERTCTL_{name}"), origin.as_str()));
            }
        }
        Format::Json => {
            let object: serde_json::Map<String, serde_json::Value> = rows
                .map(|(name, value, origin)| {
                    (format!("CERTCTL_{name}"), serde_json::json!({"value": value, "source": origin.as_str()}))
                })
                .collect();
            text = serde_json::to_string_pretty(&object).unwrap_or_default();
            text.push('\n');
        }
        Format::Toml => {
            for (name, value, _) in rows.filter(|(_, value, _)| !value.is_empty()) {
                line(&mut text, format_args!("{} = {}", name.to_ascii_lowercase(), toml::Value::String(value)));
            }
        }
    }
    text
}

trait OrDefault {
    fn unwrap_or_default_origin(self, default: &str) -> (String, super::source::Origin);
}

impl OrDefault for Option<(String, super::source::Origin)> {
    fn unwrap_or_default_origin(self, default: &str) -> (String, super::source::Origin) {
        self.unwrap_or_else(|| (default.to_owned(), super::source::Origin::Default))
    }
}

/// The table of all settings as Markdown.
pub(crate) fn docs() -> String {
    let mut text = String::from("| variable | type | default | example | effect |\n|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let kind = match setting.kind {
            Kind::Text => "text".to_owned(),
            Kind::Secret => "secret (also `_FILE`)".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Bool => "bool".to_owned(),
            Kind::Int { min, max } if max == i64::MAX => format!("int ≥ {min}"),
            Kind::Int { min, max } => format!("int {min}–{max}"),
            Kind::Duration { min_seconds } => format!("duration ≥ {min_seconds}s"),
            Kind::List => "list".to_owned(),
            Kind::Choice(choices) => choices.join(" \\| "),
        };
        line(
            &mut text,
            format_args!(
                "| `CERTCTL_{}` | {kind} | {} | `{}` | {} |",
                setting.name,
                if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) },
                setting.example,
                setting.help
            ),
        );
    }
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    text.write_fmt(arguments).unwrap_or_default();
    text.push('\n');
}
