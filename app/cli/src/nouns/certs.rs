//! Managed certificates.

use super::crud::{CREATE, GET, LIST, UPDATE, id_in, list, paging, the_id, with_id};
use super::inventory::{deliver, with_out};
use super::issue::{ISSUE, after_renewal, client_and_deadline, job_ids, member, status_of, wait_flag};
use super::preview::PREVIEW;
use super::revoke::{BULK_REVOKE, UNREVOKE};
use super::{Field, Kind, Needs, Noun, Verb, noun};
use crate::ask;
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{Call, destructive};
use crate::wait::follow;
use crate::wire::{Method, Send, id_of, object_of};
use clap::{Arg, ArgAction};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

pub(super) const PATH: &str = "/api/v1/certificates";

/// Managed certificates.
pub(crate) static CERTS: Noun = Noun {
    word: "certs",
    aliases: &["cert", "certificates", "certificate"],
    singular: "certificate",
    about: "Managed certificates: issue, renew, deploy, revoke, export",
    path: PATH,
    named: true,
    searchable: true,
    projects: true,
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
        &PREVIEW,
        &RENEW,
        &REVOKE,
        &UNREVOKE,
        &BULK_REVOKE,
        &ARCHIVE,
        &DEPLOY,
        &VERSIONS,
        &DEPLOYMENTS,
        &EXPORT,
        &UPDATE,
    ],
    ..Noun::EMPTY
};

pub(super) const VERSION_SHAPE: Shape = Shape {
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

pub(super) const REASONS: &[&str] = &[
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
pub(super) fn reason(text: &str) -> Result<String, String> {
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
}
