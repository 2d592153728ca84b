//! Signing in through identity providers: the relying party at the start, and the host's own commands.

use crate::attached::Attached;
use crate::boot::{self, BootError};
use crate::config::Config;
use certctl_http::{AppConfig, Oidc};
use certctl_kernel::RequestContext;
use certctl_oidc_rp::{OidcClient, Settings, TIMEOUT};
use certctl_ports::{Ambient, Sealer};
use certctl_unit_of_work::Database;
use certctl_user::subject_pepper;
use std::process::ExitCode;
use std::sync::Arc;

/// Makes the relying party, and the key that people are recognised by where there is none.
pub(crate) async fn open(
    config: &Config,
    database: &dyn Database,
    ambient: &Ambient,
    sealer: &dyn Sealer,
) -> Result<Oidc, BootError> {
    let mut unit = database.begin().await?;
    let pepper = subject_pepper(unit.stores(), ambient, sealer).await?;
    unit.save_unaudited("a secret of the installation, made once").await?;
    let settings = config.oidc.clone();
    let groups = &settings.admin_groups;
    if !groups.groups.is_empty() {
        let mut unit = database.read().await?;
        if groups.provider_id.is_none() && unit.stores().count_providers().await? > 1 {
            return Err(BootError::AdminGroupsOfWhom);
        }
        tracing::info!(
            groups = ?groups.groups,
            provider_id = groups.provider_id,
            "members of these groups can become the first administrator, once"
        );
    }
    if settings.policy.allow_loopback {
        tracing::warn!(
            "CERTCTL_OIDC_ALLOW_LOOPBACK is on: whoever configures a provider can make this server talk to itself; \
             for laboratories only"
        );
    }
    let client = Settings { policy: settings.policy, graph_url: config.oidc_graph_url.clone(), timeout: TIMEOUT };
    Ok(Oidc { party: Arc::new(OidcClient::new(client, ambient.clone())), settings, pepper })
}

/// Forgets what is remembered of a provider: its configuration changed.
pub(crate) fn forget(app: &AppConfig, provider_id: &str) {
    if let Some(oidc) = &app.state.oidc {
        oidc.party.forget(provider_id);
    }
}

/// `certctl-server auth reopen-bootstrap`
pub(crate) async fn reopen_bootstrap(config: &Config) -> ExitCode {
    match reopen(config).await {
        Ok(()) => {
            println!("a first administrator can be made once more, by token or by group");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn reopen(config: &Config) -> Result<(), BootError> {
    let ambient = boot::ambient();
    let attached = Attached::open(config, &ambient).await?;
    let context = RequestContext::system("host:auth reopen-bootstrap");
    let outcome = async {
        let mut unit = attached.database.begin().await?;
        certctl_bootstrap::reopen(unit.stores(), &ambient, &context).await?;
        unit.save().await?;
        Ok(())
    };
    let outcome = outcome.await;
    attached.close().await;
    outcome
}
