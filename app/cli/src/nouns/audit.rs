//! The audit trail: reading it, taking it along, and checking what was taken without the server.

use super::crud::{GET, LIST, the_id, with_id};
use super::{Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column, print};
use crate::run::Call;
use crate::wire::{Client, Send};
use certctl_audit_log::{
    Bundle, ExportLine, OfflineError, TrustedKeys, VerifierKey, bundle, check_bundle, check_export, check_legacy,
};
use clap::{Arg, ArgAction, Command};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::time::{Duration, Instant};

/// The audit trail.
pub(crate) static AUDIT: Noun = Noun {
    word: "audit",
    singular: "audit event",
    about: "The audit trail",
    path: "/api/v1/audit",
    shape: Shape {
        narrow: &[
            column("TIME", "timestamp"),
            column("ACTOR", "actor"),
            column("ACTION", "action"),
            column("TYPE", "resource_type"),
            column("RESOURCE", "resource_id"),
        ],
        wide: &[
            column("SEQ", "seq"),
            column("ACTOR TYPE", "actor_type"),
            column("FROM", "source_ip"),
            column("CATEGORY", "event_category"),
            column("ID", "id"),
            column("DETAILS", "details"),
        ],
        name: "id",
    },
    filters: &[
        ("category", "cert_lifecycle, auth or config"),
        ("since", "Time (RFC 3339)"),
        ("until", "Time (RFC 3339)"),
        ("actor", "Who"),
        ("actor-type", "User, System, Agent, APIKey or Anonymous"),
        ("action", "What, such as certificate_revoked"),
        ("resource-type", "Kind of object"),
        ("resource-id", "Object"),
        ("request-id", "Request"),
        ("q", "Text in object, actor, action or details"),
    ],
    permissions: ["audit.read", "", ""],
    verbs: &[&LIST_AUDIT, &GET, &EXPORT, &CHECKPOINT, &KEY, &VERIFY, &PROVE, &BUNDLE],
    ..Noun::EMPTY
};

static LIST_AUDIT: Verb = Verb {
    about: "List audit events, newest first",
    examples: ["audit list --limit 20", "audit list --action certificate_revoked --resource-id ID -o json"],
    ..LIST
};

const STATUS: &str = "/api/v1/audit/verify";
const HEAD: &str = "/api/v1/audit/checkpoint";
/// An export of millions of events takes its time.
const LONG: Duration = Duration::from_hours(6);

fn out() -> Arg {
    Arg::new("out").long("out").value_name("FILE").help("Write here [default: standard output]")
}

fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help)
}

/// The flags of everything that checks offline.
fn checking(command: Command) -> Command {
    command.args([
        value("key", "KEY", "Verifier key name+hash+key, or a file of them; repeat for several")
            .action(ArgAction::Append),
        value("checkpoint", "FILE", "Checkpoint kept elsewhere that must hold; repeat for several")
            .action(ArgAction::Append),
    ])
}

fn many<'a>(call: &'a Call, name: &str) -> Vec<&'a String> {
    call.matches.try_get_many(name).ok().flatten().into_iter().flatten().collect()
}

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Local(format!("{path}: {error}")))
}

fn open(path: &str) -> Result<BufReader<File>, Failure> {
    File::open(path).map(BufReader::new).map_err(|error| Failure::Local(format!("{path}: {error}")))
}

fn trusted(call: &Call) -> Result<TrustedKeys, Failure> {
    let mut keys = Vec::new();
    for text in many(call, "key") {
        if let Ok(key) = VerifierKey::parse(text) {
            keys.push(key);
            continue;
        }
        for line in read(text)?.lines().filter(|line| !line.trim().is_empty()) {
            keys.push(VerifierKey::parse(line).map_err(|error| Failure::Usage(format!("{text}: {error}")))?);
        }
    }
    if keys.is_empty() {
        return Err(Failure::Usage(
            "give the log's verifier key with --key; `certctl audit key` asks the server for it".to_owned(),
        ));
    }
    Ok(TrustedKeys(keys))
}

