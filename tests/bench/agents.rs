//! Agents: many that poll, and a real one.

use crate::client::{Budget, Client, Load, drive};
use crate::database::sql;
use crate::processes::{Agent, Server};
use crate::{CONNECTIONS, Outcome};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Certificates that the real agent makes keys for and deploys.
pub const DEPLOYMENTS: usize = 40;

/// An enrolled agent.
pub struct Enrolled {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
}

/// What polling showed.
pub struct Polls {
    /// Polls without work.
    pub load: Load,
    /// One of the agents.
    pub agent: Enrolled,
}

/// Resident memory of the real agent, in KiB.
pub struct Memory {
    /// Enrolled, with nothing to do.
    pub idle: u64,
    /// At its highest while it made keys and deployed.
    pub peak: u64,
}

fn post(client: &Client, path: &str, body: &Value, status: u16) -> Outcome<Value> {
    let answer = client.expect("POST", path, Some(body.to_string().as_bytes()), status)?;
    serde_json::from_slice(&answer).map_err(|error| format!("POST {path}: {error}"))
}

fn enrol(admin: &Client, name: &str) -> Outcome<Enrolled> {
    let answer = post(admin, "/api/v1/agents", &json!({"name": name, "hostname": "poller.example.com"}), 201)?;
    let text = |member: &str| answer[member].as_str().map(ToOwned::to_owned).ok_or(format!("no {member}: {answer}"));
    Ok(Enrolled { id: text("id")?, key: text("api_key")? })
}

/// As many agents as connections, each with its own key.
pub fn polls(server: &Server, phase: Duration) -> Outcome<Polls> {
    let admin = server.client(server.key());
    let mut agents =
        (0..CONNECTIONS).map(|number| enrol(&admin, &format!("poller-{number}"))).collect::<Outcome<Vec<_>>>()?;
    let connect = |number: usize| {
        let agent = &agents[number];
        (server.client(Some(&agent.key)), format!("/api/v1/agents/{}/work", agent.id))
    };
    let step = |(client, path): &(Client, String), _| client.expect("GET", path, None, 200).map(drop);
    let load = drive(server, CONNECTIONS, Budget::Time(phase), connect, step)?;
    let agent = agents.pop().ok_or("no agent was enrolled")?;
    Ok(Polls { load, agent })
}

fn until(what: &str, agent: &Agent, patience: Duration, met: impl Fn() -> Outcome<bool>) -> Outcome<()> {
    let begun = Instant::now();
    while !met()? {
        if begun.elapsed() > patience {
            return Err(format!("gave up waiting for {what}; the agent says: {}", agent.log()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Runs the agent's binary: idle first, then with certificates to make keys for and to put onto a target.
pub fn memory(server: &Server) -> Outcome<Memory> {
    let agent = Agent::start(server, "bench-host")?;
    let count = |statement: &str| -> Outcome<usize> {
        sql(server, statement)?.first().and_then(|line| line.parse().ok()).ok_or_else(|| "psql counted nothing".into())
    };
    let heard = "SELECT count(*) FROM fleet.agents a JOIN fleet.agent_heartbeats h ON h.agent_id = a.id \
         WHERE a.name = 'bench-host' AND h.last_heartbeat_at IS NOT NULL";
    until("the agent's heartbeat", &agent, Duration::from_secs(30), || Ok(count(heard)? == 1))?;
    std::thread::sleep(Duration::from_secs(3));
    let idle = agent.resident()?;

    let admin = server.client(server.key());
    let id = sql(server, "SELECT id FROM fleet.agents WHERE name = 'bench-host'")?;
    let id = id.first().ok_or("the agent is not enrolled")?;
    let folder = server.scratch().join("bench-host");
    for number in 0..DEPLOYMENTS {
        let name = format!("deployed-{number}");
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        let target = json!({
            "id": format!("target-{number}"), "name": name, "type": "NGINX", "agent_id": id,
            "config": {"cert_path": file("crt"), "key_path": file("key"), "validate_command": "true",
                "reload_command": "true"},
        });
        post(&admin, "/api/v1/targets", &target, 201)?;
        let certificate = json!({
            "id": format!("mc-{name}"), "name": name, "common_name": "deployed.example.com",
            "sans": ["deployed.example.com"], "owner_id": "o-bench", "team_id": "t-bench", "issuer_id": "iss-local",
            "renewal_policy_id": "rp-default", "target_ids": [format!("target-{number}")],
        });
        post(&admin, "/api/v1/certificates", &certificate, 201)?;
        post(&admin, &format!("/api/v1/certificates/mc-{name}/renew"), &json!({}), 202)?;
    }
    until("the deployments", &agent, Duration::from_secs(90), || {
        let done = "SELECT count(*) FROM work.jobs WHERE type = 'Deployment' AND status = 'Completed'";
        Ok(count(done)? >= DEPLOYMENTS)
    })?;
    Ok(Memory { idle, peak: agent.peak_resident()? })
}
