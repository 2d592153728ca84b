//! Identity providers and what their groups are worth.

use super::crud::{filters, id_in, list, paging};
use super::fields::{add_flags, body_of, check_required, read_input};
use super::roles::{role_id, scope_args, scope_into, text_of};
use super::{Field, Kind, Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{Call, destructive};
use crate::wire::{Client, Method, Send, id_of, object_of};
use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};

/// Collection of providers.
pub(super) const PROVIDERS: &str = "/api/v1/auth/oidc/providers";
/// Collection of mappings.
pub(super) const MAPPINGS: &str = "/api/v1/auth/oidc/group-mappings";

const SHAPE: Shape = Shape {
    narrow: &[
        column("ID", "id"),
        column("NAME", "name"),
        column("ISSUER", "issuer_url"),
        column("CLIENT", "client_id"),
        column("ENABLED", "enabled"),
    ],
    wide: &[
        column("GROUPS AT", "groups_claim_path"),
        column("AND AT", "more_groups_claim_paths"),
        column("SCOPES", "scopes"),
        column("DOMAINS", "allowed_email_domains"),
        column("HOSTED DOMAIN", "hosted_domain"),
        column("DEFAULT ROLE", "default_role_id"),
        column("USERINFO", "fetch_userinfo"),
        column("REDIRECT", "redirect_uri"),
        column("ARCHIVED", "archived_at"),
        column("CREATED", "created_at"),
    ],
    name: "id",
};

/// A kind of object under `auth`, for what the plain verbs do elsewhere.
pub(super) static PROVIDER: Noun = Noun {
    word: "providers",
    singular: "provider",
    path: PROVIDERS,
    named: true,
    searchable: true,
    shape: SHAPE,
    filters: &[
        ("enabled", "Only those that are switched on (true) or off (false)"),
        ("archived", "Only archived ones (true)"),
    ],
    fields: &[
        Field::new("name", "name", Kind::Text, "Unique name").needed(),
        Field::new("issuer-url", "issuer_url", Kind::Text, "Exactly what the discovery document says")
            .or("issuer")
            .needed(),
        Field::new("client-id", "client_id", Kind::Text, "certctl's client id there").needed(),
        Field::new("redirect-uri", "redirect_uri", Kind::Text, "https://HOST/auth/oidc/callback").needed(),
        Field::new(
            "groups-claim-path",
            "groups_claim_path",
            Kind::Text,
            "Where groups stand in the claims [default: groups]",
        ),
        Field::new(
            "groups-claim-format",
            "groups_claim_format",
            Kind::Text,
            "string-array, or json-path for a JSON Pointer",
        ),
        Field::new("more-groups-claim-path", "more_groups_claim_paths", Kind::List, "Claims whose groups are added"),
        Field::new(
            "fetch-userinfo",
            "fetch_userinfo",
            Kind::Bool,
            "Ask the userinfo endpoint when the token has no groups",
        ),
        Field::new("scope", "scopes", Kind::List, "Scopes, openid among them [default: openid,profile,email]"),
        Field::new("allowed-email-domain", "allowed_email_domains", Kind::List, "Domains whose addresses are let in"),
        Field::new(
            "require-verified-email",
            "require_verified_email",
            Kind::Bool,
            "Whether such an address must be verified",
        ),
        Field::new("iat-window-seconds", "iat_window_seconds", Kind::Int, "How old an ID token may be, 1 to 600"),
        Field::new(
            "jwks-cache-ttl-seconds",
            "jwks_cache_ttl_seconds",
            Kind::Int,
            "How long keys are kept, 60 at least",
        ),
        Field::new("at-hash-policy", "at_hash_policy", Kind::Text, "if_present or require"),
        Field::new("groups-overage", "groups_overage", Kind::Text, "refuse or graph (Entra ID)"),
        Field::new("hosted-domain", "hosted_domain", Kind::Text, "Hosted domain (hd) that people must belong to"),
        Field::new("default-role", "default_role_id", Kind::Text, "Id of the role of everybody within it"),
        Field::new(
            "rp-initiated-logout",
            "rp_initiated_logout",
            Kind::Bool,
            "Signing out here signs out there as well",
        ),
        Field::new(
            "ca-bundle-pem",
            "ca_bundle_pem",
            Kind::Text,
            "Certificates that the provider's TLS is checked against",
        ),
        Field::new("enabled", "enabled", Kind::Bool, "Whether people may sign in through it"),
    ],
    ..Noun::EMPTY
};

