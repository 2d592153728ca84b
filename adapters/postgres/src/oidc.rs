//! Identity providers, group mappings and what must not be used twice.

use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::rbac::scope;
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};
use certctl_oidc::{
    AtHashPolicy, GroupMapping, GroupsClaimFormat, GroupsOverage, MappedRole, MappingFilter, OidcStore, Provider,
    ProviderFilter, ProviderUsage,
};
use tokio_postgres::Row;

const PROVIDER: &str = "p.id, p.tenant_id, p.name, p.issuer_url, p.client_id, p.client_secret_encrypted, \
     p.redirect_uri, p.groups_claim_path, p.groups_claim_format, p.more_groups_claim_paths, p.fetch_userinfo, \
     p.scopes, p.allowed_email_domains, p.require_verified_email, p.iat_window_seconds, p.jwks_cache_ttl_seconds, \
     p.at_hash_policy, p.groups_overage, p.hosted_domain, p.default_role_id, p.rp_initiated_logout, p.ca_bundle_pem, \
     p.enabled, p.archived_at, p.row_version, p.created_at, p.updated_at";

const MAPPING: &str = "m.id, m.tenant_id, m.provider_id, m.group_name, m.role_id, m.scope_type, m.scope_id, \
     m.description, m.created_by, m.created_at, m.row_version";

fn unknown(what: &str) -> StoreError {
    StoreError::Internal { reason: format!("a provider's {what} is not one that this build knows") }
}

fn provider(row: &Row) -> Result<Provider, StoreError> {
    Ok(Provider {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        issuer_url: row.get(3),
        client_id: row.get(4),
        sealed_client_secret: row.get(5),
        redirect_uri: row.get(6),
        groups_claim_path: row.get(7),
        groups_claim_format: GroupsClaimFormat::parse(row.get(8)).ok_or_else(|| unknown("groups_claim_format"))?,
        more_groups_claim_paths: row.get(9),
        fetch_userinfo: row.get(10),
        scopes: row.get(11),
        allowed_email_domains: row.get(12),
        require_verified_email: row.get(13),
        iat_window_seconds: row.get(14),
        jwks_cache_ttl_seconds: row.get(15),
        at_hash_policy: AtHashPolicy::parse(row.get(16)).ok_or_else(|| unknown("at_hash_policy"))?,
        groups_overage: GroupsOverage::parse(row.get(17)).ok_or_else(|| unknown("groups_overage"))?,
        hosted_domain: row.get(18),
        default_role_id: row.get(19),
        rp_initiated_logout: row.get(20),
        ca_bundle_pem: row.get(21),
        enabled: row.get(22),
        archived_at: row.get(23),
        row_version: row.get(24),
        created_at: row.get(25),
        updated_at: row.get(26),
    })
}

fn mapping(row: &Row) -> Result<GroupMapping, StoreError> {
    Ok(GroupMapping {
        id: row.get(0),
        tenant_id: row.get(1),
        provider_id: row.get(2),
        group_name: row.get(3),
        role_id: row.get(4),
        scope: scope(row, 5, 6)?,
        description: row.get(7),
        created_by: row.get(8),
        created_at: row.get(9),
        row_version: row.get(10),
    })
}

impl PgUnitOfWork {
    async fn one_provider(&self, condition: &str, value: &str) -> Result<Option<Provider>, StoreError> {
        let sql = format!("SELECT {PROVIDER} FROM iam.oidc_providers p WHERE {condition}");
        self.query_opt(&sql, &[&value]).await?.as_ref().map(provider).transpose()
    }
}

#[async_trait]
impl OidcStore for PgUnitOfWork {
    async fn provider(&mut self, id: &str) -> Result<Option<Provider>, StoreError> {
        self.one_provider("p.id = $1", id).await
    }

    async fn provider_for_update(&mut self, id: &str) -> Result<Option<Provider>, StoreError> {
        self.one_provider("p.id = $1 FOR UPDATE", id).await
    }

    async fn provider_by_name(&mut self, name: &str) -> Result<Option<Provider>, StoreError> {
        self.one_provider("p.tenant_id = 't-default' AND lower(p.name) = lower($1)", name).await
    }

