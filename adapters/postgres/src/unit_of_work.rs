//! Transactions.

use crate::error;
use crate::pool::Lease;
use async_trait::async_trait;
use certctl_kernel::{Id, StoreError};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_unit_of_work::{Stores, Transaction, UnitOfWork};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

/// A leased connection, inside a transaction or, for reading, outside one. The stores implement their traits on it.
pub struct PgUnitOfWork {
    lease: Lease,
    ambient: Ambient,
    mode: Mode,
    /// `BEGIN` is still to be sent: together with the first statement, which saves a round trip.
    begin_owed: AtomicBool,
    events: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Reading,
    Open,
    Ended,
}

/// Parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl PgUnitOfWork {
    pub(crate) const fn begin(lease: Lease, ambient: Ambient) -> Self {
        Self { lease, ambient, mode: Mode::Open, begin_owed: AtomicBool::new(true), events: 0 }
    }

    pub(crate) const fn reading(lease: Lease, ambient: Ambient) -> Self {
        Self { lease, ambient, mode: Mode::Reading, begin_owed: AtomicBool::new(false), events: 0 }
    }

    /// Time and identifiers for rows that the store itself makes.
    pub(crate) const fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    pub(crate) fn count_event(&mut self) {
        self.events += 1;
    }

    pub(crate) fn fresh_id(&self, kind: certctl_kernel::IdKind) -> Id {
        self.ambient.id(kind)
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        self.lease.client().prepare_cached(sql).await.map_err(|e| error::map(&e))
    }

    /// Runs `statement`, behind the `BEGIN` that is owed, if it is. Both go out in this order on one connection, and a
    /// statement without its transaction can't be: where `BEGIN` fails the session is gone.
    async fn inside<T>(&self, statement: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if !self.begin_owed.swap(false, Ordering::Relaxed) {
            return statement.await;
        }
        let begin = async { self.lease.client().batch_execute("BEGIN").await.map_err(|e| error::map(&e)) };
        // Polled from left to right, and sent at the first poll.
        let (begun, done) = tokio::join!(biased; begin, statement);
        begun.and(done)
    }

    /// Runs a statement, prepared once a connection; returns the rows.
    pub(crate) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        self.inside(async {
            let statement = self.prepared(sql).await?;
            self.lease.client().query(&statement, params).await.map_err(|e| error::map(&e))
        })
        .await
    }

    /// The one row or none.
    pub(crate) async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        self.inside(async {
            let statement = self.prepared(sql).await?;
            self.lease.client().query_opt(&statement, params).await.map_err(|e| error::map(&e))
        })
        .await
    }

    /// Exactly one row.
    pub(crate) async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row, StoreError> {
        self.inside(async {
            let statement = self.prepared(sql).await?;
            self.lease.client().query_one(&statement, params).await.map_err(|e| error::map(&e))
        })
        .await
    }

    /// Runs a statement; returns how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        self.inside(async {
            let statement = self.prepared(sql).await?;
            self.lease.client().execute(&statement, params).await.map_err(|e| error::map(&e))
        })
        .await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        match self.mode {
            Mode::Open => {}
            Mode::Reading | Mode::Ended => {
                return Err(StoreError::Internal { reason: "save on a unit of work that is not open".to_owned() });
            }
        }
        // Without a statement there is nothing to commit.
        if !*self.begin_owed.get_mut() {
            self.lease.client().batch_execute("COMMIT").await.map_err(|e| error::map(&e))?;
        }
        self.mode = Mode::Ended;
        Ok(())
    }
}

impl Drop for PgUnitOfWork {
    fn drop(&mut self) {
        if self.mode == Mode::Open && !*self.begin_owed.get_mut() {
            // A connection inside a transaction must not go back to the pool; closing it rolls back.
            self.lease.discard();
        }
    }
}

impl Stores for PgUnitOfWork {}

#[async_trait]
impl Transaction for PgUnitOfWork {
    async fn save(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.events == 0 {
            return Err(StoreError::Internal { reason: "a change without an audit event".to_owned() });
        }
        self.commit().await
    }

    async fn save_unaudited(mut self: Box<Self>, _reason: &'static str) -> Result<(), StoreError> {
        self.commit().await
    }

    async fn discard(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.mode == Mode::Open {
            if !*self.begin_owed.get_mut() {
                self.lease.client().batch_execute("ROLLBACK").await.map_err(|e| error::map(&e))?;
            }
            self.mode = Mode::Ended;
        }
        Ok(())
    }
}

impl UnitOfWork for PgUnitOfWork {
    fn stores(&mut self) -> &mut dyn Stores {
        self
    }
}

#[async_trait]
impl Announcer for PgUnitOfWork {
    async fn announce(&mut self, change: Change) -> Result<(), StoreError> {
        let payload = crate::listener::encode(&change);
        self.execute("SELECT pg_notify('certctl', $1)", &[&payload]).await.map(|_| ())
    }

    async fn announce_all(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let payloads: Vec<String> = changes.iter().map(crate::listener::encode).collect();
        let sql = "SELECT count(pg_notify('certctl', payload)) FROM unnest($1::text[]) AS told (payload)";
        self.query_one(sql, &[&payloads]).await.map(|_| ())
    }
}