fn provider_arg() -> Arg {
    Arg::new("id").value_name("PROVIDER").required(true).help("Its id or name")
}

/// The provider that the command names.
fn named(call: &Call, client: &Client) -> Result<Value, Failure> {
    object_of(client, &PROVIDER, call.text("id").unwrap_or_default())
}

fn named_id(call: &Call, client: &Client) -> Result<String, Failure> {
    id_of(client, &PROVIDER, call.text("id").unwrap_or_default())
}

fn secret_args(command: Command) -> Command {
    command.args([
        Arg::new("client-secret-file")
            .long("client-secret-file")
            .value_name("FILE")
            .help("Take the client secret from this file (- for standard input)"),
        Arg::new("client-secret-env")
            .long("client-secret-env")
            .value_name("NAME")
            .conflicts_with("client-secret-file")
            .help("Take the client secret from this environment variable"),
        Arg::new("skip-check")
            .long("skip-check")
            .action(ArgAction::SetTrue)
            .help("Keep it without asking the provider whether it answers"),
    ])
}

/// The secret that a file or an environment variable holds; a reference, so that it is in no list of processes.
pub(super) fn secret_from(call: &Call, file: Option<&str>, variable: Option<&str>) -> Result<Option<String>, Failure> {
    let text = match (file, variable) {
        (Some(path), _) => read_input(path)?,
        (None, Some(name)) => (call.env)(name).ok_or_else(|| {
            Failure::Usage(format!("the environment variable {name} with the client secret is not set"))
        })?,
        (None, None) => return Ok(None),
    };
    let trimmed = text.trim_end_matches(['\n', '\r']);
    if trimmed.is_empty() {
        return Err(Failure::Usage("the client secret is empty".to_owned()));
    }
    Ok(Some(trimmed.to_owned()))
}

fn body(call: &Call, client: &Client) -> Result<Map<String, Value>, Failure> {
    let mut body = body_of(&PROVIDER, call.matches, client)?;
    if let Some(secret) = secret_from(call, call.text("client-secret-file"), call.text("client-secret-env"))? {
        body.insert("client_secret".to_owned(), json!(secret));
    }
    Ok(body)
}

