//! `certctl-server auth doctor`: what of signing in can't be looked at through the API. The rest is `certctl doctor auth`.

use crate::boot::{self, BootError};
use crate::config::Config;
use crate::secrets;
use certctl_kernel::{StoreError, Timestamp, timestamp};
use certctl_oidc::registration;
use certctl_ports::Sealer;
use certctl_postgres::Postgres;
use certctl_system::Keyring;
use certctl_unit_of_work::{Database as _, Stores};
use std::process::ExitCode;
use std::time::Duration;

/// How much later than it could a retired key may go before something is stuck.
const SLACK: time::Duration = time::Duration::days(7);

/// What was looked at: a line each, and whether it is good.
#[derive(Default)]
struct Findings {
    lines: Vec<String>,
    bad: usize,
}

impl Findings {
    fn note(&mut self, good: bool, check: &str, text: &str) {
        self.bad += usize::from(!good);
        self.lines.push(format!("{:<4}  {check:<16}  {text}", if good { "ok" } else { "FAIL" }));
    }
}

/// Looks; exit 0 when all is well, 1 when it can't look, 3 when something is wrong.
pub(crate) async fn run(config: &Config) -> ExitCode {
    let ambient = boot::ambient();
    secrets::with_keys(config, &ambient, async |database: &Postgres, keys: &Keyring| {
        let mut unit = database.read().await?;
        let (mut found, now) = (Findings::default(), ambient.now());
        sealed(unit.stores(), keys, &mut found).await?;
        signing_keys(unit.stores(), whole(config.session_key_retention), now, &mut found).await?;
        loops(unit.stores(), config, now, &mut found).await?;
        for line in &found.lines {
            println!("{line}");
        }
        Ok(if found.bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
    })
    .await
}

fn whole(duration: Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}

/// Whether the secrets that sign-ins need can be opened.
async fn sealed(tx: &mut dyn Stores, keys: &Keyring, found: &mut Findings) -> Result<(), BootError> {
    match certctl_secrets::check(tx, keys).await {
        Ok(()) => found.note(true, "sealed values", "every key that is in use is configured and opens"),
        Err(certctl_secrets::Unreadable::Store(error)) => return Err(error.into()),
        Err(unreadable) => found.note(false, "sealed values", &unreadable.to_string()),
    }
    for provider in tx.usable_providers().await? {
        let opens = registration(&provider, keys as &dyn Sealer);
        let text = opens.as_ref().map_or_else(ToString::to_string, |_| "its client secret opens".to_owned());
        found.note(opens.is_ok(), "provider", &format!("{}: {text}", provider.name));
    }
    Ok(())
}

/// Whether one key signs cookies, and retired ones go.
async fn signing_keys(
    tx: &mut dyn Stores,
    retention: time::Duration,
    now: Timestamp,
    found: &mut Findings,
) -> Result<(), StoreError> {
    let keys = tx.signing_keys().await?;
    let signing = keys.iter().filter(|key| key.retired_at.is_none()).count();
    found.note(signing == 1, "signing key", &format!("{signing} sign cookies, {} are kept", keys.len()));
    let limit = now - retention - SLACK;
    let stuck: Vec<String> = keys
        .iter()
        .filter_map(|key| key.retired_at.filter(|at| *at < limit).map(|at| (key, at)))
        .map(|(key, at)| format!("{} since {}", key.id, timestamp::to_rfc3339(at)))
        .collect();
    let text = if stuck.is_empty() {
        "none is kept longer than it verifies".to_owned()
    } else {
        format!("the loop session-gc is stuck: {} still kept", stuck.join(", "))
    };
    found.note(stuck.is_empty(), "retired keys", &text);
    Ok(())
}

/// Whether the loops around sessions and people ran as often as they should.
async fn loops(tx: &mut dyn Stores, config: &Config, now: Timestamp, found: &mut Findings) -> Result<(), StoreError> {
    for (name, interval) in
        [("session-gc", config.session_gc_interval), ("user-retention", config.user_retention_interval)]
    {
        let last = tx.last_successful_run(name).await?;
        // Twice the interval with its jitter, and some time for the run itself.
        let late = now - whole(interval) * 3 - time::Duration::minutes(5);
        let text = last
            .map_or_else(|| "never ran well".to_owned(), |at| format!("last ran well {}", timestamp::to_rfc3339(at)));
        found.note(last.is_some_and(|at| at >= late), "loop", &format!("{name}: {text}"));
    }
    Ok(())
}
