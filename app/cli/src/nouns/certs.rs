//! Managed certificates.

use super::crud::{CREATE, GET, LIST, UPDATE, id_in, list, paging, the_id, with_id};
use super::fields::{add_flags, body_of, check_required, read_input};
use super::inventory::{deliver, with_out, write_file};
use super::{Field, Kind, Needs, Noun, Verb, noun};
use crate::ask;
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{Call, destructive};
use crate::settings::Format;
use crate::wait::{Deadline, follow};
use crate::wire::{Client, Method, Send, id_of, object_of};
use clap::{Arg, ArgAction, Command};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use std::time::Duration;

const PATH: &str = "/api/v1/certificates";

/// Managed certificates.
pub(crate) static CERTS: Noun = Noun {
    word: "certs",
    aliases: &["cert", "certificates", "certificate"],
    singular: "certificate",
    about: "Managed certificates: issue, renew, deploy, revoke, export",
    path: PATH,
    named: true,
    searchable: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("COMMON NAME", "common_name"),
            column("STATUS", "status"),
            column("EXPIRES", "expires_at"),
            column("ISSUER", "issuer_id"),
        ],
        wide: &[
            column("NAME", "name"),
            column("SANS", "sans"),
            column("OWNER", "owner_id"),
            column("TEAM", "team_id"),
            column("PROFILE", "certificate_profile_id"),
            column("ENVIRONMENT", "environment"),
            column("TAGS", "tags"),
        ],
        name: "id",
    },
    fields: &[
        Field::new("id", "id", Kind::Text, "Id of your choice"),
        Field::new("name", "name", Kind::Text, "Unique name").needed(),
        Field::new("cn", "common_name", Kind::Text, "Common name").or("common-name").needed(),
        Field::new("san", "sans", Kind::List, "Subject alternative name; repeat or separate by commas").or("sans"),
        Field::new("owner", "owner_id", Kind::Ref("owners"), "Owner").or("owner-id").needed(),
        Field::new("team", "team_id", Kind::Ref("teams"), "Team").or("team-id").needed(),
        Field::new("issuer", "issuer_id", Kind::Ref("issuers"), "Issuer").or("issuer-id").needed(),
        Field::new("renewal-policy", "renewal_policy_id", Kind::Ref("renewal-policies"), "Renewal policy")
            .or("renewal-policy-id")
            .needed(),
        Field::new("profile", "certificate_profile_id", Kind::Ref("profiles"), "Certificate profile").or("profile-id"),
        Field::new("target", "target_ids", Kind::RefList("targets"), "Where to deploy it; repeat for several"),
        Field::new("environment", "environment", Kind::Text, "Such as production"),
        Field::new("tag", "tags", Kind::Map, "Tag; repeat for several"),
    ],
    filters: &[
        ("q", "Part of id, name, common name or SAN"),
        ("status", "Pending, Active, Expiring, Expired, RenewalInProgress, Failed, Revoked or Archived"),
        ("environment", "Environment"),
        ("owner-id", "Owner"),
        ("team-id", "Team"),
        ("issuer-id", "Issuer"),
        ("agent-id", "Agent"),
        ("profile-id", "Certificate profile"),
        ("target-id", "Target"),
        ("source", "API, Agent, ACME, EST or SCEP"),
        ("expires-before", "Time (RFC 3339) or date"),
        ("expires-after", "Time (RFC 3339) or date"),
        ("created-after", "Time (RFC 3339) or date"),
        ("updated-after", "Time (RFC 3339) or date"),
    ],
    permissions: ["cert.read", "cert.edit", "cert.delete"],
    verbs: &[
        &LIST_CERTS,
        &GET,
        &CREATE_CERT,
        &ISSUE,
        &RENEW,
        &REVOKE,
        &ARCHIVE,
        &DEPLOY,
        &VERSIONS,
        &DEPLOYMENTS,
        &EXPORT,
        &UPDATE,
    ],
    ..Noun::EMPTY
};

