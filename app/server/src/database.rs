//! Which database, and how to reach it.

use crate::config::Config;
use certctl_kernel::Secret;
use certctl_ports::Ambient;
use certctl_postgres::{ConnectError, PoolSettings, Postgres, TlsMode};
use certctl_private_postgres::{PrivatePostgres, PrivatePostgresError, Running, prepare};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;

/// The database can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Private(#[from] PrivatePostgresError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("CERTCTL_DATABASE_URL: {0}")]
    Url(String),
}

/// The pools, and the private server when there is one.
pub(crate) struct Opened {
    pub(crate) database: Postgres,
    pub(crate) private: Option<PrivatePostgres>,
    /// The role that the private server's own pools use after the migrations.
    pub(crate) runtime: Option<Runtime>,
}

/// How the server signs in to its private PostgreSQL at run time: as a role that can't change the audit trail.
pub(crate) struct Runtime {
    pg: tokio_postgres::Config,
    password: Secret<String>,
    settings: PoolSettings,
}

/// Name of that role.
const RUNTIME: &str = "certctl_runtime";

impl Runtime {
    /// Makes the role what it should be, as the owner, and opens pools as it.
    pub(crate) async fn open(mut self, owner: &Postgres, ambient: &Ambient) -> Result<Postgres, DatabaseError> {
        certctl_postgres::make_runtime_role(owner, RUNTIME, &self.password).await?;
        self.pg.user(RUNTIME);
        Ok(Postgres::new(self.pg, TlsMode::Off, &self.settings, ambient.clone())?)
    }
}

fn pools(config: &Config) -> PoolSettings {
    PoolSettings {
        max_connections: config.database_max_conns,
        acquire_timeout: config.database_acquire_timeout,
        connect_timeout: config.database_connect_timeout,
        statement_timeout: config.database_statement_timeout,
        application_name: "certctl-server".to_owned(),
    }
}

/// Starts the private PostgreSQL in the data directory, or uses the operator's.
pub(crate) async fn open(config: &Config, data_dir: &Path, ambient: &Ambient) -> Result<Opened, DatabaseError> {
    if let Some(database) = external(config, ambient)? {
        return Ok(Opened { database, private: None, runtime: None });
    }
    let cluster = prepare(data_dir, ambient.random.as_ref()).await?;
    let pg = private(cluster.socket_dir(), cluster.name(), cluster.password());
    let password = Secret::new(cluster.password().expose().clone());
    let private = PrivatePostgres::start(cluster).await?;
    let settings = pools(config);
    let database = Postgres::new(pg.clone(), TlsMode::Off, &settings, ambient.clone())?;
    Ok(Opened { database, private: Some(private), runtime: Some(Runtime { pg, password, settings }) })
}

/// The operator's PostgreSQL, if there is one.
pub(crate) fn external(config: &Config, ambient: &Ambient) -> Result<Option<Postgres>, DatabaseError> {
    let Some(url) = &config.database_url else { return Ok(None) };
    let (pg, tls) = from_url(url, config.database_allow_plaintext)?;
    Ok(Some(Postgres::new(pg, tls, &pools(config), ambient.clone())?))
}

/// The private PostgreSQL that another process runs in the data directory.
pub(crate) fn running(config: &Config, data_dir: &Path, ambient: &Ambient) -> Result<Postgres, DatabaseError> {
    let running = Running::find(data_dir)?;
    let pg = private(running.socket_dir(), running.name(), running.password());
    Ok(Postgres::new(pg, TlsMode::Off, &pools(config), ambient.clone())?)
}

fn private(sockets: &Path, name: &str, password: &Secret<String>) -> tokio_postgres::Config {
    let mut pg = tokio_postgres::Config::new();
    pg.host_path(sockets).user(name).dbname(name).password(password.expose());
    pg
}

fn from_url(url: &Secret<String>, allow_plaintext: bool) -> Result<(tokio_postgres::Config, TlsMode), DatabaseError> {
    let password = std::env::var("POSTGRES_PASSWORD").unwrap_or_default();
    let text = url.expose().replace("$(POSTGRES_PASSWORD)", &password);
    // The driver knows fewer modes than PostgreSQL's own client, so ours are taken out first.
    let mut parsed = url::Url::parse(&text).map_err(|error| DatabaseError::Url(error.to_string()))?;
    let mut mode = None;
    let mut roots = std::env::var("PGSSLROOTCERT").ok().filter(|path| !path.is_empty());
    let mut rest = Vec::new();
    for (name, value) in parsed.query_pairs() {
        match name.as_ref() {
            "sslmode" => mode = Some(value.into_owned()),
            "sslrootcert" => roots = Some(value.into_owned()),
            _ => rest.push((name.into_owned(), value.into_owned())),
        }
    }
    parsed.set_query(None);
    if !rest.is_empty() {
        parsed.query_pairs_mut().extend_pairs(rest);
    }
    let mut pg: tokio_postgres::Config =
        parsed.as_str().parse().map_err(|_| DatabaseError::Url("is not a PostgreSQL URL".to_owned()))?;
    let host = parsed.host_str().unwrap_or_default().to_owned();
    let local =
        host.is_empty() || host.starts_with("%2F") || matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    let mode = mode.unwrap_or_else(|| if local { "disable" } else { "verify-full" }.to_owned());
    match mode.as_str() {
        "disable" if local || allow_plaintext => {
            pg.ssl_mode(tokio_postgres::config::SslMode::Disable);
            Ok((pg, TlsMode::Off))
        }
        "disable" => Err(DatabaseError::Url(format!(
            "sslmode=disable would send everything to {host} in the clear; use sslmode=verify-full, or set \
             CERTCTL_DATABASE_ALLOW_PLAINTEXT=true"
        ))),
        "verify-full" | "verify-ca" | "require" => {
            pg.ssl_mode(tokio_postgres::config::SslMode::Require);
            Ok((pg, TlsMode::VerifyFull(Arc::new(client_config(roots.as_deref())?))))
        }
        other => Err(DatabaseError::Url(format!("sslmode={other} is not one of disable, verify-full"))),
    }
}

/// TLS towards the database always checks chain and host name; weaker modes of the URL are raised to that.
fn client_config(roots: Option<&str>) -> Result<rustls::ClientConfig, DatabaseError> {
    let mut store = rustls::RootCertStore::empty();
    if let Some(path) = roots {
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|error| DatabaseError::Url(format!("sslrootcert {path}: {error}")))?;
        for certificate in certificates {
            let certificate =
                certificate.map_err(|error| DatabaseError::Url(format!("sslrootcert {path}: {error}")))?;
            store.add(certificate).map_err(|error| DatabaseError::Url(format!("sslrootcert {path}: {error}")))?;
        }
    } else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DatabaseError::Url(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> Option<String> {
        from_url(&Secret::new(url.to_owned()), false).err().map(|error| error.to_string())
    }

    #[test]
    fn plaintext_to_another_machine_is_refused() {
        assert!(refused("postgres://u:p@db.example.com/x?sslmode=disable").is_some_and(|text| text.contains("clear")));
        assert!(refused("postgres://u:p@localhost/x").is_none());
        assert!(refused("postgres://u:p@localhost/x?sslmode=maybe").is_some());
    }

    #[test]
    fn another_machine_means_verified_tls() {
        let (_, tls) = from_url(&Secret::new("postgres://u:p@db.example.com/x".to_owned()), false).expect("sound");
        assert!(matches!(tls, TlsMode::VerifyFull(_)));
    }

    #[test]
    fn a_url_that_is_none_never_shows_its_password() {
        let text = refused("postgres://u:hunter2@[bad").expect("refused");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
