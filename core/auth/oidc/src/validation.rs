//! What a provider's configuration must keep to. Rules are looked at in a fixed order and the first that is broken is
//! told, as existing clients expect.

use crate::{AtHashPolicy, GroupsClaimFormat, GroupsOverage, OutboundPolicy, Provider};
use certctl_kernel::{DomainError, Secret};
use url::Url;

const LONGEST_NAME: usize = 255;
const LONGEST_URL: usize = 2048;
const LONGEST_CLIENT_ID: usize = 512;
const LONGEST_SECRET: usize = 4096;
const LONGEST_PATH: usize = 512;
const LONGEST_BUNDLE: usize = 256 * 1024;
const MOST_ITEMS: usize = 64;

/// What may be set of a provider; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ProviderSettings {
    /// Unique name.
    pub name: Option<String>,
    /// Issuer identifier.
    pub issuer_url: Option<String>,
    /// Client id.
    pub client_id: Option<String>,
    /// Client secret; blank stays as it is.
    pub client_secret: Option<Secret<String>>,
    /// Redirect URI.
    pub redirect_uri: Option<String>,
    /// Path of the groups; blank stays as it is.
    pub groups_claim_path: Option<String>,
    /// Format of the path; blank stays as it is.
    pub groups_claim_format: Option<String>,
    /// More paths.
    pub more_groups_claim_paths: Option<Vec<String>>,
    /// Whether userinfo is asked.
    pub fetch_userinfo: Option<bool>,
    /// Scopes; empty means the default.
    pub scopes: Option<Vec<String>>,
    /// Domains of addresses.
    pub allowed_email_domains: Option<Vec<String>>,
    /// Whether such an address must be verified.
    pub require_verified_email: Option<bool>,
    /// Seconds; 0 stays as it is.
    pub iat_window_seconds: Option<i64>,
    /// Seconds; 0 stays as it is.
    pub jwks_cache_ttl_seconds: Option<i64>,
    /// `if_present` or `require`.
    pub at_hash_policy: Option<String>,
    /// `refuse` or `graph`.
    pub groups_overage: Option<String>,
    /// Hosted domain; empty means any.
    pub hosted_domain: Option<String>,
    /// Role of everybody within it; empty means none.
    pub default_role_id: Option<String>,
    /// Whether signing out here signs out there.
    pub rp_initiated_logout: Option<bool>,
    /// Certificates, PEM; empty means those of the system.
    pub ca_bundle_pem: Option<String>,
    /// Whether people may sign in through it.
    pub enabled: Option<bool>,
}

fn refuse<T>(field: &str, code: &str, message: impl Into<String>) -> Result<T, DomainError> {
    Err(DomainError::invalid(field, code, message))
}

/// Text that is there and fits; without control characters.
fn text(field: &str, value: &str, most: usize) -> Result<(), DomainError> {
    if value.trim().is_empty() {
        return refuse(field, "required", "is required");
    }
    if value.chars().count() > most {
        return refuse(field, "too_long", format!("must have at most {most} characters"));
    }
    if value.chars().any(char::is_control) {
        return refuse(field, "invalid", "must not contain control characters");
    }
    Ok(())
}

/// An absolute URL with `https`, without what a peer could hide something in.
fn https(field: &str, value: &str) -> Result<Url, DomainError> {
    if value.len() > LONGEST_URL {
        return refuse(field, "too_long", format!("must have at most {LONGEST_URL} characters"));
    }
    if !value.starts_with("https://") {
        return refuse(field, "not_https", format!("{field} must start with https://"));
    }
    if value.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return refuse(field, "invalid", format!("{field} must not contain blanks, backslashes or control characters"));
    }
    let Ok(url) = Url::parse(value) else {
        return refuse(field, "invalid", format!("{field} is not a URL"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(field, "invalid", format!("{field} must not contain a user name or password"));
    }
    Ok(url)
}

/// Checks an issuer as it is configured (OpenID Connect Discovery 1.0 §4.1: no query, no fragment) and its address, as
/// far as that can be told from the text.
pub fn check_issuer(issuer_url: &str, policy: OutboundPolicy) -> Result<Url, DomainError> {
    let url = https("issuer_url", issuer_url)?;
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("issuer_url", "invalid", "issuer_url must not have a query or fragment");
    }
    if let Err(reserved) = policy.check_host(&url) {
        return refuse("issuer_url", "reserved_address", format!("issuer_url failed SSRF policy: the host {reserved}"));
    }
    Ok(url)
}

