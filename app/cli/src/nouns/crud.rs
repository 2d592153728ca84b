//! The plain verbs, for whatever the table says.

use super::fields::{add_flags, body_of, check_required};
use super::{Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::Shape;
use crate::run::{Call, destructive};
use crate::wire::{Client, Limit, Method, Send, fetch, id_of, object_of};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// Listing shown on a terminal when nothing else is asked for.
const SCREENFUL: usize = 500;

/// List.
pub(crate) static LIST: Verb = Verb {
    word: "list",
    aliases: &["ls"],
    about: "List {noun}",
    needs: Needs::Read,
    examples: ["{noun} list", "{noun} list --limit 20 -o json"],
    exits: &[9],
    args: |command, noun| {
        let mut command = command;
        for (flag, help) in noun.filters {
            command = command.arg(Arg::new(*flag).long(*flag).value_name("VALUE").help(*help));
        }
        paging(command)
    },
    run: |call| {
        let client = call.client()?;
        list(call, &client, call.noun.path, &call.noun.shape, filters(call.noun, call.matches))
    },
};

/// Get.
pub(crate) static GET: Verb = Verb {
    word: "get",
    aliases: &["show"],
    about: "Show {a} {one}",
    needs: Needs::Read,
    examples: ["{noun} get ID", "{noun} get ID -o yaml"],
    exits: &[7, 8],
    args: with_id,
    run: |call| {
        let object = object_of(&call.client()?, call.noun, the_id(call))?;
        call.show(&object)
    },
};

/// Create.
pub(crate) static CREATE: Verb = Verb {
    word: "create",
    aliases: &["add"],
    about: "Create {a} {one}",
    needs: Needs::Edit,
    examples: ["{noun} create --name example", "{noun} create --file {noun}.yaml"],
    exits: &[7, 8, 9],
    args: |command, noun| add_flags(command, noun, false),
    run: |call| {
        let client = call.client()?;
        let body = body_of(call.noun, call.matches, &client)?;
        check_required(call.noun, &body)?;
        let created = client.post(&Send::to(call.noun.path, &[]).body(Value::Object(body)))?;
        call.show(&created)
    },
};

/// Update.
pub(crate) static UPDATE: Verb = Verb {
    word: "update",
    aliases: &["edit"],
    about: "Change fields of {a} {one}; what isn't named stays",
    needs: Needs::Edit,
    examples: ["{noun} update ID --name example", "{noun} update ID --file changes.yaml"],
    exits: &[7, 8, 9],
    args: |command, noun| add_flags(with_id(command, noun), noun, true),
    run: |call| {
        let client = call.client()?;
        let body = body_of(call.noun, call.matches, &client)?;
        if body.is_empty() {
            return Err(Failure::Usage("nothing to change; name a field, such as --name".to_owned()));
        }
        let id = id_of(&client, call.noun, the_id(call))?;
        let updated = client.send(Method::Put, &Send::to(call.noun.path, &[&id]).body(Value::Object(body)))?.json()?;
        call.show(&updated)
    },
};

/// Delete.
pub(crate) static DELETE: Verb = Verb {
    word: "delete",
    aliases: &["rm"],
    about: "Delete {a} {one}",
    needs: Needs::Delete,
    examples: ["{noun} delete ID", "{noun} delete ID --yes"],
    exits: &[7, 8],
    args: |command, noun| destructive(with_id(command, noun)),
    run: |call| {
        let client = call.client()?;
        let object = object_of(&client, call.noun, the_id(call))?;
        let id = id_in(&object)?;
        if !call.go_ahead(&format!("delete this {}", call.noun.singular), std::slice::from_ref(&object))? {
            return Ok(());
        }
        client.send(Method::Delete, &Send::to(call.noun.path, &[id]))?;
        call.report(&format!("deleted {} {id}", call.noun.singular), &json!({"status": "deleted", "id": id}))
    },
};

/// Adds the positional `ID`.
pub(crate) fn with_id(command: Command, noun: &'static Noun) -> Command {
    let help = if noun.named { "Its id or name" } else { "Its id" };
    command.arg(Arg::new("id").value_name("ID").required(true).help(help))
}

/// The positional `ID`.
pub(crate) fn the_id<'a>(call: &'a Call) -> &'a str {
    call.text("id").unwrap_or_default()
}

