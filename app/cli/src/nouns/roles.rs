//! Roles, who holds them, and why somebody may do something.

use super::crud::{list, paging};
use super::{Needs, Verb};
use crate::ask;
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{Call, destructive};
use crate::wire::{Client, Limit, Listing, Method, Send, fetch};
use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};

const ROLES: &str = "/api/v1/auth/roles";
const KEYS: &str = "/api/v1/auth/keys";
const ACTORS: &str = "/api/v1/auth/actors";
/// The demo mode's principal; its roles can't be changed.
const DEMO: &str = "actor-demo-anon";

const ROLE_SHAPE: Shape = Shape {
    narrow: &[column("ID", "id"), column("NAME", "name"), column("DESCRIPTION", "description")],
    wide: &[column("SYSTEM", "system"), column("CREATED", "created_at"), column("UPDATED", "updated_at")],
    name: "id",
};

const ROLE_DETAIL: Shape = Shape {
    narrow: &[
        column("ID", "id"),
        column("NAME", "name"),
        column("DESCRIPTION", "description"),
        column("SYSTEM", "system"),
        column("PERMISSIONS", "permissions"),
    ],
    wide: &[],
    name: "id",
};

const HOLDER_SHAPE: Shape = Shape {
    narrow: &[column("ACTOR", "actor_id"), column("TYPE", "actor_type"), column("ROLES", "role_ids")],
    wide: &[column("TENANT", "tenant_id")],
    name: "actor_id",
};

const WHY_SHAPE: Shape = Shape {
    narrow: &[
        column("ACTOR", "actor_id"),
        column("PERMISSION", "permission"),
        column("SCOPE", "scope_type"),
        column("SCOPE ID", "scope_id"),
        column("ALLOWED", "allowed"),
        column("REASON", "reason"),
        column("DECIDED BY", "decided_by"),
        column("NEAR MISSES", "near_misses"),
    ],
    wide: &[],
    name: "allowed",
};

const SCOPE_DOWN_SHAPE: Shape = Shape {
    narrow: &[
        column("ACTOR", "actor_id"),
        column("TYPE", "actor_type"),
        column("HOLDS", "current_roles"),
        column("WOULD DO", "suggested_roles"),
        column("WORTH IT", "useful"),
    ],
    wide: &[column("GIVES UP", "given_up"), column("NOT COVERED", "uncovered"), column("SINCE", "since")],
    name: "actor_id",
};

/// What `auth` can do with roles and their holders.
pub(crate) static LIST_ROLES: Verb = Verb {
    word: "roles list",
    aliases: &[],
    about: "List roles",
    needs: Needs::Permission("auth.role.list"),
    examples: ["auth roles list", "auth roles list -o name"],
    exits: &[],
    args: |command, _| paging(command),
    run: |call| list(call, &call.client()?, ROLES, &ROLE_SHAPE, Vec::new()),
};

pub(crate) static GET_ROLE: Verb = Verb {
    word: "roles get",
    aliases: &["show"],
    about: "Show a role with its permissions",
    needs: Needs::Permission("auth.role.list"),
    examples: ["auth roles get viewer", "auth roles get r-operator -o json"],
    exits: &[7],
    args: |command, _| command.arg(role_arg()),
    run: |call| {
        let client = call.client()?;
        let id = role_id(&client, call.text("role").unwrap_or_default())?;
        show_role(call, &client.get(&Send::to(ROLES, &[&id]))?)
    },
};

pub(crate) static CREATE_ROLE: Verb = Verb {
    word: "roles create",
    aliases: &["add"],
    about: "Create a role, empty or as a clone of another",
    needs: Needs::Permission("auth.role.create"),
    examples: ["auth roles create --name on-call --clone-of viewer", "auth roles create --name on-call"],
    exits: &[7, 8, 9],
    args: |command, _| {
        command.args([
            Arg::new("name").long("name").required(true).value_name("NAME").help("Name of the role"),
            description_arg(),
            Arg::new("clone-of").long("clone-of").value_name("ROLE").help("Role whose permissions it starts with"),
        ])
    },
    run: |call| {
        let mut body = json!({"name": call.text("name")});
        if let Some(text) = call.text("description") {
            body["description"] = json!(text);
        }
        if let Some(role) = call.text("clone-of") {
            body["clone_of"] = json!(role);
        }
        call.show_as(&ROLE_SHAPE, &call.client()?.post(&Send::to(ROLES, &[]).body(body))?)
    },
};

