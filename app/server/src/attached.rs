//! The database for commands that work beside a running server as well as without one.

use crate::boot::BootError;
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::database::{self, Opened};
use certctl_ports::Ambient;
use certctl_postgres::{MigrationStatus, Postgres};
use certctl_private_postgres::PrivatePostgres;

/// The database, whoever runs it.
pub(crate) struct Attached {
    pub(crate) database: Postgres,
    /// Ours to stop, and the directory ours to release, when no server was there.
    own: Option<(DataDir, PrivatePostgres)>,
}

impl Attached {
    /// Opens it: the operator's, the one that a running server keeps, or the private one for the time of the command.
    pub(crate) async fn open(config: &Config, ambient: &Ambient) -> Result<Self, BootError> {
        if let Some(database) = database::external(config, ambient)? {
            return Self::current(Self { database, own: None }).await;
        }
        match DataDir::lock(&config.data_dir) {
            Ok(data_dir) => {
                let Opened { database, private, .. } = database::open(config, data_dir.path(), ambient).await?;
                let own = private.map(|private| (data_dir, private));
                Self::current(Self { database, own }).await
            }
            Err(DataDirError::InUse { path, .. }) => {
                let database = database::running(config, &path, ambient)?;
                Self::current(Self { database, own: None }).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn current(self) -> Result<Self, BootError> {
        let wrong = match certctl_postgres::check(&self.database).await {
            Ok(MigrationStatus::Current) => return Ok(self),
            Ok(MigrationStatus::Pending(names)) => BootError::SchemaOf(format!("pending: {}", names.join(", "))),
            Ok(MigrationStatus::Newer(names)) => BootError::SchemaOf(format!("newer: {}", names.join(", "))),
            Err(error) => error.into(),
        };
        self.close().await;
        Err(wrong)
    }

    /// Leaves it as it was found.
    pub(crate) async fn close(self) {
        self.database.close();
        if let Some((data_dir, private)) = self.own {
            private.stop().await;
            drop(data_dir);
        }
    }
}
