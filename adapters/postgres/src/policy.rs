//! Certificate profiles and renewal policies.

use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_inventory::{PolicyFilter, RenewalPolicy, RenewalPolicyStore};
use certctl_kernel::{ListQuery, Page, StoreError};
use certctl_profile::{AcmeAuthMode, Eku, KeyAlgorithm, KeyRule, Profile, ProfileFilter, ProfileStore, ProfileUsage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio_postgres::Row;

pub(crate) const PROFILE: &str = "p.id, p.tenant_id, p.name, p.description, p.allowed_key_algorithms, p.max_ttl_seconds, \
     p.allowed_ekus, p.required_san_patterns, p.spiffe_uri_pattern, p.allow_short_lived, p.must_staple, \
     p.required_csr_attributes, p.acme_auth_mode, p.requires_approval, p.allow_wildcards, p.enabled, \
     p.default_owner_id, p.default_team_id, p.default_policy_id, p.default_issuer_id, p.row_version, p.created_at, \
     p.updated_at";

fn broken(what: &str) -> StoreError {
    StoreError::Internal { reason: format!("a stored {what} is not one") }
}

fn key_rule(value: &Value) -> Result<KeyRule, StoreError> {
    let algorithm = value["algorithm"].as_str().and_then(KeyAlgorithm::parse).ok_or_else(|| broken("key algorithm"))?;
    let min_size = value["min_size"].as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| broken("key size"))?;
    Ok(KeyRule { algorithm, min_size })
}

pub(crate) fn profile(row: &Row) -> Result<Profile, StoreError> {
    let rules: Value = row.get(4);
    let rules = rules.as_array().ok_or_else(|| broken("list of key algorithms"))?;
    let ekus: Vec<&str> = row.get(6);
    Ok(Profile {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        description: row.get(3),
        allowed_key_algorithms: rules.iter().map(key_rule).collect::<Result<_, _>>()?,
        max_ttl_seconds: row.get(5),
        allowed_ekus: ekus
            .into_iter()
            .map(|eku| Eku::parse(eku).ok_or_else(|| broken("key usage")))
            .collect::<Result<_, _>>()?,
        required_san_patterns: row.get(7),
        spiffe_uri_pattern: row.get(8),
        allow_short_lived: row.get(9),
        must_staple: row.get(10),
        required_csr_attributes: row.get(11),
        acme_auth_mode: AcmeAuthMode::parse(row.get(12)).ok_or_else(|| broken("ACME mode"))?,
        requires_approval: row.get(13),
        allow_wildcards: row.get(14),
        enabled: row.get(15),
        default_owner_id: row.get(16),
        default_team_id: row.get(17),
        default_policy_id: row.get(18),
        default_issuer_id: row.get(19),
        row_version: row.get(20),
        created_at: row.get(21),
        updated_at: row.get(22),
    })
}

fn key_rules(profile: &Profile) -> Value {
    profile
        .allowed_key_algorithms
        .iter()
        .map(|rule| json!({"algorithm": rule.algorithm.as_str(), "min_size": rule.min_size}))
        .collect()
}

fn ekus(profile: &Profile) -> Vec<&'static str> {
    profile.allowed_ekus.iter().map(|eku| eku.as_str()).collect()
}

#[async_trait]
impl ProfileStore for PgUnitOfWork {
    async fn profile(&mut self, id: &str) -> Result<Option<Profile>, StoreError> {
        let sql = format!("SELECT {PROFILE} FROM policy.certificate_profiles p WHERE p.id = $1");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(profile).transpose()
    }

    async fn profile_for_update(&mut self, id: &str) -> Result<Option<Profile>, StoreError> {
        let sql = format!("SELECT {PROFILE} FROM policy.certificate_profiles p WHERE p.id = $1 FOR UPDATE");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(profile).transpose()
    }

    async fn insert_profile(&mut self, profile: &Profile) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO policy.certificate_profiles (id, tenant_id, name, description, allowed_key_algorithms, \
                   max_ttl_seconds, allowed_ekus, required_san_patterns, spiffe_uri_pattern, allow_short_lived, \
                   must_staple, required_csr_attributes, acme_auth_mode, requires_approval, allow_wildcards, enabled, \
                   default_owner_id, default_team_id, default_policy_id, default_issuer_id, row_version, created_at, \
                   updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
                   $21, $22, $23) ON CONFLICT DO NOTHING",
                &[
                    &profile.id,
                    &profile.tenant_id,
                    &profile.name,
                    &profile.description,
                    &key_rules(profile),
                    &profile.max_ttl_seconds,
                    &ekus(profile),
                    &profile.required_san_patterns,
                    &profile.spiffe_uri_pattern,
                    &profile.allow_short_lived,
                    &profile.must_staple,
                    &profile.required_csr_attributes,
                    &profile.acme_auth_mode.as_str(),
                    &profile.requires_approval,
                    &profile.allow_wildcards,
                    &profile.enabled,
                    &profile.default_owner_id,
                    &profile.default_team_id,
                    &profile.default_policy_id,
                    &profile.default_issuer_id,
                    &profile.row_version,
                    &profile.created_at,
                    &profile.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        let holder = "SELECT id FROM policy.certificate_profiles \
             WHERE id = $1 OR (tenant_id = $3 AND lower(name) = lower($2)) ORDER BY (id = $1) DESC LIMIT 1";
        Err(self.taken(holder, &profile.id, &profile.name, &profile.tenant_id).await)
    }

