//! Input fields: one flag each, and the JSON body they make.

use super::{Noun, noun};
use crate::failure::Failure;
use crate::wire::{Client, id_of};
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};
use std::io::Read as _;

/// How a flag becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A number.
    Int,
    /// `true` or `false`; the flag alone means true.
    Bool,
    /// Strings, repeated or comma-separated.
    List,
    /// Numbers, comma-separated.
    IntList,
    /// `KEY=VALUE` pairs, repeated.
    Map,
    /// JSON in place, or from `@FILE`.
    Json,
    /// `ALGORITHM:SIZE` pairs.
    Algorithms,
    /// Id or name of another object.
    Ref(&'static str),
    /// Ids or names of other objects.
    RefList(&'static str),
}

/// A field of an object's input.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) flag: &'static str,
    /// Shorter spelling of the flag.
    pub(crate) alias: Option<&'static str>,
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) help: &'static str,
}

impl Field {
    /// An optional field.
    pub(crate) const fn new(flag: &'static str, key: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { flag, alias: None, key, kind, required: false, help }
    }

    /// With another spelling.
    pub(crate) const fn or(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Needed on create.
    pub(crate) const fn needed(mut self) -> Self {
        self.required = true;
        self
    }
}

/// Adds the flags of `noun`, with `--file` and, for changes, `--clear`.
pub(crate) fn add_flags(mut command: Command, noun: &'static Noun, change: bool) -> Command {
    for field in noun.fields {
        if change && field.key == "id" {
            continue;
        }
        let needed = if field.required && !change { " (required)" } else { "" };
        let mut arg = Arg::new(field.flag).long(field.flag).help(format!("{}{needed}", field.help));
        arg = match field.kind {
            Kind::Text => arg.value_name("TEXT"),
            Kind::Ref(_) => arg.value_name("ID|NAME").value_parser(NonEmptyStringValueParser::new()),
            Kind::Int => arg.value_name("N").value_parser(value_parser!(i64)),
            Kind::Bool => arg
                .value_name("true|false")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(value_parser!(bool)),
            Kind::List => arg.value_name("TEXT").action(ArgAction::Append).value_delimiter(','),
            Kind::RefList(_) => arg
                .value_name("ID|NAME")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(NonEmptyStringValueParser::new()),
            Kind::IntList => {
                arg.value_name("N").action(ArgAction::Append).value_delimiter(',').value_parser(value_parser!(i64))
            }
            Kind::Map => arg.value_name("KEY=VALUE").action(ArgAction::Append).value_parser(pair),
            Kind::Json => arg.value_name("JSON|@FILE"),
            Kind::Algorithms => {
                arg.value_name("NAME:SIZE").action(ArgAction::Append).value_delimiter(',').value_parser(algorithm)
            }
        };
        if let Some(alias) = field.alias {
            arg = arg.visible_alias(alias);
        }
        command = command.arg(arg);
    }
    command = command.arg(
        Arg::new("file")
            .short('f')
            .long("file")
            .value_name("FILE")
            .help("Body as JSON or YAML (- for standard input); flags win over it"),
    );
    if change {
        command = command.arg(
            Arg::new("clear")
                .long("clear")
                .value_name("FIELD")
                .action(ArgAction::Append)
                .help("Set a field to nothing"),
        );
    }
    command
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

fn algorithm(text: &str) -> Result<Value, String> {
    let (name, size) = text.split_once(':').unwrap_or((text, "0"));
    let known = ["RSA", "ECDSA", "Ed25519"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
    match (known, size.parse::<u32>()) {
        (Some(name), Ok(0)) => {
            Ok(json!({"algorithm": name, "min_size": match name { "RSA" => 2048, "ECDSA" => 256, _ => 0 }}))
        }
        (Some(name), Ok(size)) => Ok(json!({"algorithm": name, "min_size": size})),
        _ => Err("write RSA:2048, ECDSA:256 or Ed25519".to_owned()),
    }
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read_input(path: &str) -> Result<String, Failure> {
    let outcome = if path == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    outcome.map_err(|error| Failure::Local(format!("cannot read {path}: {error}")))
}

fn json_value(flag: &str, text: &str) -> Result<Value, Failure> {
    let (text, place) = match text.strip_prefix('@') {
        Some(path) => (read_input(path)?, path.to_owned()),
        None => (text.to_owned(), "its value".to_owned()),
    };
    // Only the position: a configuration may hold passwords.
    serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!(
            "--{flag}: {place} is not valid JSON at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

fn from_file(path: &str) -> Result<Map<String, Value>, Failure> {
    let text = read_input(path)?;
    match serde_yaml_ng::from_str(&text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Failure::Usage(format!("{path} must hold one object"))),
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            Err(Failure::Usage(format!("{path} is neither valid JSON nor YAML (line {line})")))
        }
    }
}

/// The JSON body from the flags given, `--file` below them. References are resolved through `client`.
pub(crate) fn body_of(noun: &Noun, matches: &ArgMatches, client: &Client) -> Result<Map<String, Value>, Failure> {
    let mut body = match matches.try_get_one::<String>("file") {
        Ok(Some(path)) => from_file(path)?,
        _ => Map::new(),
    };
    for field in noun.fields {
        if let Some(value) = value_of(field, matches, client)? {
            body.insert(field.key.to_owned(), value);
        }
    }
    if let Ok(Some(cleared)) = matches.try_get_many::<String>("clear") {
        for name in cleared {
            let known = noun.fields.iter().find(|field| field.flag == name || field.key == name);
            let field = known.ok_or_else(|| Failure::Usage(format!("--clear: there is no field {name}")))?;
            body.insert(field.key.to_owned(), Value::Null);
        }
    }
    Ok(body)
}

fn value_of(field: &Field, matches: &ArgMatches, client: &Client) -> Result<Option<Value>, Failure> {
    let flag = field.flag;
    // Not every verb has every flag.
    if !matches!(matches.try_contains_id(flag), Ok(true)) {
        return Ok(None);
    }
    let text = || matches.get_one::<String>(flag).map(String::as_str).unwrap_or_default();
    let texts = || matches.get_many::<String>(flag).into_iter().flatten();
    let target = |word: &str| {
        noun(word).ok_or_else(|| Failure::Local(format!("--{flag} points to {word}, which is not a kind of object")))
    };
    Ok(Some(match field.kind {
        Kind::Text => json!(text()),
        Kind::Int => json!(matches.get_one::<i64>(flag)),
        Kind::Bool => json!(matches.get_one::<bool>(flag)),
        // A single empty value empties the list.
        Kind::List => json!(texts().filter(|text| !text.is_empty()).collect::<Vec<_>>()),
        Kind::IntList => json!(matches.get_many::<i64>(flag).into_iter().flatten().collect::<Vec<_>>()),
        Kind::Map => matches
            .get_many::<(String, String)>(flag)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), Value::String(value.clone())))
            .collect::<Map<_, _>>()
            .into(),
        Kind::Json => json_value(flag, text())?,
        Kind::Algorithms => matches.get_many::<Value>(flag).into_iter().flatten().cloned().collect::<Vec<_>>().into(),
        Kind::Ref(word) => json!(id_of(client, target(word)?, text())?),
        Kind::RefList(word) => {
            let noun = target(word)?;
            json!(texts().map(|text| id_of(client, noun, text)).collect::<Result<Vec<_>, _>>()?)
        }
    }))
}

/// Names every required field that is missing, at once.
pub(crate) fn check_required(noun: &Noun, body: &Map<String, Value>) -> Result<(), Failure> {
    let missing: Vec<String> = noun
        .fields
        .iter()
        .filter(|field| field.required && body.get(field.key).is_none_or(Value::is_null))
        .map(|field| format!("--{}", field.flag))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::Usage(format!("missing: {}", missing.join(", ")))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Global, Settings};