pub(crate) static UPDATE_ROLE: Verb = Verb {
    word: "roles update",
    aliases: &["edit"],
    about: "Change a role's name or description",
    needs: Needs::Permission("auth.role.edit"),
    examples: ["auth roles update on-call --description \"weekends\"", "auth roles update r-1 --name on-call"],
    exits: &[7, 8, 9],
    args: |command, _| {
        command.args([role_arg(), Arg::new("name").long("name").value_name("NAME").help("New name"), description_arg()])
    },
    run: |call| {
        let mut body = Map::new();
        for member in ["name", "description"] {
            if let Some(text) = call.text(member) {
                body.insert(member.to_owned(), json!(text));
            }
        }
        if body.is_empty() {
            return Err(Failure::Usage("nothing to change; name --name or --description".to_owned()));
        }
        let client = call.client()?;
        let id = role_id(&client, call.text("role").unwrap_or_default())?;
        let role = client.send(Method::Put, &Send::to(ROLES, &[&id]).body(Value::Object(body)))?.json()?;
        call.show_as(&ROLE_SHAPE, &role)
    },
};

pub(crate) static DELETE_ROLE: Verb = Verb {
    word: "roles delete",
    aliases: &["rm"],
    about: "Delete a role that nobody holds",
    needs: Needs::Permission("auth.role.delete"),
    examples: ["auth roles delete on-call", "auth roles delete on-call --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(role_arg())),
    run: |call| {
        let client = call.client()?;
        let id = role_id(&client, call.text("role").unwrap_or_default())?;
        let found = client.get(&Send::to(ROLES, &[&id]))?;
        if !call.go_ahead("delete this role", &[found["role"].clone()])? {
            return Ok(());
        }
        client.send(Method::Delete, &Send::to(ROLES, &[&id]))?;
        call.report(&format!("deleted role {id}"), &json!({"status": "deleted", "id": id}))
    },
};

const PERMISSION_SHAPE: Shape = Shape {
    narrow: &[column("PERMISSION", "name"), column("NAMESPACE", "namespace")],
    wide: &[column("ID", "id")],
    name: "name",
};

pub(crate) static LIST_PERMISSIONS: Verb = Verb {
    word: "permissions list",
    aliases: &[],
    about: "List every permission there is",
    needs: Needs::Credential,
    examples: ["auth permissions list", "auth permissions list -o name"],
    exits: &[],
    args: |command, _| paging(command),
    run: |call| list(call, &call.client()?, "/api/v1/auth/permissions", &PERMISSION_SHAPE, Vec::new()),
};

pub(crate) static ADD_PERMISSION: Verb = Verb {
    word: "permissions add",
    aliases: &[],
    about: "Add a permission to a role; you must hold it yourself",
    needs: Needs::Permission("auth.role.edit"),
    examples: [
        "auth permissions add on-call cert.revoke",
        "auth permissions add on-call cert.issue --scope-type profile --scope-id prof-web",
    ],
    exits: &[7, 8, 9],
    args: |command, _| scope_args(command.args([role_arg(), permission_arg()])),
    run: |call| {
        let client = call.client()?;
        let id = role_id(&client, call.text("role").unwrap_or_default())?;
        let name = call.text("permission").unwrap_or_default();
        let mut body = json!({"permission": name});
        scope_into(call, &mut body);
        client.post(&Send::to(ROLES, &[&id, "permissions"]).body(body))?;
        call.report(&format!("added {name} to {id}"), &json!({"status": "added", "role_id": id, "permission": name}))
    },
};

pub(crate) static REMOVE_PERMISSION: Verb = Verb {
    word: "permissions remove",
    aliases: &["rm"],
    about: "Take a permission from a role",
    needs: Needs::Permission("auth.role.edit"),
    examples: [
        "auth permissions remove on-call cert.revoke",
        "auth permissions remove on-call cert.issue --scope-type profile --scope-id prof-web",
    ],
    exits: &[7, 8, 9],
    args: |command, _| scope_args(command.args([role_arg(), permission_arg()])),
    run: |call| {
        let client = call.client()?;
        let id = role_id(&client, call.text("role").unwrap_or_default())?;
        let name = call.text("permission").unwrap_or_default();
        let path = [id.as_str(), "permissions", name];
        client.send(Method::Delete, &scope_query(call, Send::to(ROLES, &path)))?;
        call.report(
            &format!("removed {name} from {id}"),
            &json!({"status": "removed", "role_id": id, "permission": name}),
        )
    },
};

pub(crate) static LIST_HOLDERS: Verb = Verb {
    word: "keys list",
    aliases: &[],
    about: "List who holds which roles",
    needs: Needs::Permission("auth.key.list"),
    examples: ["auth keys list", "auth keys list -o json"],
    exits: &[],
    args: |command, _| paging(command),
    run: |call| list(call, &call.client()?, KEYS, &HOLDER_SHAPE, Vec::new()),
};

pub(crate) static ASSIGN: Verb = Verb {
    word: "keys assign",
    aliases: &["grant"],
    about: "Give a role to the caller of an API key, a user or an agent; you must hold all that it permits",
    needs: Needs::Permission("auth.role.assign"),
    examples: [
        "auth keys assign ci-deploy --role operator --scope-type profile --scope-id prof-web",
        "auth keys assign User:u-1 --role viewer --expires-at 2030-01-01T00:00:00Z",
    ],
    exits: &[7, 8, 9],
    args: |command, _| {
        let expires = Arg::new("expires-at").long("expires-at").value_name("TIME").help("When it ends (RFC 3339)");
        scope_args(command.args([actor_arg(), held_role_arg(), expires]))
    },
    run: |call| {
        let (kind, id) = actor(call.text("actor").unwrap_or_default());
        let role = call.text("role").unwrap_or_default();
        let mut body = json!({"role_id": role});
        scope_into(call, &mut body);
        if let Some(time) = call.text("expires-at") {
            body["expires_at"] = json!(time);
        }
        let grant = call.client()?.post(&Send::to(ACTORS, &[kind, id, "roles"]).body(body))?;
        call.report(&format!("granted {role} to {id}"), &grant)
    },
};

pub(crate) static REVOKE: Verb = Verb {
    word: "keys revoke",
    aliases: &[],
    about: "Take a role back; without a scope, in every scope",
    needs: Needs::Permission("auth.role.revoke"),
    examples: [
        "auth keys revoke ci-deploy --role operator",
        "auth keys revoke ci-deploy --role operator --scope-type profile --scope-id prof-web",
    ],
    exits: &[7, 8, 9],
    args: |command, _| scope_args(command.args([actor_arg(), held_role_arg()])),
    run: |call| {
        let (kind, id) = actor(call.text("actor").unwrap_or_default());
        let role = call.text("role").unwrap_or_default();
        let path = [kind, id, "roles", role];
        call.client()?.send(Method::Delete, &scope_query(call, Send::to(ACTORS, &path)))?;
        call.report(
            &format!("revoked {role} from {id}"),
            &json!({"status": "revoked", "actor_id": id, "role_id": role}),
        )
    },
};

pub(crate) static SCOPE_DOWN: Verb = Verb {
    word: "keys scope-down",
    aliases: &[],
    about: "Exchange roles for smaller ones: asked for each, from a file, or from what was really used",
    needs: Needs::Permission("auth.role.assign"),
    examples: ["auth keys scope-down --suggest", "auth keys scope-down --non-interactive roles.json --yes"],
    exits: &[5, 7, 8, 9],
    args: |command, _| {
        command.args([
            Arg::new("non-interactive")
                .long("non-interactive")
                .value_name("FILE")
                .conflicts_with("suggest")
                .help("JSON object of actor to role; an empty role takes everything back"),
            Arg::new("suggest")
                .long("suggest")
                .action(ArgAction::SetTrue)
                .help("Show the least roles that give what was used"),
            Arg::new("apply").long("apply").action(ArgAction::SetTrue).requires("suggest").help("Take the suggestions"),
            Arg::new("days")
                .long("days")
                .value_name("N")
                .value_parser(clap::value_parser!(u32).range(1..=3650))
                .help("How far back use counts [default: 90]"),
            Arg::new("yes").short('y').long("yes").action(ArgAction::SetTrue).help("Don't ask"),
        ])
    },
    run: scope_down,
};

pub(crate) static EXPLAIN: Verb = Verb {
    word: "explain",
    aliases: &["why"],
    about: "Show which grant lets you, or somebody else, do something, or why none does",
    needs: Needs::Credential,
    examples: [
        "auth explain cert.revoke --scope-type profile --scope-id prof-web",
        "auth explain cert.revoke --actor ci-deploy",
    ],
    exits: &[4, 7, 9],
    args: |command, _| {
        let other = Arg::new("actor").long("actor").value_name("ACTOR").help("Somebody else: a key's name, or TYPE:ID");
        scope_args(command.args([permission_arg(), other]))
    },
    run: |call| {
        let mut request =
            Send::to("/api/v1/auth/explain", &[]).query("permission", call.text("permission").unwrap_or_default());
        if let Some(text) = call.text("actor") {
            let (kind, id) = actor(text);
            request = request.query("actor_type", kind).query("actor_id", id);
        }
        let mut why = call.client()?.get(&scope_query(call, request))?;
        if for_people(call)? {
            if let Some(by) = why.get("decided_by").filter(|by| by.is_object()) {
                why["decided_by"] = json!(grant_line(by));
            }
            let near: Vec<String> = rows(&why, "near_misses")
                .map(|miss| format!("{} ({})", grant_line(miss), text_of(miss, "obstacle")))
                .collect();
            why["near_misses"] = json!(near);
        }
        call.show_as(&WHY_SHAPE, &why)
    },
};

fn role_arg() -> Arg {
    Arg::new("role").value_name("ROLE").required(true).help("Its id or name: viewer and r-viewer are the same")
}

fn held_role_arg() -> Arg {
    Arg::new("role").long("role").value_name("ROLE").required(true).help("The role: viewer and r-viewer are the same")
}

fn permission_arg() -> Arg {
    Arg::new("permission").value_name("PERMISSION").required(true).help("Name of the permission, such as cert.revoke")
}

fn actor_arg() -> Arg {
    Arg::new("actor").value_name("ACTOR").required(true).help("Name of a key, or User:ID, Agent:ID")
}

fn description_arg() -> Arg {
    Arg::new("description").long("description").value_name("TEXT").help("For people")
}

pub(super) fn scope_args(command: Command) -> Command {
    command.args([
        Arg::new("scope-type")
            .long("scope-type")
            .value_name("TYPE")
            .value_parser(["global", "profile", "issuer"])
            .help("Where it holds [default: global]"),
        Arg::new("scope-id").long("scope-id").value_name("ID").requires("scope-type").help("The profile or issuer"),
    ])
}

pub(super) fn scope_into(call: &Call, body: &mut Value) {
    for (flag, member) in [("scope-type", "scope_type"), ("scope-id", "scope_id")] {
        if let Some(text) = call.text(flag) {
            body[member] = json!(text);
        }
    }
}

fn scope_query<'a>(call: &Call, mut request: Send<'a>) -> Send<'a> {
    for (flag, parameter) in [("scope-type", "scope_type"), ("scope-id", "scope_id")] {
        if let Some(text) = call.text(flag) {
            request = request.query(parameter, text);
        }
    }
    request
}

