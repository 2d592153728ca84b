//! From configuration to a running server's parts, in order; every failure names what to do.

use crate::audit_log;
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::database::{self, DatabaseError, Opened};
use crate::tls::{PairFiles, ReloadingPair, TlsError, ensure_pair};
use certctl_apikey::{EnvironmentKey, seed_environment_keys};
use certctl_audit::{Action, AuditEvent};
use certctl_audit_log::SealedLog;
use certctl_kernel::{DomainError, RequestContext, Secret, StoreError};
use certctl_ports::{Ambient, Sealer};
use certctl_postgres::{ConnectError, MigrationStatus, Postgres};
use certctl_private_postgres::PrivatePostgres;
use certctl_rbac::AdminsUntil;
use certctl_system::{Keyring, KeyringError, MasterKey, Strength, SystemClock, SystemRandom};
use certctl_unit_of_work::Database as _;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// The server can't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Domain(#[from] DomainError),
    #[error(
        "the schema is not current ({0}) and CERTCTL_MIGRATIONS_VIA_HOOK is set: run `certctl-server migrate` first"
    )]
    SchemaOld(String),
    #[error("the schema is not that of this build ({0}): run `certctl-server migrate`, or use the build that made it")]
    SchemaOf(String),
    #[error(
        "nobody can sign in: set CERTCTL_BOOTSTRAP_TOKEN to make the first administrator, or CERTCTL_API_KEYS_NAMED"
    )]
    NobodyCanSignIn,
    #[error(
        "the demo principal still holds {0} roles and CERTCTL_DEMO_MODE_RESIDUAL_STRICT is set: start without it and \
         clear them with POST /api/v1/auth/demo-residual/cleanup"
    )]
    DemoResidue(usize),
    #[error(transparent)]
    Secrets(#[from] certctl_secrets::Unreadable),
    #[error(
        "CERTCTL_BOOTSTRAP_ADMIN_GROUPS is set and there are several identity providers: name the one whose groups \
         count with CERTCTL_BOOTSTRAP_OIDC_PROVIDER_ID"
    )]
    AdminGroupsOfWhom,
    #[error("sessions: {0}")]
    SessionKeys(certctl_session::SessionError),
    #[error("the local CA can't be used: {0}")]
    LocalCa(String),
    #[error("the audit log: {0}")]
    AuditLog(String),
    #[error(
        "emergency accounts have security keys, which can't be asked: CERTCTL_SERVER_EXTERNAL_URL {0}; set it to the \
         origin that they were registered at, or remove them with `certctl-server breakglass remove-key`"
    )]
    SecurityKeys(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

/// The host's clock and randomness.
pub(crate) fn ambient() -> Ambient {
    Ambient { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom::new()) }
}

/// A server's long-lived parts.
pub(crate) struct Parts {
    pub(crate) ambient: Ambient,
    pub(crate) data_dir: DataDir,
    pub(crate) pair: Arc<ReloadingPair>,
    pub(crate) bootstrap_ca: Option<PathBuf>,
    pub(crate) database: Postgres,
    pub(crate) private: Option<PrivatePostgres>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) log: Arc<SealedLog>,
}

/// Checks files that the configuration names, without starting anything.
pub(crate) fn check_files(config: &Config) -> Vec<String> {
    let Some((cert, key)) = &config.tls_pair else { return Vec::new() };
    let files = PairFiles { cert: cert.clone(), key: key.clone() };
    ReloadingPair::open(files, ambient().now()).err().map(|error| error.to_string()).into_iter().collect()
}

/// Opens the database and brings its schema up to date.
pub(crate) async fn open_database(config: &Config, data_dir: &DataDir, ambient: &Ambient) -> Result<Opened, BootError> {
    let mut opened = database::open(config, data_dir.path(), ambient).await?;
    ready_schema(config, &opened.database).await?;
    match opened.runtime.take() {
        Some(runtime) => {
            let pools = runtime.open(&opened.database, ambient).await?;
            std::mem::replace(&mut opened.database, pools).close();
        }
        None if certctl_postgres::may_change_trail(&opened.database).await? => tracing::warn!(
            "the role of CERTCTL_DATABASE_URL may change the audit trail; `certctl-server db grants` prints how to give \
             the server one that may not, and migrate as the owner"
        ),
        None => {}
    }
    Ok(opened)
}

