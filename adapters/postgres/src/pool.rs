//! Connections: bounded pools, timeouts, TLS.

use crate::rate_limits::PgRateLimits;
use crate::unit_of_work::{Params, PgUnitOfWork};
use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};
use certctl_ports::Ambient;
use certctl_unit_of_work::{Database, UnitOfWork};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections that rate limits may take beside the pools.
pub const LIMIT_CONNECTIONS: usize = 4;

/// Bounds of the pools.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections in all; a quarter serve reads only.
    pub max_connections: usize,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long opening one may take.
    pub connect_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

/// How sessions are protected on the way.
#[derive(Clone)]
pub enum TlsMode {
    /// Unix sockets and, when the operator insists, plaintext TCP.
    Off,
    /// TLS with the certificate checked against these roots and the host name (`verify-full`).
    VerifyFull(Arc<rustls::ClientConfig>),
}

/// The database can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Wrong password: the stored data was made with another one.
    #[error(
        "the database refused the password: the data was initialised with another one; either put the old password \
         back into CERTCTL_DATABASE_URL or change it in the database with ALTER ROLE … PASSWORD"
    )]
    Password,
    /// Any other failure of the driver.
    #[error("the database can't be reached: {0}")]
    Driver(String),
    /// The URL is not usable.
    #[error("CERTCTL_DATABASE_URL: {0}")]
    Url(String),
    /// The session ended while it was set up.
    #[error("the database closed the session")]
    Closed,
}

impl From<tokio_postgres::Error> for ConnectError {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code() == Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD) {
            return Self::Password;
        }
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Driver(text)
    }
}

/// The product's database.
#[derive(Clone)]
pub struct Postgres {
    writers: Pool,
    readers: Pool,
    config: Config,
    tls: TlsMode,
    ambient: Ambient,
}

/// A connection on loan from a pool.
pub struct Lease(Option<Object>);

impl Lease {
    pub(crate) fn client(&self) -> &deadpool_postgres::ClientWrapper {
        self.0.as_ref().expect("the connection is taken out only when the lease is dropped")
    }

    /// Closes the connection instead of giving it back.
    pub(crate) fn discard(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

impl Postgres {
    /// Makes the pools; connects on first use.
    pub fn new(
        mut config: Config,
        tls: TlsMode,
        settings: &PoolSettings,
        ambient: Ambient,
    ) -> Result<Self, ConnectError> {
        config.application_name(&settings.application_name).connect_timeout(settings.connect_timeout);
        let read_share = (settings.max_connections / 4).max(1);
        let write_share = settings.max_connections.saturating_sub(read_share).max(1);
        let session = format!(
            "SET statement_timeout = {}; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'",
            settings.statement_timeout.as_millis()
        );
        let read_session = format!("{session}; SET default_transaction_read_only = on");
        Ok(Self {
            writers: pool(&config, &tls, settings, write_share, session)?,
            readers: pool(&config, &tls, settings, read_share, read_session)?,
            config,
            tls,
            ambient,
        })
    }

    /// A session outside the pools, with its stream of asynchronous messages.
    pub(crate) async fn raw_session(
        &self,
    ) -> Result<
        (Client, impl stream::Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Unpin + Send + use<>),
        ConnectError,
    > {
        type Messages =
            std::pin::Pin<Box<dyn stream::Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;
        match &self.tls {
            TlsMode::Off => {
                let (client, mut connection) = self.config.connect(NoTls).await?;
                let messages: Messages = Box::pin(stream::poll_fn(move |cx| connection.poll_message(cx)));
                Ok((client, messages))
            }
            TlsMode::VerifyFull(tls) => {
                let connector = MakeRustlsConnect::new((**tls).clone());
                let (client, mut connection) = self.config.connect(connector).await?;
                let messages: Messages = Box::pin(stream::poll_fn(move |cx| connection.poll_message(cx)));
                Ok((client, messages))
            }
        }
    }

    async fn lease(pool: &Pool) -> Result<Lease, StoreError> {
        pool.get().await.map(|object| Lease(Some(object))).map_err(|error| {
            tracing::warn!(%error, "no database connection");
            StoreError::Unavailable
        })
    }

    /// A setting kept in the database; the first value offered stays.
    pub(crate) async fn setting_or_insert(&self, key: &str, offered: &str) -> Result<String, StoreError> {
        let lease = Self::lease(&self.writers).await?;
        let row = lease
            .client()
            .query_one(
                "INSERT INTO platform.settings AS s (key, value) VALUES ($1, to_jsonb($2::text)) \
                 ON CONFLICT (key) DO UPDATE SET value = s.value RETURNING value #>> '{}'",
                &[&key, &offered],
            )
            .await
            .map_err(|error| crate::error::map(&error))?;
        Ok(row.get(0))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ambient.now()
    }

    /// One statement in a transaction of its own.
    pub(crate) async fn execute_alone(&self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        let lease = Self::lease(&self.writers).await?;
        let statement = lease.client().prepare_cached(sql).await.map_err(|error| crate::error::map(&error))?;
        lease.client().execute(&statement, params).await.map_err(|error| crate::error::map(&error))
    }

    /// Rate limits counted in this database, on up to [`LIMIT_CONNECTIONS`] connections beside the pools: a request
    /// must not wait for its count behind the very flood that is counted. An answer takes `budget` at most.
    pub fn rate_limits(&self, budget: Duration) -> Result<PgRateLimits, ConnectError> {
        let session = format!(
            "SET statement_timeout = {0}; SET lock_timeout = {0}; SET synchronous_commit = off",
            budget.as_millis().max(1)
        );
        let settings = PoolSettings {
            max_connections: LIMIT_CONNECTIONS,
            acquire_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            statement_timeout: budget,
            application_name: "certctl-limits".to_owned(),
        };
        let mut config = self.config.clone();
        config.application_name(&settings.application_name);
        let pool = pool(&config, &self.tls, &settings, LIMIT_CONNECTIONS, session)?;
        Ok(PgRateLimits::new(pool, self.clone(), budget))
    }

    /// Closes the pools; leases end when they are dropped.
    pub fn close(&self) {
        self.writers.close();
        self.readers.close();
    }

    /// Connections open and waiting callers, for metrics: (size, available, waiting) of both pools together.
    pub fn pool_status(&self) -> (usize, usize, usize) {
        let (w, r) = (self.writers.status(), self.readers.status());
        (w.size + r.size, w.available + r.available, w.waiting + r.waiting)
    }
}

fn pool(
    config: &Config,
    tls: &TlsMode,
    settings: &PoolSettings,
    size: usize,
    session: String,
) -> Result<Pool, ConnectError> {
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match tls {
        TlsMode::Off => Manager::from_config(config.clone(), NoTls, manager_config),
        TlsMode::VerifyFull(tls) => {
            Manager::from_config(config.clone(), MakeRustlsConnect::new((**tls).clone()), manager_config)
        }
    };
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(settings.acquire_timeout))
        .create_timeout(Some(settings.connect_timeout))
        .post_create(Hook::async_fn(move |client, _| {
            let session = session.clone();
            Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| ConnectError::Driver(error.to_string()))
}

#[async_trait]
impl Database for Postgres {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let lease = Self::lease(&self.writers).await?;
        Ok(Box::new(PgUnitOfWork::begin(lease, self.ambient.clone())))
    }

    async fn read(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let lease = Self::lease(&self.readers).await?;
        Ok(Box::new(PgUnitOfWork::reading(lease, self.ambient.clone())))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let lease = Self::lease(&self.readers).await?;
        lease.client().batch_execute("SELECT 1").await.map_err(|error| crate::error::map(&error))
    }
}