fn for_people(call: &Call) -> Result<bool, Failure> {
    Ok(matches!(call.format()?, crate::settings::Format::Table | crate::settings::Format::Wide))
}

pub(super) fn text_of<'a>(object: &'a Value, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn rows<'a>(object: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    object.get(member).and_then(Value::as_array).into_iter().flatten()
}

fn scope_line(object: &Value, kind: &str, id: &str) -> String {
    [text_of(object, kind), text_of(object, id)].join(" ").trim().to_owned()
}

fn grant_line(deciding: &Value) -> String {
    let grant = &deciding["grant"];
    let line = format!("{} @ {}", text_of(grant, "role_id"), scope_line(grant, "scope_type", "scope_id"));
    let within = scope_line(deciding, "permission_scope_type", "permission_scope_id");
    let within = if within == "global" { String::new() } else { format!(", in the role for {within}") };
    let end = grant.get("expires_at").and_then(Value::as_str).map(|end| format!(", until {end}")).unwrap_or_default();
    format!("{line}{within}, {} by {}{end}", text_of(grant, "source"), text_of(grant, "granted_by"))
}

/// `ci-deploy` is a key's caller; `User:u-1` names the kind.
fn actor(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((kind @ ("APIKey" | "User" | "Agent" | "System" | "Anonymous"), id)) => (kind, id),
        _ => ("APIKey", text),
    }
}

