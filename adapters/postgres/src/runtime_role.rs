//! The role that the server signs in as at run time: it has no DDL, and of the audit trail only adds and reads.

use crate::pool::{ConnectError, Postgres};
use certctl_kernel::Secret;
use futures_util::StreamExt as _;

/// Names that need no quoting and fit into PostgreSQL's 63 octets.
fn sound(role: &str) -> bool {
    (1..=63).contains(&role.len())
        && role.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && role.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

/// The SQL that makes the role and grants it what the server needs; `None` when the name is not sound. The owner of the
/// schema runs it after each migration.
pub fn grants(role: &str) -> Option<String> {
    sound(role).then(|| {
        format!(
            "DO $$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN\n        \
             CREATE ROLE {role} LOGIN;\n    END IF;\nEND $$;\n\
             ALTER ROLE {role} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n\
             SELECT platform.grant_runtime('{role}');\n"
        )
    })
}

/// Makes the role what [`grants`] says, with this password, over a session of the owner.
pub async fn make_runtime_role(owner: &Postgres, role: &str, password: &Secret<String>) -> Result<(), ConnectError> {
    let sql = grants(role).ok_or_else(|| ConnectError::Driver(format!("{role} is no sound name of a role")))?;
    let (client, mut messages) = owner.raw_session().await?;
    let drive = tokio::spawn(async move { while messages.next().await.is_some() {} });
    let made = async {
        // Replicas of a restored data directory can't meet here: the server holds the directory's lock.
        client.batch_execute(&sql).await?;
        // ALTER ROLE takes no parameters; the server quotes the password itself.
        let statement: String = client
            .query_one("SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", &[&role, password.expose()])
            .await?
            .get(0);
        let statement = Secret::new(statement);
        client.batch_execute(statement.expose()).await
    };
    let outcome = made.await;
    drop(client);
    drive.abort();
    Ok(outcome?)
}

/// Whether the role of the pools may change what the trail holds.
pub async fn may_change_trail(database: &Postgres) -> Result<bool, ConnectError> {
    let (client, mut messages) = database.raw_session().await?;
    let drive = tokio::spawn(async move { while messages.next().await.is_some() {} });
    let row = client
        .query_one(
            "SELECT has_table_privilege('audit.events', 'UPDATE, DELETE, TRUNCATE') \
             OR has_table_privilege('audit.log', 'UPDATE, DELETE, TRUNCATE')",
            &[],
        )
        .await;
    drop(client);
    drive.abort();
    Ok(row?.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_sql() {
        assert!(grants("certctl_runtime").is_some());
        for bad in ["", "a b", "x; DROP", "1a", "é", "\"x\"", "x'", &"x".repeat(64)] {
            assert!(grants(bad).is_none(), "{bad}");
        }
    }
}