/// Asks the server to keep the provider as it is, when the operator says so.
pub(super) fn unchecked(request: Send<'_>, skip: bool) -> Send<'_> {
    if skip { request.query("skip_check", "true") } else { request }
}

pub(crate) static LIST_PROVIDERS: Verb = Verb {
    word: "providers list",
    aliases: &["ls"],
    about: "List identity providers",
    needs: Needs::Permission("auth.oidc.list"),
    examples: ["auth providers list", "auth providers list --archived true -o json"],
    exits: &[],
    args: |command, _| {
        paging(command.args(PROVIDER.filters.iter().map(|(flag, help)| {
            Arg::new(*flag).long(*flag).value_name("true|false").value_parser(["true", "false"]).help(*help)
        })))
    },
    run: |call| list(call, &call.client()?, PROVIDERS, &SHAPE, filters(&PROVIDER, call.matches)),
};

pub(crate) static GET_PROVIDER: Verb = Verb {
    word: "providers get",
    aliases: &["show"],
    about: "Show an identity provider; its client secret is never shown",
    needs: Needs::Permission("auth.oidc.list"),
    examples: ["auth providers get corp", "auth providers get op-01 -o yaml"],
    exits: &[7, 8],
    args: |command, _| command.arg(provider_arg()),
    run: |call| call.show_as(&SHAPE, &named(call, &call.client()?)?),
};

pub(crate) static CREATE_PROVIDER: Verb = Verb {
    word: "providers create",
    aliases: &["add"],
    about: "Add an identity provider; it is asked first whether it answers",
    needs: Needs::Permission("auth.oidc.create"),
    examples: [
        "auth providers create --name corp --issuer-url https://idp.example/realms/pki --client-id certctl \
         --redirect-uri https://pki.example/auth/oidc/callback --client-secret-file secret.txt",
        "auth providers create -f corp.yaml --client-secret-env OIDC_SECRET",
    ],
    exits: &[8, 9],
    args: |command, _| secret_args(add_flags(command, &PROVIDER, false)),
    run: |call| {
        let client = call.client()?;
        let body = body(call, &client)?;
        check_required(&PROVIDER, &body)?;
        let request = Send::to(PROVIDERS, &[]).body(Value::Object(body));
        call.show_as(&SHAPE, &client.post(&unchecked(request, call.switch("skip-check")))?)
    },
};

pub(crate) static UPDATE_PROVIDER: Verb = Verb {
    word: "providers update",
    aliases: &["edit"],
    about: "Change fields of an identity provider; what isn't named stays",
    needs: Needs::Permission("auth.oidc.edit"),
    examples: [
        "auth providers update corp --groups-claim-path realm_access.roles",
        "auth providers update corp --client-secret-file new-secret.txt",
    ],
    exits: &[7, 8, 9],
    args: |command, _| secret_args(add_flags(command.arg(provider_arg()), &PROVIDER, true)),
    run: |call| {
        let client = call.client()?;
        let body = body(call, &client)?;
        if body.is_empty() {
            return Err(Failure::Usage("nothing to change; name a field, such as --enabled=false".to_owned()));
        }
        let id = named_id(call, &client)?;
        let rest = [id.as_str()];
        let request = Send::to(PROVIDERS, &rest).body(Value::Object(body));
        call.show_as(&SHAPE, &client.patch(&unchecked(request, call.switch("skip-check")))?)
    },
};

pub(crate) static DELETE_PROVIDER: Verb = Verb {
    word: "providers delete",
    aliases: &["rm"],
    about: "Delete an identity provider that nobody signed in through, with its mappings",
    needs: Needs::Permission("auth.oidc.delete"),
    examples: ["auth providers delete corp", "auth providers delete corp --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(provider_arg())),
    run: |call| {
        let client = call.client()?;
        let provider = named(call, &client)?;
        let id = id_in(&provider)?;
        if !call.go_ahead("delete this provider and its mappings", std::slice::from_ref(&provider))? {
            return Ok(());
        }
        client.send(Method::Delete, &Send::to(PROVIDERS, &[id]))?;
        call.report(&format!("deleted provider {id}"), &json!({"status": "deleted", "id": id}))
    },
};

const TEST_SHAPE: Shape = Shape {
    narrow: &[
        column("DISCOVERY", "discovery_succeeded"),
        column("KEYS", "jwks_reachable"),
        column("ISSUER", "issuer_echo"),
        column("ALGORITHMS", "supported_alg_values"),
        column("NAMES ITSELF", "iss_param_supported"),
        column("GROUPS AT", "groups_claim_paths"),
        column("ERRORS", "errors"),
    ],
    wide: &[],
    name: "discovery_succeeded",
};

pub(crate) static TEST_PROVIDER: Verb = Verb {
    word: "providers test",
    aliases: &[],
    about: "Look at an identity provider, stored or not, check by check; exit 5 when one fails",
    needs: Needs::Permission("auth.oidc.create"),
    examples: ["auth providers test corp", "auth providers test https://idp.example/realms/pki"],
    exits: &[5, 7, 9],
    args: |command, _| {
        command.arg(
            Arg::new("id")
                .value_name("PROVIDER|URL")
                .required(true)
                .help("Id or name of a stored one, or an issuer's URL"),
        )
    },
    run: |call| {
        let client = call.client()?;
        let text = call.text("id").unwrap_or_default();
        let body = if text.contains("://") {
            json!({"issuer_url": text})
        } else {
            json!({"provider_id": named_id(call, &client)?})
        };
        let told = client.post(&Send::to("/api/v1/auth/oidc/test", &[]).body(body))?;
        call.show_as(&TEST_SHAPE, &told)?;
        let broken = told["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        match broken.filter(|error| !error.starts_with("note:")).count() {
            0 => Ok(()),
            count => Err(Failure::Failed(format!("{count} checks of the provider failed"))),
        }
    },
};

pub(crate) static REFRESH_PROVIDER: Verb = Verb {
    word: "providers refresh",
    aliases: &[],
    about: "Fetch an identity provider's metadata and keys now",
    needs: Needs::Permission("auth.oidc.edit"),
    examples: ["auth providers refresh corp", "auth providers refresh op-01"],
    exits: &[7, 8, 9],
    args: |command, _| command.arg(provider_arg()),
    run: |call| {
        let client = call.client()?;
        let id = named_id(call, &client)?;
        client.post(&Send::to(PROVIDERS, &[&id, "refresh"]))?;
        call.report(&format!("refreshed provider {id}"), &json!({"status": "refreshed", "id": id}))
    },
};

const KEYS_SHAPE: Shape = Shape {
    narrow: &[
        column("FETCHED", "last_refresh_at"),
        column("UNTIL", "expires_at"),
        column("KEYS", "current_kids"),
        column("TIMES", "refresh_count"),
        column("REFUSED", "rejected_jws_count"),
        column("LAST ERROR", "last_error"),
    ],
    wide: &[column("NAMES ITSELF", "iss_param_supported")],
    name: "last_refresh_at",
};

pub(crate) static PROVIDER_KEYS: Verb = Verb {
    word: "providers keys",
    aliases: &["jwks-status"],
    about: "Show how an identity provider's keys stand with the server that answers",
    needs: Needs::Permission("auth.oidc.list"),
    examples: ["auth providers keys corp", "auth providers keys corp -o json"],
    exits: &[7, 8],
    args: |command, _| command.arg(provider_arg()),
    run: |call| {
        let client = call.client()?;
        let id = named_id(call, &client)?;
        call.show_as(&KEYS_SHAPE, &client.get(&Send::to(PROVIDERS, &[&id, "jwks-status"]))?)
    },
};

pub(crate) static REVOKE_PROVIDER_SESSIONS: Verb = Verb {
    word: "providers revoke-sessions",
    aliases: &[],
    about: "End every session that began with a sign-in through an identity provider",
    needs: Needs::Permission("auth.session.revoke"),
    examples: ["auth providers revoke-sessions corp", "auth providers revoke-sessions corp --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(provider_arg())),
    run: |call| {
        let client = call.client()?;
        let provider = named(call, &client)?;
        let id = id_in(&provider)?;
        if !call.go_ahead("end all sessions of this provider", std::slice::from_ref(&provider))? {
            return Ok(());
        }
        let told = client.send(Method::Delete, &Send::to(PROVIDERS, &[id, "sessions"]))?.json()?;
        let count = &told["revoked_count"];
        call.report(&format!("ended {count} sessions of provider {id}"), &told)
    },
};

pub(crate) static ARCHIVE_PROVIDER: Verb = Verb {
    word: "providers archive",
    aliases: &["decommission"],
    about: "Take an identity provider out of use for good, once nothing is left to do",
    needs: Needs::Permission("auth.oidc.delete"),
    examples: ["auth providers archive corp", "auth providers archive corp --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(provider_arg())),
    run: |call| {
        let client = call.client()?;
        let provider = named(call, &client)?;
        let id = id_in(&provider)?;
        if !call.go_ahead("archive this provider for good", std::slice::from_ref(&provider))? {
            return Ok(());
        }
        let gone = client.post(&Send::to(PROVIDERS, &[id, "archive"]))?;
        call.report(&format!("archived provider {id}"), &gone)
    },
};

const MAPPING_SHAPE: Shape = Shape {
    narrow: &[
        column("ID", "id"),
        column("GROUP", "group_name"),
        column("ROLE", "role_id"),
        column("SCOPE", "scope_type"),
        column("SCOPE ID", "scope_id"),
        column("DESCRIPTION", "description"),
    ],
    wide: &[column("PROVIDER", "provider_id"), column("CREATED", "created_at"), column("CREATED BY", "created_by")],
    name: "id",
};

fn of_provider() -> Arg {
    Arg::new("provider").long("provider").value_name("ID|NAME").required(true).help("The identity provider")
}

fn provider_of(call: &Call, client: &Client) -> Result<String, Failure> {
    id_of(client, &PROVIDER, call.text("provider").unwrap_or_default())
}

fn description() -> Arg {
    Arg::new("description")
        .long("description")
        .value_name("TEXT")
        .help("For people: what an opaque group id stands for")
}

fn mapping_arg() -> Arg {
    Arg::new("mapping").value_name("MAPPING").required(true).help("Its id")
}

pub(crate) static LIST_MAPPINGS: Verb = Verb {
    word: "mappings list",
    aliases: &["ls"],
    about: "List what the groups of an identity provider are worth",
    needs: Needs::Permission("auth.oidc.list"),
    examples: ["auth mappings list --provider corp", "auth mappings list --provider corp -o csv"],
    exits: &[7, 8],
    args: |command, _| paging(command.arg(of_provider())),
    run: |call| {
        let client = call.client()?;
        let query = vec![("provider_id".to_owned(), provider_of(call, &client)?)];
        list(call, &client, MAPPINGS, &MAPPING_SHAPE, query)
    },
};

pub(crate) static ADD_MAPPING: Verb = Verb {
    word: "mappings add",
    aliases: &["create"],
    about: "Give a role to the members of a group; you must hold all that it permits",
    needs: Needs::Permission("auth.oidc.edit, auth.role.assign"),
    examples: [
        "auth mappings add --provider corp --group pki-operators --role operator",
        "auth mappings add --provider entra --group 6f1c2d3e --role viewer --description readers",
    ],
    exits: &[7, 8, 9],
    args: |command, _| {
        scope_args(command.args([
            of_provider(),
            Arg::new("group").long("group").value_name("NAME").required(true).help("Exactly as the provider names it"),
            Arg::new("role").long("role").value_name("ROLE").required(true).help("Id or name of the role"),
            description(),
        ]))
    },
    run: |call| {
        let client = call.client()?;
        let mut body = json!({
            "provider_id": provider_of(call, &client)?, "group_name": call.text("group"),
            "role_id": role_id(&client, call.text("role").unwrap_or_default())?,
        });
        scope_into(call, &mut body);
        if let Some(text) = call.text("description") {
            body["description"] = json!(text);
        }
        call.show_as(&MAPPING_SHAPE, &client.post(&Send::to(MAPPINGS, &[]).body(body))?)
    },
};

pub(crate) static UPDATE_MAPPING: Verb = Verb {
    word: "mappings update",
    aliases: &["edit"],
    about: "Change what a group is worth",
    needs: Needs::Permission("auth.oidc.edit, auth.role.assign"),
    examples: ["auth mappings update grm-01 --role viewer", "auth mappings update grm-01 --description on-call"],
    exits: &[7, 8, 9],
    args: |command, _| {
        scope_args(command.args([
            mapping_arg(),
            Arg::new("group").long("group").value_name("NAME").help("Exactly as the provider names it"),
            Arg::new("role").long("role").value_name("ROLE").help("Id or name of the role"),
            description(),
        ]))
    },
    run: |call| {
        let client = call.client()?;
        let mut body = json!({});
        if let Some(group) = call.text("group") {
            body["group_name"] = json!(group);
        }
        if let Some(role) = call.text("role") {
            body["role_id"] = json!(role_id(&client, role)?);
        }
        if let Some(text) = call.text("description") {
            body["description"] = json!(text);
        }
        scope_into(call, &mut body);
        if body.as_object().is_none_or(Map::is_empty) {
            return Err(Failure::Usage(
                "nothing to change; name --group, --role, --scope-type or --description".to_owned(),
            ));
        }
        let id = call.text("mapping").unwrap_or_default();
        call.show_as(&MAPPING_SHAPE, &client.patch(&Send::to(MAPPINGS, &[id]).body(body))?)
    },
};

pub(crate) static REMOVE_MAPPING: Verb = Verb {
    word: "mappings remove",
    aliases: &["delete", "rm"],
    about: "Take a role from the members of a group; it ends at once",
    needs: Needs::Permission("auth.oidc.edit"),
    examples: ["auth mappings remove grm-01", "auth mappings remove grm-01 --yes"],
    exits: &[7, 8],
    args: |command, _| destructive(command.arg(mapping_arg())),
    run: |call| {
        let client = call.client()?;
        let id = call.text("mapping").unwrap_or_default();
        let mapping = client.get(&Send::to(MAPPINGS, &[id]))?;
        let plan = json!({
            "id": id, "name": format!("{} gives {}", text_of(&mapping, "group_name"), text_of(&mapping, "role_id")),
        });
        if !call.go_ahead("remove this mapping", &[plan])? {
            return Ok(());
        }
        client.send(Method::Delete, &Send::to(MAPPINGS, &[id]))?;
        call.report(&format!("removed mapping {id}"), &json!({"status": "removed", "id": id}))
    },
};
