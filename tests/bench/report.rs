//! The table, ready for `docs/performance.md`.

use crate::client::Load;
use crate::latency::Latency;
use crate::processes::Usage;
use std::fmt::Write as _;
use std::time::Duration;

/// A figure a second.
pub fn rate(value: f64) -> String {
    format!("{value:.0} /s")
}

/// A duration as a number of milliseconds.
pub fn in_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A duration as text.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", in_milliseconds(duration))
}

/// KiB as a number of MiB.
pub fn in_mebibytes(kibibytes: u64) -> f64 {
    f64::from(u32::try_from(kibibytes).unwrap_or(u32::MAX)) / 1024.0
}

/// KiB as text.
pub fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", in_mebibytes(kibibytes))
}

/// A bound and whether it was kept.
pub struct Aim {
    what: &'static str,
    measured: String,
    bound: String,
    kept: bool,
}

impl Aim {
    /// `value` is at least this share of `yardstick`.
    pub fn share(what: &'static str, value: f64, yardstick: f64, least: f64) -> Self {
        let share = value / yardstick;
        Self {
            what,
            measured: format!("{:.0} %", share * 100.0),
            bound: format!("≥ {:.0} %", least * 100.0),
            kept: share >= least,
        }
    }

    /// `value` is at most `most`.
    pub fn at_most(what: &'static str, value: f64, most: f64, unit: &str) -> Self {
        Self {
            what, measured: format!("{value:.2} {unit}"), bound: format!("≤ {most:.0} {unit}"), kept: value <= most
        }
    }
}

/// What was measured, in the order in which it is shown.
#[derive(Default)]
pub struct Report {
    lines: Vec<[String; 5]>,
    aims: Vec<Aim>,
}

fn used(usage: &Usage) -> String {
    let [server, database, driver] = [usage.server, usage.database, usage.driver].map(|seconds| seconds * 1000.0);
    format!("{server:.2} / {database:.2} / {driver:.2}")
}

impl Report {
    fn push(&mut self, line: [String; 5]) {
        eprintln!("  {}", line.each_ref().map(String::as_str).join("  "));
        self.lines.push(line);
    }

    /// A figure without latencies.
    pub fn line(&mut self, what: &str, value: String) {
        self.push([what.to_owned(), value, String::new(), String::new(), String::new()]);
    }

    /// A phase.
    pub fn load(&mut self, what: &str, load: &Load) {
        let (p50, p99) = (milliseconds(load.p50), milliseconds(load.p99));
        self.push([what.to_owned(), rate(load.rate), p50, p99, used(&load.usage)]);
    }

    /// Latencies alone.
    pub fn latency(&mut self, what: &str, latency: &Latency) {
        let (p50, p99) = (milliseconds(latency.p50), milliseconds(latency.p99));
        self.push([what.to_owned(), String::new(), p50, p99, String::new()]);
    }

    /// A bound.
    pub fn aim(&mut self, aim: Aim) {
        self.aims.push(aim);
    }

    /// Markdown.
    pub fn render(&self, machine: &str) -> String {
        let mut text = format!("{machine}\n\n");
        let mut row = |cells: &[&str]| {
            // Writing to a string can't fail.
            writeln!(text, "| {} |", cells.join(" | ")).unwrap_or_default();
        };
        row(&["measured", "result", "p50", "p99", "CPU ms a request: server / PostgreSQL / driver"]);
        row(&["---", "---:", "---:", "---:", "---:"]);
        for line in &self.lines {
            row(&line.each_ref().map(String::as_str));
        }
        text.push('\n');
        let mut row = |cells: &[&str]| writeln!(text, "| {} |", cells.join(" | ")).unwrap_or_default();
        row(&["aim", "bound", "measured", "kept"]);
        row(&["---", "---:", "---:", "---"]);
        for aim in &self.aims {
            row(&[aim.what, &aim.bound, &aim.measured, if aim.kept { "yes" } else { "**no**" }]);
        }
        text
    }
}
