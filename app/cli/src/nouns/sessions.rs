//! Sessions of people at browsers, and the keys that sign their cookies.

use super::access::switch;
use super::crud::{LIST, the_id, with_id};
use super::{Needs, Noun, Verb};
use crate::render::{Shape, column};
use crate::run::destructive;
use crate::wire::{Method, Send};
use serde_json::{Value, json};

/// Sessions.
pub(crate) static SESSIONS: Noun = Noun {
    word: "sessions",
    aliases: &["session"],
    singular: "session",
    about: "Who is signed in at a browser",
    path: "/api/v1/auth/sessions",
    has_get: false,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("ACTOR", "actor_id"),
            column("WAY", "way"),
            column("FROM", "ip_address"),
            column("LAST SEEN", "last_seen_at"),
            column("ENDS", "absolute_expires_at"),
        ],
        wide: &[
            column("TYPE", "actor_type"),
            column("PROVIDER", "provider_id"),
            column("BROWSER", "user_agent"),
            column("CREATED", "created_at"),
            column("ENDS UNUSED", "idle_expires_at"),
            column("CURRENT", "current"),
        ],
        name: "id",
    },
    filters: &[
        ("actor-id", "Whose; * is everybody's; left out, your own"),
        ("actor-type", "User or APIKey; left out, your own kind"),
        ("provider-id", "Of people whom this provider vouched for"),
    ],
    permissions: ["auth.session.list.all", "", "auth.session.revoke"],
    verbs: &[&LIST_SESSIONS, &REVOKE, &REVOKE_OTHERS, &ROTATE_KEY],
    ..Noun::EMPTY
};

static LIST_SESSIONS: Verb = Verb {
    about: "List live sessions, newest first: your own, another's or everybody's",
    needs: Needs::Credential,
    examples: ["sessions list", "sessions list --actor-id '*' -o wide"],
    exits: &[8, 9],
    ..LIST
};

static REVOKE: Verb = Verb {
    word: "revoke",
    aliases: &["delete", "rm"],
    about: "End a session at once; an own one needs no permission",
    needs: Needs::Credential,
    examples: ["sessions revoke ID", "sessions revoke ID --yes"],
    exits: &[7, 8],
    args: |command, noun| destructive(with_id(command, noun)),
    run: |call| {
        let id = the_id(call);
        if !call.go_ahead("end this session", &[json!({"id": id})])? {
            return Ok(());
        }
        call.client()?.send(Method::Delete, &Send::to(call.noun.path, &[id]))?;
        call.report(&format!("{id}: ended"), &json!({"status": "revoked", "id": id}))
    },
};

static REVOKE_OTHERS: Verb = Verb {
    word: "revoke-others",
    aliases: &[],
    about: "End all of your sessions; with an API key none is left out",
    needs: Needs::Credential,
    examples: ["sessions revoke-others", "sessions revoke-others --yes -o json"],
    exits: &[],
    args: |command, _| destructive(command),
    run: |call| {
        let client = call.client()?;
        if !call.go_ahead("end your sessions", &[])? {
            return Ok(());
        }
        let query = vec![("except".to_owned(), "current".to_owned())];
        let answer = client.send(Method::Delete, &Send { query, ..Send::to(call.noun.path, &[]) })?.json()?;
        let count = answer.get("revoked_count").and_then(Value::as_u64).unwrap_or_default();
        call.report(&format!("{count} sessions ended"), &answer)
    },
};

static ROTATE_KEY: Verb = Verb {
    word: "rotate-key",
    aliases: &[],
    about: "Let a new key sign session cookies; sessions stay, unless the old key leaked",
    needs: Needs::Permission("auth.session.revoke"),
    examples: ["sessions rotate-key", "sessions rotate-key --compromised --yes"],
    exits: &[8],
    args: |command, _| {
        destructive(command).arg(switch("compromised", "The old key leaked: end every session that it signed"))
    },
    run: |call| {
        let compromised = call.switch("compromised");
        let action = if compromised { "end every session and rotate the key" } else { "rotate the key" };
        if !call.go_ahead(action, &[])? {
            return Ok(());
        }
        let body = json!({"compromised": compromised});
        let answer = call.client()?.post(&Send::to(call.noun.path, &["signing-keys", "rotate"]).body(body))?;
        let key = answer.get("new_key_id").and_then(Value::as_str).unwrap_or_default();
        call.report(&format!("{key} signs from now on"), &answer)
    },
};