/// Migrates, or looks whether that was done.
async fn ready_schema(config: &Config, database: &Postgres) -> Result<(), BootError> {
    if config.migrations_via_hook {
        return match certctl_postgres::check(database).await? {
            MigrationStatus::Current => Ok(()),
            MigrationStatus::Pending(names) => Err(BootError::SchemaOld(format!("pending: {}", names.join(", ")))),
            MigrationStatus::Newer(names) => Err(BootError::SchemaOld(format!("newer: {}", names.join(", ")))),
        };
    }
    let applied = certctl_postgres::migrate(database).await?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.len(), "the schema was brought up to date");
        let mut unit = database.begin().await?;
        let context = RequestContext::system("boot");
        let event = AuditEvent::new(Action::SchemaMigrated, &context, "schema", json!({"migrations": applied}));
        unit.stores().record(event).await?;
        unit.save().await?;
    }
    Ok(())
}

/// Everything up to the listeners.
pub(crate) async fn parts(config: &Config) -> Result<Parts, BootError> {
    let ambient = ambient();
    let data_dir = DataDir::lock(&config.data_dir)?;
    let (files, bootstrap_ca) = if let Some((cert, key)) = &config.tls_pair {
        (PairFiles { cert: cert.clone(), key: key.clone() }, None)
    } else {
        let (files, ca) = ensure_pair(data_dir.path(), &config.tls_sans, &ambient)?;
        (files, Some(ca))
    };
    let pair = Arc::new(ReloadingPair::open(files, ambient.now())?);
    let Opened { database, private, .. } = open_database(config, &data_dir, &ambient).await?;
    let prepared = async {
        let log = audit_log::open(config, data_dir.path(), &database, &ambient).await?;
        Ok((prepare(config, &database, &ambient).await?, log))
    };
    let (sealer, log) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => {
            database.close();
            if let Some(private) = private {
                private.stop().await;
            }
            return Err(error);
        }
    };
    Ok(Parts { ambient, data_dir, pair, bootstrap_ca, database, private, sealer, log })
}

/// The configured keys, stretched.
pub(crate) async fn keyring(config: &Config, database: &Postgres, ambient: &Ambient) -> Result<Keyring, BootError> {
    let salt = database.installation_salt(ambient.octets::<16>()).await?;
    let masters: Vec<MasterKey> = config
        .encryption_keys
        .iter()
        .map(|(id, passphrase)| MasterKey { id: id.clone(), passphrase: passphrase.clone() })
        .collect();
    Ok(Keyring::new(&masters, &salt, Strength::FULL, Arc::clone(&ambient.random))?)
}

async fn prepare(config: &Config, database: &Postgres, ambient: &Ambient) -> Result<Arc<dyn Sealer>, BootError> {
    let sealer = keyring(config, database, ambient).await?;
    certctl_secrets::check(database.read().await?.stores(), &sealer).await?;

    let mut unit = database.begin().await?;
    if unit.stores().sync_catalogue().await? {
        tracing::info!("permissions and default roles in the database were brought in line with this build");
    }
    unit.save_unaudited("the catalogue is part of the build").await?;

    let context = RequestContext::system("boot");
    let mut unit = database.begin().await?;
    let keys: Vec<EnvironmentKey> = config
        .named_keys
        .iter()
        .map(|key| EnvironmentKey {
            name: key.name.clone(),
            key: Secret::new(key.key.expose().clone()),
            admin: key.admin,
        })
        .collect();
    let report = seed_environment_keys(unit.stores(), ambient, &context, &keys).await?;
    if report.changed() {
        unit.save().await?;
    } else {
        unit.discard().await?;
    }
    for name in &report.drifted {
        tracing::warn!(name, "the roles of an environment key were changed by an administrator; they stand");
    }
    crate::access::look_for_demo_residue(config, database).await?;
    let becomes_one = config.bootstrap_token.is_some() || !config.oidc.admin_groups.groups.is_empty();
    if !config.auth_none && config.named_keys.is_empty() && !becomes_one {
        let mut unit = database.read().await?;
        if unit.stores().admins_until(ambient.now()).await? == AdminsUntil::Nobody {
            return Err(BootError::NobodyCanSignIn);
        }
    }
    Ok(Arc::new(sealer))
}
