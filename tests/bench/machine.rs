//! Where a run took place.

use crate::Outcome;
use crate::database::sql;
use crate::processes::Server;
use std::fs;

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(start)).map_or("?", |rest| rest.trim_start_matches([':', '\t', ' ']))
}

/// The load average of the last minute.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// Processor, memory, kernel, PostgreSQL, and how busy the machine was when the run began.
pub fn describe(server: &Server, load_before: &str) -> Outcome<String> {
    let processor = fs::read_to_string("/proc/cpuinfo").map_err(|error| error.to_string())?;
    let model = line(&processor, "model name").to_owned();
    let memory = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let memory: u64 = line(&memory, "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let version = sql(server, "SHOW server_version")?.join(" ");
    Ok(format!(
        "{cores} cores of {model}, {} GiB, Linux {}, PostgreSQL {version}; load average when the run began: {load_before}",
        memory / 1024 / 1024,
        kernel.trim(),
    ))
}