    async fn update_profile(&mut self, profile: &Profile) -> Result<(), StoreError> {
        let other = "SELECT id FROM policy.certificate_profiles \
             WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &profile.id, &profile.name, &profile.tenant_id).await?;
        self.execute(
            "UPDATE policy.certificate_profiles SET name = $2, description = $3, allowed_key_algorithms = $4, \
               max_ttl_seconds = $5, allowed_ekus = $6, required_san_patterns = $7, spiffe_uri_pattern = $8, \
               allow_short_lived = $9, must_staple = $10, required_csr_attributes = $11, acme_auth_mode = $12, \
               requires_approval = $13, allow_wildcards = $14, enabled = $15, default_owner_id = $16, \
               default_team_id = $17, default_policy_id = $18, default_issuer_id = $19, \
               row_version = row_version + 1, updated_at = $20 WHERE id = $1",
            &[
                &profile.id,
                &profile.name,
                &profile.description,
                &key_rules(profile),
                &profile.max_ttl_seconds,
                &ekus(profile),
                &profile.required_san_patterns,
                &profile.spiffe_uri_pattern,
                &profile.allow_short_lived,
                &profile.must_staple,
                &profile.required_csr_attributes,
                &profile.acme_auth_mode.as_str(),
                &profile.requires_approval,
                &profile.allow_wildcards,
                &profile.enabled,
                &profile.default_owner_id,
                &profile.default_team_id,
                &profile.default_policy_id,
                &profile.default_issuer_id,
                &profile.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn delete_profile(&mut self, id: &str) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM policy.certificate_profiles WHERE id = $1", &[&id]).await? > 0)
    }

    async fn profile_usage(&mut self, id: &str) -> Result<ProfileUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT (SELECT count(*) FROM inventory.certificates WHERE certificate_profile_id = $1), \
                   (SELECT count(*) FROM policy.renewal_policies WHERE certificate_profile_id = $1), \
                   (SELECT count(*) FROM approval.requests WHERE profile_id = $1), \
                   (SELECT count(*) FROM iam.grants WHERE scope_type = 'profile' AND scope_id = $1) \
                     + (SELECT count(*) FROM iam.role_permissions WHERE scope_type = 'profile' AND scope_id = $1)",
                &[&id],
            )
            .await?;
        Ok(ProfileUsage {
            certificates: row.get(0),
            renewal_policies: row.get(1),
            approvals: row.get(2),
            grants: row.get(3),
        })
    }

    async fn detach_profile(&mut self, id: &str) -> Result<(), StoreError> {
        let at = self.ambient().now();
        self.execute(
            "UPDATE policy.renewal_policies SET certificate_profile_id = NULL, row_version = row_version + 1, \
               updated_at = $2 WHERE certificate_profile_id = $1",
            &[&id, &at],
        )
        .await?;
        self.execute(
            "UPDATE inventory.certificates SET certificate_profile_id = NULL, row_version = row_version + 1, \
               updated_at = $2 WHERE certificate_profile_id = $1",
            &[&id, &at],
        )
        .await
        .map(|_| ())
    }

