//! What ties a request to logs elsewhere. Only proxies that we trust may choose: anybody else could make two requests
//! look like one.

use crate::state::AppState;
use actix_web::http::header::HeaderMap;
use data_encoding::HEXLOWER;
use std::net::IpAddr;

/// The names of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Correlation {
    /// Ours, or the trusted proxy's.
    pub(super) request_id: String,
    /// The trace that the trusted proxy belongs to, 32 hexadecimal digits.
    pub(super) trace_id: Option<String>,
}

impl Correlation {
    pub(super) fn of(headers: &HeaderMap, peer: Option<IpAddr>, state: &AppState) -> Self {
        let trusted = peer.is_some_and(|peer| state.settings.trusted_proxies.trusts(peer));
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|_| trusted);
        let fresh = || uuid::Builder::from_random_bytes(state.ambient.octets::<16>()).into_uuid().to_string();
        Self {
            request_id: text("x-request-id").filter(|id| sound_id(id)).map_or_else(fresh, ToOwned::to_owned),
            trace_id: text("traceparent").and_then(trace_id),
        }
    }
}

fn sound_id(offered: &str) -> bool {
    (8..=64).contains(&offered.len())
        && offered.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2): `00-<trace id>-<parent id>-<flags>`; later
/// versions may add parts.
fn trace_id(header: &str) -> Option<String> {
    let mut parts = header.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| text.len() == length && HEXLOWER.decode(text.as_bytes()).is_ok();
    let sound = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && version != "ff";
    let nothing = |text: &str| text.bytes().all(|b| b == b'0');
    let complete = version != "00" || parts.next().is_none();
    (sound && complete && !nothing(trace) && !nothing(parent)).then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_given_form() {
        for good in ["12345678", "a.b_c-D9", &"a".repeat(64)] {
            assert!(sound_id(good), "{good}");
        }
        for bad in ["1234567", "with space", "new\nline", "ünïcode", &"a".repeat(65)] {
            assert!(!sound_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_trace_is_taken_from_sound_headers_only() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let sound = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&sound).as_deref(), Some(trace));
        assert_eq!(trace_id(&format!("cc-{trace}-00f067aa0ba902b7-01-later")).as_deref(), Some(trace));
        for bad in [
            "",
            "garbage",
            &format!("{sound}-more"),
            &sound.to_uppercase(),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{trace}-0000000000000000-01"),
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
