//! What authentication, the gate and the audit event add to a request.

use crate::Outcome;
use crate::agents::Enrolled;
use crate::client::{Client, percentile};
use crate::processes::Server;
use serde_json::json;
use std::time::{Duration, Instant};

/// Latencies of one kind of request.
pub struct Latency {
    /// Median.
    pub p50: Duration,
    /// Exceeded by one in a hundred.
    pub p99: Duration,
}

/// Pairs of requests that differ in what is measured.
pub struct Added {
    /// A public operation that refuses a malformed id.
    pub public: Latency,
    /// A gated one that refuses the same: authentication and the gate come first.
    pub gated: Latency,
    /// A change without an audit event: a heartbeat.
    pub unaudited: Latency,
    /// A change of one row with its audit event.
    pub audited: Latency,
}

/// Takes turns, so that whatever else the machine does weighs on both alike.
fn pair(
    rounds: usize,
    mut first: impl FnMut(usize) -> Outcome<()>,
    mut second: impl FnMut(usize) -> Outcome<()>,
) -> Outcome<(Latency, Latency)> {
    let (mut one, mut other) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    // The first tenth warms up.
    for round in 0..rounds + rounds / 10 {
        let begun = Instant::now();
        first(round)?;
        let between = Instant::now();
        second(round)?;
        if round >= rounds / 10 {
            one.push(between - begun);
            other.push(between.elapsed());
        }
    }
    let summary = |latencies: &mut Vec<Duration>| {
        latencies.sort_unstable();
        Latency { p50: percentile(latencies, 50), p99: percentile(latencies, 99) }
    };
    Ok((summary(&mut one), summary(&mut other)))
}

/// Measures on one connection a side.
pub fn added(server: &Server, agent: &Enrolled) -> Outcome<Added> {
    let (stranger, admin, host) = (server.client(None), server.client(server.key()), server.client(Some(&agent.key)));
    let refused = |client: &Client, path: &str| client.expect("GET", path, None, 400).map(drop);
    let (public, gated) =
        pair(4000, |_| refused(&stranger, "/.well-known/pki/crl/%00"), |_| refused(&admin, "/api/v1/teams/%00"))?;
    let beat = format!("/api/v1/agents/{}/heartbeat", agent.id);
    let (unaudited, audited) = pair(
        1000,
        |_| host.expect("POST", &beat, Some(b"{}"), 200).map(drop),
        |round| {
            let body = json!({"description": format!("round {round}")}).to_string();
            admin.expect("PUT", "/api/v1/teams/t-bench", Some(body.as_bytes()), 200).map(drop)
        },
    )?;
    Ok(Added { public, gated, unaudited, audited })
}
