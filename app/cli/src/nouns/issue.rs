//! Issuing and renewing: from flags to a certificate, by the agent or by a request at hand.

use super::certs::{PATH, VERSION_SHAPE};
use super::crud::id_in;
use super::fields::{add_flags, body_of, check_required, read_input};
use super::inventory::{with_out, write_file};
use super::{Needs, Verb};
use crate::failure::Failure;
use crate::run::Call;
use crate::settings::Format;
use crate::wait::{Deadline, follow};
use crate::wire::{Client, Send, object_of};
use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(super) fn wait_flag(command: Command) -> Command {
    command.arg(
        Arg::new("wait")
            .long("wait")
            .action(ArgAction::SetTrue)
            .help("Follow the jobs to their end (limit: --timeout)"),
    )
}

/// The client and deadline of a verb that may wait: with `--wait`, `--timeout` limits the waiting and not the request.
pub(super) fn client_and_deadline(call: &Call) -> Result<(Client, Deadline), Failure> {
    let client = call.client()?;
    let client = if call.switch("wait") { client.with_timeout(Duration::from_secs(30)) } else { client };
    Ok((client, Deadline::start(call.global.timeout)))
}

/// Issue.
pub(super) static ISSUE: Verb = Verb {
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
    if let Some(request) = version.get("pending_approval_id").and_then(Value::as_str) {
        let way = "a second person must approve it; then run the same command again";
        return Err(Failure::Failed(format!("nothing is issued yet: approval request {request} waits: {way}")));
    }
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

pub(super) fn job_ids(answer: &Value) -> Vec<String> {
    let several = answer.get("job_ids").and_then(Value::as_array).into_iter().flatten();
    several.chain(answer.get("job_id")).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

pub(super) fn after_renewal(
    call: &Call,
    client: &Client,
    id: &str,
    answer: &Value,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let jobs = job_ids(answer);
    if !call.switch("wait") {
        let mut line = format!("{id}: {}  Job ID: {}", status_of(answer), jobs.join(", "));
        if let Some(request) = answer.get("approval_id").and_then(Value::as_str) {
            line.push_str("  Waits for approval: ");
            line.push_str(request);
        }
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

pub(super) fn status_of(answer: &Value) -> &str {
    answer.get("status").and_then(Value::as_str).unwrap_or("accepted")
}

pub(super) fn member<'a>(answer: &'a Value, name: &str) -> Result<&'a str, Failure> {
    answer
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::Network(format!("the server's answer has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