/// The `id` member of an object.
pub(crate) fn id_in(object: &Value) -> Result<&str, Failure> {
    object.get("id").and_then(Value::as_str).ok_or_else(|| Failure::Network("the server's answer has no id".to_owned()))
}

/// Flags of every list.
pub(crate) fn paging(command: Command) -> Command {
    command.args([
        Arg::new("limit")
            .long("limit")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..))
            .help("At most so many rows [default: 500 on a terminal, else all]"),
        Arg::new("page")
            .long("page")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..))
            .help("One page only")
            .conflicts_with("limit"),
        Arg::new("per-page")
            .long("per-page")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..=500))
            .help("Listing of that page [default: 50]")
            .conflicts_with("limit"),
        Arg::new("sort")
            .long("sort")
            .value_name("FIELD")
            .allow_hyphen_values(true)
            .help("Order, as the server knows it; - before it turns it round"),
        Arg::new("fields")
            .long("fields")
            .value_name("FIELD,…")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .help("Only these members; they become the columns"),
        Arg::new("field-selector")
            .long("field-selector")
            .value_name("KEY=VALUE")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(|text: &str| match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err("write KEY=VALUE".to_owned()),
            })
            .help("Any filter that the server knows"),
    ])
}

/// The noun's filters that were given, as query parameters.
pub(crate) fn filters(noun: &Noun, matches: &ArgMatches) -> Vec<(String, String)> {
    noun.filters
        .iter()
        .filter_map(|(flag, _)| {
            let value = matches.try_get_one::<String>(flag).ok().flatten()?;
            Some((flag.replace('-', "_"), value.clone()))
        })
        .collect()
}

/// Fetches and prints a list with the flags of [`paging`].
pub(crate) fn list(
    call: &Call,
    client: &Client,
    path: &str,
    shape: &Shape,
    mut query: Vec<(String, String)>,
) -> Result<(), Failure> {
    let number = |name: &str| call.matches.try_get_one::<u32>(name).ok().flatten().copied();
    let limit = match (number("page"), number("per-page"), number("limit")) {
        (None, None, Some(limit)) => Limit::Rows(limit as usize),
        (None, None, None) if std::io::stdout().is_terminal() => Limit::Rows(SCREENFUL),
        (None, None, None) => Limit::None,
        (page, per_page, _) => Limit::Page(page.unwrap_or(1), per_page.unwrap_or(50)),
    };
    if let Some(sort) = call.text("sort") {
        query.push(("sort".to_owned(), sort.to_owned()));
    }
    let fields: Vec<String> = call.matches.get_many::<String>("fields").into_iter().flatten().cloned().collect();
    if !fields.is_empty() && call.noun.projects && path == call.noun.path {
        query.push(("fields".to_owned(), fields.join(",")));
    }
    query.extend(call.matches.get_many::<(String, String)>("field-selector").into_iter().flatten().cloned());
    let mut rows = fetch(client, path, &query, limit)?;
    if !fields.is_empty() {
        // Not every list of the server cuts rows to fields.
        for row in rows.rows.iter_mut().filter_map(Value::as_object_mut) {
            row.retain(|key, _| fields.contains(key));
        }
    }
    call.show_list(shape, &rows, &fields)?;
    if rows.cut {
        let total = rows.total.map(|total| format!(" of {total}")).unwrap_or_default();
        eprintln!("{}{total} shown; --limit N shows more", rows.rows.len());
    }
    Ok(())
}