fn notes(call: &Call) -> Result<Vec<String>, Failure> {
    many(call, "checkpoint").into_iter().map(|path| read(path)).collect()
}

/// A break is a failed operation; a file that can't be read is not.
fn judged<T>(outcome: Result<T, OfflineError>) -> Result<T, Failure> {
    outcome.map_err(|error| match error {
        OfflineError::Io(_) => Failure::Local(error.to_string()),
        OfflineError::NoSuchEvent(_) => Failure::NotFound { kind: "audit event", text: error.to_string() },
        other => Failure::Failed(other.to_string()),
    })
}

/// Writes to the file that was named, or to standard output.
fn deliver(call: &Call, text: &str) -> Result<(), Failure> {
    match call.text("out") {
        Some(path) => std::fs::write(path, text).map_err(|error| Failure::Local(format!("{path}: {error}"))),
        None => print(text.as_bytes()),
    }
}

static EXPORT: Verb = Verb {
    word: "export",
    aliases: &[],
    about: "Take audit events along, in a form that can be checked without the server",
    needs: Needs::Permission("audit.export"),
    examples: [
        "audit export --from 2030-01-01 --to 2030-02-01 --out january.ndjson",
        "audit export --from 2029-01-01 --to 2030-01-01 --limit all --csv --out 2029.csv",
    ],
    exits: &[9],
    args: |command, _| {
        command.args([
            value("from", "TIME", "Not before (RFC 3339 or a date)").required(true),
            value("to", "TIME", "Not after").required(true),
            value("category", "VALUE", "cert_lifecycle, auth or config"),
            value("limit", "NUMBER", "Most events, or all [default: 50000]"),
            Arg::new("csv").long("csv").action(ArgAction::SetTrue).help("CSV, which can't be checked by itself"),
            out(),
        ])
    },
    run: |call| {
        let csv = call.switch("csv");
        let mut request = Send::to("/api/v1/audit/export", &[]);
        for name in ["from", "to", "category", "limit"] {
            if let Some(text) = call.text(name) {
                request = request.query(name, text);
            }
        }
        let (name, value) = if csv { ("format", "csv") } else { ("proof", "true") };
        request = request.query(name, value);
        let client = call.client()?.with_timeout(LONG);
        let last = match call.text("out") {
            Some(path) => {
                let failed = |error: std::io::Error| Failure::Local(format!("{path}: {error}"));
                let mut file = BufWriter::new(File::create(path).map_err(failed)?);
                let last = client.download(&request, &mut file)?;
                file.flush().map_err(failed)?;
                last
            }
            None => client.download(&request, &mut std::io::stdout().lock())?,
        };
        complete(&last)
    },
};

/// Looks at the last line of an export: whether it is all.
fn complete(last: &str) -> Result<(), Failure> {
    let trailer: Option<Value> = serde_json::from_str(last.trim_start_matches("# ").trim()).ok();
    let trailer = trailer.as_ref().and_then(|line| line.get("_trailer"));
    let trailer = trailer.ok_or_else(|| Failure::Failed("the export was cut off on its way".to_owned()))?;
    match trailer.get("error").and_then(Value::as_str) {
        None => Ok(()),
        Some("limit") => {
            eprintln!("warning: there are more events than --limit allows");
            Ok(())
        }
        Some(error) => Err(Failure::Failed(format!("the export is incomplete: {error}"))),
    }
}