    static THING: Noun = Noun {
        fields: &[
            Field::new("name", "name", Kind::Text, "").needed(),
            Field::new("days", "days", Kind::Int, "").needed(),
            Field::new("enabled", "enabled", Kind::Bool, ""),
            Field::new("san", "sans", Kind::List, ""),
            Field::new("threshold", "thresholds", Kind::IntList, ""),
            Field::new("tag", "tags", Kind::Map, ""),
            Field::new("config", "config", Kind::Json, ""),
            Field::new("key-algorithm", "allowed", Kind::Algorithms, ""),
        ],
        ..Noun::EMPTY
    };

    fn body(change: bool, line: &[&str]) -> Result<Value, Failure> {
        let command = add_flags(Command::new("t").no_binary_name(true), &THING, change);
        let matches = command.try_get_matches_from(line).map_err(|error| Failure::Usage(error.to_string()))?;
        let client =
            Client::new(&Settings::resolve(&Global { insecure: true, ..Global::default() }, &|_| None, None)?, "t")?;
        body_of(&THING, &matches, &client).map(Value::Object)
    }

    #[test]
    fn flags_become_json_of_their_kind() {
        let line = "--name n --days 7 --enabled=false --san a,b --san c --threshold 30,7 --tag k=v=w \
                    --key-algorithm ecdsa:384,RSA";
        let line: Vec<&str> = line.split_whitespace().chain(["--config", "{\"a\":[1]}"]).collect();
        let wanted = json!({
            "name": "n", "days": 7, "enabled": false, "sans": ["a", "b", "c"], "thresholds": [30, 7],
            "tags": {"k": "v=w"}, "config": {"a": [1]},
            "allowed": [{"algorithm": "ECDSA", "min_size": 384}, {"algorithm": "RSA", "min_size": 2048}],
        });
        assert_eq!(body(false, &line).unwrap(), wanted);
        assert_eq!(body(false, &["--enabled"]).unwrap(), json!({"enabled": true}));
        assert_eq!(body(false, &["--san", ""]).unwrap(), json!({"sans": []}));
    }

    #[test]
    fn only_given_flags_are_sent_and_cleared_ones_are_null() {
        assert_eq!(body(true, &["--days", "3"]).unwrap(), json!({"days": 3}));
        assert_eq!(
            body(true, &["--clear", "san", "--clear", "config"]).unwrap(),
            json!({"sans": null, "config": null})
        );
        assert_eq!(body(true, &["--clear", "nothing"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn file_is_the_base_and_flags_win() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("t.yaml");
        std::fs::write(&path, "name: from-file\ndays: 1\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(body(false, &["-f", path, "--days", "2"]).unwrap(), json!({"name": "from-file", "days": 2}));
    }

    #[test]
    fn broken_json_is_refused_without_repeating_it() {
        let error = body(false, &["--config", "{\"password\": topsecret}"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(!error.to_string().contains("topsecret"), "{error}");
    }

    #[test]
    fn all_missing_fields_are_named_at_once() {
        let error = check_required(&THING, &Map::new()).unwrap_err();
        assert_eq!(error.to_string(), "missing: --name, --days");
    }
}