    async fn profiles_page(&mut self, filter: &ProfileFilter, list: &ListQuery) -> Result<Page<Profile>, StoreError> {
        let sql = ListSql {
            columns: PROFILE,
            from: "policy.certificate_profiles p",
            key: "p.created_at",
            kind: KeyKind::Time,
            id: "p.id",
            descending: true,
        };
        let filters = Filters::default()
            .with("(p.id ILIKE ? OR p.name ILIKE ?)", "text", filter.q.as_deref().map(containing))
            .with("p.id = ANY(?)", "text[]", filter.ids.clone());
        self.page(&sql, &filters, filter.fingerprint(), list, profile, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }
}

pub(crate) const POLICY: &str = "r.id, r.tenant_id, r.name, r.renewal_window_days, r.auto_renew, r.max_retries, \
     r.retry_interval_seconds, r.alert_thresholds_days, r.alert_channels, r.alert_severity_map, \
     r.certificate_profile_id, r.row_version, r.created_at, r.updated_at";

pub(crate) fn policy(row: &Row) -> Result<RenewalPolicy, StoreError> {
    let channels: BTreeMap<String, Vec<String>> =
        serde_json::from_value(row.get(8)).map_err(|_| broken("channel map"))?;
    let severities: BTreeMap<String, String> =
        serde_json::from_value(row.get(9)).map_err(|_| broken("severity map"))?;
    Ok(RenewalPolicy {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        renewal_window_days: row.get(3),
        auto_renew: row.get(4),
        max_retries: row.get(5),
        retry_interval_seconds: row.get(6),
        alert_thresholds_days: row.get(7),
        alert_channels: channels,
        alert_severity_map: severities,
        certificate_profile_id: row.get(10),
        row_version: row.get(11),
        created_at: row.get(12),
        updated_at: row.get(13),
    })
}

#[async_trait]
impl RenewalPolicyStore for PgUnitOfWork {
    async fn renewal_policy(&mut self, id: &str) -> Result<Option<RenewalPolicy>, StoreError> {
        let sql = format!("SELECT {POLICY} FROM policy.renewal_policies r WHERE r.id = $1");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(policy).transpose()
    }

    async fn renewal_policy_for_update(&mut self, id: &str) -> Result<Option<RenewalPolicy>, StoreError> {
        let sql = format!("SELECT {POLICY} FROM policy.renewal_policies r WHERE r.id = $1 FOR UPDATE");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(policy).transpose()
    }

    async fn insert_renewal_policy(&mut self, policy: &RenewalPolicy) -> Result<bool, StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO policy.renewal_policies (id, tenant_id, name, renewal_window_days, auto_renew, \
                   max_retries, retry_interval_seconds, alert_thresholds_days, alert_channels, alert_severity_map, \
                   certificate_profile_id, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
                &[
                    &policy.id,
                    &policy.tenant_id,
                    &policy.name,
                    &policy.renewal_window_days,
                    &policy.auto_renew,
                    &policy.max_retries,
                    &policy.retry_interval_seconds,
                    &policy.alert_thresholds_days,
                    &json!(policy.alert_channels),
                    &json!(policy.alert_severity_map),
                    &policy.certificate_profile_id,
                    &policy.row_version,
                    &policy.created_at,
                    &policy.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(true);
        }
        // The name first: another id would not help against a name that is taken.
        let holder = "SELECT id FROM policy.renewal_policies \
             WHERE tenant_id = $2 AND lower(name) = lower($1)";
        match self.query_opt(holder, &[&policy.name, &policy.tenant_id]).await? {
            Some(row) => Err(StoreError::Duplicate { field: "name".to_owned(), existing_id: Some(row.get(0)) }),
            None => Ok(false),
        }
    }

    async fn update_renewal_policy(&mut self, policy: &RenewalPolicy) -> Result<(), StoreError> {
        let other = "SELECT id FROM policy.renewal_policies \
             WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &policy.id, &policy.name, &policy.tenant_id).await?;
        self.execute(
            "UPDATE policy.renewal_policies SET name = $2, renewal_window_days = $3, auto_renew = $4, \
               max_retries = $5, retry_interval_seconds = $6, alert_thresholds_days = $7, alert_channels = $8, \
               alert_severity_map = $9, certificate_profile_id = $10, row_version = row_version + 1, \
               updated_at = $11 WHERE id = $1",
            &[
                &policy.id,
                &policy.name,
                &policy.renewal_window_days,
                &policy.auto_renew,
                &policy.max_retries,
                &policy.retry_interval_seconds,
                &policy.alert_thresholds_days,
                &json!(policy.alert_channels),
                &json!(policy.alert_severity_map),
                &policy.certificate_profile_id,
                &policy.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn delete_renewal_policy(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM policy.renewal_policies WHERE id = $1", &[&id]).await.map(|_| ())
    }

    async fn renewal_policy_usage(&mut self, id: &str) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM inventory.certificates WHERE renewal_policy_id = $1";
        Ok(self.query_one(sql, &[&id]).await?.get(0))
    }

    async fn renewal_policies_page(
        &mut self,
        filter: &PolicyFilter,
        list: &ListQuery,
    ) -> Result<Page<RenewalPolicy>, StoreError> {
        let sql = ListSql {
            columns: POLICY,
            from: "policy.renewal_policies r",
            key: "r.name",
            kind: KeyKind::Text,
            id: "r.id",
            descending: false,
        };
        let filters =
            Filters::default().with("(r.id ILIKE ? OR r.name ILIKE ?)", "text", filter.q.as_deref().map(containing));
        self.page(&sql, &filters, filter.fingerprint(), list, policy, |row| (row.name.clone(), row.id.clone())).await
    }
}
