//! What would be issued, without issuing.

use super::certs::PATH;
use super::fields::read_input;
use super::inventory::{with_out, write_file};
use super::{Needs, Verb, noun};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::Call;
use crate::wire::{Client, Send, id_of};
use clap::{Arg, ArgAction};
use serde_json::{Map, Value, json};

/// Preview.
pub(super) static PREVIEW: Verb = Verb {
    word: "preview",
    aliases: &[],
    about: "Show what would be issued, or every rule that speaks against it; nothing is issued",
    needs: Needs::Permission("cert.issue"),
    examples: [
        "certs preview web --csr web.csr",
        "certs preview --cn web.example.com --san web.example.com --issuer internal --profile tls --out sample.pem",
    ],
    exits: &[5, 7, 9],
    args: |command, _| {
        let flag = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
        let imagined = |arg: Arg| arg.conflicts_with("cert");
        with_out(
            command.args([
                Arg::new("cert").value_name("ID").help("Certificate that exists, by id or name"),
                imagined(flag("cn", "NAME")).help("Common name of one that does not"),
                imagined(flag("san", "NAME"))
                    .action(ArgAction::Append)
                    .value_delimiter(',')
                    .help("Its subject alternative name; repeat or separate by commas"),
                imagined(flag("issuer", "ID|NAME")).help("Who would sign it").required_unless_present("cert"),
                imagined(flag("profile", "ID|NAME")).alias("profile-id").help("Its certificate profile"),
                flag("csr", "FILE").help("Certificate request in PEM (- for standard input)"),
                flag("lifetime", "SECONDS")
                    .value_parser(clap::value_parser!(i64).range(1..))
                    .help("A shorter lifetime than issuer and profile give"),
            ]),
        )
    },
    run: preview,
};

const SHAPE: Shape = Shape {
    narrow: &[
        column("WOULD ISSUE", "would_issue"),
        column("NEEDS APPROVAL", "needs_approval"),
        column("COMMON NAME", "common_name"),
        column("SANS", "sans"),
        column("NOT BEFORE", "not_before"),
        column("NOT AFTER", "not_after"),
        column("PURPOSES", "ekus"),
    ],
    wide: &[
        column("CA", "ca_id"),
        column("MUST STAPLE", "must_staple"),
        column("OCSP", "ocsp_urls"),
        column("CRL", "crl_urls"),
        column("CA CERTIFICATE", "ca_issuer_urls"),
        column("WARNINGS", "warnings"),
    ],
    name: "would_issue",
};

fn question(call: &Call, client: &Client) -> Result<Value, Failure> {
    let mut body = Map::new();
    let resolved = |word: &str, text: &str| match noun(word) {
        Some(found) => id_of(client, found, text),
        None => Ok(text.to_owned()),
    };
    if let Some(text) = call.text("cert") {
        body.insert("certificate_id".to_owned(), json!(id_of(client, call.noun, text)?));
    } else {
        let sans: Vec<&String> = call.matches.get_many::<String>("san").into_iter().flatten().collect();
        body.insert("common_name".to_owned(), json!(call.text("cn").unwrap_or_default()));
        body.insert("sans".to_owned(), json!(sans));
        if let Some(text) = call.text("issuer") {
            body.insert("issuer_id".to_owned(), json!(resolved("issuers", text)?));
        }
        if let Some(text) = call.text("profile") {
            body.insert("certificate_profile_id".to_owned(), json!(resolved("profiles", text)?));
        }
    }
    if let Some(path) = call.text("csr") {
        body.insert("csr_pem".to_owned(), json!(read_input(path)?));
    }
    if let Some(seconds) = call.matches.get_one::<i64>("lifetime") {
        body.insert("lifetime_seconds".to_owned(), json!(seconds));
    }
    Ok(Value::Object(body))
}

/// The answer with the certificate's members beside the others.
fn flat(answer: &Value) -> Value {
    let mut flat = answer.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(certificate)) = flat.remove("certificate") {
        flat.extend(certificate);
    }
    Value::Object(flat)
}

fn refusals(answer: &Value) -> Vec<String> {
    let part = |rule: &Value, name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = answer.get("refusals").and_then(Value::as_array).into_iter().flatten();
    list.map(|rule| format!("{} ({}): {}", part(rule, "field"), part(rule, "code"), part(rule, "message"))).collect()
}

fn preview(call: &Call) -> Result<(), Failure> {
    let client = call.client()?;
    let body = question(call, &client)?;
    // Nothing is changed, so a repetition needs no key.
    let answer = client.post(&Send::to(PATH, &["preview"]).body(body).once())?;
    let broken = refusals(&answer);
    if !broken.is_empty() {
        return Err(Failure::Failed(format!("it would not be issued:\n  {}", broken.join("\n  "))));
    }
    let flat = flat(&answer);
    if let (Some(path), Some(sample)) = (call.text("out"), flat.get("sample_pem").and_then(Value::as_str)) {
        if path == "-" {
            return crate::render::print(sample.as_bytes());
        }
        write_file(path, sample.as_bytes())?;
    }
    call.show_as(&SHAPE, &flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_with_their_field_and_code() {
        let answer = json!({"refusals": [{"field": "sans", "code": "san_policy", "message": "no"}]});
        assert_eq!(refusals(&answer), ["sans (san_policy): no"]);
        assert!(refusals(&json!({})).is_empty());
    }

    #[test]
    fn the_certificate_s_members_stand_beside_the_others() {
        let answer = json!({"would_issue": true, "certificate": {"common_name": "a.example"}});
        assert_eq!(flat(&answer), json!({"would_issue": true, "common_name": "a.example"}));
    }
}