/// A DNS name as it stands in addresses.
fn domain(field: &str, value: &str) -> Result<(), DomainError> {
    let label =
        |label: &str| !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    if value.len() <= 253 && value.contains('.') && value.split('.').all(label) {
        return Ok(());
    }
    refuse(field, "invalid", "must be a domain, such as corp.example")
}

fn few(field: &str, items: &[String]) -> Result<(), DomainError> {
    if items.len() > MOST_ITEMS {
        return refuse(field, "too_many", format!("must have at most {MOST_ITEMS} entries"));
    }
    Ok(())
}

fn path(field: &str, value: &str, format: GroupsClaimFormat) -> Result<(), DomainError> {
    text(field, value, LONGEST_PATH)?;
    if value.starts_with('/') && format == GroupsClaimFormat::StringArray {
        return refuse(field, "invalid", "is a JSON Pointer, which needs groups_claim_format json-path");
    }
    Ok(())
}

fn seconds(field: &str, wanted: i64, range: std::ops::RangeInclusive<i64>) -> Result<i32, DomainError> {
    match i32::try_from(wanted) {
        Ok(fits) if range.contains(&wanted) => Ok(fits),
        _ if *range.end() == i64::from(i32::MAX) => {
            refuse(field, "out_of_range", format!("must be {} at least", range.start()))
        }
        _ => refuse(field, "out_of_range", format!("must be from {} to {}", range.start(), range.end())),
    }
}

