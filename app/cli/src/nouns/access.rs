//! Keys, the audit trail, the caller, the server itself.

use super::crud::{DELETE, LIST, id_in, the_id, with_id};
use super::{Needs, Noun, Verb, apply_auth, no_args, people, providers, roles};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::Call;
use crate::wire::{Send, object_of};
use clap::{Arg, ArgAction, ArgGroup};
use serde_json::{Value, json};
use std::path::Path;

/// API keys.
pub(crate) static KEYS: Noun = Noun {
    word: "keys",
    aliases: &["key", "api-keys", "api-key"],
    singular: "API key",
    about: "API keys: who may call the server",
    path: "/api/v1/auth/api-keys",
    has_get: false,
    named: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("NAME", "name"),
            column("ROLES", "roles"),
            column("EXPIRES", "expires_at"),
            column("LAST USED", "last_used_at"),
        ],
        wide: &[
            column("CREATED", "created_at"),
            column("CREATED BY", "created_by"),
            column("SOURCE", "source"),
            column("OWNER", "owner_user_id"),
            column("DISABLED", "disabled"),
            column("ENDS WITH SUCCESSOR", "overlap_until"),
        ],
        name: "id",
    },
    permissions: ["auth.key.list", "auth.key.create", "auth.key.delete"],
    verbs: &[&LIST, &CREATE_KEY, &UPDATE_KEY, &ROTATE, &DELETE],
    ..Noun::EMPTY
};

fn owner() -> Arg {
    Arg::new("owner")
        .long("owner")
        .value_name("PERSON")
        .help("Person who holds the key; only such keys decide approvals")
}

fn key_out() -> Arg {
    Arg::new("key-out").long("key-out").value_name("FILE").help("Write the key here (mode 0600) and not on the screen")
}

/// Prints a key just made; its text goes to a file when one is named.
fn show_key(call: &Call, mut key: Value) -> Result<(), Failure> {
    if let Some(path) = call.text("key-out") {
        let text = key.get("key_value").and_then(Value::as_str).map(|key| format!("{key}\n"));
        let text = text.ok_or_else(|| Failure::Network("the server's answer has no key_value".to_owned()))?;
        crate::config::write_private(Path::new(path), text.as_bytes())?;
        key["key_value"] = json!(format!("written to {path}"));
    } else {
        eprintln!("the key is shown this once; keep it safe");
    }
    call.show(&key)
}

static CREATE_KEY: Verb = Verb {
    word: "create",
    aliases: &["add"],
    about: "Create an API key, which is shown this once",
    needs: Needs::Permission("auth.key.create"),
    examples: [
        "keys create --name ci-deploy --role operator --key-out ci.key",
        "keys create --name ada-laptop --role operator --owner ada --expires-at 2030-01-01T00:00:00Z",
    ],
    exits: &[8, 9],
    args: |command, _| {
        command.args([
            Arg::new("name").long("name").required(true).value_name("NAME").help("Name of the caller"),
            Arg::new("role")
                .long("role")
                .required(true)
                .value_name("ROLE")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("Role, such as viewer, operator or admin; repeat for several"),
            Arg::new("expires-at").long("expires-at").value_name("TIME").help("When the key ends (RFC 3339)"),
            owner(),
            key_out(),
        ])
    },
    run: |call| {
        let roles: Vec<&String> = call.matches.get_many("role").into_iter().flatten().collect();
        let mut body = json!({"name": call.text("name"), "roles": roles});
        if let Some(expires_at) = call.text("expires-at") {
            body["expires_at"] = json!(expires_at);
        }
        if let Some(owner) = call.text("owner") {
            body["owner_user_id"] = json!(owner);
        }
        let key = call.client()?.post(&Send::to(call.noun.path, &[]).body(body).once())?;
        show_key(call, key)
    },
};

