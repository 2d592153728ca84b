//! Teams and owners.

use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_inventory::{OrgFilter, OrgStore, Owner, Team, TeamUsage};
use certctl_kernel::{ListQuery, Page, StoreError};
use tokio_postgres::Row;

const TEAM: &str = "t.id, t.tenant_id, t.name, t.description, t.row_version, t.created_at, t.updated_at";

#[expect(clippy::unnecessary_wraps, reason = "readers of pages may fail; this one can't")]
fn team(row: &Row) -> Result<Team, StoreError> {
    Ok(Team {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        description: row.get(3),
        row_version: row.get(4),
        created_at: row.get(5),
        updated_at: row.get(6),
    })
}

const OWNER: &str = "o.id, o.tenant_id, o.name, o.email, o.team_id, o.row_version, o.created_at, o.updated_at";

#[expect(clippy::unnecessary_wraps, reason = "readers of pages may fail; this one can't")]
fn owner(row: &Row) -> Result<Owner, StoreError> {
    Ok(Owner {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        email: row.get(3),
        team_id: row.get(4),
        row_version: row.get(5),
        created_at: row.get(6),
        updated_at: row.get(7),
    })
}

impl PgUnitOfWork {
    /// Turns "no row was inserted" into what stood in the way. `sql` finds by `$1` id or `$2` name within tenant `$3`.
    pub(crate) async fn taken(&self, sql: &str, id: &str, name: &str, tenant: &str) -> StoreError {
        match self.query_opt(sql, &[&id, &name, &tenant]).await {
            Ok(Some(row)) => {
                let holder: String = row.get(0);
                let field = if holder == id { "id" } else { "name" };
                StoreError::Duplicate { field: field.to_owned(), existing_id: Some(holder) }
            }
            // It went away between the two statements.
            Ok(None) => StoreError::Conflict,
            Err(error) => error,
        }
    }

    /// Refuses a rename to a name that another row holds; the unique index catches what arrives in between.
    pub(crate) async fn free_name(&self, sql: &str, id: &str, name: &str, tenant: &str) -> Result<(), StoreError> {
        match self.query_opt(sql, &[&id, &name, &tenant]).await? {
            Some(row) => Err(StoreError::Duplicate { field: "name".to_owned(), existing_id: Some(row.get(0)) }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl OrgStore for PgUnitOfWork {
    async fn team(&mut self, id: &str) -> Result<Option<Team>, StoreError> {
        let row = self.query_opt(&format!("SELECT {TEAM} FROM org.teams t WHERE t.id = $1"), &[&id]).await?;
        row.as_ref().map(team).transpose()
    }

    async fn team_for_update(&mut self, id: &str) -> Result<Option<Team>, StoreError> {
        let row = self.query_opt(&format!("SELECT {TEAM} FROM org.teams t WHERE t.id = $1 FOR UPDATE"), &[&id]).await?;
        row.as_ref().map(team).transpose()
    }

    async fn insert_team(&mut self, team: &Team) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO org.teams (id, tenant_id, name, description, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                &[
                    &team.id,
                    &team.tenant_id,
                    &team.name,
                    &team.description,
                    &team.row_version,
                    &team.created_at,
                    &team.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        let holder = "SELECT id FROM org.teams WHERE id = $1 OR (tenant_id = $3 AND lower(name) = lower($2)) \
             ORDER BY (id = $1) DESC LIMIT 1";
        Err(self.taken(holder, &team.id, &team.name, &team.tenant_id).await)
    }

    async fn update_team(&mut self, team: &Team) -> Result<(), StoreError> {
        let other = "SELECT id FROM org.teams WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &team.id, &team.name, &team.tenant_id).await?;
        self.execute(
            "UPDATE org.teams SET name = $2, description = $3, row_version = row_version + 1, updated_at = $4 \
             WHERE id = $1",
            &[&team.id, &team.name, &team.description, &team.updated_at],
        )
        .await
        .map(|_| ())
    }

    async fn delete_team(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM org.teams WHERE id = $1", &[&id]).await.map(|_| ())
    }

    async fn team_usage(&mut self, id: &str) -> Result<TeamUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT (SELECT count(*) FROM org.owners WHERE team_id = $1), \
                   (SELECT count(*) FROM inventory.certificates WHERE team_id = $1)",
                &[&id],
            )
            .await?;
        Ok(TeamUsage { owners: row.get(0), certificates: row.get(1) })
    }

    async fn teams_page(&mut self, filter: &OrgFilter, list: &ListQuery) -> Result<Page<Team>, StoreError> {
        let sql = ListSql {
            columns: TEAM,
            from: "org.teams t",
            key: "t.created_at",
            kind: KeyKind::Time,
            id: "t.id",
            descending: true,
        };
        let filters =
            Filters::default().with("(t.id ILIKE ? OR t.name ILIKE ?)", "text", filter.q.as_deref().map(containing));
        self.page(&sql, &filters, filter.fingerprint("teams"), list, team, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }

    async fn owner(&mut self, id: &str) -> Result<Option<Owner>, StoreError> {
        let row = self.query_opt(&format!("SELECT {OWNER} FROM org.owners o WHERE o.id = $1"), &[&id]).await?;
        row.as_ref().map(owner).transpose()
    }

    async fn owner_for_update(&mut self, id: &str) -> Result<Option<Owner>, StoreError> {
        let row =
            self.query_opt(&format!("SELECT {OWNER} FROM org.owners o WHERE o.id = $1 FOR UPDATE"), &[&id]).await?;
        row.as_ref().map(owner).transpose()
    }

    async fn insert_owner(&mut self, owner: &Owner) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO org.owners (id, tenant_id, name, email, team_id, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                &[
                    &owner.id,
                    &owner.tenant_id,
                    &owner.name,
                    &owner.email,
                    &owner.team_id,
                    &owner.row_version,
                    &owner.created_at,
                    &owner.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        Err(StoreError::Duplicate { field: "id".to_owned(), existing_id: Some(owner.id.clone()) })
    }

    async fn update_owner(&mut self, owner: &Owner) -> Result<(), StoreError> {
        self.execute(
            "UPDATE org.owners SET name = $2, email = $3, team_id = $4, row_version = row_version + 1, \
               updated_at = $5 WHERE id = $1",
            &[&owner.id, &owner.name, &owner.email, &owner.team_id, &owner.updated_at],
        )
        .await
        .map(|_| ())
    }

    async fn delete_owner(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM org.owners WHERE id = $1", &[&id]).await.map(|_| ())
    }

    async fn owner_usage(&mut self, id: &str) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM inventory.certificates WHERE owner_id = $1";
        Ok(self.query_one(sql, &[&id]).await?.get(0))
    }

    async fn owners_page(&mut self, filter: &OrgFilter, list: &ListQuery) -> Result<Page<Owner>, StoreError> {
        let sql = ListSql {
            columns: OWNER,
            from: "org.owners o",
            key: "o.created_at",
            kind: KeyKind::Time,
            id: "o.id",
            descending: true,
        };
        let filters =
            Filters::default().with("(o.id ILIKE ? OR o.name ILIKE ?)", "text", filter.q.as_deref().map(containing));
        self.page(&sql, &filters, filter.fingerprint("owners"), list, owner, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }
}
