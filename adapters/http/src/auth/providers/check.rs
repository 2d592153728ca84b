//! Asking a provider, before it is stored, whether it is one.

use crate::auth::Oidc;
use crate::edge::ApiError;
use actix_web::http::StatusCode;
use certctl_oidc::ProbeRequest;
use serde_json::json;

/// Refuses an issuer whose address is reserved, and, unless told otherwise, one that does not answer as a provider that
/// people could sign in through.
pub(super) async fn ask(oidc: &Oidc, issuer_url: &str, ca_bundle_pem: &str, skip_check: bool) -> Result<(), ApiError> {
    oidc.party.check_address(issuer_url).await.map_err(|reason| {
        ApiError::invalid("issuer_url", "reserved_address", format!("issuer_url failed SSRF policy: {reason}"))
    })?;
    if skip_check {
        return Ok(());
    }
    let request = ProbeRequest { issuer_url: issuer_url.to_owned(), ca_bundle_pem: ca_bundle_pem.to_owned() };
    let probe = oidc.party.probe(&request).await;
    let broken: Vec<&String> = probe.errors.iter().filter(|error| !error.starts_with("note:")).collect();
    if broken.is_empty() && probe.discovery_succeeded && probe.jwks_reachable {
        return Ok(());
    }
    let reasons = broken.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join("; ");
    let message = format!("the provider can't be used as it is: {reasons}; ?skip_check=true keeps it all the same");
    Err(ApiError::new(StatusCode::BAD_REQUEST, "provider_check_failed", message).with("checks", json!(broken)))
}
