//! Identity providers.

use crate::edge::{ApiError, BodyDigest, Cx, Gate, PageBody, QueryParams, Reply, Route};
use actix_web::HttpResponse;
use certctl_kernel::{DomainError, ListQuery, Page, Timestamp, timestamp};
use certctl_oidc::{EditProvider, Provider, ProviderSettings, Registration, check_edit, registration, update_provider};
use certctl_ports::Sealer;
use certctl_rbac::Permission;
use serde::Serialize;
use utoipa::ToSchema;

mod archive;
mod check;
mod create;
mod delete;
mod get;
mod input;
mod jwks_status;
mod list;
mod patch;
mod refresh;
mod revoke_sessions;
mod test;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuthOidcList), list),
        crate::route!(Gate::Permission(Permission::AuthOidcCreate), create),
        crate::route!(Gate::Permission(Permission::AuthOidcList), get),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), update),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), patch),
        crate::route!(Gate::Permission(Permission::AuthOidcDelete), delete),
        crate::route!(Gate::Permission(Permission::AuthOidcDelete), archive),
        crate::route!(Gate::Permission(Permission::AuthSessionRevoke), revoke_sessions),
        crate::route!(Gate::Permission(Permission::AuthOidcCreate), test),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), refresh),
        crate::route!(Gate::Permission(Permission::AuthOidcList), jwks_status),
    ]
}

/// An identity provider. Its client secret is never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OIDCProvider)]
pub(crate) struct ProviderBody {
    id: String,
    tenant_id: String,
    name: String,
    issuer_url: String,
    client_id: String,
    redirect_uri: String,
    /// Where groups stand in the claims.
    groups_claim_path: String,
    /// `string-array` or `json-path`.
    groups_claim_format: &'static str,
    /// Claims whose groups are added to those.
    more_groups_claim_paths: Vec<String>,
    fetch_userinfo: bool,
    scopes: Vec<String>,
    allowed_email_domains: Vec<String>,
    require_verified_email: bool,
    iat_window_seconds: i32,
    jwks_cache_ttl_seconds: i32,
    /// `if_present` or `require`.
    at_hash_policy: &'static str,
    /// `refuse` or `graph`.
    groups_overage: &'static str,
    /// Empty where any is let in.
    hosted_domain: String,
    /// Role of everybody within `hosted_domain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    default_role_id: Option<String>,
    rp_initiated_logout: bool,
    /// Empty where the system's certificates are believed.
    ca_bundle_pem: String,
    enabled: bool,
    /// Since when it is out of use for good.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    archived_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Provider> for ProviderBody {
    fn from(provider: Provider) -> Self {
        Self {
            id: provider.id,
            tenant_id: provider.tenant_id,
            name: provider.name,
            issuer_url: provider.issuer_url,
            client_id: provider.client_id,
            redirect_uri: provider.redirect_uri,
            groups_claim_path: provider.groups_claim_path,
            groups_claim_format: provider.groups_claim_format.as_str(),
            more_groups_claim_paths: provider.more_groups_claim_paths,
            fetch_userinfo: provider.fetch_userinfo,
            scopes: provider.scopes,
            allowed_email_domains: provider.allowed_email_domains,
            require_verified_email: provider.require_verified_email,
            iat_window_seconds: provider.iat_window_seconds,
            jwks_cache_ttl_seconds: provider.jwks_cache_ttl_seconds,
            at_hash_policy: provider.at_hash_policy.as_str(),
            groups_overage: provider.groups_overage.as_str(),
            hosted_domain: provider.hosted_domain,
            default_role_id: provider.default_role_id,
            rp_initiated_logout: provider.rp_initiated_logout,
            ca_bundle_pem: provider.ca_bundle_pem,
            enabled: provider.enabled,
            archived_at: provider.archived_at,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }
}

/// Providers, with where the page stands in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OIDCProviderList)]
pub(crate) struct ProviderList {
    providers: Vec<ProviderBody>,
    total: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    per_page: Option<u32>,
    /// Where the next page starts, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
}

impl ProviderList {
    fn new(query: &ListQuery, page: Page<Provider>) -> Self {
        let page = PageBody::new(query, page, ProviderBody::from);
        Self {
            providers: page.data,
            total: page.total,
            page: page.page,
            per_page: page.per_page.or(page.page_size),
            next_cursor: page.next_cursor,
        }
    }
}

/// What seals client secrets.
fn sealer(cx: &Cx) -> Result<&dyn Sealer, ApiError> {
    Ok(cx.state().backends()?.sealer.as_ref())
}

/// Changes a provider. One that would be another, or reached otherwise, is asked first.
async fn edit(
    cx: &Cx,
    mut params: QueryParams,
    digest: &BodyDigest,
    settings: ProviderSettings,
) -> Result<HttpResponse, ApiError> {
    let (caller, sealer, oidc) = (cx.caller()?, sealer(cx)?, cx.state().oidc()?);
    let skip_check = params.flag("skip_check")?.unwrap_or(false);
    params.finish()?;
    let command = EditProvider { id: cx.path("id")?, expected_version: cx.expected_version()?, settings };
    let policy = oidc.settings.policy;
    let (wanted, other) = cx.read(async |tx| Ok(check_edit(tx, caller, &command, policy).await?)).await?;
    if other {
        check::ask(oidc, &wanted.issuer_url, &wanted.ca_bundle_pem, skip_check).await?;
    }
    cx.change(digest, async |tx| {
        let changed = update_provider(tx, cx.ambient(), sealer, caller, &command, policy).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(ProviderBody::from(changed)).version(updated_at, version))
    })
    .await
}

/// A provider with what the relying party must know of it.
async fn registered(cx: &Cx, id: &str) -> Result<(Provider, Registration), ApiError> {
    let sealer = sealer(cx)?;
    let provider = cx
        .read(async |tx| {
            let found = tx.provider(id).await?.ok_or_else(|| DomainError::not_found("provider", id))?;
            archived(&found)?;
            Ok(found)
        })
        .await?;
    let registration = registration(&provider, sealer)
        .map_err(|error| ApiError::internal(&format!("the client secret of {id} can't be opened: {error}")))?;
    Ok((provider, registration))
}

fn archived(provider: &Provider) -> Result<(), DomainError> {
    match provider.archived_at {
        None => Ok(()),
        Some(_) => Err(DomainError::conflict("archived", "the provider is archived")),
    }
}
