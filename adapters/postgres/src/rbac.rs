//! Roles, grants and the use of permissions.

use crate::iam::WORKS;
use crate::sessions::ids;
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{Actor, ActorType, Id, IdKind, StoreError, Timestamp};
use certctl_rbac::{
    ADMIN_ROLE, ActorRoles, AdminsUntil, EffectivePermission, Grant, GrantedRole, Permission, PermissionUse, RbacStore,
    Role, RolePermission, RoleUsage, Scope, ScopeType,
};
use tokio_postgres::Row;

const ROLE: &str = "SELECT r.id, r.tenant_id, r.name, r.description, r.system, r.row_version, r.created_at, \
     r.updated_at FROM iam.roles r";

const GRANT: &str = "id, tenant_id, actor_type, actor_id, role_id, scope_type, scope_id, source, granted_by, \
     granted_at, expires_at";

pub(crate) fn scope(row: &Row, kind: usize, id: usize) -> Result<Scope, StoreError> {
    ScopeType::parse(row.get(kind))
        .and_then(|kind| Scope::from_parts(kind, row.get(id)))
        .ok_or_else(|| StoreError::Internal { reason: "a stored scope is not one".to_owned() })
}

fn actor(tenant: String, kind: &str, id: String) -> Result<Actor, StoreError> {
    let kind = ActorType::parse(kind)
        .ok_or_else(|| StoreError::Internal { reason: format!("{kind} is not a kind of actor") })?;
    Ok(Actor { id, kind, tenant_id: tenant })
}

fn role(row: &Row) -> Role {
    Role {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        description: row.get(3),
        system: row.get(4),
        row_version: row.get(5),
        created_at: row.get(6),
        updated_at: row.get(7),
    }
}

fn grant(row: &Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: row.get(0),
        actor: actor(row.get(1), row.get(2), row.get(3))?,
        role_id: row.get(4),
        scope: scope(row, 5, 6)?,
        source: row.get(7),
        granted_by: row.get(8),
        granted_at: row.get(9),
        expires_at: row.get(10),
    })
}

