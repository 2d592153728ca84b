//! Agents on the hosts.

use super::crud::{GET, LIST, id_in, list, the_id, with_id};
use super::{Field, Kind, Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::destructive;
use crate::wait::Deadline;
use crate::wire::{Limit, Method, Send, fetch, id_of, object_of};
use clap::{Arg, ArgAction};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PATH: &str = "/api/v1/agents";

/// Agents.
pub(crate) static AGENTS: Noun = Noun {
    word: "agents",
    aliases: &["agent"],
    singular: "agent",
    about: "Agents on the hosts: they keep the private keys and deploy",
    path: PATH,
    named: true,
    shape: Shape {
        narrow: &[
            column("ID", "id"),
            column("HOSTNAME", "hostname"),
            column("STATUS", "status"),
            column("OS", "os"),
            column("ARCHITECTURE", "architecture"),
            column("IP ADDRESS", "ip_address"),
        ],
        wide: &[
            column("NAME", "name"),
            column("VERSION", "version"),
            column("LAST HEARTBEAT", "last_heartbeat_at"),
            column("REGISTERED", "registered_at"),
        ],
        name: "id",
    },
    fields: &[
        Field::new("name", "name", Kind::Text, "Unique name").needed(),
        Field::new("hostname", "hostname", Kind::Text, "Its host").needed(),
        Field::new("os", "os", Kind::Text, "Operating system"),
        Field::new("architecture", "architecture", Kind::Text, "Processor"),
        Field::new("ip-address", "ip_address", Kind::Text, "Address"),
    ],
    filters: &[("status", "Online, Offline or Degraded")],
    permissions: ["agent.read", "agent.edit", "agent.retire"],
    verbs: &[&LIST_AGENTS, &GET, &REGISTER, &RETIRE, &WAIT_ONLINE],
    ..Noun::EMPTY
};

const RETIRED: Shape = Shape {
    narrow: &[
        column("ID", "id"),
        column("HOSTNAME", "hostname"),
        column("OS", "os"),
        column("ARCHITECTURE", "architecture"),
        column("RETIRED AT", "retired_at"),
        column("REASON", "retired_reason"),
    ],
    wide: &[column("NAME", "name")],
    name: "id",
};

static LIST_AGENTS: Verb = Verb {
    examples: ["agents list --status Online", "agents list --retired"],
    args: |command, noun| {
        let retired = Arg::new("show-retired").long("retired").action(ArgAction::SetTrue).help("Only retired agents");
        (LIST.args)(command, noun).arg(retired)
    },
    run: |call| {
        if call.switch("show-retired") {
            return list(call, &call.client()?, "/api/v1/agents/retired", &RETIRED, Vec::new());
        }
        (LIST.run)(call)
    },
    ..LIST
};

static REGISTER: Verb = Verb {
    word: "register",
    aliases: &["create"],
    about: "Register an agent and get its key, which is shown this once",
    needs: Needs::Edit,
    examples: [
        "agents register --name web1 --hostname web1.example.com --key-out web1.key",
        "agents register --name web1 --hostname web1 -o json",
    ],
    exits: &[8, 9],
    args: |command, noun| {
        let key = Arg::new("key-out")
            .long("key-out")
            .value_name("FILE")
            .help("Write the key here (mode 0600) and not on the screen");
        super::fields::add_flags(command, noun, false).arg(key)
    },
    run: |call| {
        let client = call.client()?;
        let body = super::body_of(call.noun, call.matches, &client)?;
        super::fields::check_required(call.noun, &body)?;
        let mut agent = client.post(&Send::to(PATH, &[]).body(Value::Object(body)).once())?;
        if let Some(path) = call.text("key-out") {
            let key = agent.get("api_key").and_then(Value::as_str).map(|key| format!("{key}\n"));
            let key = key.ok_or_else(|| Failure::Network("the server's answer has no api_key".to_owned()))?;
            crate::config::write_private(Path::new(path), key.as_bytes())?;
            agent["api_key"] = json!(format!("written to {path}"));
        }
        call.show(&agent)
    },
};

static RETIRE: Verb = Verb {
    word: "retire",
    aliases: &["delete", "rm"],
    about: "Retire an agent: its credential ends and its targets, with --force, retire with it",
    needs: Needs::Delete,
    examples: ["agents retire web1", "agents retire web1 --force --reason decommissioned --yes"],
    exits: &[7, 8, 9],
    args: |command, noun| {
        let command = with_id(command, noun).args([
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .requires("reason")
                .help("Also when targets, certificates or jobs depend on it"),
            Arg::new("reason")
                .long("reason")
                .value_name("TEXT")
                .value_parser(|text: &str| {
                    let text = text.trim();
                    if text.is_empty() { Err("must say why") } else { Ok(text.to_owned()) }
                })
                .help("Why; needed with --force"),
        ]);
        destructive(command)
    },
    run: |call| {
        let client = call.client()?;
        let agent = object_of(&client, call.noun, the_id(call))?;
        let id = id_in(&agent)?;
        let mut hit = vec![agent.clone()];
        if call.switch("force") {
            let query = [("agent_id".to_owned(), id.to_owned())];
            let targets = fetch(&client, "/api/v1/targets", &query, Limit::None)?.rows;
            hit.extend(targets.into_iter().filter(|target| target.get("agent_id").and_then(Value::as_str) == Some(id)));
        }
        if !call.go_ahead("retire this agent and what hangs on it", &hit)? {
            return Ok(());
        }
        let rest = [id];
        let mut request = Send::to(PATH, &rest);
        if call.switch("force") {
            request = request.query("force", "true");
        }
        if let Some(reason) = call.text("reason") {
            request = request.query("reason", reason);
        }
        let answer = client.send(Method::Delete, &request)?.json()?;
        if answer.is_null() {
            return call.report(&format!("{id}: already retired"), &json!({"already_retired": true, "id": id}));
        }
        call.show(&answer)
    },
};

static WAIT_ONLINE: Verb = Verb {
    word: "wait-online",
    aliases: &[],
    about: "Wait until an agent has reported in (limit: --timeout)",
    needs: Needs::Read,
    examples: ["agents wait-online web1", "agents wait-online web1 --timeout 1m"],
    exits: &[7],
    args: with_id,
    run: |call| {
        let deadline = Deadline::start(call.global.timeout);
        let client = call.client()?.with_timeout(Duration::from_secs(30));
        let id = id_of(&client, call.noun, the_id(call))?;
        loop {
            let agent = client.get(&Send::to(PATH, &[&id]))?;
            // A registered agent counts as online before it ever spoke; only a heartbeat shows that it lives.
            let heard =
                agent.get("last_heartbeat_at").and_then(Value::as_str).is_some_and(|at| !at.starts_with("0001-"));
            if heard && agent.get("status").and_then(Value::as_str) == Some("Online") {
                return call.show(&agent);
            }
            deadline.next_look(&format!("agent {id}"))?;
        }
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forcing_needs_a_reason_that_says_something() {
        let parse = |line: &[&str]| {
            (RETIRE.args)(clap::Command::new("retire").no_binary_name(true), &AGENTS).try_get_matches_from(line).is_ok()
        };
        assert!(parse(&["a"]));
        assert!(parse(&["a", "--force", "--reason", "gone"]));
        assert!(!parse(&["a", "--force"]));
        assert!(!parse(&["a", "--force", "--reason", "  "]));
    }
}
