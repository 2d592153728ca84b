//! What is allowed and still deserves a line at every start.

use super::registry::SETTINGS;
use super::source::Raw;
use super::values::{split, truth};

/// Adds the warnings.
pub(super) fn give(raw: &mut Raw) {
    let text = |name: &str| raw.values.get(name).map(|(value, _)| value.as_str()).unwrap_or_default();
    let on = |name: &str| truth(text(name)) == Some(true);
    let mut advice: Vec<String> = Vec::new();
    if on("DEMO_MODE_ACK") {
        advice.push("CERTCTL_DEMO_MODE_ACK: the demo mode is on; nobody but you must reach this server".to_owned());
    }
    if text("AUTH_TYPE") == "none" {
        advice.push("CERTCTL_AUTH_TYPE=none: whoever reaches the port is an administrator".to_owned());
    }
    if text("AGENT_BOOTSTRAP_TOKEN").is_empty() && truth(text("AGENT_BOOTSTRAP_TOKEN_DENY_EMPTY")) == Some(false) {
        advice.push("CERTCTL_AGENT_BOOTSTRAP_TOKEN is empty: only operators can enrol agents".to_owned());
    }
    let named = split(text("API_KEYS_NAMED"));
    if named.is_empty() && !text("AUTH_SECRET").is_empty() {
        advice.push(
            "CERTCTL_AUTH_SECRET is outdated: its keys are nameless viewers; use CERTCTL_API_KEYS_NAMED".to_owned(),
        );
    }
    if named.len() == 1 {
        advice.push(
            "CERTCTL_API_KEYS_NAMED has one key; a second one of the same name lets clients change over without a gap"
                .to_owned(),
        );
    }
    if on("DATABASE_ALLOW_PLAINTEXT") {
        advice
            .push("CERTCTL_DATABASE_ALLOW_PLAINTEXT: passwords and keys may cross the network in the clear".to_owned());
    }
    if on("APPROVAL_BYPASS") {
        advice.push("CERTCTL_APPROVAL_BYPASS: everything is approved without a second person".to_owned());
    }
    for setting in SETTINGS {
        let set = raw.values.get(setting.name).is_some_and(|(_, origin)| *origin != super::source::Origin::Default);
        if let (Some(why), true) = (setting.no_effect, set) {
            advice.push(format!("CERTCTL_{} has no effect: {why}", setting.name));
        }
    }
    raw.warnings.extend(advice);
}
