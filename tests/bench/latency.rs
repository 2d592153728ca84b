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

/// What a session's cookie adds to a request.
pub struct Sessions {
    /// Signing in: a key exchanged for a session.
    pub made: Latency,
    /// The public operation beside sessions that were never used before.
    pub beside_fresh: Latency,
    /// Those sessions: each is looked up in the database.
    pub fresh: Latency,
    /// The public operation beside a session that is remembered.
    pub beside_known: Latency,
    /// That session.
    pub known: Latency,
}

/// Sessions that are made.
const SESSIONS: usize = 1100;

/// Measures sessions on one connection a side.
pub fn sessions(server: &Server) -> Outcome<Sessions> {
    let (stranger, browser) = (server.client(None), server.client(None));
    let key = server.key().ok_or("nobody is signed in")?;
    let (mut cookies, mut made) = (Vec::with_capacity(SESSIONS), Vec::with_capacity(SESSIONS));
    for _ in 0..SESSIONS {
        let begun = Instant::now();
        cookies.push(browser.sign_in(key)?);
        made.push(begun.elapsed());
    }
    made.sort_unstable();
    let public = |_| stranger.expect("GET", "/.well-known/pki/crl/%00", None, 400).map(drop);
    let read = |cookie: &str| browser.expect_in_session("/api/v1/teams/%00", cookie, 400);
    let (beside_fresh, fresh) = pair(SESSIONS * 10 / 11, public, |round| read(&cookies[round]))?;
    let (beside_known, known) = pair(4000, public, |_| read(&cookies[0]))?;
    let made = Latency { p50: percentile(&made, 50), p99: percentile(&made, 99) };
    Ok(Sessions { made, beside_fresh, fresh, beside_known, known })
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
