//! Objects and lists in the forms of `--output`.

use crate::failure::Failure;
use crate::settings::Format;
use crate::wire::Listing;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Heading in tables.
    pub(crate) head: &'static str,
    /// Member of the object.
    pub(crate) key: &'static str,
}

/// Shorthand for tables of columns.
pub(crate) const fn column(head: &'static str, key: &'static str) -> Column {
    Column { head, key }
}

/// Columns of a kind of object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) narrow: &'static [Column],
    pub(crate) wide: &'static [Column],
    /// Member that `-o name` prints.
    pub(crate) name: &'static str,
}

impl Shape {
    fn all(&self) -> impl Iterator<Item = &'static Column> + '_ {
        self.narrow.iter().chain(self.wide)
    }
}

/// Makes text safe for a terminal: control characters and invisible direction changes become visible.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if hidden {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes.ends_with(b"Z")
        && bytes[..19].iter().zip(b"0000-00-00T00:00:00").all(|(got, like)| match like {
            b'0' => got.is_ascii_digit(),
            other => got == other,
        })
}

/// One value as a cell for people; times in UTC to the minute.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() || text.starts_with("0001-01-01T") => "-".to_owned(),
        Some(Value::String(text)) if is_time(text) => format!("{} {}Z", &text[..10], &text[11..16]),
        Some(Value::String(text)) => safe(text),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(","),
        Some(Value::Object(members)) if members.is_empty() => "-".to_owned(),
        Some(Value::Object(members)) if members.values().all(|value| !value.is_object() && !value.is_array()) => {
            members
                .iter()
                .map(|(name, value)| format!("{}={}", safe(name), cell(Some(value))))
                .collect::<Vec<_>>()
                .join(",")
        }
        Some(other) => safe(&other.to_string()),
    }
}

/// One value for machines, in a CSV field.
fn raw(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(|item| raw(Some(item))).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Aligned columns, two spaces between them.
fn table(columns: &[(String, &str)], rows: &[Value]) -> String {
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|(head, _)| head.clone()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, key)| cell(row.get(*key))).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default())
        .collect();
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (field, width) in line.iter().zip(&widths) {
            text.push_str(field);
            text.extend(std::iter::repeat_n(' ', width + 2 - field.chars().count()));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

fn title(key: &str) -> String {
    key.split('_')
        .map(|word| match word {
            "id" | "ids" | "ip" | "os" | "cn" | "csr" | "pem" | "url" | "ca" | "api" => word.to_uppercase(),
            "sans" => "SANs".to_owned(),
            _ => {
                let mut letters = word.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
            }
        })
        .collect::<Vec<String>>()
        .join(" ")
}

/// Lines `Label: value`: first the members of the shape in its order, then the rest by name.
fn details(shape: &Shape, object: &Map<String, Value>) -> String {
    let mut keys: Vec<&str> = shape.all().map(|column| column.key).filter(|key| object.contains_key(*key)).collect();
    // Certificates and requests are for files; they'd fill the screen.
    let shown = |key: &&str| !keys.contains(key) && !key.ends_with("_pem") && *key != "pem_chain";
    let mut rest: Vec<&str> = object.keys().map(String::as_str).filter(shown).collect();
    rest.sort_unstable();
    keys.extend(rest);
    let width = keys.iter().map(|key| title(key).chars().count() + 1).max().unwrap_or_default();
    let mut out = String::new();
    for key in keys {
        let _ = writeln!(out, "{:<width$}  {}", title(key) + ":", cell(object.get(key)));
    }
    out
}

fn json_text(value: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Failure::Local(format!("cannot render JSON: {error}")))
}

fn yaml_text(value: &Value) -> Result<String, Failure> {
    serde_yaml_ng::to_string(value).map_err(|error| Failure::Local(format!("cannot render YAML: {error}")))
}

fn csv(columns: &[(String, &str)], rows: &[Value]) -> String {
    let mut out = columns.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(",") + "\n";
    for row in rows {
        let fields: Vec<String> = columns.iter().map(|(_, key)| csv_field(&raw(row.get(*key)))).collect();
        out.push_str(&fields.join(","));
        out.push('\n');
    }
    out
}

/// A list as text. `fields`, when not empty, are the columns of the tabular forms.
pub(crate) fn list(format: Format, shape: &Shape, rows: &Listing, fields: &[String]) -> Result<String, Failure> {
    let named = |column: &Column| (column.head.to_owned(), column.key);
    let columns: Vec<(String, &str)> = if fields.is_empty() {
        match format {
            Format::Table => shape.narrow.iter().map(named).collect(),
            _ => shape.all().map(named).collect(),
        }
    } else {
        fields.iter().map(|key| (key.replace('_', " ").to_uppercase(), key.as_str())).collect()
    };
    Ok(match format {
        Format::Table | Format::Wide => table(&columns, &rows.rows),
        Format::Csv => csv(&columns, &rows.rows),
        Format::Name => {
            rows.rows.iter().filter_map(|row| row.get(shape.name)?.as_str()).map(|id| safe(id) + "\n").collect()
        }
        Format::Json => json_text(&envelope(rows))?,
        Format::Yaml => yaml_text(&envelope(rows))?,
    })
}

