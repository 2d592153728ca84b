//! Checks that an operator makes now and then.

use super::providers::PROVIDERS;
use super::roles::text_of;
use super::{Needs, Noun, Verb};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::Call;
use crate::wire::{Client, Limit, Listing, Send, fetch};
use clap::{Arg, ArgAction, value_parser};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DAYS: u32 = 7;
/// Live sessions of one actor that are more than a person has browsers.
const MANY_SESSIONS: usize = 50;

const SHAPE: Shape = Shape {
    narrow: &[column("CHECK", "check"), column("RESULT", "result"), column("FOUND", "found")],
    wide: &[column("WHAT TO DO", "advice")],
    name: "check",
};

/// Checks.
pub(crate) static DOCTOR: Noun = Noun {
    word: "doctor",
    singular: "check",
    about: "Checks that an operator makes now and then",
    shape: SHAPE,
    verbs: &[&AUTH_CHECKS],
    ..Noun::EMPTY
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good,
    /// Worth a look; no fault by itself.
    Look,
    Bad,
}

struct Finding {
    check: &'static str,
    outcome: Outcome,
    found: String,
    advice: &'static str,
}

impl Finding {
    fn when(bad: bool, outcome: Outcome, check: &'static str, found: String, advice: &'static str) -> Self {
        Self { check, outcome: if bad { outcome } else { Outcome::Good }, found, advice: if bad { advice } else { "" } }
    }

    fn row(&self) -> Value {
        let result = match self.outcome {
            Outcome::Good => "ok",
            Outcome::Look => "look",
            Outcome::Bad => "FAIL",
        };
        json!({"check": self.check, "result": result, "found": self.found, "advice": self.advice})
    }
}

/// How many events of these actions there are, since an instant or ever.
fn events(client: &Client, actions: &[&str], since: Option<&str>) -> Result<u64, Failure> {
    let mut total = 0;
    for action in actions {
        let mut query = vec![("action".to_owned(), (*action).to_owned())];
        query.extend(since.map(|since| ("since".to_owned(), since.to_owned())));
        total += fetch(client, "/api/v1/audit", &query, Limit::Page(1, 1))?.total.unwrap_or_default();
    }
    Ok(total)
}

fn providers(client: &Client, expected: Option<u32>, out: &mut Vec<Finding>) -> Result<(), Failure> {
    let listed = fetch(client, PROVIDERS, &[], Limit::None)?.rows;
    let enabled = listed.iter().filter(|provider| provider["enabled"] == Value::Bool(true)).count();
    out.push(Finding::when(
        expected.is_some_and(|expected| listed.len() != expected as usize),
        Outcome::Bad,
        "providers",
        format!("{} providers, {enabled} of them switched on", listed.len()),
        "compare with `certctl auth providers list`: one that nobody expects lets strangers in",
    ));
    for provider in listed.iter().filter(|provider| provider["enabled"] == Value::Bool(true)) {
        let status = client.get(&Send::to(PROVIDERS, &[text_of(provider, "id"), "jwks-status"]))?;
        let error = text_of(&status, "last_error");
        let kids = status["current_kids"].as_array().map_or(0, Vec::len);
        let found = if error.is_empty() { format!("{kids} keys") } else { error.to_owned() };
        out.push(Finding::when(
            !error.is_empty(),
            Outcome::Bad,
            "provider keys",
            format!("{}: {found}", text_of(provider, "name")),
            "`certctl auth providers test` says which step fails",
        ));
    }
    Ok(())
}

fn sessions(client: &Client, out: &mut Vec<Finding>) -> Result<(), Failure> {
    let query = [("actor_id".to_owned(), "*".to_owned())];
    let live = fetch(client, "/api/v1/auth/sessions", &query, Limit::None)?.rows;
    let mut by_actor: BTreeMap<String, usize> = BTreeMap::new();
    for session in &live {
        *by_actor.entry(format!("{}:{}", text_of(session, "actor_type"), text_of(session, "actor_id"))).or_default() +=
            1;
    }
    let many: Vec<String> = by_actor
        .iter()
        .filter(|(_, count)| **count >= MANY_SESSIONS)
        .map(|(actor, count)| format!("{actor} has {count}"))
        .collect();
    let found = if many.is_empty() {
        format!("{} live sessions of {} actors", live.len(), by_actor.len())
    } else {
        many.join(", ")
    };
    let advice = "nobody has so many browsers; end them and look where they came from";
    out.push(Finding::when(!many.is_empty(), Outcome::Bad, "sessions", found, advice));
    Ok(())
}

fn trail(client: &Client, since: &str, out: &mut Vec<Finding>) -> Result<(), Failure> {
    let unmapped = events(client, &["auth.oidc_login_unmapped_groups"], Some(since))?;
    out.push(Finding::when(
        unmapped > 0,
        Outcome::Look,
        "unmapped groups",
        format!("{unmapped} sign-ins without a role in {DAYS} days"),
        "somebody lacks a mapping, or tries their luck: see the trail for auth.oidc_login_unmapped_groups",
    ));
    let emergency = [
        "auth.breakglass_login_succeeded",
        "auth.breakglass_login_failed",
        "auth.breakglass_password_set",
        "auth.breakglass_unlocked",
        "auth.breakglass_credential_removed",
    ];
    let used = events(client, &emergency, Some(since))?;
    out.push(Finding::when(
        used > 0,
        Outcome::Look,
        "emergency access",
        format!("{used} events in {DAYS} days"),
        "outside an incident there should be none: see the trail for auth.breakglass",
    ));
    for (check, action) in [
        ("first administrator by group", "bootstrap.oidc_first_admin"),
        ("first administrator by token", "bootstrap.consume"),
    ] {
        let times = events(client, &[action], None)?;
        let advice = "at most one is ever made: find out who, and take the role back";
        out.push(Finding::when(times > 1, Outcome::Bad, check, format!("{times} times"), advice));
    }
    Ok(())
}

