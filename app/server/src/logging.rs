//! Log lines on standard output: one line an event, as JSON objects (`time`, `level`, `msg`, fields) or as text.

use serde_json::{Map, Value};
use std::io::IsTerminal as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, UtcTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging; later calls change nothing.
pub(crate) fn start(level: &str, json: bool) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level));
    let outcome = if json {
        builder.event_format(JsonLines).try_init()
    } else {
        let coloured = std::io::stdout().is_terminal();
        builder.with_target(false).with_timer(UtcTime::rfc_3339()).with_ansi(coloured).try_init()
    };
    if outcome.is_err() {
        tracing::debug!("logging had been started before");
    }
}

/// Libraries stay at `info` when we are at `debug`: what they say there is not ours to keep free of secrets.
fn filter(level: &str) -> EnvFilter {
    let directives = match level.strip_prefix("debug") {
        Some(modules) if modules.is_empty() || modules.starts_with(',') => format!("info,certctl=debug{modules}"),
        _ => level.to_owned(),
    };
    EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"))
}

struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut time = String::new();
        UtcTime::rfc_3339().format_time(&mut Writer::new(&mut time))?;
        let mut line = Line(Map::new());
        line.0.insert("time".to_owned(), time.into());
        line.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        event.record(&mut line);
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "message" => "msg",
            name => name.strip_prefix("r#").unwrap_or(name),
        };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, work: impl FnOnce()) -> Vec<Value> {
        let captured = Captured::default();
        let sink = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(level))
            .event_format(JsonLines)
            .with_writer(move || sink.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let octets = captured.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(octets).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    #[test]
    fn an_event_is_one_object_with_time_level_msg_and_its_fields() {
        let host = "line\nbreak \"quoted\"";
        let lines =
            logged("info", || tracing::warn!(target: "certctl_server", port = 8443, host, ok = true, %host, "up"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{}", lines[0]);
        assert_eq!((&lines[0]["level"], &lines[0]["msg"]), (&"WARN".into(), &"up".into()));
        assert_eq!((&lines[0]["port"], &lines[0]["ok"], &lines[0]["host"]), (&8443.into(), &true.into(), &host.into()));
    }

    #[test]
    fn libraries_stay_quiet_when_we_debug_ourselves() {
        let talk = || {
            tracing::debug!(target: "certctl_http::edge", "ours");
            tracing::debug!(target: "h2::frame", "theirs");
        };
        assert_eq!(logged("debug", talk).len(), 1);
        assert_eq!(logged("info", talk).len(), 0);
        assert_eq!(logged("info,h2=debug", talk).len(), 1);
    }
}
