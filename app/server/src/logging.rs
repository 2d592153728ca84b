//! Log lines on standard output.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::UtcTime;

/// Starts logging; later calls change nothing. Libraries stay at `info` when we are at `debug`: what they say there is
/// not ours to keep free of secrets.
pub(crate) fn start(level: &str, json: bool) {
    let directives = if level == "debug" { "info,certctl=debug" } else { level };
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_timer(UtcTime::rfc_3339());
    let outcome = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).try_init()
    };
    if outcome.is_err() {
        tracing::debug!("logging had been started before");
    }
}
