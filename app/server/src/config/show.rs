//! Showing the configuration and its documentation.

use super::known::{self, Standing};
use super::registry::{Kind, SETTINGS};
use super::source::{Origin, Raw};
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
        let default = || (setting.default(), Origin::Default);
        let (value, origin) = raw.values.get(setting.name).cloned().unwrap_or_else(default);
        let secret = setting.kind == Kind::Secret;
        let shown = if secret && !value.is_empty() { MASK.to_owned() } else { value };
        (setting.name, shown, origin, secret)
    });
    let mut text = String::new();
    match format {
        Format::Table => {
            for (name, value, origin, _) in rows {
                line(&mut text, format_args!("{:<48} {:<8} {value}", format!("CERTCTL_{name}"), origin.as_str()));
            }
        }
        Format::Json => {
            let object: serde_json::Map<String, serde_json::Value> = rows
                .map(|(name, value, origin, _)| {
                    (format!("CERTCTL_{name}"), serde_json::json!({"value": value, "source": origin.as_str()}))
                })
                .collect();
            text = serde_json::to_string_pretty(&object).unwrap_or_default();
            text.push('\n');
        }
        Format::Toml => {
            for (name, value, _, secret) in rows.filter(|(_, value, ..)| !value.is_empty()) {
                // A masked secret must not become the secret when the output is used as a file.
                let comment = if secret { "# " } else { "" };
                let value = toml::Value::String(value);
                line(&mut text, format_args!("{comment}{} = {value}", name.to_ascii_lowercase()));
            }
        }
    }
    text
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
                setting.no_effect.map_or_else(
                    || setting.help.to_owned(),
                    |why| format!("{}; accepted with a warning: {why}", setting.help)
                ),
            ),
        );
    }
    text.push_str("\n| known, not read by the server | why |\n|---|---|\n");
    for (name, standing) in known::all() {
        let why = match standing {
            Standing::AcceptedAndWarned(why) => format!("accepted with a warning: {why}"),
            Standing::OtherBinary(who) => format!("read by {who}"),
            Standing::Slip(right) => format!("a slip for `CERTCTL_{right}`"),
        };
        line(&mut text, format_args!("| `CERTCTL_{name}` | {why} |"));
    }
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    text.write_fmt(arguments).unwrap_or_default();
    text.push('\n');
}
