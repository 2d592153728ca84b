//! Revoking many certificates, and lifting a hold.

use super::certs::{PATH, REASONS, reason};
use super::crud::{the_id, with_id};
use super::issue::{member, status_of};
use super::{Needs, Verb, noun};
use crate::failure::Failure;
use crate::run::{Call, destructive};
use crate::wire::{Client, Send, id_of};
use clap::{Arg, ArgAction};
use serde_json::{Map, Value, json};

/// Flags that name objects by id or name: flag, member on the wire, noun.
const REFERENCES: [(&str, &str, &str); 5] = [
    ("profile-id", "profile_id", "profiles"),
    ("owner-id", "owner_id", "owners"),
    ("agent-id", "agent_id", "agents"),
    ("issuer-id", "issuer_id", "issuers"),
    ("team-id", "team_id", "teams"),
];

/// Revoke many.
pub(super) static BULK_REVOKE: Verb = Verb {
    word: "bulk-revoke",
    aliases: &[],
    about: "Revoke every certificate that meets all criteria, however many they are",
    needs: Needs::Permission("cert.bulk_revoke"),
    examples: [
        "certs bulk-revoke --owner-id alice --reason cessationOfOperation --dry-run",
        "certs bulk-revoke web mail --reason keyCompromise --yes",
    ],
    exits: &[5, 7, 8, 9],
    args: |command, _| {
        let text = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(value).help(help)
        };
        let command = command
            .arg(Arg::new("ids").value_name("ID").num_args(0..).help("These, by id or name"))
            .arg(
                text("reason", "REASON", "Why")
                    .default_value("unspecified")
                    .value_parser(reason)
                    .long_help(format!("One of {}; snake_case is accepted", REASONS.join(", "))),
            )
            .args(REFERENCES.map(|(flag, ..)| text(flag, "ID|NAME", "Of this one")))
            .arg(
                text("serial", "HEX", "With a version of this serial; repeat for several")
                    .action(ArgAction::Append)
                    .value_delimiter(','),
            )
            .arg(text("cn-suffix", "TEXT", "With a common name that ends so, such as .example.com"))
            .arg(text("source", "SOURCE", "That came this way: API, Agent, ACME, EST or SCEP"))
            .arg(text("comment", "TEXT", "For the record"));
        destructive(command)
    },
    run: bulk_revoke,
};

fn order(call: &Call, client: &Client) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    let all = |name: &str| -> Vec<String> { call.matches.get_many(name).into_iter().flatten().cloned().collect() };
    let ids = all("ids").iter().map(|text| id_of(client, call.noun, text)).collect::<Result<Vec<_>, _>>()?;
    if !ids.is_empty() {
        body.insert("certificate_ids".to_owned(), json!(ids));
    }
    for (flag, name, word) in REFERENCES {
        if let (Some(text), Some(found)) = (call.text(flag), noun(word)) {
            body.insert(name.to_owned(), json!(id_of(client, found, text)?));
        }
    }
    let serials = all("serial");
    if !serials.is_empty() {
        body.insert("serials".to_owned(), json!(serials));
    }
    for (flag, name) in [("cn-suffix", "common_name_suffix"), ("source", "source"), ("comment", "comment")] {
        if let Some(text) = call.text(flag) {
            body.insert(name.to_owned(), json!(text));
        }
    }
    body.insert("reason".to_owned(), json!(call.text("reason").unwrap_or("unspecified")));
    Ok(body)
}

fn totals(answer: &Value) -> String {
    let figure = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    format!(
        "Matched: {}  Revoked: {}  Skipped: {}  Failed: {}",
        figure("total_matched"),
        figure("total_revoked"),
        figure("total_skipped"),
        figure("total_failed")
    )
}

fn bulk_revoke(call: &Call) -> Result<(), Failure> {
    let client = call.client()?;
    let mut body = order(call, &client)?;
    let mut question = body.clone();
    question.insert("dry_run".to_owned(), json!(true));
    let plan = client.post(&Send::to(PATH, &["bulk-revoke"]).body(Value::Object(question)).once())?;
    if call.switch("dry_run") {
        return call.report(&format!("would revoke: {}", totals(&plan)), &plan);
    }
    let count = plan.get("total_revoked").and_then(Value::as_u64).unwrap_or(0);
    let action = format!("revoke {count} certificates ({})", call.text("reason").unwrap_or("unspecified"));
    if !call.go_ahead(&action, &[])? {
        return Ok(());
    }
    // Exactly the set that was shown.
    body.insert("plan_hash".to_owned(), json!(member(&plan, "plan_hash")?));
    let done = client.post(&Send::to(PATH, &["bulk-revoke"]).body(Value::Object(body)))?;
    call.report(&totals(&done), &done)?;
    match done.get("total_failed").and_then(Value::as_u64) {
        None | Some(0) => Ok(()),
        Some(failed) => Err(Failure::Failed(format!("{failed} certificates were not revoked; run it again for them"))),
    }
}

/// Lift a hold.
pub(super) static UNREVOKE: Verb = Verb {
    word: "unrevoke",
    aliases: &["unhold"],
    about: "Lift the hold of a certificate that was revoked for certificateHold",
    needs: Needs::Permission("cert.revoke"),
    examples: ["certs unrevoke web", "certs unrevoke web -o json"],
    exits: &[7, 8],
    args: with_id,
    run: |call| {
        let client = call.client()?;
        let id = id_of(&client, call.noun, the_id(call))?;
        let answer = client.post(&Send::to(PATH, &[&id, "unrevoke"]).body(json!({})))?;
        call.report(&format!("{id}: {}", status_of(&answer)), &answer)
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_one_line() {
        let answer = json!({"total_matched": 3, "total_revoked": 1, "total_skipped": 1, "total_failed": 1});
        assert_eq!(totals(&answer), "Matched: 3  Revoked: 1  Skipped: 1  Failed: 1");
    }
}