/// The id of the role that is meant: by id, by name without regard to case, or a default role without its `r-`.
pub(super) fn role_id(client: &Client, text: &str) -> Result<String, Failure> {
    let listed = fetch(client, ROLES, &[], Limit::None)?.rows;
    let by_id = listed.iter().find(|role| text_of(role, "id") == text);
    let found = by_id.or_else(|| listed.iter().find(|role| text_of(role, "name").eq_ignore_ascii_case(text)));
    found
        .map(|role| text_of(role, "id").to_owned())
        .ok_or_else(|| Failure::NotFound { kind: "role", text: text.to_owned() })
}

fn show_role(call: &Call, detail: &Value) -> Result<(), Failure> {
    if !for_people(call)? {
        return call.show_as(&ROLE_DETAIL, detail);
    }
    let mut role = detail["role"].clone();
    let permissions: Vec<String> = rows(detail, "permissions")
        .map(|entry| {
            let scope = scope_line(entry, "scope_type", "scope_id");
            let name = text_of(entry, "permission");
            if scope == "global" { name.to_owned() } else { format!("{name} @ {scope}") }
        })
        .collect();
    role["permissions"] = json!(permissions);
    call.show_as(&ROLE_DETAIL, &role)
}

/// An exchange of roles.
struct Exchange {
    kind: String,
    id: String,
    roles: Vec<String>,
}