/// Puts settings over a provider, which is left as it is when one is refused. `has_secret` tells whether one is stored.
pub(crate) fn settle(
    provider: &Provider,
    settings: &ProviderSettings,
    has_secret: bool,
    policy: OutboundPolicy,
) -> Result<Provider, DomainError> {
    fn set<T: Clone>(slot: &mut T, wanted: Option<&T>) {
        if let Some(wanted) = wanted {
            slot.clone_from(wanted);
        }
    }
    fn trimmed(items: &[String]) -> Vec<String> {
        items.iter().map(|item| item.trim().to_owned()).collect()
    }
    let mut out = provider.clone();
    if let Some(name) = &settings.name {
        name.trim().clone_into(&mut out.name);
    }
    text("name", &out.name, LONGEST_NAME)?;
    set(&mut out.issuer_url, settings.issuer_url.as_ref());
    check_issuer(&out.issuer_url, policy)?;
    set(&mut out.client_id, settings.client_id.as_ref());
    text("client_id", &out.client_id, LONGEST_CLIENT_ID)?;
    match settings.client_secret.as_ref().map(|secret| secret.expose().as_str()).filter(|text| !text.trim().is_empty())
    {
        None if !has_secret => return refuse("client_secret", "required", "client_secret is required"),
        None => {}
        Some(secret) => text("client_secret", secret, LONGEST_SECRET)?,
    }
    set(&mut out.redirect_uri, settings.redirect_uri.as_ref());
    if https("redirect_uri", &out.redirect_uri)?.fragment().is_some() {
        return refuse("redirect_uri", "invalid", "redirect_uri must not have a fragment");
    }
    if let Some(format) = settings.groups_claim_format.as_deref().filter(|format| !format.trim().is_empty()) {
        out.groups_claim_format = GroupsClaimFormat::parse(format)
            .map_or_else(|| refuse("groups_claim_format", "unknown_value", "must be string-array or json-path"), Ok)?;
    }
    set(&mut out.groups_claim_path, settings.groups_claim_path.as_ref().filter(|path| !path.trim().is_empty()));
    path("groups_claim_path", &out.groups_claim_path, out.groups_claim_format)?;
    set(&mut out.more_groups_claim_paths, settings.more_groups_claim_paths.as_ref());
    few("more_groups_claim_paths", &out.more_groups_claim_paths)?;
    for more in &out.more_groups_claim_paths {
        path("more_groups_claim_paths", more, out.groups_claim_format)?;
    }
    set(&mut out.fetch_userinfo, settings.fetch_userinfo.as_ref());
    if let Some(scopes) = &settings.scopes {
        out.scopes = if scopes.is_empty() { default_scopes() } else { trimmed(scopes) };
    }
    few("scopes", &out.scopes)?;
    if let Some(bad) = out.scopes.iter().find(|scope| !is_scope(scope)) {
        return refuse("scopes", "invalid", format!("{bad:?} is not a scope (RFC 6749 section 3.3)"));
    }
    if !out.scopes.iter().any(|scope| scope == "openid") {
        return refuse("scopes", "openid_missing", "scopes must contain openid");
    }
    if let Some(wanted) = settings.iat_window_seconds.filter(|wanted| *wanted != 0) {
        out.iat_window_seconds = seconds("iat_window_seconds", wanted, 1..=600)?;
    }
    if let Some(wanted) = settings.jwks_cache_ttl_seconds.filter(|wanted| *wanted != 0) {
        out.jwks_cache_ttl_seconds = seconds("jwks_cache_ttl_seconds", wanted, 60..=i64::from(i32::MAX))?;
    }
    if let Some(domains) = &settings.allowed_email_domains {
        out.allowed_email_domains = trimmed(domains);
    }
    few("allowed_email_domains", &out.allowed_email_domains)?;
    for name in &out.allowed_email_domains {
        domain("allowed_email_domains", name)?;
    }
    set(&mut out.require_verified_email, settings.require_verified_email.as_ref());
    if let Some(wanted) = settings.at_hash_policy.as_deref() {
        out.at_hash_policy = AtHashPolicy::parse(wanted)
            .map_or_else(|| refuse("at_hash_policy", "unknown_value", "must be if_present or require"), Ok)?;
    }
    if let Some(wanted) = settings.groups_overage.as_deref() {
        out.groups_overage = GroupsOverage::parse(wanted)
            .map_or_else(|| refuse("groups_overage", "unknown_value", "must be refuse or graph"), Ok)?;
    }
    if let Some(hosted) = &settings.hosted_domain {
        hosted.trim().clone_into(&mut out.hosted_domain);
    }
    if !out.hosted_domain.is_empty() {
        domain("hosted_domain", &out.hosted_domain)?;
    }
    if let Some(role) = &settings.default_role_id {
        out.default_role_id = Some(role.clone()).filter(|role| !role.is_empty());
    }
    if out.default_role_id.is_some() && out.hosted_domain.is_empty() {
        return refuse(
            "default_role_id",
            "needs_hosted_domain",
            "needs hosted_domain: without it everybody with an account at the provider would get the role",
        );
    }
    set(&mut out.rp_initiated_logout, settings.rp_initiated_logout.as_ref());
    set(&mut out.ca_bundle_pem, settings.ca_bundle_pem.as_ref());
    check_bundle(&out.ca_bundle_pem)?;
    set(&mut out.enabled, settings.enabled.as_ref());
    Ok(out)
}

/// Certificates that a provider's TLS is to be checked against.
pub fn check_bundle(pem: &str) -> Result<(), DomainError> {
    if pem.is_empty() {
        return Ok(());
    }
    if pem.len() > LONGEST_BUNDLE {
        return refuse("ca_bundle_pem", "too_long", format!("must have at most {LONGEST_BUNDLE} bytes"));
    }
    match certctl_x509::pem::certificates(pem) {
        Ok(found) if !found.is_empty() => Ok(()),
        _ => refuse("ca_bundle_pem", "invalid", "must be one or several certificates in PEM, and nothing else"),
    }
}

/// Scopes of a provider that names none.
pub fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(ToOwned::to_owned).to_vec()
}

/// `scope-token` of RFC 6749 §3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.len() <= 256 && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
