//! Issuers, profiles, owners, teams, renewal policies and targets.

use super::crud::{CREATE, DELETE, GET, LIST, UPDATE, id_in, the_id, with_id};
use super::{Field, Kind, Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::Call;
use crate::wire::{Client, Method, Send, object_of, to_pem};
use clap::{Arg, Command};
use serde_json::{Value, json};

const ID: Field = Field::new("id", "id", Kind::Text, "Id of your choice");
const NAME: Field = Field::new("name", "name", Kind::Text, "Unique name").needed();
const DESCRIPTION: Field = Field::new("description", "description", Kind::Text, "For people");
const ENABLED: Field = Field::new("enabled", "enabled", Kind::Bool, "Whether it may be used");
const SEARCH: (&str, &str) = ("q", "Part of the id or name");

/// Certificate authorities.
pub(crate) static ISSUERS: Noun = Noun {
    word: "issuers",
    aliases: &["issuer"],
    singular: "issuer",
    about: "Certificate authorities that sign",
    path: "/api/v1/issuers",
    named: true,
    searchable: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("NAME", "name"),
            column("TYPE", "type"),
            column("ENABLED", "enabled"),
            column("TEST", "test_status"),
        ],
        wide: &[column("SOURCE", "source"), column("TESTED", "last_tested_at"), column("CREATED", "created_at")],
        name: "id",
    },
    fields: &[
        ID,
        NAME,
        Field::new("type", "type", Kind::Text, "Kind of authority, such as local").needed(),
        Field::new("config", "config", Kind::Json, "Its settings as JSON, or @FILE"),
        ENABLED,
        Field::new("hierarchy-mode", "hierarchy_mode", Kind::Text, "single or tree"),
    ],
    filters: &[SEARCH, ("type", "Kind of authority"), ("enabled", "true or false")],
    permissions: ["issuer.read", "issuer.edit", "issuer.delete"],
    verbs: &[&LIST, &GET, &CREATE_ISSUER, &UPDATE, &DELETE, &TEST, &CRL, &CA],
    ..Noun::EMPTY
};

static CREATE_ISSUER: Verb = Verb {
    examples: [
        "issuers create --name internal --type local --config @local-ca.json",
        "issuers create --file issuer.yaml -o name",
    ],
    ..CREATE
};

/// What certificates may be.
pub(crate) static PROFILES: Noun = Noun {
    word: "profiles",
    aliases: &["profile"],
    singular: "profile",
    about: "Rules for what may be issued",
    path: "/api/v1/profiles",
    named: true,
    searchable: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("NAME", "name"),
            column("MAX TTL (S)", "max_ttl_seconds"),
            column("EKUS", "allowed_ekus"),
            column("ENABLED", "enabled"),
        ],
        wide: &[
            column("SAN PATTERNS", "required_san_patterns"),
            column("SHORT-LIVED", "allow_short_lived"),
            column("MUST-STAPLE", "must_staple"),
            column("APPROVAL", "requires_approval"),
            column("CREATED", "created_at"),
        ],
        name: "id",
    },
    fields: &[
        ID,
        NAME,
        DESCRIPTION,
        Field::new(
            "key-algorithm",
            "allowed_key_algorithms",
            Kind::Algorithms,
            "Allowed keys, such as ECDSA:256,RSA:3072",
        ),
        Field::new("max-ttl-seconds", "max_ttl_seconds", Kind::Int, "Longest life; 0 is unlimited"),
        Field::new("eku", "allowed_ekus", Kind::List, "Allowed uses, such as serverAuth,clientAuth"),
        Field::new("san-pattern", "required_san_patterns", Kind::List, "Regular expressions that names must match"),
        Field::new("spiffe-uri-pattern", "spiffe_uri_pattern", Kind::Text, "Regular expression for SPIFFE ids"),
        Field::new("allow-short-lived", "allow_short_lived", Kind::Bool, "Lives under an hour"),
        Field::new("must-staple", "must_staple", Kind::Bool, "Demand OCSP stapling"),
        Field::new("csr-attribute", "required_csr_attributes", Kind::List, "Attributes that requests must carry"),
        Field::new("acme-auth-mode", "acme_auth_mode", Kind::Text, "trust_authenticated or challenge"),
        Field::new("requires-approval", "requires_approval", Kind::Bool, "A second person approves issuance"),
        ENABLED,
    ],
    filters: &[SEARCH],
    permissions: ["profile.read", "profile.edit", "profile.delete"],
    verbs: &[&LIST, &GET, &CREATE, &UPDATE, &DELETE],
    ..Noun::EMPTY
};

