//! Jobs: what the server and its agents are at.

use super::crud::{GET, LIST, id_in, the_id, with_id};
use super::{Needs, Noun, Verb};
use crate::render::{Shape, column};
use crate::run::destructive;
use crate::wait::{Deadline, follow};
use crate::wire::{Send, object_of};
use clap::{Arg, ArgAction};
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/api/v1/jobs";

/// Jobs.
pub(crate) static JOBS: Noun = Noun {
    word: "jobs",
    aliases: &["job"],
    singular: "job",
    about: "Issuances, renewals and deployments under way",
    path: PATH,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("TYPE", "type"),
            column("CERTIFICATE", "certificate_id"),
            column("STATUS", "status"),
            column("ATTEMPTS", "attempts"),
        ],
        wide: &[
            column("MAX ATTEMPTS", "max_attempts"),
            column("TARGET", "target_id"),
            column("AGENT", "agent_id"),
            column("VERIFICATION", "verification_status"),
            column("CREATED", "created_at"),
            column("COMPLETED", "completed_at"),
            column("LAST ERROR", "last_error"),
        ],
        name: "id",
    },
    filters: &[
        ("status", "Pending, AwaitingCSR, AwaitingApproval, Running, Completed, Failed or Cancelled"),
        ("type", "Issuance, Renewal, Deployment or Validation"),
        ("certificate-id", "Certificate"),
        ("target-id", "Target"),
        ("agent-id", "Agent"),
    ],
    permissions: ["job.read", "", ""],
    verbs: &[&LIST_JOBS, &GET, &CANCEL, &WATCH],
    ..Noun::EMPTY
};

static LIST_JOBS: Verb =
    Verb { examples: ["jobs list --status Failed -o wide", "jobs list --certificate-id ID --type Deployment"], ..LIST };

static CANCEL: Verb = Verb {
    word: "cancel",
    aliases: &[],
    about: "Cancel a job",
    needs: Needs::Permission("job.cancel"),
    examples: ["jobs cancel ID", "jobs cancel ID --yes"],
    exits: &[7, 8],
    args: |command, noun| destructive(with_id(command, noun)),
    run: |call| {
        let client = call.client()?;
        let job = object_of(&client, call.noun, the_id(call))?;
        let id = id_in(&job)?;
        if !call.go_ahead("cancel this job", std::slice::from_ref(&job))? {
            return Ok(());
        }
        let answer = client.post(&Send::to(PATH, &[id, "cancel"]).body(json!({})))?;
        let status = answer.get("status").and_then(Value::as_str).unwrap_or("cancelled");
        call.report(&format!("{id}: {status}"), &answer)
    },
};

static WATCH: Verb = Verb {
    word: "watch",
    aliases: &["wait"],
    about: "Follow jobs to their end (limit: --timeout)",
    needs: Needs::Read,
    examples: ["jobs watch ID", "jobs watch ID1 ID2 --timeout 10m"],
    exits: &[5, 7],
    args: |command, _| {
        command.arg(
            Arg::new("ids").value_name("ID").required(true).num_args(1..).action(ArgAction::Append).help("Their ids"),
        )
    },
    run: |call| {
        let deadline = Deadline::start(call.global.timeout);
        let client = call.client()?.with_timeout(Duration::from_secs(30));
        let ids: Vec<String> = call.matches.get_many("ids").into_iter().flatten().cloned().collect();
        let outcome = follow(&client, &ids, None, &deadline);
        if ids.len() == 1 {
            call.show(&client.get(&Send::to(PATH, &[&ids[0]]))?)?;
        }
        outcome
    },
};
