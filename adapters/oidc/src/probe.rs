//! Looking at a provider before it is stored, step by step, and saying what each showed.

use crate::keys::Keys;
use crate::metadata::Metadata;
use crate::outbound::Outbound;
use certctl_oidc::{Algorithm, Probe, ProbeRequest, ProviderError};

pub(crate) async fn probe(outbound: &Outbound, request: &ProbeRequest) -> Probe {
    let mut seen = Probe::default();
    if let Err(error) = outbound.vet_resolved("issuer_url", &request.issuer_url).await {
        seen.errors.push(format!("issuer_url failed SSRF policy: {error}"));
        return seen;
    }
    let metadata = match Metadata::fetch(outbound, &request.issuer_url, &request.ca_bundle_pem).await {
        Ok(metadata) => metadata,
        Err(error) => {
            if let ProviderError::OtherIssuer { found, .. } = &error {
                seen.issuer_echo = Some(found.clone());
            }
            seen.errors.push(format!("discovery failed: {error}"));
            return seen;
        }
    };
    seen.discovery_succeeded = true;
    tell(&metadata, &mut seen);
    if let Err(error) = metadata.check_algorithms() {
        seen.errors.push(error.to_string());
    } else {
        let named = &metadata.id_token_signing_alg_values_supported;
        let weak: Vec<&str> =
            named.iter().map(String::as_str).filter(|name| Algorithm::parse(name).is_none()).collect();
        if !weak.is_empty() {
            seen.errors.push(format!(
                "note: the provider also names {}, which certctl never accepts",
                crate::metadata::shown(&weak.join(", "))
            ));
        }
    }
    if let Err(error) = metadata.check_endpoints(outbound) {
        seen.errors.push(error.to_string());
    }
    let keys = async {
        let url = outbound.vet("jwks_uri", &metadata.jwks_uri)?;
        Keys::read(&outbound.get(&request.ca_bundle_pem, "the key set", &url).await?)
    };
    match keys.await {
        Ok(keys) => {
            seen.jwks_reachable = true;
            if keys.published().is_empty() {
                seen.errors.push("the key set holds no key that certctl can verify with".to_owned());
            }
        }
        Err(error) => seen.errors.push(error.to_string()),
    }
    seen
}

fn tell(metadata: &Metadata, seen: &mut Probe) {
    seen.supported_alg_values.clone_from(&metadata.id_token_signing_alg_values_supported);
    seen.iss_param_supported = metadata.authorization_response_iss_parameter_supported;
    seen.issuer_echo = Some(metadata.issuer.clone());
    seen.authorization_url = Some(metadata.authorization_endpoint.clone());
    seen.token_url = Some(metadata.token_endpoint.clone());
    seen.jwks_uri = Some(metadata.jwks_uri.clone());
    seen.userinfo_endpoint.clone_from(&metadata.userinfo_endpoint);
    seen.end_session_endpoint.clone_from(&metadata.end_session_endpoint);
}
