//! Measures the release binaries from outside, over TLS, each beside a physical yardstick of the same run: `just bench`.
//!
//! Numbers depend on the machine; ratios of one run are what is judged. The driver shares the processors with the server.

mod agents;
mod breakglass;
mod client;
mod database;
mod latency;
mod machine;
mod processes;
mod report;
mod seed;
mod status;
mod yardstick;

use client::{Budget, Client, Load, drive};
use processes::Server;
use report::{Aim, Report};
use std::process::ExitCode;
use std::time::Duration;

/// Connections that ask at once, and sessions of pgbench.
const CONNECTIONS: usize = 8;

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let mut seconds = 6;
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next().and_then(|value| value.parse().ok())) {
            ("--seconds", Some(given)) if (1..=600).contains(&given) => seconds = given,
            _ => {
                eprintln!("error: the only argument is --seconds N, from 1 to 600; got {argument}");
                return ExitCode::FAILURE;
            }
        }
    }
    match run(Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(phase: Duration) -> Outcome<()> {
    let load_before = machine::load_average();
    let mut report = Report::default();
    eprintln!("starting a server of its own");
    let mut server = Server::start()?;
    server.bootstrap()?;
    std::thread::sleep(Duration::from_secs(3));
    let idle = server.resident()?;
    report.line("server, idle, resident", report::mebibytes(idle));

    eprintln!("loading {} certificates", seed::LISTED + 2 * seed::ISSUED);
    let bodies = seed::load(&server)?;

    let signatures = yardstick::signatures(Duration::from_secs(1))?;
    report.line("raw ECDSA P-256 signatures, ring, one thread", report::rate(signatures.one_thread));
    report.line("raw ECDSA P-256 signatures, ring, two threads", report::rate(signatures.two_threads));
    let health = step(&server, None, phase, |client, _| client.expect("GET", "/health", None, 200).map(drop))?;
    report.load("GET /health", &health);

    let pgbench = database::Pgbench::prepare(&server)?;
    let before = pgbench.run(CONNECTIONS, phase)?;
    let count = u64::try_from(bodies.len()).map_err(|error| error.to_string())?;
    let bodies = &bodies;
    let issue = |issuer: seed::Issuer| {
        step(&server, server.key(), phase, move |client, n| {
            let body = usize::try_from(n % count).ok().and_then(|at| bodies.get(at)).ok_or("no request was made")?;
            client.expect("POST", &issuer.path(n), Some(body), 201).map(drop)
        })
    };
    let issuance = issue(seed::P256)?;
    let commits = f64::midpoint(before, pgbench.run(CONNECTIONS, phase)?);
    let by_default = issue(seed::DEFAULT)?;
    pgbench.drop_tables()?;
    report.line("pgbench -N, commits (mean of a run before issuance and one after)", report::rate(commits));
    report.load("issuance over REST, CA key P-256", &issuance);
    report.load("issuance over REST, CA key P-384 (the default issuer)", &by_default);

    let ocsp = status::measure(&server, phase)?;
    report.load("OCSP over TLS, first answer for a serial number", &ocsp.first);
    report.load("OCSP over TLS, cached", &ocsp.cached);
    report.load("OCSP over plain HTTP, cached", &ocsp.plain);

    let list = |path: &'static str, connections| {
        let step = |client: &Client, _| client.expect("GET", path, None, 200).map(drop);
        drive(&server, connections, Budget::Time(phase), |_| server.client(server.key()), step)
    };
    let first_page = list("/api/v1/certificates", 1)?;
    report.load("list of 10,000: first page (50), one connection", &first_page);
    report.load("list of 10,000: first page (50), eight connections", &list("/api/v1/certificates", CONNECTIONS)?);
    report.load("list of 10,000: page of 500, one connection", &list("/api/v1/certificates?per_page=500", 1)?);
    report.load("list of 10,000: search, one connection", &list("/api/v1/certificates?q=www-47", 1)?);

    let polls = agents::polls(&server, phase)?;
    report.load("agent polls, no work waiting", &polls.load);

    let added = latency::added(&server, &polls.agent)?;
    report.latency("public operation that refuses a malformed id", &added.public);
    report.latency("gated operation that refuses the same", &added.gated);
    report.latency("change without audit event (heartbeat)", &added.unaudited);
    report.latency("change with audit event (team)", &added.audited);
    let sessions = latency::sessions(&server)?;
    report.latency("signing in: a key exchanged for a session", &sessions.made);
    report.latency("session not used before, looked up", &sessions.fresh);
    report.latency("public operation beside it", &sessions.beside_fresh);
    report.latency("session that is remembered", &sessions.known);
    report.latency("public operation beside that", &sessions.beside_known);
    report.line("server, peak so far, resident", report::mebibytes(server.peak_resident()?));

    let agent = agents::memory(&server)?;
    report.line("agent, idle, resident", report::mebibytes(agent.idle));
    let deployed = format!("agent, peak over {} keys and deployments, resident", agents::DEPLOYMENTS);
    report.line(&deployed, report::mebibytes(agent.peak));

    let emergency = breakglass::measure(&mut server)?;
    report.latency("bare Argon2id of emergency passwords, in the driver", &emergency.bare);
    report.latency("emergency sign-in, wrong password", &emergency.wrong);
    report.latency("emergency sign-in, unknown account", &emergency.unknown);
    report.latency("emergency sign-in, locked account", &emergency.locked);
    report.latency("emergency sign-in, malformed", &emergency.malformed);
    let crowd = format!("server, growth over {} emergency sign-ins at once", breakglass::AT_ONCE);
    report.line(&crowd, report::mebibytes(emergency.growth));

    let mut ready = [server.restart()?, server.restart()?, server.restart()?];
    ready.sort_unstable();
    report.line("ready on an existing database, median of 3", report::milliseconds(ready[1]));

    report.aim(Aim::share("issuance (P-256), of pgbench commits", issuance.rate, commits, 0.40));
    report.aim(Aim::share("cached OCSP, of /health", ocsp.cached.rate, health.rate, 0.70));
    report.aim(Aim::at_most("list of 10,000, p99", report::in_milliseconds(first_page.p99), 15.0, "ms"));
    let gate = added.gated.p99.saturating_sub(added.public.p99);
    report.aim(Aim::at_most("authentication and gate, added p99", report::in_milliseconds(gate), 1.0, "ms"));
    let grown = report::in_mebibytes(emergency.growth);
    report.aim(Aim::at_most("growth over 50 emergency sign-ins at once", grown, 192.0, "MiB"));
    let added = |session: &latency::Latency, beside: &latency::Latency| {
        report::in_milliseconds(session.p99.saturating_sub(beside.p99))
    };
    let known = added(&sessions.known, &sessions.beside_known);
    report.aim(Aim::at_most("session that is remembered, added p99", known, 1.0, "ms"));
    let fresh = added(&sessions.fresh, &sessions.beside_fresh);
    report.aim(Aim::at_most("session looked up, added p99", fresh, 3.0, "ms"));
    report.aim(Aim::at_most("server idle, resident", report::in_mebibytes(idle), 40.0, "MiB"));
    report.aim(Aim::at_most("agent idle, resident", report::in_mebibytes(agent.idle), 12.0, "MiB"));
    report.aim(Aim::at_most("ready on an existing database", ready[1].as_secs_f64(), 1.0, "s"));
    println!("{}", report.render(&machine::describe(&server, &load_before)?));
    Ok(())
}

/// One phase at the usual concurrency.
fn step(
    server: &Server,
    key: Option<&str>,
    phase: Duration,
    step: impl Fn(&Client, u64) -> Outcome<()> + Sync,
) -> Outcome<Load> {
    drive(server, CONNECTIONS, Budget::Time(phase), |_| server.client(key), step)
}
