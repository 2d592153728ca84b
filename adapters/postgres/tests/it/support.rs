//! A fresh, migrated database for each test.

use crate::cluster::{Cluster, runtime};
use certctl_kernel::{Actor, ActorType, RequestContext, Timestamp};
use certctl_ports::Ambient;
use certctl_ports::fakes::{CountingRandom, FixedClock};
use certctl_postgres::{PoolSettings, Postgres, TlsMode};
use certctl_rbac::Caller;
use certctl_unit_of_work::{Database as _, UnitOfWork};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use time::macros::datetime;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

const TEMPLATE: &str = "certctl_template";

/// Where every test's clock stands at first.
pub const START: Timestamp = datetime!(2026-03-01 12:00 UTC);

/// One test's database; dropped with it.
pub struct TestDatabase {
    /// The adapter under test.
    pub postgres: Postgres,
    /// Time and randomness that the adapter was given.
    pub ambient: Ambient,
    /// The clock behind `ambient`, to be moved.
    pub clock: Arc<FixedClock>,
    name: String,
}

impl TestDatabase {
    /// Migrated, with a clock that stands at [`START`].
    pub async fn new() -> Self {
        Self::create(TEMPLATE).await
    }

    /// Not migrated.
    pub async fn empty() -> Self {
        Self::create("template1").await
    }

    async fn create(template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if template == TEMPLATE {
            prepare_template().await;
        }
        let name = format!("it_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        administer(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let fixed = Arc::new(FixedClock::new(START));
        let ambient = Ambient {
            clock: fixed.clone(),
            random: Arc::new(CountingRandom::new(u64::from(COUNT.load(Ordering::Relaxed)))),
        };
        Self { postgres: connect(&name, &ambient), ambient, clock: fixed, name }
    }

    /// The same database through pools of its own, as another replica has.
    pub fn replica(&self) -> Postgres {
        connect(&self.name, &self.ambient)
    }

    /// The same database as another role sees it.
    pub fn as_role(&self, role: &str) -> Postgres {
        let mut config = Cluster::shared().config(&self.name);
        config.user(role);
        pools(config, &self.ambient)
    }

    /// A transaction.
    pub async fn begin(&self) -> Box<dyn UnitOfWork> {
        self.postgres.begin().await.expect("a transaction")
    }

    /// Stores on a connection that only reads.
    pub async fn read(&self) -> Box<dyn UnitOfWork> {
        self.postgres.read().await.expect("a connection")
    }

    /// A plain superuser session, to look at what is stored or to change it behind the product's back.
    pub async fn session(&self) -> Client {
        open(&self.name).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.postgres.close();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // The test's runtime can't be waited on from here.
        let done = std::thread::spawn(move || runtime().block_on(administer(&drop))).join();
        assert!(done.is_ok() || std::thread::panicking(), "the test's database could not be dropped");
    }
}

/// A caller with every permission: an API key named `alice`.
pub fn alice() -> Caller {
    let mut caller = Caller::system("it");
    caller.context = RequestContext {
        actor: Actor::new("alice", ActorType::APIKey),
        request_id: "req-it".to_owned(),
        source_ip: Some("192.0.2.7".to_owned()),
    };
    caller.roles = vec![certctl_rbac::ADMIN_ROLE.to_owned()];
    caller
}

fn connect(name: &str, ambient: &Ambient) -> Postgres {
    pools(Cluster::shared().config(name), ambient)
}

fn pools(config: tokio_postgres::Config, ambient: &Ambient) -> Postgres {
    let settings = PoolSettings {
        max_connections: 12,
        acquire_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        application_name: "certctl-it".to_owned(),
    };
    Postgres::new(config, TlsMode::Off, &settings, ambient.clone()).expect("pools")
}

async fn open(name: &str) -> Client {
    let (client, connection) = Cluster::shared().config(name).connect(NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

async fn administer(sql: &str) {
    open("postgres").await.batch_execute(sql).await.expect("an administrative statement");
}

/// Migrating takes longer than copying, so it happens once.
async fn prepare_template() {
    static READY: OnceCell<()> = OnceCell::const_new();
    READY
        .get_or_init(|| async {
            administer(&format!("CREATE DATABASE {TEMPLATE}")).await;
            let ambient = Ambient { clock: Arc::new(FixedClock::new(START)), random: Arc::new(CountingRandom::new(0)) };
            let template = connect(TEMPLATE, &ambient);
            certctl_postgres::migrate(&template).await.expect("the migrations run");
            template.close();
            // A database with sessions can't be copied, and the server ends them in its own time.
            let admin = open("postgres").await;
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
            while admin.query_one(sessions, &[&TEMPLATE]).await.expect("a count").get::<_, i64>(0) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
}