const VERSION_SHAPE: Shape = Shape {
    narrow: &[
        column("ID", "id"),
        column("SERIAL", "serial_number"),
        column("NOT BEFORE", "not_before"),
        column("NOT AFTER", "not_after"),
        column("KEY", "key_algorithm"),
    ],
    wide: &[
        column("SIZE", "key_size"),
        column("FINGERPRINT SHA-256", "fingerprint_sha256"),
        column("CREATED", "created_at"),
    ],
    name: "id",
};

static LIST_CERTS: Verb = Verb {
    examples: ["certs list --status Expiring --sort expiresAt", "certs list --fields id,common_name,expires_at -o csv"],
    ..LIST
};

static CREATE_CERT: Verb = Verb {
    about: "Create a managed certificate without issuing it",
    needs: Needs::Permission("cert.issue"),
    examples: [
        "certs create --name web --cn web.example.com --owner alice --team platform --issuer internal --renewal-policy standard",
        "certs create --file web.yaml",
    ],
    ..CREATE
};

fn wait_flag(command: Command) -> Command {
    command.arg(
        Arg::new("wait")
            .long("wait")
            .action(ArgAction::SetTrue)
            .help("Follow the jobs to their end (limit: --timeout)"),
    )
}

/// The client and deadline of a verb that may wait: with `--wait`, `--timeout` limits the waiting and not the request.
fn client_and_deadline(call: &Call) -> Result<(Client, Deadline), Failure> {
    let client = call.client()?;
    let client = if call.switch("wait") { client.with_timeout(Duration::from_secs(30)) } else { client };
    Ok((client, Deadline::start(call.global.timeout)))
}

static ISSUE: Verb = Verb {
    word: "issue",
    aliases: &[],
    about: "Issue a certificate: create it when it doesn't exist, then have the agent make the key, or sign the given request",
    needs: Needs::Permission("cert.issue"),
    examples: [
        "certs issue --cn web.example.com --owner alice --team platform --issuer internal --renewal-policy standard --target web1 --wait",
        "certs issue web --csr web.csr --out web.pem",
    ],
    exits: &[5, 7, 8, 9],
    args: |command, noun| {
        let command =
            command.arg(Arg::new("cert").value_name("ID").help("Certificate that exists already, by id or name"));
        let command = add_flags(command, noun, false).mut_args(|arg| match arg.get_id().as_str() {
            "name" => arg.help("Unique name [default: the common name]"),
            "san" => arg.help("Subject alternative name; repeat or separate by commas [default: the common name]"),
            _ => arg,
        });
        let csr = Arg::new("csr")
            .long("csr")
            .value_name("FILE")
            .help("Sign this PEM request (- for standard input)")
            .conflicts_with("wait");
        wait_flag(with_out(command.arg(csr)))
    },
    run: issue,
};

fn issue(call: &Call) -> Result<(), Failure> {
    let (client, deadline) = client_and_deadline(call)?;
    if call.text("out").is_some() && call.text("csr").is_none() && !call.switch("wait") {
        return Err(Failure::Usage(
            "--out needs --csr or --wait: until the job ends there is nothing to write".to_owned(),
        ));
    }
    let csr = match call.text("csr") {
        Some(path) => Some(read_input(path)?),
        None => None,
    };
    let certificate = ensure(call, &client)?;
    let id = id_in(&certificate)?;
    let Some(csr) = csr else {
        let triggered = client.post(&Send::to(PATH, &[id, "renew"]).body(json!({})))?;
        return after_renewal(call, &client, id, &triggered, &deadline);
    };
    let version = client.post(&Send::to(PATH, &[id, "versions"]).body(json!({"csr_pem": csr})))?;
    let pem = version
        .get("pem_chain")
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::Network("the server's answer has no pem_chain".to_owned()))?;
    match (call.text("out"), call.format()?) {
        (None | Some("-"), Format::Table | Format::Wide | Format::Csv) => crate::render::print(pem.as_bytes()),
        (None | Some("-"), _) => call.show_as(&VERSION_SHAPE, &version),
        (Some(path), _) => {
            write_file(path, pem.as_bytes())?;
            call.show_as(&VERSION_SHAPE, &version)
        }
    }
}