    async fn providers_page(
        &mut self,
        filter: &ProviderFilter,
        list: &ListQuery,
    ) -> Result<Page<Provider>, StoreError> {
        let sql = ListSql {
            columns: PROVIDER,
            from: "iam.oidc_providers p",
            key: "p.created_at",
            kind: KeyKind::Time,
            id: "p.id",
            descending: false,
        };
        let filters = Filters::default()
            .with(
                "(p.id ILIKE ? OR p.name ILIKE ? OR p.issuer_url ILIKE ?)",
                "text",
                filter.q.as_deref().map(containing),
            )
            .with("p.enabled = ?", "boolean", filter.enabled)
            .with("(p.archived_at IS NOT NULL) = ?", "boolean", filter.archived);
        self.page(&sql, &filters, filter.fingerprint(), list, provider, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }

    async fn usable_providers(&mut self) -> Result<Vec<Provider>, StoreError> {
        let sql = format!(
            "SELECT {PROVIDER} FROM iam.oidc_providers p WHERE p.enabled AND p.archived_at IS NULL \
             ORDER BY p.created_at, p.id"
        );
        self.query(&sql, &[]).await?.iter().map(provider).collect()
    }

    async fn providers_of_issuer(&mut self, issuer_url: &str) -> Result<Vec<Provider>, StoreError> {
        let sql = format!(
            "SELECT {PROVIDER} FROM iam.oidc_providers p WHERE p.issuer_url = $1 AND p.archived_at IS NULL \
             ORDER BY p.created_at, p.id"
        );
        self.query(&sql, &[&issuer_url]).await?.iter().map(provider).collect()
    }

    async fn insert_provider(&mut self, provider: &Provider) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO iam.oidc_providers (id, tenant_id, name, issuer_url, client_id, client_secret_encrypted, \
                   redirect_uri, groups_claim_path, groups_claim_format, more_groups_claim_paths, fetch_userinfo, \
                   scopes, allowed_email_domains, require_verified_email, iat_window_seconds, \
                   jwks_cache_ttl_seconds, at_hash_policy, groups_overage, hosted_domain, default_role_id, \
                   rp_initiated_logout, ca_bundle_pem, enabled, archived_at, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
                   $21, $22, $23, $24, $25, $26, $27) ON CONFLICT DO NOTHING",
                &[
                    &provider.id,
                    &provider.tenant_id,
                    &provider.name,
                    &provider.issuer_url,
                    &provider.client_id,
                    &provider.sealed_client_secret,
                    &provider.redirect_uri,
                    &provider.groups_claim_path,
                    &provider.groups_claim_format.as_str(),
                    &provider.more_groups_claim_paths,
                    &provider.fetch_userinfo,
                    &provider.scopes,
                    &provider.allowed_email_domains,
                    &provider.require_verified_email,
                    &provider.iat_window_seconds,
                    &provider.jwks_cache_ttl_seconds,
                    &provider.at_hash_policy.as_str(),
                    &provider.groups_overage.as_str(),
                    &provider.hosted_domain,
                    &provider.default_role_id,
                    &provider.rp_initiated_logout,
                    &provider.ca_bundle_pem,
                    &provider.enabled,
                    &provider.archived_at,
                    &provider.row_version,
                    &provider.created_at,
                    &provider.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        let holder = "SELECT id FROM iam.oidc_providers WHERE id = $1 OR (tenant_id = $3 AND lower(name) = lower($2)) \
             ORDER BY (id = $1) DESC LIMIT 1";
        Err(self.taken(holder, &provider.id, &provider.name, &provider.tenant_id).await)
    }

    async fn update_provider(&mut self, provider: &Provider) -> Result<(), StoreError> {
        let other = "SELECT id FROM iam.oidc_providers WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &provider.id, &provider.name, &provider.tenant_id).await?;
        self.execute(
            "UPDATE iam.oidc_providers SET name = $2, issuer_url = $3, client_id = $4, client_secret_encrypted = $5, \
               redirect_uri = $6, groups_claim_path = $7, groups_claim_format = $8, more_groups_claim_paths = $9, \
               fetch_userinfo = $10, scopes = $11, allowed_email_domains = $12, require_verified_email = $13, \
               iat_window_seconds = $14, jwks_cache_ttl_seconds = $15, at_hash_policy = $16, groups_overage = $17, \
               hosted_domain = $18, default_role_id = $19, rp_initiated_logout = $20, ca_bundle_pem = $21, \
               enabled = $22, archived_at = $23, row_version = row_version + 1, updated_at = $24 WHERE id = $1",
            &[
                &provider.id,
                &provider.name,
                &provider.issuer_url,
                &provider.client_id,
                &provider.sealed_client_secret,
                &provider.redirect_uri,
                &provider.groups_claim_path,
                &provider.groups_claim_format.as_str(),
                &provider.more_groups_claim_paths,
                &provider.fetch_userinfo,
                &provider.scopes,
                &provider.allowed_email_domains,
                &provider.require_verified_email,
                &provider.iat_window_seconds,
                &provider.jwks_cache_ttl_seconds,
                &provider.at_hash_policy.as_str(),
                &provider.groups_overage.as_str(),
                &provider.hosted_domain,
                &provider.default_role_id,
                &provider.rp_initiated_logout,
                &provider.ca_bundle_pem,
                &provider.enabled,
                &provider.archived_at,
                &provider.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn delete_provider(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM iam.oidc_providers WHERE id = $1", &[&id]).await.map(|_| ())
    }

    async fn provider_usage(&mut self, id: &str, now: Timestamp) -> Result<ProviderUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE purged_at IS NULL), \
                   (SELECT count(*) FROM iam.sessions s WHERE s.provider_id = $1 AND s.revoked_at IS NULL \
                     AND s.absolute_expires_at > $2) \
                 FROM iam.users WHERE oidc_provider_id = $1",
                &[&id, &now],
            )
            .await?;
        Ok(ProviderUsage { users: row.get(0), unpurged_users: row.get(1), live_sessions: row.get(2) })
    }

    async fn count_providers(&mut self) -> Result<i64, StoreError> {
        Ok(self.query_one("SELECT count(*) FROM iam.oidc_providers WHERE archived_at IS NULL", &[]).await?.get(0))
    }

    async fn mapping(&mut self, id: &str) -> Result<Option<GroupMapping>, StoreError> {
        let sql = format!("SELECT {MAPPING} FROM iam.group_role_mappings m WHERE m.id = $1");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(mapping).transpose()
    }

    async fn mapping_for_update(&mut self, id: &str) -> Result<Option<GroupMapping>, StoreError> {
        let sql = format!("SELECT {MAPPING} FROM iam.group_role_mappings m WHERE m.id = $1 FOR UPDATE");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(mapping).transpose()
    }

    async fn mappings_page(
        &mut self,
        filter: &MappingFilter,
        list: &ListQuery,
    ) -> Result<Page<GroupMapping>, StoreError> {
        let sql = ListSql {
            columns: MAPPING,
            from: "iam.group_role_mappings m",
            key: "m.group_name",
            kind: KeyKind::Text,
            id: "m.id",
            descending: false,
        };
        let filters = Filters::default()
            .with("m.provider_id = ?", "text", Some(filter.provider_id.as_str()))
            .with("(m.group_name ILIKE ? OR m.description ILIKE ?)", "text", filter.q.as_deref().map(containing))
            .with("m.role_id = ?", "text", filter.role_id.as_deref());
        self.page(&sql, &filters, filter.fingerprint(), list, mapping, |row| (row.group_name.clone(), row.id.clone()))
            .await
    }

    async fn mappings_of(&mut self, provider_id: &str) -> Result<Vec<GroupMapping>, StoreError> {
        let sql = format!(
            "SELECT {MAPPING} FROM iam.group_role_mappings m WHERE m.provider_id = $1 ORDER BY m.group_name, m.id"
        );
        self.query(&sql, &[&provider_id]).await?.iter().map(mapping).collect()
    }

    async fn mapped_roles(&mut self, provider_id: &str, groups: &[String]) -> Result<Vec<MappedRole>, StoreError> {
        let rows = self
            .query(
                "SELECT id, group_name, role_id, scope_type, scope_id FROM iam.group_role_mappings \
                 WHERE provider_id = $1 AND group_name = ANY($2) ORDER BY group_name, role_id, scope_type, scope_id",
                &[&provider_id, &groups],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(MappedRole {
                    mapping_id: row.get(0),
                    group_name: row.get(1),
                    role_id: row.get(2),
                    scope: scope(row, 3, 4)?,
                })
            })
            .collect()
    }