fn roles(client: &Client, expected: &BTreeSet<String>, out: &mut Vec<Finding>) -> Result<(), Failure> {
    let holders = fetch(client, "/api/v1/auth/keys", &[], Limit::None)?.rows;
    let admins: Vec<String> = holders
        .iter()
        .filter(|holder| holder["role_ids"].as_array().is_some_and(|roles| roles.contains(&json!("r-admin"))))
        .map(|holder| format!("{}:{}", text_of(holder, "actor_type"), text_of(holder, "actor_id")))
        .collect();
    let strangers: Vec<&String> = admins
        .iter()
        .filter(|admin| {
            !expected.is_empty()
                && !expected.contains(*admin)
                && !expected.contains(admin.split_once(':').map_or("", |(_, id)| id))
        })
        .collect();
    let found = if strangers.is_empty() {
        admins.join(", ")
    } else {
        format!("not expected: {}", strangers.iter().map(|admin| admin.as_str()).collect::<Vec<_>>().join(", "))
    };
    let advice = "take r-admin back from who should not hold it, or name them with --admin";
    out.push(Finding::when(!strangers.is_empty(), Outcome::Bad, "administrators", found, advice));
    let auditor = client.get(&Send::to("/api/v1/auth/roles", &["r-auditor"]))?;
    let held: BTreeSet<&str> = auditor["permissions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|permission| text_of(permission, "permission"))
        .collect();
    out.push(Finding::when(
        held != BTreeSet::from(["audit.export", "audit.read"]),
        Outcome::Bad,
        "auditor",
        held.into_iter().collect::<Vec<_>>().join(", "),
        "the role reads the trail and nothing else; a restart puts it back",
    ));
    Ok(())
}

/// The server's time less so many days, as RFC 3339: this machine's clock may be wrong.
fn days_ago(client: &Client) -> Result<String, Failure> {
    let latest = fetch(client, "/api/v1/audit", &[], Limit::Page(1, 1))?.rows;
    let at = latest.first().map(|event| text_of(event, "timestamp").to_owned()).unwrap_or_default();
    days_before(&at).ok_or_else(|| Failure::Network("the trail tells no time".to_owned()))
}

/// A date so many days before another, by the civil calendar.
fn days_before(text: &str) -> Option<String> {
    let date = text.get(..10)?;
    let mut parts = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = |year: i64, month: i64| match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (mut year, mut month, mut day) = (year, month, day - i64::from(DAYS));
    while day < 1 {
        (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
        day += length(year, month);
    }
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

static AUTH_CHECKS: Verb = Verb {
    word: "auth",
    aliases: &[],
    about: "Look over providers, sessions, emergency access and administrators; exit 5 when a check fails",
    needs: Needs::Permission("auth.oidc.list, auth.session.list.all, audit.read, auth.key.list, auth.role.list"),
    examples: ["doctor auth", "doctor auth --providers 1 --admin ops --admin User:u-01 -o json"],
    exits: &[5],
    args: |command, _| {
        command.args([
            Arg::new("providers")
                .long("providers")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help("How many providers there should be"),
            Arg::new("admin")
                .long("admin")
                .value_name("ACTOR")
                .action(ArgAction::Append)
                .help("Who may be administrator; with it everybody else is a finding"),
        ])
    },
    run: |call: &Call| {
        let client = call.client()?;
        let expected: BTreeSet<String> =
            call.matches.get_many::<String>("admin").into_iter().flatten().cloned().collect();
        let since = days_ago(&client)?;
        let mut found = Vec::new();
        providers(&client, call.matches.get_one::<u32>("providers").copied(), &mut found)?;
        sessions(&client, &mut found)?;
        trail(&client, &since, &mut found)?;
        roles(&client, &expected, &mut found)?;
        let rows: Vec<Value> = found.iter().map(Finding::row).collect();
        let listing = Listing { total: Some(rows.len() as u64), rows, ..Listing::default() };
        call.show_list(&SHAPE, &listing, &[])?;
        let bad = found.iter().filter(|finding| finding.outcome == Outcome::Bad).count();
        if bad == 0 { Ok(()) } else { Err(Failure::Failed(format!("{bad} checks failed; -o wide says what to do"))) }
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_before_crosses_months_and_years() {
        for (at, before) in [
            ("2026-03-31T12:00:00Z", "2026-03-24"),
            ("2026-03-01T12:00:00Z", "2026-02-22"),
            ("2028-03-01T00:00:00Z", "2028-02-23"),
            ("2026-01-03T00:00:00Z", "2025-12-27"),
        ] {
            assert_eq!(days_before(at).as_deref(), Some(before));
        }
        assert_eq!(days_before("soon"), None);
    }
}