/// The certificate that was named, or the one made from the flags.
fn ensure(call: &Call, client: &Client) -> Result<Value, Failure> {
    let mut wanted = body_of(call.noun, call.matches, client)?;
    if let Some(text) = call.text("cert") {
        let found = object_of(client, call.noun, text)?;
        return same(found, &wanted);
    }
    let common_name = wanted.get("common_name").cloned();
    if let (Some(common_name), false) = (&common_name, wanted.contains_key("name")) {
        wanted.insert("name".to_owned(), common_name.clone());
    }
    let key = wanted.get("id").or(wanted.get("name")).and_then(Value::as_str).map(ToOwned::to_owned);
    let key = key.ok_or_else(|| Failure::Usage("name the certificate: ID, --name or --cn".to_owned()))?;
    match object_of(client, call.noun, &key) {
        Ok(found) => return same(found, &wanted),
        Err(Failure::NotFound { .. }) => {}
        Err(failure) => return Err(failure),
    }
    if let Some(common_name) = common_name {
        wanted.entry("sans").or_insert_with(|| json!([common_name]));
    }
    check_required(call.noun, &wanted)?;
    let created = client.post(&Send::to(PATH, &[]).body(Value::Object(wanted)))?;
    eprintln!("created certificate {}", id_in(&created)?);
    Ok(created)
}

/// Refuses to take a certificate for the one asked for when it differs.
fn same(found: Value, wanted: &Map<String, Value>) -> Result<Value, Failure> {
    let id = id_in(&found)?.to_owned();
    let different: Vec<&str> =
        wanted.iter().filter(|(key, value)| found.get(*key) != Some(*value)).map(|(key, _)| key.as_str()).collect();
    if different.is_empty() {
        return Ok(found);
    }
    Err(Failure::Conflict {
        message: format!(
            "certificate {id} exists with another {}; change it with `certctl certs update`, or choose another name",
            different.join(", ")
        ),
        candidates: vec![id],
    })
}

fn job_ids(answer: &Value) -> Vec<String> {
    let several = answer.get("job_ids").and_then(Value::as_array).into_iter().flatten();
    several.chain(answer.get("job_id")).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn after_renewal(call: &Call, client: &Client, id: &str, answer: &Value, deadline: &Deadline) -> Result<(), Failure> {
    let jobs = job_ids(answer);
    if !call.switch("wait") {
        let line = format!("{id}: {}  Job ID: {}", status_of(answer), jobs.join(", "));
        return call.report(&line, answer);
    }
    if jobs.is_empty() {
        return Err(Failure::Network("the server's answer names no job to wait for".to_owned()));
    }
    follow(client, &jobs, Some(id), deadline)?;
    if let Some(path) = call.text("out") {
        let exported = client.get(&Send::to(PATH, &[id, "export", "pem"]))?;
        let pem = member(&exported, "full_pem")?;
        if path == "-" {
            return crate::render::print(pem.as_bytes());
        }
        write_file(path, pem.as_bytes())?;
    }
    call.show(&client.get(&Send::to(PATH, &[id]))?)
}

fn status_of(answer: &Value) -> &str {
    answer.get("status").and_then(Value::as_str).unwrap_or("accepted")
}

fn member<'a>(answer: &'a Value, name: &str) -> Result<&'a str, Failure> {
    answer
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::Network(format!("the server's answer has no {name}")))
}

static RENEW: Verb = Verb {
    word: "renew",
    aliases: &[],
    about: "Renew a certificate",
    needs: Needs::Permission("cert.issue"),
    examples: ["certs renew web --wait", "certs renew web --force --wait --timeout 2m"],
    exits: &[5, 7, 8, 9],
    args: |command, noun| {
        let force = Arg::new("force")
            .long("force")
            .action(ArgAction::SetTrue)
            .help("Even if revoked, or while a renewal is under way");
        wait_flag(with_id(command, noun).arg(force))
    },
    run: |call| {
        let (client, deadline) = client_and_deadline(call)?;
        let id = id_of(&client, call.noun, the_id(call))?;
        let body = if call.switch("force") { json!({"force": true}) } else { json!({}) };
        let answer = client.post(&Send::to(PATH, &[&id, "renew"]).body(body))?;
        after_renewal(call, &client, &id, &answer, &deadline)
    },
};

