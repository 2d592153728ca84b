//! JSON lines on standard output.

/// Starts logging; `level` was checked with the settings.
pub fn start(level: &str) {
    tracing_subscriber::fmt().json().flatten_event(true).with_target(false).with_env_filter(level).init();
}