static UPDATE_KEY: Verb = Verb {
    word: "update",
    aliases: &["edit"],
    about: "Give a key another end, or switch it off and on again",
    needs: Needs::Permission("auth.key.rotate"),
    examples: ["keys update ci-deploy --disable", "keys update ID --enable --expires-at 2030-01-01T00:00:00Z"],
    exits: &[7, 8, 9],
    args: |command, noun| {
        with_id(command, noun)
            .args([
                Arg::new("expires-at").long("expires-at").value_name("TIME").help("When the key ends (RFC 3339)"),
                switch("never-expires", "Take the key's end away").conflicts_with("expires-at"),
                switch("disable", "Switch the key off"),
                switch("enable", "Switch the key on again").conflicts_with("disable"),
            ])
            .group(
                ArgGroup::new("change")
                    .args(["expires-at", "never-expires", "disable", "enable"])
                    .required(true)
                    .multiple(true),
            )
    },
    run: |call| {
        let client = call.client()?;
        let key = object_of(&client, call.noun, the_id(call))?;
        let mut body = json!({});
        if let Some(expires_at) = call.text("expires-at") {
            body["expires_at"] = json!(expires_at);
        } else if call.matches.get_flag("never-expires") {
            body["expires_at"] = Value::Null;
        }
        if call.matches.get_flag("disable") || call.matches.get_flag("enable") {
            body["disabled"] = json!(call.matches.get_flag("disable"));
        }
        let changed = client.patch(&Send::to(call.noun.path, &[id_in(&key)?]).body(body))?;
        call.show(&changed)
    },
};

pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

static ROTATE: Verb = Verb {
    word: "rotate",
    aliases: &[],
    about: "Make a key's successor, which is shown this once; the old one works on for a while",
    needs: Needs::Permission("auth.key.rotate"),
    examples: ["keys rotate ci-deploy --key-out ci.key", "keys rotate ID --expires-at 2030-01-01T00:00:00Z"],
    exits: &[7, 8, 9],
    args: |command, noun| {
        with_id(command, noun).args([
            Arg::new("expires-at").long("expires-at").value_name("TIME").help("When the new key ends (RFC 3339)"),
            Arg::new("overlap")
                .long("overlap")
                .value_name("DURATION")
                .value_parser(crate::settings::parse_span)
                .help("How long the old key works on; 0s ends it at once [default: 24h]"),
            owner(),
            key_out(),
        ])
    },
    run: |call| {
        let client = call.client()?;
        let old = object_of(&client, call.noun, the_id(call))?;
        let mut body = json!({});
        if let Some(expires_at) = call.text("expires-at") {
            body["expires_at"] = json!(expires_at);
        }
        if let Some(overlap) = call.matches.get_one::<std::time::Duration>("overlap") {
            body["overlap_seconds"] = json!(overlap.as_secs());
        }
        if let Some(owner) = call.text("owner") {
            body["owner_user_id"] = json!(owner);
        }
        let key = client.post(&Send::to(call.noun.path, &[id_in(&old)?, "rotate"]).body(body).once())?;
        show_key(call, key)
    },
};

/// The caller.
pub(crate) static AUTH: Noun = Noun {
    word: "auth",
    singular: "caller",
    about: "Who you are, what you and others may do, and why",
    path: "/api/v1/auth",
    shape: Shape {
        narrow: &[
            column("ACTOR", "actor_id"),
            column("TYPE", "actor_type"),
            column("TENANT", "tenant_id"),
            column("ADMIN", "admin"),
            column("ROLES", "roles"),
        ],
        wide: &[],
        name: "actor_id",
    },
    verbs: &[
        &ME,
        &roles::EXPLAIN,
        &roles::LIST_ROLES,
        &roles::GET_ROLE,
        &roles::CREATE_ROLE,
        &roles::UPDATE_ROLE,
        &roles::DELETE_ROLE,
        &roles::LIST_PERMISSIONS,
        &roles::ADD_PERMISSION,
        &roles::REMOVE_PERMISSION,
        &roles::LIST_HOLDERS,
        &roles::ASSIGN,
        &roles::REVOKE,
        &roles::SCOPE_DOWN,
        &providers::LIST_PROVIDERS,
        &providers::GET_PROVIDER,
        &providers::CREATE_PROVIDER,
        &providers::UPDATE_PROVIDER,
        &providers::DELETE_PROVIDER,
        &providers::TEST_PROVIDER,
        &providers::REFRESH_PROVIDER,
        &providers::PROVIDER_KEYS,
        &providers::REVOKE_PROVIDER_SESSIONS,
        &providers::ARCHIVE_PROVIDER,
        &providers::LIST_MAPPINGS,
        &providers::ADD_MAPPING,
        &providers::UPDATE_MAPPING,
        &providers::REMOVE_MAPPING,
        &people::LIST_USERS,
        &people::GET_USER,
        &people::DEACTIVATE_USER,
        &people::REACTIVATE_USER,
        &people::PURGE_USER,
        &people::EXPORT_USER,
        &apply_auth::APPLY,
        &INFO,
    ],
    ..Noun::EMPTY
};

