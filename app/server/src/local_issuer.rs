//! `iss-local`: the CA that every installation has.

use crate::boot::BootError;
use crate::config::Config;
use certctl_ca::Lend;
use certctl_inventory::{CreateIssuer, create_issuer};
use certctl_port_issuer::IssuerRegistry;
use certctl_ports::Ambient;
use certctl_rbac::Caller;
use certctl_unit_of_work::Database;
use serde_json::json;

const ID: &str = "iss-local";

/// Creates the issuer at the first start, and its root or the loaded CA with it, so that trust anchors exist before the
/// first certificate. Replicas that start together end with one root.
pub(crate) async fn ensure(
    config: &Config,
    database: &dyn Database,
    issuers: &dyn IssuerRegistry,
    ambient: &Ambient,
) -> Result<(), BootError> {
    let mut unit = database.begin().await?;
    let caller = Caller::system("boot");
    if unit.stores().issuer(ID).await?.is_none() {
        let mut members = serde_json::Map::new();
        if let Some((cert, key)) = &config.ca_pair {
            members.insert("ca_cert_path".to_owned(), json!(cert));
            members.insert("ca_key_path".to_owned(), json!(key));
        }
        let command = CreateIssuer {
            id: Some(ID.to_owned()),
            name: "Local CA".to_owned(),
            kind: "GenericCA".to_owned(),
            config: members.into(),
            enabled: true,
            hierarchy_mode: None,
            source: "env",
        };
        match create_issuer(unit.stores(), ambient, &caller, command).await {
            Ok(_) => unit.save().await?,
            // Another replica was first.
            Err(
                certctl_kernel::DomainError::Store(certctl_kernel::StoreError::Duplicate { .. })
                | certctl_kernel::DomainError::Conflict { .. },
            ) => unit.discard().await?,
            Err(error) => return Err(error.into()),
        }
    } else {
        unit.discard().await?;
    }
    let mut unit = database.begin().await?;
    issuers.issuer(&mut Lend(unit.stores()), ID).await.map_err(|error| BootError::LocalCa(error.to_string()))?;
    match unit.save().await {
        Ok(()) => tracing::info!(issuer = ID, "the local CA has its root"),
        // Nothing was made, so there is no event: the root was there already.
        Err(certctl_kernel::StoreError::Internal { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
