//! The audit trail on its way out: a million events, sealed and then streamed over TLS.

use crate::Outcome;
use crate::database::sql;
use crate::processes::Server;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Events that are exported, beside those that the run itself left.
pub const EVENTS: u32 = 1_000_000;
const PATIENCE: Duration = Duration::from_mins(10);

/// What the export showed.
pub struct Export {
    /// Events sealed a second, by one leader.
    pub sealed: f64,
    /// Events streamed a second.
    pub streamed: f64,
    /// How much the server grew while it streamed, in KiB.
    pub grown: u64,
}

/// Loads the events, waits until they are sealed, and reads them all.
pub fn measure(server: &Server) -> Outcome<Export> {
    let begun = Instant::now();
    sql(
        server,
        &format!(
            "WITH event AS (INSERT INTO audit.events (id, at, actor_id, actor_type, action, resource_type, resource_id, \
               category, details, request_id, source_ip) \
             SELECT 'audit-bench-' || n, now(), 'bench', 'APIKey', 'certificate_issued', 'certificate', 'mc-' || n, \
               'cert_lifecycle', jsonb_build_object('serial_number', md5(n::text), 'issuer_id', 'iss-local'), \
               'req-' || n, '192.0.2.1' FROM generate_series(1, {EVENTS}) n RETURNING insert_id, at) \
             INSERT INTO audit.unsealed (insert_id, at) SELECT insert_id, at FROM event"
        ),
    )?;
    eprintln!("{EVENTS} events loaded in {:.0} s; sealing", begun.elapsed().as_secs_f64());
    let sealing = Instant::now();
    while sql(server, "SELECT EXISTS (SELECT FROM audit.unsealed)")? != ["f"] {
        if sealing.elapsed() > PATIENCE {
            return Err("the events were not sealed in time".to_owned());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let sealed = f64::from(EVENTS) / sealing.elapsed().as_secs_f64();

    let (before, done) = (server.resident()?, AtomicBool::new(false));
    let (lines, took, most) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| -> Outcome<u64> {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(server.resident()?);
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(most)
        });
        let streaming = Instant::now();
        let lines = stream(server);
        done.store(true, Ordering::Relaxed);
        let most = watching.join().map_err(|_| "the watching thread panicked".to_owned())??;
        Ok::<_, String>((lines?, streaming.elapsed(), most))
    })?;
    Ok(Export { sealed, streamed: f64::from(lines) / took.as_secs_f64(), grown: most.saturating_sub(before) })
}

/// Reads the export line by line; how many events it held, which its trailer confirms.
fn stream(server: &Server) -> Outcome<u32> {
    let url = format!("{}/api/v1/audit/export?from=2000-01-01&to=2100-01-01&limit=all", server.url());
    let mut curl = Command::new("curl")
        .args(["-sS", "--fail", "--config", "-", "--cacert"])
        .arg(server.data().join("tls/ca.crt"))
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("curl: {error}"))?;
    let key = server.key().ok_or("nobody is signed in")?;
    let header = format!("header = \"Authorization: Bearer {key}\"\n");
    let mut input = curl.stdin.take().ok_or("curl takes no input")?;
    std::io::Write::write_all(&mut input, header.as_bytes()).map_err(|error| error.to_string())?;
    drop(input);
    let mut output = BufReader::with_capacity(1 << 20, curl.stdout.take().ok_or("curl gives no output")?);
    let (mut lines, mut line) = (0, Vec::new());
    let mut last = Vec::new();
    while output.by_ref().read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
        lines += 1;
        std::mem::swap(&mut line, &mut last);
        line.clear();
    }
    let status = curl.wait().map_err(|error| error.to_string())?;
    let trailer: serde_json::Value = serde_json::from_slice(&last).map_err(|error| format!("no trailer: {error}"))?;
    let rows = trailer["_trailer"]["rows"].as_u64().and_then(|rows| u32::try_from(rows).ok());
    match rows {
        Some(rows) if status.success() && rows + 1 == lines && rows >= EVENTS => Ok(rows),
        _ => Err(format!("the export is not whole: {lines} lines, {trailer}")),
    }
}