static ME: Verb = Verb {
    word: "me",
    aliases: &["whoami"],
    about: "Show who the server takes you for",
    needs: Needs::Credential,
    examples: ["auth me", "auth me -o json"],
    exits: &[],
    args: no_args,
    run: |call| {
        let mut me = call.client()?.get(&Send::to("/api/v1/auth/me", &[]))?;
        if matches!(call.format()?, crate::settings::Format::Table | crate::settings::Format::Wide) {
            let text =
                |grant: &Value, name: &str| grant.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            for grant in me.get_mut("effective_permissions").and_then(Value::as_array_mut).into_iter().flatten() {
                let scope = [text(grant, "scope_type"), text(grant, "scope_id")];
                let scope = scope.join(" ");
                *grant = json!(format!("{} @ {}", text(grant, "permission"), scope.trim()));
            }
        }
        call.show(&me)
    },
};

static INFO: Verb = Verb {
    word: "info",
    aliases: &[],
    about: "Show how the server lets callers in",
    needs: Needs::Permission("none"),
    examples: ["auth info", "auth info -o json"],
    exits: &[],
    args: no_args,
    run: |call| call.show(&call.client()?.get(&Send::to("/api/v1/auth/info", &[]))?),
};

/// The server itself.
pub(crate) static SERVER: Noun = Noun {
    word: "server",
    singular: "server",
    about: "The server itself: its state, version and API",
    shape: Shape {
        narrow: &[
            column("SERVER", "server"),
            column("HEALTH", "health"),
            column("READY", "ready"),
            column("DATABASE", "database"),
            column("VERSION", "version"),
        ],
        wide: &[],
        name: "server",
    },
    verbs: &[&STATUS, &SERVER_VERSION, &OPENAPI],
    ..Noun::EMPTY
};

static STATUS: Verb = Verb {
    word: "status",
    aliases: &[],
    about: "Show whether the server is up and ready; exit 1 when it isn't",
    needs: Needs::Permission("none"),
    examples: ["server status", "server status -o json"],
    exits: &[],
    args: no_args,
    run: |call| {
        let settings = call.settings()?;
        let client = call.client()?;
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        let (_, health) = client.probe("/health")?;
        let (ready_status, ready) = client.probe("/ready")?;
        let (_, version) = client.probe("/api/v1/version")?;
        let is_ready = ready_status == 200;
        call.show(&json!({
            "server": settings.server.as_str().trim_end_matches('/'),
            "health": text(&health, "status"),
            "ready": text(&ready, "status"),
            "database": text(&ready, "db"),
            "version": text(&version, "version"),
        }))?;
        if is_ready {
            Ok(())
        } else {
            Err(Failure::Network(format!("the server is not ready: {}", text(&ready, "status"))))
        }
    },
};

static SERVER_VERSION: Verb = Verb {
    word: "version",
    aliases: &[],
    about: "Show the server's version",
    needs: Needs::Permission("none"),
    examples: ["server version", "server version -o json"],
    exits: &[],
    args: no_args,
    run: |call| call.show(&call.client()?.get(&Send::to("/api/v1/version", &[]))?),
};

static OPENAPI: Verb = Verb {
    word: "openapi",
    aliases: &[],
    about: "Print the server's OpenAPI description",
    needs: Needs::Permission("as the server sets it"),
    examples: ["server openapi > openapi.json", "server openapi -o yaml"],
    exits: &[],
    args: no_args,
    run: |call| {
        let document = call.client()?.get(&Send::to("/api/v1/openapi.json", &[]))?;
        let format = match call.format()? {
            crate::settings::Format::Yaml => crate::settings::Format::Yaml,
            _ => crate::settings::Format::Json,
        };
        crate::render::print(crate::render::object(format, &call.noun.shape, &document)?.as_bytes())
    },
};
