//! People who sign in.

use super::crud::{filters, list, paging};
use super::{Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{Call, destructive};
use crate::wire::{Method, Send};
use clap::Arg;
use serde_json::{Value, json};

const USERS: &str = "/api/v1/auth/users";

const SHAPE: Shape = Shape {
    narrow: &[
        column("ID", "id"),
        column("NAME", "display_name"),
        column("E-MAIL", "email"),
        column("STATE", "state"),
        column("LAST LOGIN", "last_login_at"),
    ],
    wide: &[
        column("PROVIDER", "oidc_provider_id"),
        column("SUBJECT", "oidc_subject"),
        column("GROUPS", "idp_groups"),
        column("CREATED", "created_at"),
        column("DEACTIVATED", "deactivated_at"),
        column("PURGED", "purged_at"),
    ],
    name: "id",
};

/// Filters of the list.
static PEOPLE: Noun = Noun {
    filters: &[
        ("q", "Part of the id, address or name"),
        ("oidc-provider-id", "Only people of this provider"),
        ("state", "active, deactivated or purged"),
    ],
    ..Noun::EMPTY
};

fn user_arg() -> Arg {
    Arg::new("user").value_name("USER").required(true).help("Id of the person, which begins with u-")
}

fn user_of<'a>(call: &'a Call) -> &'a str {
    call.text("user").unwrap_or_default()
}

pub(crate) static LIST_USERS: Verb = Verb {
    word: "users list",
    aliases: &["ls"],
    about: "List people who signed in; the trail tells that you looked",
    needs: Needs::Permission("auth.user.read"),
    examples: ["auth users list", "auth users list --state deactivated -o csv"],
    exits: &[9],
    args: |command, _| {
        paging(command.args(
            PEOPLE.filters.iter().map(|(flag, help)| Arg::new(*flag).long(*flag).value_name("VALUE").help(*help)),
        ))
    },
    run: |call| list(call, &call.client()?, USERS, &SHAPE, filters(&PEOPLE, call.matches)),
};

pub(crate) static GET_USER: Verb = Verb {
    word: "users get",
    aliases: &["show"],
    about: "Show a person",
    needs: Needs::Permission("auth.user.read"),
    examples: ["auth users get u-01", "auth users get u-01 -o json"],
    exits: &[7],
    args: |command, _| command.arg(user_arg()),
    run: |call| call.show_as(&SHAPE, &call.client()?.get(&Send::to(USERS, &[user_of(call)]))?),
};

/// Does something to a person that can't be taken back as easily.
fn act(call: &Call, action: &str, method: Method, verb: Option<&str>, done: &str) -> Result<(), Failure> {
    let client = call.client()?;
    let id = user_of(call);
    let user = client.get(&Send::to(USERS, &[id]))?;
    let plan = json!({"id": id, "name": user["display_name"], "status": user["state"]});
    if !call.go_ahead(action, &[plan])? {
        return Ok(());
    }
    let rest: Vec<&str> = std::iter::once(id).chain(verb).collect();
    client.send(method, &Send::to(USERS, &rest))?;
    call.report(&format!("{done} {id}"), &json!({"status": done, "id": id}))
}

pub(crate) static DEACTIVATE_USER: Verb = Verb {
    word: "users deactivate",
    aliases: &[],
    about: "Shut a person out: sessions and keys end at once",
    needs: Needs::Permission("auth.user.deactivate"),
    examples: ["auth users deactivate u-01", "auth users deactivate u-01 --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(user_arg())),
    run: |call| act(call, "shut this person out", Method::Delete, None, "deactivated"),
};

pub(crate) static REACTIVATE_USER: Verb = Verb {
    word: "users reactivate",
    aliases: &[],
    about: "Let a person in again; sessions and keys stay ended",
    needs: Needs::Permission("auth.user.deactivate"),
    examples: ["auth users reactivate u-01", "auth users reactivate u-01 -o json"],
    exits: &[7, 8],
    args: |command, _| command.arg(user_arg()),
    run: |call| {
        let id = user_of(call);
        call.client()?.send(Method::Post, &Send::to(USERS, &[id, "reactivate"]))?;
        call.report(&format!("reactivated {id}"), &json!({"status": "reactivated", "id": id}))
    },
};

pub(crate) static PURGE_USER: Verb = Verb {
    word: "users purge",
    aliases: &[],
    about: "Remove the personal data of a person who was shut out; it can't be undone",
    needs: Needs::Permission("auth.user.deactivate"),
    examples: ["auth users purge u-01", "auth users purge u-01 --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(user_arg())),
    run: |call| act(call, "remove this person's data for good", Method::Post, Some("purge"), "purged"),
};

pub(crate) static EXPORT_USER: Verb = Verb {
    word: "users export",
    aliases: &[],
    about: "Print everything that is kept about a person",
    needs: Needs::Permission("auth.user.deactivate, audit.read"),
    examples: ["auth users export u-01 > u-01.json", "auth users export u-01 -o yaml"],
    exits: &[7],
    args: |command, _| command.arg(user_arg()),
    run: |call| {
        let document: Value = call.client()?.get(&Send::to(USERS, &[user_of(call), "export"]))?;
        let format = match call.format()? {
            crate::settings::Format::Yaml => crate::settings::Format::Yaml,
            _ => crate::settings::Format::Json,
        };
        crate::render::print(crate::render::object(format, &SHAPE, &document)?.as_bytes())
    },
};
