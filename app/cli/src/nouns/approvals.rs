//! Two-person approval: what waits for a decision, and the decisions.

use super::crud::{GET, LIST, id_in, the_id, with_id};
use super::{Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{Call, destructive};
use crate::wire::{Send, object_of};
use clap::{Arg, Command};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/approvals";

/// Approval requests.
pub(crate) static APPROVALS: Noun = Noun {
    word: "approvals",
    aliases: &["approval"],
    singular: "approval request",
    about: "What waits for a second person, and what was decided",
    path: PATH,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("KIND", "kind"),
            column("STATE", "state"),
            column("FOR", "metadata"),
            column("REQUESTED BY", "requested_by"),
            column("EXPIRES", "expires_at"),
        ],
        wide: &[
            column("PROFILE", "profile_id"),
            column("CERTIFICATE", "certificate_id"),
            column("JOB", "job_id"),
            column("DECIDED BY", "decided_by"),
            column("DECIDED", "decided_at"),
            column("NOTE", "decision_note"),
            column("USED", "consumed_at"),
            column("CREATED", "created_at"),
        ],
        name: "id",
    },
    filters: &[
        ("state", "pending, approved, rejected, expired or withdrawn"),
        ("kind", "cert_issuance or profile_edit"),
        ("certificate-id", "Certificate"),
        ("requested-by", "Who asked"),
        ("mine", "requested (by you) or decidable (by you)"),
    ],
    permissions: ["approval.read", "", ""],
    verbs: &[&LIST_APPROVALS, &SHOW, &APPROVE, &REJECT, &WITHDRAW, &COMMENT],
    ..Noun::EMPTY
};

static LIST_APPROVALS: Verb = Verb {
    about: "List approval requests, newest first",
    examples: ["approvals list --mine decidable", "approvals list --state pending --kind profile_edit -o wide"],
    ..LIST
};

static SHOW: Verb = Verb {
    word: "show",
    aliases: &["get"],
    about: "Show an approval request: what it is for, what it would change, what was said about it",
    examples: ["approvals show ID", "approvals show ID -o yaml"],
    ..GET
};

fn note(command: Command, noun: &'static Noun) -> Command {
    destructive(with_id(command, noun)).arg(Arg::new("note").long("note").value_name("TEXT").help("Why"))
}

/// Shows the request, asks, and sends the decision.
fn decide(call: &Call, verb: &str, question: &str) -> Result<(), Failure> {
    let client = call.client()?;
    let request = object_of(&client, call.noun, the_id(call))?;
    if !call.go_ahead(question, std::slice::from_ref(&request))? {
        return Ok(());
    }
    send(call, id_in(&request)?, verb)
}

fn send(call: &Call, id: &str, verb: &str) -> Result<(), Failure> {
    let body = call.text("note").map_or_else(|| json!({}), |note| json!({"note": note}));
    let answer = call.client()?.post(&Send::to(PATH, &[id, verb]).body(body))?;
    let action = answer.get("action").and_then(Value::as_str).unwrap_or("decided");
    call.report(&format!("{id}: {action}"), &answer)
}

static APPROVE: Verb = Verb {
    word: "approve",
    aliases: &[],
    about: "Grant what another person asked for",
    needs: Needs::Permission("approval.approve"),
    examples: ["approvals approve ID", "approvals approve ID --note CHG-1234 --yes"],
    exits: &[7, 8, 9],
    args: note,
    run: |call| decide(call, "approve", "approve this"),
};

static REJECT: Verb = Verb {
    word: "reject",
    aliases: &[],
    about: "Refuse what another person asked for",
    needs: Needs::Permission("approval.reject"),
    examples: ["approvals reject ID --note outside-the-window", "approvals reject ID --yes"],
    exits: &[7, 8, 9],
    args: note,
    run: |call| decide(call, "reject", "reject this"),
};

static WITHDRAW: Verb = Verb {
    word: "withdraw",
    aliases: &[],
    about: "Take back what you asked for",
    needs: Needs::Credential,
    examples: ["approvals withdraw ID", "approvals withdraw ID --note mistaken"],
    exits: &[7, 8, 9],
    // Whoever asked need not be able to read requests, so nothing is fetched first.
    args: |command, noun| with_id(command, noun).arg(Arg::new("note").long("note").value_name("TEXT").help("Why")),
    run: |call| send(call, the_id(call), "withdraw"),
};

static COMMENT: Verb = Verb {
    word: "comment",
    aliases: &[],
    about: "Say something about a request: as who asked, or as one who may decide",
    needs: Needs::Credential,
    examples: ["approvals comment ID which-change?", "approvals comment ID CHG-1234 -o json"],
    exits: &[7, 9],
    args: |command, noun| {
        with_id(command, noun).arg(Arg::new("text").value_name("TEXT").required(true).help("What to say"))
    },
    run: |call| {
        let id = the_id(call);
        let body = json!({"text": call.text("text")});
        let comment = call.client()?.post(&Send::to(PATH, &[id, "comments"]).body(body))?;
        call.report(&format!("{id}: commented"), &comment)
    },
};