static CHECKPOINT: Verb = Verb {
    word: "checkpoint",
    aliases: &[],
    about: "Show the signed head of the log; keep one elsewhere, and later changes before it show",
    needs: Needs::Permission("audit.read, with --now audit.export"),
    examples: ["audit checkpoint --out kept.checkpoint", "audit checkpoint --now"],
    exits: &[7],
    args: |command, _| {
        command.args([
            Arg::new("now").long("now").action(ArgAction::SetTrue).help("Seal and sign what was recorded until now"),
            out(),
        ])
    },
    run: |call| {
        let method = if call.switch("now") { crate::wire::Method::Post } else { crate::wire::Method::Get };
        let reply = call.client()?.send(method, &Send::to(HEAD, &[]))?;
        deliver(call, &String::from_utf8_lossy(&reply.body))
    },
};

static KEY: Verb = Verb {
    word: "key",
    aliases: &[],
    about: "Print the key that the log's heads are checked with",
    needs: Needs::Read,
    examples: ["audit key", "audit key --out audit.key"],
    exits: &[],
    args: |command, _| command.arg(out()),
    run: |call| {
        let status = call.client()?.get(&Send::to(STATUS, &[]))?;
        let key = status.get("verifier_key").and_then(Value::as_str);
        let key = key.ok_or_else(|| Failure::Network("the server's answer has no verifier_key".to_owned()))?;
        deliver(call, &format!("{key}\n"))
    },
};

static VERIFY: Verb = Verb {
    word: "verify",
    aliases: &[],
    about: "Check an export, a bundle or an old chain without the server; without a file, have the server check its log",
    needs: Needs::Permission("none with a file, else audit.export"),
    examples: [
        "audit verify january.ndjson --key audit.key --checkpoint kept.checkpoint",
        "audit verify --full --checkpoint kept.checkpoint",
    ],
    exits: &[5],
    args: |command, _| {
        let alone = ["bundle", "legacy", "full"];
        checking(command).args([
            Arg::new("file").value_name("FILE").help("Export to check").conflicts_with_all(alone),
            value("bundle", "FILE", "Check a bundle instead").conflicts_with_all(["legacy", "full"]),
            value("legacy", "FILE", "Check rows of the old linear chain, a JSON object a line").conflicts_with("full"),
            value("head", "HASH", "With --legacy: the chain's head, without which a removed end does not show")
                .requires("legacy"),
            Arg::new("full")
                .long("full")
                .action(ArgAction::SetTrue)
                .help("Have the server check from the first event on"),
        ])
    },
    run: |call| {
        if let Some(path) = call.text("file") {
            let checked = judged(check_export(open(path)?, &trusted(call)?, &notes(call)?))?;
            return sound(
                call,
                &format!("{} events hold under the checkpoint of {}", checked.events, checked.size),
                &json!(checked),
            );
        }
        if let Some(path) = call.text("bundle") {
            let checked = judged(check_bundle(&read(path)?, &trusted(call)?))?;
            return sound(
                call,
                &format!("{} events are in the log of {}", checked.events, checked.size),
                &json!(checked),
            );
        }
        if let Some(path) = call.text("legacy") {
            let chain = check_legacy(open(path)?, call.text("head"));
            let chain = chain.map_err(|error| Failure::Failed(error.to_string()))?;
            return sound(call, &format!("{} rows hold; the head is {}", chain.rows, chain.head), &json!(chain));
        }
        ask_server(call)
    },
};

fn sound(call: &Call, line: &str, facts: &Value) -> Result<(), Failure> {
    call.report(line, facts)
}

/// Has the server walk its log, and waits.
fn ask_server(call: &Call) -> Result<(), Failure> {
    let client = call.client()?.with_timeout(Duration::from_secs(30));
    let mut body = json!({"mode": if call.switch("full") { "full" } else { "incremental" }});
    match notes(call)?.as_slice() {
        [] => {}
        [note] => body["checkpoint"] = json!(note),
        _ => return Err(Failure::Usage("the server takes one checkpoint at a time".to_owned())),
    }
    let begun = client.post(&Send::to(STATUS, &[]).body(body))?;
    let run = followed(call, &client, &begun)?;
    let text = |name: &str| run.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("result") == "ok" {
        return sound(call, &format!("{} events hold", run["to_seq"]), &run);
    }
    let found = &run["first_break"];
    let part =
        |name: &str| found.get(name).map(|value| value.to_string().trim_matches('"').to_owned()).unwrap_or_default();
    Err(Failure::Failed(format!("{} at event {} {}: {}", part("code"), part("seq"), part("event_id"), part("detail"))))
}

