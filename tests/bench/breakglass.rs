//! What an emergency sign-in takes: each way of failing beside the others and beside a bare Argon2id of the same cost, and
//! the memory that many at once take.

use crate::Outcome;
use crate::client::percentile;
use crate::database::sql;
use crate::latency::Latency;
use crate::processes::Server;
use certctl_breakglass::Cost;
use certctl_breakglass::password::{SALT, hash};
use certctl_kernel::Secret;
use serde_json::json;
use std::time::{Duration, Instant};

/// Attempts of each kind: all of them together stay within what may be tried in a minute.
const ROUNDS: usize = 14;
/// Attempts at the same time.
pub const AT_ONCE: usize = 50;

/// Latencies, and what many at once cost.
pub struct Breakglass {
    /// Argon2id at full cost in this process, alone.
    pub bare: Latency,
    /// The password of another account.
    pub wrong: Latency,
    /// Nobody's account.
    pub unknown: Latency,
    /// The right password of a locked account.
    pub locked: Latency,
    /// A body that is none.
    pub malformed: Latency,
    /// KiB that the server grew by while [`AT_ONCE`] were looked at.
    pub growth: u64,
}

fn summary(mut latencies: Vec<Duration>) -> Latency {
    latencies.sort_unstable();
    Latency { p50: percentile(&latencies, 50), p99: percentile(&latencies, 99) }
}

fn attempt(server: &Server, number: usize, body: &str) -> Outcome<Duration> {
    // Each from an address of its own, as a trusted proxy says; five a minute are all that one address may try.
    let address = format!("198.51.{}.{}", number / 250, number % 250);
    let client = server.client(None);
    client.expect("GET", "/ready", None, 200)?;
    let begun = Instant::now();
    let status = client.post_from(&address, "/auth/breakglass/login", body)?;
    let took = begun.elapsed();
    if status == 401 { Ok(took) } else { Err(format!("an emergency sign-in answered {status}")) }
}

/// Measures; restarts the server, which forgets who tried how often.
pub fn measure(server: &mut Server) -> Outcome<Breakglass> {
    let password = Secret::new("correct horse battery".to_owned());
    let stored = hash(&password, &[7; SALT], Cost::FULL).map_err(|error| error.to_string())?;
    // Accounts of their own each time: at one of them ten attempts a minute are all.
    for (name, locked_until) in [("bench", "NULL::timestamptz"), ("locked", "now() + interval '1 hour'")] {
        let text = format!(
            "WITH people AS (SELECT '{name}-' || n AS id FROM generate_series(0, {ROUNDS} - 1) n), \
               principals AS (INSERT INTO iam.principals (kind, id) SELECT 'User', id FROM people), \
               users AS (INSERT INTO iam.users (id) SELECT id FROM people) \
             INSERT INTO iam.breakglass_credentials (id, actor_id, password_hash, created_at, \
               last_password_change_at, locked_until) \
             SELECT 'bg-' || id, id, '{}', now(), now(), {locked_until} FROM people",
            stored.expose()
        );
        sql(server, &text)?;
    }
    let login = |actor: &str, password: &str| json!({"actor_id": actor, "password": password}).to_string();
    let (mut bare, mut wrong, mut unknown, mut locked, mut malformed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does weighs on all alike.
    for round in 0..ROUNDS {
        let begun = Instant::now();
        hash(&password, &[9; SALT], Cost::FULL).map_err(|error| error.to_string())?;
        bare.push(begun.elapsed());
        let number = round * 4;
        wrong.push(attempt(server, number, &login(&format!("bench-{round}"), "wrong horse battery"))?);
        unknown.push(attempt(server, number + 1, &login(&format!("nobody-{round}"), "correct horse battery"))?);
        locked.push(attempt(server, number + 2, &login(&format!("locked-{round}"), "correct horse battery"))?);
        malformed.push(attempt(server, number + 3, "{ no JSON")?);
    }
    server.restart()?;
    let before = server.resident()?;
    let here = &*server;
    let outcomes: Vec<Outcome<Duration>> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..AT_ONCE)
            .map(|number| scope.spawn(move || attempt(here, number, &login(&format!("crowd-{number}"), "x"))))
            .collect();
        asked.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))).collect()
    });
    outcomes.into_iter().collect::<Outcome<Vec<_>>>()?;
    let growth = server.peak_resident()?.saturating_sub(before);
    Ok(Breakglass {
        bare: summary(bare),
        wrong: summary(wrong),
        unknown: summary(unknown),
        locked: summary(locked),
        malformed: summary(malformed),
        growth,
    })
}