fn scope_down(call: &Call) -> Result<(), Failure> {
    let client = call.client()?;
    let holders: Vec<Value> = fetch(&client, KEYS, &[], Limit::None)?
        .rows
        .into_iter()
        .filter(|holder| text_of(holder, "actor_id") != DEMO && text_of(holder, "actor_type") != "System")
        .collect();
    let exchanges = if call.switch("suggest") {
        let suggestions = suggestions(call, &client, &holders)?;
        if !call.switch("apply") {
            return call.show_list(&SCOPE_DOWN_SHAPE, &listing(suggestions), &[]);
        }
        suggestions
            .iter()
            .filter(|found| found["useful"] == json!(true) && rows(found, "used").next().is_some())
            .map(|found| Exchange {
                kind: text_of(found, "actor_type").to_owned(),
                id: text_of(found, "actor_id").to_owned(),
                roles: rows(found, "suggested_roles").filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            })
            .collect()
    } else if let Some(path) = call.text("non-interactive") {
        from_file(path)?
    } else {
        ask_for_each(&holders)?
    };
    let (changes, kept) = settle(exchanges, &holders);
    let plan: Vec<Value> = changes
        .iter()
        .map(|change| json!({"id": change.id, "type": change.kind, "name": change.roles.join(",")}))
        .collect();
    if !changes.is_empty() && !call.go_ahead("exchange the roles of", &plan)? {
        return Ok(());
    }
    for change in &changes {
        let roles: Vec<Value> = change.roles.iter().map(|role| json!({"role_id": role})).collect();
        let path = [change.kind.as_str(), change.id.as_str(), "roles"];
        client.send(Method::Put, &Send::to(ACTORS, &path).body(json!({"roles": roles})))?;
        eprintln!("{}: {}", crate::render::safe(&change.id), change.roles.join(", "));
    }
    let kept = kept + holders.len().saturating_sub(changes.len() + kept);
    call.report(&format!("{} changed, {kept} kept", changes.len()), &json!({"changed": changes.len(), "kept": kept}))
}

fn listing(rows: Vec<Value>) -> Listing {
    Listing { total: Some(rows.len() as u64), rows, ..Listing::default() }
}

