//! Loops and checks around who may do what.

use crate::boot::BootError;
use crate::config::Config;
use certctl_audit::{Action, AuditEvent};
use certctl_http::AppConfig;
use certctl_kernel::{Actor, ActorType, RequestContext, StoreError};
use certctl_postgres::Postgres;
use certctl_rbac::DEMO_ACTOR;
use certctl_session::SameSite;
use certctl_unit_of_work::Database as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often a replica makes sure that it heard every change of access. With the time an answer is trusted for, it
/// bounds how long a revoked right lives where a notification was lost.
const CONFIRM: Duration = Duration::from_secs(1);
/// How often what callers used is written down.
const FLUSH: Duration = Duration::from_secs(10);

/// Settings that bear on who gets in, as administrators may read them. What belongs to features that this build does
/// not have is empty, `false` or `0`.
pub(crate) fn runtime_config(config: &Config) -> BTreeMap<&'static str, String> {
    let flag = |on: bool| on.to_string();
    let same_site = match config.sessions.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
    };
    let admin_groups = &config.oidc.admin_groups;
    BTreeMap::from([
        ("CERTCTL_AUTH_TYPE", config.auth_type.to_owned()),
        ("CERTCTL_SESSION_SAMESITE", same_site.to_owned()),
        ("CERTCTL_OIDC_BCL_MAX_AGE_SECONDS", config.oidc.logout_max_age.whole_seconds().to_string()),
        ("CERTCTL_OIDC_PRELOGIN_REQUIRE_UA", flag(config.oidc.binding.user_agent)),
        ("CERTCTL_OIDC_PRELOGIN_REQUIRE_IP", flag(config.oidc.binding.source_ip)),
        ("CERTCTL_BREAKGLASS_ENABLED", flag(config.breakglass.enabled)),
        ("CERTCTL_BREAKGLASS_LOCKOUT_THRESHOLD", config.breakglass.lockout_threshold.to_string()),
        ("CERTCTL_DEMO_MODE_ACK", flag(config.demo)),
        ("CERTCTL_TRUSTED_PROXIES_COUNT", config.trusted_proxies.count().to_string()),
        ("CERTCTL_BOOTSTRAP_TOKEN_SET", flag(config.bootstrap_token.is_some())),
        ("CERTCTL_BOOTSTRAP_OIDC_PROVIDER_ID", admin_groups.provider_id.clone().unwrap_or_default()),
        ("CERTCTL_BOOTSTRAP_ADMIN_GROUPS_COUNT", admin_groups.groups.len().to_string()),
    ])
}

/// Looks for grants that the demo mode left behind. They give nothing, because nobody signs in as the demo principal
/// outside it, but would again if the mode came back.
pub(crate) async fn look_for_demo_residue(config: &Config, database: &Postgres) -> Result<(), BootError> {
    if config.auth_none {
        return Ok(());
    }
    let held = database.read().await?.grants(&Actor::new(DEMO_ACTOR, ActorType::Anonymous)).await?;
    if held.is_empty() {
        return Ok(());
    }
    let residue: Vec<_> = held.iter().map(|grant| json!({"id": grant.id, "role_id": grant.role_id})).collect();
    tracing::warn!(
        grants = held.len(),
        "the demo principal still holds roles; POST /api/v1/auth/demo-residual/cleanup takes them back"
    );
    let mut unit = database.begin().await?;
    let details = json!({"auth_type": config.auth_type, "residue_count": held.len(), "residue": residue});
    let context = RequestContext::system("boot");
    unit.stores().record(AuditEvent::new(Action::DemoResidualGrantsDetected, &context, DEMO_ACTOR, details)).await?;
    unit.save().await?;
    if config.demo_residual_strict { Err(BootError::DemoResidue(held.len())) } else { Ok(()) }
}

async fn version(database: &Postgres) -> Result<i64, StoreError> {
    database.read().await?.rbac_version().await
}

/// Asks the database again and again whether anything about access changed. While it does not answer, remembered
/// decisions lapse and every request asks it itself.
pub(crate) async fn confirm_access(database: Postgres, app: AppConfig) {
    loop {
        let asked = Instant::now();
        match tokio::time::timeout(CONFIRM, version(&database)).await {
            Ok(Ok(version)) => app.state.access.confirm(version, asked),
            Ok(Err(error)) => tracing::debug!(%error, "the version of access could not be read"),
            Err(_) => tracing::debug!("the version of access was not read in time"),
        }
        tokio::time::sleep(CONFIRM.saturating_sub(asked.elapsed())).await;
    }
}

/// Writes down what callers used, until the server stops and then once more.
pub(crate) async fn write_usage_down(database: Postgres, app: AppConfig, mut stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        tokio::select! {
            () = tokio::time::sleep(FLUSH) => flush(&database, &app).await,
            _ = stopping.changed() => {}
        }
    }
}

/// Writes down what callers used so far.
pub(crate) async fn flush(database: &Postgres, app: &AppConfig) {
    if let Err(error) = app.state.usage.flush(database).await {
        tracing::warn!(%error, "what callers used could not be written down; it is kept for the next time");
    }
}