/// People answerable for certificates.
pub(crate) static OWNERS: Noun = Noun {
    word: "owners",
    aliases: &["owner"],
    singular: "owner",
    about: "People answerable for certificates",
    path: "/api/v1/owners",
    named: true,
    searchable: true,
    shape: Shape {
        narrow: &[column("ID", "id"), column("NAME", "name"), column("EMAIL", "email"), column("TEAM", "team_id")],
        wide: &[column("CREATED", "created_at")],
        name: "id",
    },
    fields: &[
        ID,
        NAME,
        Field::new("email", "email", Kind::Text, "Where notices go"),
        Field::new("team", "team_id", Kind::Ref("teams"), "Their team").or("team-id").needed(),
    ],
    filters: &[SEARCH],
    permissions: ["owner.read", "owner.edit", "owner.delete"],
    verbs: &[&LIST, &GET, &CREATE_OWNER, &UPDATE, &DELETE],
    ..Noun::EMPTY
};

static CREATE_OWNER: Verb = Verb {
    examples: [
        "owners create --name alice --email alice@example.com --team platform",
        "owners create --file owner.yaml -o name",
    ],
    ..CREATE
};

/// Groups of owners.
pub(crate) static TEAMS: Noun = Noun {
    word: "teams",
    aliases: &["team"],
    singular: "team",
    about: "Groups of owners",
    path: "/api/v1/teams",
    named: true,
    searchable: true,
    shape: Shape {
        narrow: &[column("ID", "id"), column("NAME", "name"), column("DESCRIPTION", "description")],
        wide: &[column("CREATED", "created_at"), column("UPDATED", "updated_at")],
        name: "id",
    },
    fields: &[ID, NAME, DESCRIPTION],
    filters: &[SEARCH],
    permissions: ["team.read", "team.edit", "team.delete"],
    verbs: &[&LIST, &GET, &CREATE, &UPDATE, &DELETE],
    ..Noun::EMPTY
};

/// When certificates are renewed.
pub(crate) static RENEWAL_POLICIES: Noun = Noun {
    word: "renewal-policies",
    aliases: &["renewal-policy"],
    singular: "renewal policy",
    about: "When certificates are renewed and who is told",
    path: "/api/v1/renewal-policies",
    named: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("NAME", "name"),
            column("WINDOW (DAYS)", "renewal_window_days"),
            column("AUTO", "auto_renew"),
            column("RETRIES", "max_retries"),
        ],
        wide: &[
            column("RETRY AFTER (S)", "retry_interval_seconds"),
            column("ALERTS (DAYS)", "alert_thresholds_days"),
            column("CREATED", "created_at"),
        ],
        name: "id",
    },
    fields: &[
        ID,
        NAME,
        Field::new(
            "window-days",
            "renewal_window_days",
            Kind::Int,
            "Days before expiry at which renewal starts [default: 30]",
        )
        .or("renewal-window-days"),
        Field::new("auto-renew", "auto_renew", Kind::Bool, "Renew without being asked [default: true]"),
        Field::new("max-retries", "max_retries", Kind::Int, "Tries after a failure [default: 3]"),
        Field::new("retry-interval-seconds", "retry_interval_seconds", Kind::Int, "Time between tries [default: 3600]"),
        Field::new(
            "alert-day",
            "alert_thresholds_days",
            Kind::IntList,
            "Days before expiry at which to warn [default: 30,14,7,0]",
        ),
        Field::new("alert-channels", "alert_channels", Kind::Json, "Channels by severity"),
        Field::new("alert-severity-map", "alert_severity_map", Kind::Json, "Severity by day"),
        Field::new("certificate-profile", "certificate_profile_id", Kind::Ref("profiles"), "Certificate profile"),
    ],
    permissions: ["policy.read", "policy.edit", "policy.delete"],
    verbs: &[&LIST, &GET, &CREATE, &UPDATE, &DELETE],
    ..Noun::EMPTY
};

/// Where certificates go.
pub(crate) static TARGETS: Noun = Noun {
    word: "targets",
    aliases: &["target"],
    singular: "target",
    about: "Places that certificates are deployed to",
    path: "/api/v1/targets",
    named: true,
    searchable: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("NAME", "name"),
            column("TYPE", "type"),
            column("AGENT", "agent_id"),
            column("ENABLED", "enabled"),
        ],
        wide: &[column("TEST", "test_status"), column("RETIRED", "retired_at"), column("CREATED", "created_at")],
        name: "id",
    },
    fields: &[
        ID,
        NAME,
        Field::new("type", "type", Kind::Text, "Kind of server, such as NGINX").needed(),
        Field::new("agent", "agent_id", Kind::Ref("agents"), "Agent on its host").or("agent-id").needed(),
        Field::new("config", "config", Kind::Json, "Its settings as JSON, or @FILE"),
        ENABLED,
    ],
    filters: &[SEARCH, ("agent-id", "Agent"), ("type", "Kind of server"), ("retired", "true or all")],
    permissions: ["target.read", "target.edit", "target.delete"],
    verbs: &[&LIST, &GET, &CREATE_TARGET, &UPDATE, &DELETE, &TEST],
    ..Noun::EMPTY
};