    async fn insert_mappings(&mut self, mappings: &[GroupMapping]) -> Result<(), StoreError> {
        fn column<'a, T>(mappings: &'a [GroupMapping], of: impl Fn(&'a GroupMapping) -> T) -> Vec<T> {
            mappings.iter().map(of).collect()
        }
        self.execute(
            "INSERT INTO iam.group_role_mappings (id, tenant_id, provider_id, group_name, role_id, scope_type, \
               scope_id, description, created_by, created_at, row_version) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
               $8::text[], $9::text[], $10::timestamptz[], $11::bigint[])",
            &[
                &column(mappings, |m| m.id.as_str()),
                &column(mappings, |m| m.tenant_id.as_str()),
                &column(mappings, |m| m.provider_id.as_str()),
                &column(mappings, |m| m.group_name.as_str()),
                &column(mappings, |m| m.role_id.as_str()),
                &column(mappings, |m| m.scope.kind().as_str()),
                &column(mappings, |m| m.scope.id()),
                &column(mappings, |m| m.description.as_str()),
                &column(mappings, |m| m.created_by.as_str()),
                &column(mappings, |m| m.created_at),
                &column(mappings, |m| m.row_version),
            ],
        )
        .await
        .map(|_| ())
    }

    async fn update_mapping(&mut self, mapping: &GroupMapping) -> Result<(), StoreError> {
        self.execute(
            "UPDATE iam.group_role_mappings SET group_name = $2, role_id = $3, scope_type = $4, scope_id = $5, \
               description = $6, row_version = row_version + 1 WHERE id = $1",
            &[
                &mapping.id,
                &mapping.group_name,
                &mapping.role_id,
                &mapping.scope.kind().as_str(),
                &mapping.scope.id(),
                &mapping.description,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn delete_mappings(&mut self, ids: &[Id]) -> Result<(), StoreError> {
        self.execute("DELETE FROM iam.group_role_mappings WHERE id = ANY($1)", &[&ids]).await.map(|_| ())
    }

    async fn end_unmapped_grants(&mut self, provider_id: &str) -> Result<u64, StoreError> {
        let source = format!("{}{provider_id}", certctl_rbac::grant_source::OIDC);
        self.execute(
            "DELETE FROM iam.grants g USING iam.users u WHERE g.source = $2 AND g.tenant_id = u.tenant_id \
               AND g.actor_type = 'User' AND g.actor_id = u.id AND u.oidc_provider_id = $1 \
               AND NOT EXISTS (SELECT FROM iam.group_role_mappings m WHERE m.provider_id = $1 \
                 AND m.role_id = g.role_id AND m.scope_type = g.scope_type \
                 AND m.scope_id IS NOT DISTINCT FROM g.scope_id AND m.group_name = ANY(u.idp_groups)) \
               AND NOT EXISTS (SELECT FROM iam.oidc_providers p WHERE p.id = $1 \
                 AND p.default_role_id = g.role_id AND g.scope_type = 'global')",
            &[&provider_id, &source],
        )
        .await
    }

    async fn use_sign_in(&mut self, id: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
        // Of two at once the second waits for the first, and inserts only if that one is discarded.
        let added = self
            .execute(
                "INSERT INTO iam.used_sign_ins (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&id, &expires_at],
            )
            .await?;
        Ok(added == 1)
    }

    async fn consume_logout_jti(
        &mut self,
        issuer_url: &str,
        jti: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let added = self
            .execute(
                "INSERT INTO iam.oidc_bcl_consumed_jtis (jti, issuer_url, consumed_at, expires_at) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                &[&jti, &issuer_url, &now, &expires_at],
            )
            .await?;
        Ok(added == 1)
    }
}