fn envelope(rows: &Listing) -> Value {
    let count = rows.rows.len() as u64;
    let mut out = json!({
        "data": rows.rows,
        "total": rows.total.unwrap_or(count),
        "page": rows.page.unwrap_or(1),
        "per_page": rows.per_page.unwrap_or(count),
    });
    if let Some(cursor) = rows.next_cursor.as_ref().filter(|_| rows.cut) {
        out["next_cursor"] = json!(cursor);
    }
    out
}

/// One object as text.
pub(crate) fn object(format: Format, shape: &Shape, value: &Value) -> Result<String, Failure> {
    Ok(match (format, value) {
        (Format::Json, _) => json_text(value)?,
        (Format::Yaml, _) => yaml_text(value)?,
        (Format::Table | Format::Wide, Value::Object(members)) => details(shape, members),
        (Format::Csv, Value::Object(_)) => {
            csv(&shape.all().map(|column| (String::new(), column.key)).collect::<Vec<_>>(), std::slice::from_ref(value))
        }
        (Format::Name, Value::Object(members)) => {
            members.get(shape.name).and_then(Value::as_str).map(|id| safe(id) + "\n").unwrap_or_default()
        }
        (_, other) => cell(Some(other)) + "\n",
    })
}

/// Writes to standard output; a reader that went away is no error to report.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Local(format!("cannot write to standard output: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        narrow: &[column("ID", "id"), column("COMMON NAME", "common_name"), column("EXPIRES", "expires_at")],
        wide: &[column("SANS", "sans")],
        name: "id",
    };

    fn rows() -> Listing {
        Listing {
            rows: vec![
                json!({"id": "cert-1", "common_name": "a.example", "expires_at": "2026-03-01T10:20:30.5Z", "sans": ["a", "b,c"]}),
                json!({"id": "c2", "common_name": "evil\u{1b}[31m\u{202e}", "expires_at": "0001-01-01T00:00:00Z"}),
            ],
            total: Some(7),
            page: Some(1),
            per_page: Some(2),
            next_cursor: Some("abc".to_owned()),
            cut: true,
        }
    }

    #[test]
    fn table_is_aligned_and_harmless() {
        let wanted = "ID      COMMON NAME             EXPIRES\n\
                      cert-1  a.example               2026-03-01 10:20Z\n\
                      c2      evil\\u{1b}[31m\\u{202e}  -\n";
        assert_eq!(list(Format::Table, &SHAPE, &rows(), &[]).unwrap(), wanted);
    }

    #[test]
    fn wide_adds_columns() {
        let text = list(Format::Wide, &SHAPE, &rows(), &[]).unwrap();
        assert!(text.lines().next().unwrap().ends_with("SANS"), "{text}");
        assert!(text.contains("a,b,c"), "{text}");
    }

    #[test]
    fn asked_fields_are_the_columns() {
        let text = list(Format::Table, &SHAPE, &rows(), &["common_name".to_owned(), "id".to_owned()]).unwrap();
        assert!(text.starts_with("COMMON NAME             ID\na.example"), "{text}");
    }

    #[test]
    fn csv_quotes_what_needs_it_and_keeps_machine_values() {
        let text = list(Format::Csv, &SHAPE, &rows(), &[]).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("id,common_name,expires_at,sans"));
        assert_eq!(lines.next(), Some("cert-1,a.example,2026-03-01T10:20:30.5Z,\"a b,c\""));
    }

    #[test]
    fn names_are_ids_one_a_line() {
        assert_eq!(list(Format::Name, &SHAPE, &rows(), &[]).unwrap(), "cert-1\nc2\n");
    }

    #[test]
    fn json_keeps_rows_and_page_members() {
        let value: Value = serde_json::from_str(&list(Format::Json, &SHAPE, &rows(), &[]).unwrap()).unwrap();
        assert_eq!(value["data"], json!(rows().rows));
        assert_eq!((&value["total"], &value["next_cursor"]), (&json!(7), &json!("abc")));
        let yaml: Value = serde_yaml_ng::from_str(&list(Format::Yaml, &SHAPE, &rows(), &[]).unwrap()).unwrap();
        assert_eq!(yaml, value);
    }

    #[test]
    fn details_begin_with_the_shape_and_leave_out_pem() {
        let value = json!({"zeta": {"a": 1}, "id": "c", "cert_pem": "-----BEGIN", "common_name": "x", "enabled": true});
        let text = object(Format::Table, &SHAPE, &value).unwrap();
        assert_eq!(text, "ID:           c\nCommon Name:  x\nEnabled:      yes\nZeta:         a=1\n");
    }
}