#[async_trait]
impl RbacStore for PgUnitOfWork {
    async fn lock_identity(&mut self) -> Result<(), StoreError> {
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended('certctl.identity', 0))", &[]).await.map(|_| ())
    }

    async fn rbac_version(&mut self) -> Result<i64, StoreError> {
        Ok(self.query_one("SELECT version FROM iam.rbac_version", &[]).await?.get(0))
    }

    async fn roles(&mut self) -> Result<Vec<Role>, StoreError> {
        Ok(self.query(&format!("{ROLE} ORDER BY lower(r.name), r.id"), &[]).await?.iter().map(role).collect())
    }

    async fn role(&mut self, id: &str) -> Result<Option<Role>, StoreError> {
        Ok(self.query_opt(&format!("{ROLE} WHERE r.id = $1"), &[&id]).await?.as_ref().map(role))
    }

    async fn role_for_update(&mut self, id: &str) -> Result<Option<Role>, StoreError> {
        Ok(self.query_opt(&format!("{ROLE} WHERE r.id = $1 FOR UPDATE"), &[&id]).await?.as_ref().map(role))
    }

    async fn insert_role(&mut self, role: &Role) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO iam.roles (id, tenant_id, name, description, system, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                &[
                    &role.id,
                    &role.tenant_id,
                    &role.name,
                    &role.description,
                    &role.system,
                    &role.row_version,
                    &role.created_at,
                    &role.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        let holder = "SELECT id FROM iam.roles WHERE id = $1 OR (tenant_id = $3 AND lower(name) = lower($2)) \
             ORDER BY (id = $1) DESC LIMIT 1";
        Err(self.taken(holder, &role.id, &role.name, &role.tenant_id).await)
    }

    async fn update_role(&mut self, role: &Role) -> Result<(), StoreError> {
        let other = "SELECT id FROM iam.roles WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &role.id, &role.name, &role.tenant_id).await?;
        self.execute(
            "UPDATE iam.roles SET name = $2, description = $3, row_version = row_version + 1, updated_at = $4 \
             WHERE id = $1",
            &[&role.id, &role.name, &role.description, &role.updated_at],
        )
        .await
        .map(|_| ())
    }

    async fn delete_role(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM iam.roles WHERE id = $1", &[&id]).await.map(|_| ())
    }

    async fn role_usage(&mut self, id: &str, now: Timestamp) -> Result<RoleUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE expires_at IS NULL OR expires_at > $2) FROM iam.grants \
                 WHERE role_id = $1",
                &[&id, &now],
            )
            .await?;
        Ok(RoleUsage { grants: row.get(0), live_grants: row.get(1) })
    }

    async fn permissions_of(&mut self, role_ids: &[String]) -> Result<Vec<RolePermission>, StoreError> {
        let rows = self
            .query(
                "SELECT r.role_id, p.name, r.scope_type, r.scope_id FROM iam.role_permissions r \
                 JOIN iam.permissions p ON p.id = r.permission_id WHERE r.role_id = ANY($1)",
                &[&role_ids],
            )
            .await?;
        rows.iter()
            // A permission that this build does not know gives nothing.
            .filter_map(|row| Permission::parse(row.get(1)).map(|permission| (row, permission)))
            .map(|(row, permission)| Ok(RolePermission { role_id: row.get(0), permission, scope: scope(row, 2, 3)? }))
            .collect()
    }

    async fn add_role_permissions(&mut self, role_id: &str, added: &[EffectivePermission]) -> Result<u64, StoreError> {
        let permissions: Vec<String> = added.iter().map(|entry| entry.permission.id()).collect();
        let kinds: Vec<&str> = added.iter().map(|entry| entry.scope.kind().as_str()).collect();
        let ids: Vec<Option<&str>> = added.iter().map(|entry| entry.scope.id()).collect();
        self.execute(
            "INSERT INTO iam.role_permissions (role_id, permission_id, scope_type, scope_id) \
             SELECT $1, given.* FROM unnest($2::text[], $3::text[], $4::text[]) AS given ON CONFLICT DO NOTHING",
            &[&role_id, &permissions, &kinds, &ids],
        )
        .await
    }

    async fn remove_role_permission(
        &mut self,
        role_id: &str,
        removed: &EffectivePermission,
    ) -> Result<bool, StoreError> {
        let gone = self
            .execute(
                "DELETE FROM iam.role_permissions WHERE role_id = $1 AND permission_id = $2 AND scope_type = $3 \
                   AND scope_id IS NOT DISTINCT FROM $4",
                &[&role_id, &removed.permission.id(), &removed.scope.kind().as_str(), &removed.scope.id()],
            )
            .await?;
        Ok(gone > 0)
    }

    async fn actor_known(&mut self, actor: &Actor) -> Result<bool, StoreError> {
        // A grant's foreign key holds the row.
        let row = self
            .query_opt(
                "SELECT FROM iam.principals WHERE tenant_id = $1 AND kind = $2 AND id = $3",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id],
            )
            .await?;
        Ok(row.is_some())
    }

    async fn scope_known(&mut self, scope: &Scope) -> Result<bool, StoreError> {
        let (sql, id) = match scope {
            Scope::Global => return Ok(true),
            Scope::Profile(id) => ("SELECT FROM policy.certificate_profiles WHERE id = $1 FOR KEY SHARE", id),
            Scope::Issuer(id) => ("SELECT FROM ca.issuers WHERE id = $1 FOR KEY SHARE", id),
        };
        Ok(self.query_opt(sql, &[id]).await?.is_some())
    }

    async fn grants_of(&mut self, actor: &Actor) -> Result<Vec<GrantedRole>, StoreError> {
        let rows = self
            .query(
                "SELECT role_id, scope_type, scope_id, expires_at FROM iam.grants \
                 WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id],
            )
            .await?;
        rows.iter()
            .map(|row| Ok(GrantedRole { role_id: row.get(0), scope: scope(row, 1, 2)?, expires_at: row.get(3) }))
            .collect()
    }

    async fn grants(&mut self, actor: &Actor) -> Result<Vec<Grant>, StoreError> {
        let rows = self
            .query(
                &format!(
                    "SELECT {GRANT} FROM iam.grants WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3 \
                     ORDER BY role_id, scope_type, scope_id, source"
                ),
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id],
            )
            .await?;
        rows.iter().map(grant).collect()
    }

    async fn add_grant(
        &mut self,
        actor: &Actor,
        role_id: &str,
        scope: &Scope,
        source: &str,
        granted_by: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let id = self.fresh_id(IdKind::Grant);
        let now = self.ambient().now();
        self.execute(
            "INSERT INTO iam.grants (id, tenant_id, actor_type, actor_id, role_id, scope_type, scope_id, source, \
               granted_by, granted_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
            &[
                &id,
                &actor.tenant_id,
                &actor.kind.as_str(),
                &actor.id,
                &role_id,
                &scope.kind().as_str(),
                &scope.id(),
                &source,
                &granted_by,
                &now,
                &expires_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn put_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        self.execute(
            &format!(
                "INSERT INTO iam.grants ({GRANT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 ON CONFLICT ON CONSTRAINT grants_actor_key DO UPDATE SET granted_by = EXCLUDED.granted_by, \
                   granted_at = EXCLUDED.granted_at, expires_at = EXCLUDED.expires_at"
            ),
            &[
                &grant.id,
                &grant.actor.tenant_id,
                &grant.actor.kind.as_str(),
                &grant.actor.id,
                &grant.role_id,
                &grant.scope.kind().as_str(),
                &grant.scope.id(),
                &grant.source,
                &grant.granted_by,
                &grant.granted_at,
                &grant.expires_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn remove_grants(&mut self, ids: &[Id]) -> Result<(), StoreError> {
        self.execute("DELETE FROM iam.grants WHERE id = ANY($1)", &[&ids]).await.map(|_| ())
    }

    async fn revoke_grants(&mut self, actor: &Actor) -> Result<Vec<String>, StoreError> {
        let rows = self
            .query(
                "WITH gone AS (DELETE FROM iam.grants WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3 \
                   RETURNING role_id) \
                 SELECT DISTINCT role_id FROM gone ORDER BY 1",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn take_expired_grants(&mut self, now: Timestamp, limit: i64) -> Result<Vec<Grant>, StoreError> {
        let rows = self
            .query(
                &format!(
                    "WITH ended AS MATERIALIZED (SELECT id AS ended_id FROM iam.grants WHERE expires_at <= $1 \
                       ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
                     DELETE FROM iam.grants USING ended WHERE id = ended_id RETURNING {GRANT}"
                ),
                &[&now, &limit],
            )
            .await?;
        rows.iter().map(grant).collect()
    }

    async fn actors_with_roles(&mut self, now: Timestamp) -> Result<Vec<ActorRoles>, StoreError> {
        let rows = self
            .query(
                "SELECT tenant_id, actor_type, actor_id, array_agg(DISTINCT role_id ORDER BY role_id) \
                 FROM iam.grants WHERE expires_at IS NULL OR expires_at > $1 \
                 GROUP BY tenant_id, actor_type, actor_id ORDER BY actor_id, actor_type",
                &[&now],
            )
            .await?;
        rows.iter()
            .map(|row| Ok(ActorRoles { actor: actor(row.get(0), row.get(1), row.get(2))?, roles: row.get(3) }))
            .collect()
    }

    async fn admins_until(&mut self, now: Timestamp) -> Result<AdminsUntil, StoreError> {
        // An API key counts while a key of that name works, a person while it is not deactivated. An agent's own
        // credential administers nothing, so a role granted to an agent keeps nobody from being locked out; nor does an
        // emergency account, which signs in only while a window is open.
        let sql = format!(
            "SELECT count(*), bool_or(ends_at IS NULL), max(ends_at) FROM ( \
               SELECT least(k.expires_at, k.overlap_until, g.expires_at) AS ends_at \
               FROM iam.grants g \
                 JOIN iam.principals p ON p.tenant_id = g.tenant_id AND p.kind = g.actor_type AND p.id = g.actor_id \
                 JOIN iam.api_keys k ON k.tenant_id = g.tenant_id AND k.principal_kind = g.actor_type \
                   AND k.name = g.actor_id \
               WHERE g.role_id = $2 AND g.scope_type = 'global' AND (g.expires_at IS NULL OR g.expires_at > $1) \
                 AND p.disabled_at IS NULL AND {WORKS} \
               UNION ALL \
               SELECT g.expires_at FROM iam.grants g \
                 JOIN iam.principals p ON p.tenant_id = g.tenant_id AND p.kind = g.actor_type AND p.id = g.actor_id \
               WHERE g.role_id = $2 AND g.scope_type = 'global' AND (g.expires_at IS NULL OR g.expires_at > $1) \
                 AND g.actor_type = 'User' AND p.disabled_at IS NULL AND NOT EXISTS ( \
                   SELECT FROM iam.users u WHERE u.tenant_id = g.tenant_id AND u.id = g.actor_id \
                     AND u.oidc_provider_id IS NULL)) holders"
        );
        let row = self.query_one(&sql, &[&now, &ADMIN_ROLE]).await?;
        Ok(match (row.get::<_, i64>(0), row.get::<_, Option<bool>>(1), row.get::<_, Option<Timestamp>>(2)) {
            (0, ..) => AdminsUntil::Nobody,
            (_, Some(true), _) | (_, _, None) => AdminsUntil::ForGood,
            (_, _, Some(at)) => AdminsUntil::Until(at),
        })
    }

    async fn rotate_csrf_of(
        &mut self,
        actor: &Actor,
        except: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Id>, StoreError> {
        let rows = self
            .query(
                "UPDATE iam.sessions SET csrf_epoch = csrf_epoch + 1, renew = replaced_at IS NULL \
                 WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3 AND id IS DISTINCT FROM $4 \
                   AND revoked_at IS NULL AND absolute_expires_at > $5 RETURNING id",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id, &except, &now],
            )
            .await?;
        Ok(ids(&rows))
    }

    async fn add_permission_uses(&mut self, uses: &[PermissionUse]) -> Result<(), StoreError> {
        // In one order everywhere: replicas that write at the same time must not wait for one another in a circle.
        let mut uses: Vec<&PermissionUse> = uses.iter().collect();
        uses.sort_by_key(|entry| (entry.actor.kind, entry.actor.id.as_str(), entry.permission));
        let tenants: Vec<&str> = uses.iter().map(|entry| entry.actor.tenant_id.as_str()).collect();
        let kinds: Vec<&str> = uses.iter().map(|entry| entry.actor.kind.as_str()).collect();
        let ids: Vec<&str> = uses.iter().map(|entry| entry.actor.id.as_str()).collect();
        let permissions: Vec<&str> = uses.iter().map(|entry| entry.permission.as_str()).collect();
        let times: Vec<Timestamp> = uses.iter().map(|entry| entry.last_used).collect();
        let counts: Vec<i64> = uses.iter().map(|entry| entry.count).collect();
        self.execute(
            "INSERT INTO iam.actor_permission_usage AS u (tenant_id, actor_type, actor_id, permission, last_used, \
               count) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[]) \
             ON CONFLICT (tenant_id, actor_type, actor_id, permission) DO UPDATE SET \
               last_used = greatest(u.last_used, EXCLUDED.last_used), count = u.count + EXCLUDED.count",
            &[&tenants, &kinds, &ids, &permissions, &times, &counts],
        )
        .await
        .map(|_| ())
    }

    async fn permission_uses(&mut self, actor: &Actor, since: Timestamp) -> Result<Vec<PermissionUse>, StoreError> {
        let rows = self
            .query(
                "SELECT permission, last_used, count FROM iam.actor_permission_usage \
                 WHERE tenant_id = $1 AND actor_type = $2 AND actor_id = $3 AND last_used >= $4 ORDER BY permission",
                &[&actor.tenant_id, &actor.kind.as_str(), &actor.id, &since],
            )
            .await?;
        let uses = rows.iter().filter_map(|row| {
            // A permission that left the catalogue is no longer used.
            let permission = Permission::parse(row.get(0))?;
            Some(PermissionUse { actor: actor.clone(), permission, last_used: row.get(1), count: row.get(2) })
        });
        Ok(uses.collect())
    }
}