fn followed(call: &Call, client: &Client, begun: &Value) -> Result<Value, Failure> {
    let limit = Instant::now() + call.global.timeout.unwrap_or(LONG);
    loop {
        let status = client.get(&Send::to(STATUS, &[]))?;
        let runs = status.get("verifications").and_then(Value::as_array);
        let run = runs.into_iter().flatten().find(|run| run["id"] == begun["id"]).cloned();
        match run {
            Some(run) if run["result"] != "running" => return Ok(run),
            Some(_) if Instant::now() < limit => std::thread::sleep(Duration::from_millis(300)),
            Some(run) => {
                return Err(Failure::TimedOut(format!("at event {} of {}", run["position"], run["to_seq"])));
            }
            None => return Err(Failure::Network("the server no longer knows the verification".to_owned())),
        }
    }
}

fn export_file() -> Arg {
    Arg::new("export").long("export").value_name("FILE").required(true).help("Export that holds the event")
}

/// A bundle of the events of an export that `keep` picks.
fn make(call: &Call, keep: impl FnMut(&ExportLine) -> bool) -> Result<Bundle, Failure> {
    let path = call.text("export").unwrap_or_default();
    judged(bundle(open(path)?, &trusted(call)?, &notes(call)?, keep))
}

fn written(bundle: &Bundle) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(bundle).map_err(|error| Failure::Local(error.to_string()))?;
    Ok(format!("{text}\n"))
}

static PROVE: Verb = Verb {
    word: "prove",
    aliases: &[],
    about: "Prove from an export that an event is in the log; the server is not asked",
    needs: Needs::Nothing,
    examples: [
        "audit prove audit-ID --export january.ndjson --key audit.key --out proof.json",
        "audit prove audit-ID --export january.ndjson --key audit.key --checkpoint kept.checkpoint",
    ],
    exits: &[5, 7],
    args: |command, noun| checking(with_id(command, noun)).args([export_file(), out()]),
    run: |call| {
        let id = the_id(call);
        let bundle = make(call, |event| event.id == id)?;
        if bundle.events.is_empty() {
            return Err(Failure::NotFound { kind: "audit event", text: id.to_owned() });
        }
        deliver(call, &written(&bundle)?)
    },
};

static BUNDLE: Verb = Verb {
    word: "bundle",
    aliases: &[],
    about: "Put events of an export, their proofs and the checkpoint into one file; the server is not asked",
    needs: Needs::Nothing,
    examples: [
        "audit bundle --export january.ndjson --key audit.key --resource-id mc-web --out evidence.json",
        "audit bundle --export january.ndjson --key audit.key --action certificate_revoked",
    ],
    exits: &[5],
    args: |command, _| {
        checking(command).args([
            export_file(),
            value("id", "ID", "This event; repeat for several").action(ArgAction::Append),
            value("actor", "ID", "Events of this actor"),
            value("action", "NAME", "Events of this action"),
            value("resource-type", "KIND", "Events on this kind of object"),
            value("resource-id", "ID", "Events on this object"),
            out(),
        ])
    },
    run: |call| {
        let ids = many(call, "id");
        let is = |name: &str, value: &str| call.text(name).is_none_or(|wanted| wanted == value);
        let bundle = make(call, |event| {
            (ids.is_empty() || ids.contains(&&event.id))
                && is("actor", &event.actor)
                && is("action", &event.action)
                && is("resource-type", &event.resource_type)
                && is("resource-id", &event.resource_id)
        })?;
        eprintln!("{} events", bundle.events.len());
        deliver(call, &written(&bundle)?)
    },
};