static CREATE_TARGET: Verb = Verb {
    examples: [
        "targets create --name web1 --type NGINX --agent web1 --config @nginx.json",
        "targets create --file target.yaml -o name",
    ],
    ..CREATE
};

static TEST: Verb = Verb {
    word: "test",
    aliases: &[],
    about: "Test whether {a} {one} can be reached and used",
    needs: Needs::Edit,
    examples: ["{noun} test ID", "{noun} test ID -o json"],
    exits: &[5, 7],
    args: with_id,
    run: |call| {
        let client = call.client()?;
        let object = object_of(&client, call.noun, the_id(call))?;
        let id = id_in(&object)?;
        let outcome = client.post(&Send::to(call.noun.path, &[id, "test"]).once())?;
        let text = |member: &str| outcome.get(member).and_then(Value::as_str).unwrap_or_default();
        if text("status") == "failed" {
            return Err(Failure::Failed(format!("the test of {id} failed: {}", text("message"))));
        }
        call.report(&format!("{id}: {} {}", text("status"), text("message")), &outcome)
    },
};

static CRL: Verb = Verb {
    word: "crl fetch",
    aliases: &[],
    about: "Fetch the issuer's revocation list (DER)",
    needs: Needs::Permission("none for the list; issuer.read to name the issuer"),
    examples: [
        "issuers crl fetch internal --out internal.crl",
        "issuers crl fetch internal | openssl crl -inform DER -text",
    ],
    exits: &[7],
    args: with_id_and_out,
    run: |call| {
        let client = call.client()?;
        let id = public_id(&client, call)?;
        let reply = client.send(Method::Get, &Send::to("/.well-known/pki/crl", &[&id]))?;
        deliver(call, &reply.body, &id)
    },
};

static CA: Verb = Verb {
    word: "ca",
    aliases: &[],
    about: "Fetch the issuer's own certificate (PEM, or DER with --der)",
    needs: Needs::Permission("none for the certificate; issuer.read to name the issuer"),
    examples: ["issuers ca internal --out internal-ca.pem", "issuers ca internal --der --out internal-ca.cer"],
    exits: &[7],
    args: |command, noun| {
        with_id_and_out(command, noun)
            .arg(Arg::new("der").long("der").action(clap::ArgAction::SetTrue).help("DER instead of PEM"))
    },
    run: |call| {
        let client = call.client()?;
        let id = public_id(&client, call)?;
        let reply = client.send(Method::Get, &Send::to("/.well-known/pki/ca", &[&id]))?;
        if call.switch("der") {
            return deliver(call, &reply.body, &id);
        }
        deliver(call, to_pem("CERTIFICATE", &reply.body).as_bytes(), &id)
    },
};

/// What is public needs no sign-in: then the issuer is named by its id.
fn public_id(client: &Client, call: &Call) -> Result<String, Failure> {
    match object_of(client, call.noun, the_id(call)) {
        Err(failure) if matches!(failure.status(), Some(401 | 403)) => Ok(the_id(call).to_owned()),
        other => id_in(&other?).map(ToOwned::to_owned),
    }
}

fn with_id_and_out(command: Command, noun: &'static Noun) -> Command {
    with_out(with_id(command, noun))
}

/// Adds `--out`.
pub(crate) fn with_out(command: Command) -> Command {
    command.arg(Arg::new("out").long("out").value_name("FILE").help("Write here instead of standard output (-)"))
}

/// Writes content to `--out` or standard output.
pub(crate) fn deliver(call: &Call, content: &[u8], id: &str) -> Result<(), Failure> {
    match call.text("out") {
        None | Some("-") => crate::render::print(content),
        Some(path) => {
            write_file(path, content)?;
            call.report(&format!("wrote {path}"), &json!({"id": id, "path": path, "bytes": content.len()}))
        }
    }
}

/// Writes a file that isn't secret.
pub(crate) fn write_file(path: &str, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| Failure::Local(format!("cannot write {path}: {error}")))
}