const REASONS: &[&str] = &[
    "unspecified",
    "keyCompromise",
    "caCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "removeFromCRL",
    "privilegeWithdrawn",
    "aaCompromise",
];

/// Reads a reason in camelCase or snake_case.
fn reason(text: &str) -> Result<String, String> {
    let bare = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    REASONS
        .iter()
        .find(|known| bare(known) == bare(text))
        .map(|known| (*known).to_owned())
        .ok_or_else(|| format!("must be one of {}", REASONS.join(", ")))
}

static REVOKE: Verb = Verb {
    word: "revoke",
    aliases: &[],
    about: "Revoke a certificate; it can't be taken back (but for certificateHold)",
    needs: Needs::Permission("cert.revoke"),
    examples: ["certs revoke web --reason keyCompromise", "certs revoke web --reason superseded --yes"],
    exits: &[7, 8, 9],
    args: |command, noun| {
        let command = with_id(command, noun).arg(
            Arg::new("reason")
                .long("reason")
                .required(true)
                .value_parser(reason)
                .value_name("REASON")
                .help(format!("One of {}; snake_case is accepted", REASONS.join(", "))),
        );
        destructive(command)
    },
    run: |call| {
        let client = call.client()?;
        let certificate = object_of(&client, call.noun, the_id(call))?;
        let id = id_in(&certificate)?;
        let reason = call.text("reason").unwrap_or("unspecified");
        if !call.go_ahead(&format!("revoke this certificate ({reason})"), std::slice::from_ref(&certificate))? {
            return Ok(());
        }
        let answer = client.post(&Send::to(PATH, &[id, "revoke"]).body(json!({"reason": reason})))?;
        call.report(&format!("{id}: {} ({reason})", status_of(&answer)), &answer)
    },
};

static ARCHIVE: Verb = Verb {
    word: "archive",
    aliases: &["delete", "rm"],
    about: "Archive a certificate: it is no longer managed, and nothing is revoked",
    needs: Needs::Delete,
    examples: ["certs archive web", "certs archive web --yes"],
    exits: &[7, 8],
    args: |command, noun| destructive(with_id(command, noun)),
    run: |call| {
        let client = call.client()?;
        let certificate = object_of(&client, call.noun, the_id(call))?;
        let id = id_in(&certificate)?;
        if !call.go_ahead("archive this certificate", std::slice::from_ref(&certificate))? {
            return Ok(());
        }
        client.send(Method::Delete, &Send::to(PATH, &[id]))?;
        call.report(&format!("{id}: archived"), &json!({"status": "archived", "id": id}))
    },
};

static DEPLOY: Verb = Verb {
    word: "deploy",
    aliases: &[],
    about: "Deploy a certificate to its targets, or to one of them",
    needs: Needs::Edit,
    examples: ["certs deploy web --wait", "certs deploy web --target web1"],
    exits: &[5, 7, 8, 9],
    args: |command, noun| {
        wait_flag(
            with_id(command, noun)
                .arg(Arg::new("target").long("target").value_name("ID|NAME").help("Only this target")),
        )
    },
    run: |call| {
        let (client, deadline) = client_and_deadline(call)?;
        let id = id_of(&client, call.noun, the_id(call))?;
        let mut body = json!({});
        if let (Some(target), Some(targets)) = (call.text("target"), noun("targets")) {
            body["target_id"] = json!(id_of(&client, targets, target)?);
        }
        let answer = client.post(&Send::to(PATH, &[&id, "deploy"]).body(body))?;
        let jobs = job_ids(&answer);
        if call.switch("wait") {
            follow(&client, &jobs, None, &deadline)?;
        }
        call.report(&format!("{id}: {}  Job IDs: {}", status_of(&answer), jobs.join(", ")), &answer)
    },
};

static VERSIONS: Verb = Verb {
    word: "versions",
    aliases: &[],
    about: "List what was issued for a certificate, newest first",
    needs: Needs::Read,
    examples: ["certs versions web", "certs versions web --limit 1 -o json"],
    exits: &[7],
    args: |command, noun| paging(with_id(command, noun)),
    run: |call| sublist(call, "versions", &VERSION_SHAPE),
};