fn suggestions(call: &Call, client: &Client, holders: &[Value]) -> Result<Vec<Value>, Failure> {
    let days = call.matches.get_one::<u32>("days").map(ToString::to_string);
    holders
        .iter()
        .map(|holder| {
            let path = [text_of(holder, "actor_type"), text_of(holder, "actor_id"), "scope-down"];
            let mut request = Send::to(ACTORS, &path);
            if let Some(days) = &days {
                request = request.query("days", days);
            }
            client.get(&request)
        })
        .collect()
}

fn from_file(path: &str) -> Result<Vec<Exchange>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Local(format!("{path}: {error}")))?;
    let wanted: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{path} is not a JSON object of actor to role: {error}")))?;
    wanted
        .into_iter()
        .map(|(name, role)| {
            let role = role
                .as_str()
                .ok_or_else(|| Failure::Usage(format!("{path}: the role of {name} is not a text")))?
                .trim();
            let (kind, id) = actor(&name);
            let roles = if role.is_empty() { Vec::new() } else { vec![role.to_owned()] };
            Ok(Exchange { kind: kind.to_owned(), id: id.to_owned(), roles })
        })
        .collect()
}

fn ask_for_each(holders: &[Value]) -> Result<Vec<Exchange>, Failure> {
    if !ask::somebody() {
        return Err(Failure::Usage("without a terminal to ask on, use --suggest or --non-interactive FILE".to_owned()));
    }
    let mut out = Vec::new();
    for holder in holders {
        let (kind, id) = (text_of(holder, "actor_type"), text_of(holder, "actor_id"));
        let held: Vec<&str> = rows(holder, "role_ids").filter_map(Value::as_str).collect();
        let question = format!("{kind} {id} holds {}; new role, or empty to keep", held.join(", "));
        let role = ask::line(&crate::render::safe(&question))?;
        if !role.is_empty() {
            out.push(Exchange { kind: kind.to_owned(), id: id.to_owned(), roles: vec![role] });
        }
    }
    Ok(out)
}

fn full(role: &str) -> String {
    const SHORT: [&str; 8] = ["admin", "operator", "viewer", "agent", "mcp", "cli", "auditor", "approver"];
    if SHORT.contains(&role) { format!("r-{role}") } else { role.to_owned() }
}

/// Leaves out those who hold exactly what they shall hold; counts them.
fn settle(exchanges: Vec<Exchange>, holders: &[Value]) -> (Vec<Exchange>, usize) {
    let before = exchanges.len();
    let changes: Vec<Exchange> = exchanges
        .into_iter()
        .filter(|change| {
            let holder = holders.iter().find(|holder| {
                text_of(holder, "actor_id") == change.id && text_of(holder, "actor_type") == change.kind
            });
            let mut held: Vec<String> =
                holder.into_iter().flat_map(|h| rows(h, "role_ids")).filter_map(Value::as_str).map(full).collect();
            let mut wanted: Vec<String> = change.roles.iter().map(|role| full(role)).collect();
            held.sort();
            wanted.sort();
            held != wanted
        })
        .collect();
    let kept = before - changes.len();
    (changes, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_keys_unless_another_kind_is_named() {
        assert_eq!(actor("ci-deploy"), ("APIKey", "ci-deploy"));
        assert_eq!(actor("User:u-1"), ("User", "u-1"));
        assert_eq!(actor("odd:name"), ("APIKey", "odd:name"));
    }

    #[test]
    fn who_holds_exactly_the_wanted_role_is_kept_however_it_is_spelt() {
        let holders = [
            json!({"actor_id": "a", "actor_type": "APIKey", "role_ids": ["r-viewer"]}),
            json!({"actor_id": "b", "actor_type": "APIKey", "role_ids": ["r-admin", "r-viewer"]}),
        ];
        let change = |id: &str, roles: &[&str]| Exchange {
            kind: "APIKey".to_owned(),
            id: id.to_owned(),
            roles: roles.iter().map(ToString::to_string).collect(),
        };
        let (changes, kept) =
            settle(vec![change("a", &["viewer"]), change("b", &["viewer"]), change("c", &["r-viewer"])], &holders);
        assert_eq!((changes.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), kept), (vec!["b", "c"], 1));
    }
}