static DEPLOYMENTS: Verb = Verb {
    word: "deployments",
    aliases: &[],
    about: "List the targets of a certificate",
    needs: Needs::Read,
    examples: ["certs deployments web", "certs deployments web -o name"],
    exits: &[7],
    args: |command, noun| paging(with_id(command, noun)),
    run: |call| sublist(call, "deployments", &super::inventory::TARGETS.shape),
};

fn sublist(call: &Call, what: &str, shape: &Shape) -> Result<(), Failure> {
    let client = call.client()?;
    let id = id_of(&client, call.noun, the_id(call))?;
    list(call, &client, &format!("{PATH}/{id}/{what}"), shape, Vec::new())
}

static EXPORT: Verb = Verb {
    word: "export",
    aliases: &[],
    about: "Export the latest version; never with a private key",
    needs: Needs::Permission("cert.export"),
    examples: [
        "certs export web --chain --out web.pem",
        "certs export web --format pkcs12 --password-stdin --out web.p12 < password",
    ],
    exits: &[7, 9],
    args: |command, noun| {
        let command = with_id(command, noun).args([
            Arg::new("form")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["pem", "pkcs12", "der"])
                .default_value("pem")
                .help("Form of the file"),
            Arg::new("chain").long("chain").action(ArgAction::SetTrue).help("With the issuers' certificates (PEM)"),
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Password of the PKCS#12 file, from the first line of standard input"),
        ]);
        with_out(command)
    },
    run: export,
};

fn export(call: &Call) -> Result<(), Failure> {
    let client = call.client()?;
    let form = call.text("form").unwrap_or("pem");
    if call.switch("chain") && form == "der" {
        return Err(Failure::Usage("DER holds one certificate; --chain needs pem or pkcs12".to_owned()));
    }
    if call.switch("password-stdin") && form != "pkcs12" {
        return Err(Failure::Usage("--password-stdin is for --format pkcs12".to_owned()));
    }
    let password = if call.switch("password-stdin") { Some(ask::secret("password")?) } else { None };
    let id = id_of(&client, call.noun, the_id(call))?;
    if form == "pkcs12" {
        let body = json!({"password": password.as_ref().map_or("", |password| password.expose().as_str())});
        // Files that hold a password's work are never stored for a repetition.
        let reply = client.send(Method::Post, &Send::to(PATH, &[&id, "export", "pkcs12"]).body(body).once())?;
        return deliver(call, &reply.body, &id);
    }
    let answer = client.get(&Send::to(PATH, &[&id, "export", "pem"]))?;
    if form == "der" {
        let pem = member(&answer, "cert_pem")?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| Failure::Network(format!("the server's cert_pem is not PEM: {error}")))?;
        return deliver(call, &der, &id);
    }
    let pem = member(&answer, if call.switch("chain") { "full_pem" } else { "cert_pem" })?;
    deliver(call, pem.as_bytes(), &id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_in_both_spellings() {
        assert_eq!(reason("keyCompromise").as_deref(), Ok("keyCompromise"));
        assert_eq!(reason("key_compromise").as_deref(), Ok("keyCompromise"));
        assert_eq!(reason("remove_from_crl").as_deref(), Ok("removeFromCRL"));
        assert!(reason("because").is_err());
    }

    #[test]
    fn certificate_that_differs_is_not_taken_for_the_one_asked_for() {
        let found = json!({"id": "cert-1", "common_name": "a.example", "team_id": "team-1"});
        let wanted = |value: Value| value.as_object().cloned().unwrap();
        assert!(same(found.clone(), &wanted(json!({"common_name": "a.example"}))).is_ok());
        let failure = same(found, &wanted(json!({"common_name": "b.example", "team_id": "team-1"}))).unwrap_err();
        assert_eq!(failure.exit_code(), 8);
        assert!(failure.to_string().contains("another common_name"), "{failure}");
    }

    #[test]
    fn jobs_are_found_under_both_names() {
        assert_eq!(job_ids(&json!({"job_id": "a"})), ["a"]);
        assert_eq!(job_ids(&json!({"job_ids": ["a", "b"]})), ["a", "b"]);
        assert!(job_ids(&json!({})).is_empty());
    }
}
